/** List and watch against a model: whoever follows the API knows the state at every revision. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { exchangeFor, send, testServer, type TestServer } from '../server.testing.ts'

interface Held {
  readonly revision: number
  readonly app: string
}
/** By `namespace/name`. */
type State = ReadonlyMap<string, Held>

interface Selection {
  readonly namespace: string
  readonly app: string
  readonly name: string
}

const NAMESPACES = ['shop', 'depot']
const NAMES = ['a', 'b', 'c', 'd']
const APPS = ['web', 'db']

const selected = (state: State, { namespace, app, name }: Selection): State =>
  new Map(
    [...state].filter(
      ([key, held]) =>
        (namespace === '' || key.startsWith(`${namespace}/`)) &&
        (app === '' || held.app === app) &&
        (name === '' || key.endsWith(`/${name}`)),
    ),
  )

function pathOf({ namespace, app, name }: Selection, query: Readonly<Record<string, string>>) {
  const folder = namespace === '' ? '/api/v1' : `/api/v1/namespaces/${namespace}`
  const all = {
    ...query,
    ...(app === '' ? {} : { labelSelector: `app=${app}` }),
    ...(name === '' ? {} : { fieldSelector: `metadata.name=${name}` }),
  }
  return `GET ${folder}/configmaps?${new URLSearchParams(all).toString()}`
}

interface Shown {
  readonly metadata: {
    readonly name: string
    readonly namespace: string
    readonly resourceVersion: string
    readonly labels?: { readonly app?: string }
    readonly annotations?: Readonly<Record<string, string>>
  }
}
const keyOf = ({ metadata }: Shown): string => `${metadata.namespace}/${metadata.name}`
const heldOf = ({ metadata: { resourceVersion, labels } }: Shown): Held => ({
  revision: Number(resourceVersion),
  app: labels?.app ?? '',
})

/** The state at each revision since the server began. */
class Model {
  readonly #states: { readonly revision: number; readonly state: State }[]
  constructor(revision: number) {
    this.#states = [{ revision, state: new Map() }]
  }
  get newest(): { readonly revision: number; readonly state: State } {
    return this.#states.at(-1)!
  }
  get revisions(): readonly number[] {
    return this.#states.map(({ revision }) => revision)
  }
  at(revision: number): State {
    return this.#states.findLast((each) => each.revision <= revision)!.state
  }
  change(revision: number, key: string, held: Held | undefined): void {
    const state = new Map(this.newest.state)
    if (held === undefined) state.delete(key)
    else state.set(key, held)
    this.#states.push({ revision, state })
  }
}

type Beginning = 'list' | 'pages' | 'past' | 'watch-list' | 'from-anything'

/** One client: a list, then a watch that is cut and resumed, and what it believes. */
class Follower {
  readonly #server: TestServer['server']
  readonly #model: Model
  readonly #selection: Selection
  readonly #held = new Map<string, Held>()
  readonly #beliefs: { readonly revision: number; readonly state: State }[] = []
  #seen = 0
  /** The first state is being told: its events are of any revision. */
  #isBeginning = false
  #stop = new AbortController()
  #reading: Promise<void> = Promise.resolve()
  bookmarks = 0

  constructor(server: TestServer['server'], model: Model, selection: Selection) {
    this.#server = server
    this.#model = model
    this.#selection = selection
  }

  async begin(beginning: Beginning, chance: number): Promise<void> {
    const { revisions } = this.#model
    switch (beginning) {
      case 'list':
        await this.#list({})
        break
      case 'pages':
        await this.#list({ limit: '2' })
        break
      case 'past': {
        const past = revisions[chance % revisions.length]!
        await this.#list({ resourceVersion: String(past), resourceVersionMatch: 'Exact' })
        assert.equal(this.#seen, past)
        break
      }
      case 'watch-list':
        this.#isBeginning = true
        await this.#watch({ sendInitialEvents: 'true', resourceVersionMatch: 'NotOlderThan' })
        return
      case 'from-anything':
        this.#seen = revisions.at(-1)!
        this.#isBeginning = true
        await this.#watch({ resourceVersion: '0' })
        return
    }
    this.#believe(this.#seen)
    await this.resume()
  }

  /** Cut off wherever it is, and on from what it has seen last. */
  async resume(): Promise<void> {
    if (this.#isBeginning) return
    this.#stop.abort()
    await this.#reading
    await this.#watch({ resourceVersion: String(this.#seen) })
  }

  /** An event may come before its writer hears of it, and before the model does: beliefs are compared in the end. */
  #believe(revision: number): void {
    this.#beliefs.push({ revision, state: new Map(this.#held) })
  }

  /** Everything was told: it is at the newest revision. */
  async end(): Promise<void> {
    this.#believe(this.#model.newest.revision)
    this.#stop.abort()
    await this.#reading
    const inOrder = (state: State) => [...state].toSorted(([a], [b]) => (a < b ? -1 : 1))
    for (const { revision, state } of this.#beliefs)
      assert.deepEqual(
        inOrder(state),
        inOrder(selected(this.#model.at(revision), this.#selection)),
        `at ${revision}`,
      )
    assert.ok(this.bookmarks > 0)
  }

  async #list(query: Readonly<Record<string, string>>): Promise<void> {
    let next: Readonly<Record<string, string>> | undefined = query
    while (next !== undefined) {
      const { status, json, text } = await send(this.#server, pathOf(this.#selection, next))
      assert.equal(status, 200, text)
      const { metadata, items } = json as unknown as {
        metadata: { resourceVersion: string; continue?: string }
        items: Shown[]
      }
      for (const item of items) {
        assert.ok(!this.#held.has(keyOf(item)))
        this.#held.set(keyOf(item), heldOf(item))
      }
      // All pages are of one moment.
      if (this.#seen > 0) assert.equal(Number(metadata.resourceVersion), this.#seen)
      this.#seen = Number(metadata.resourceVersion)
      next =
        metadata.continue === undefined
          ? undefined
          : { limit: query['limit'] ?? '', continue: metadata.continue }
    }
  }

  async #watch(query: Readonly<Record<string, string>>): Promise<void> {
    const stop = new AbortController()
    this.#stop = stop
    const line = pathOf(this.#selection, { watch: 'true', allowWatchBookmarks: 'true', ...query })
    const { status, body } = await this.#server.handler(
      exchangeFor(line, undefined, {}, stop.signal),
    )
    assert.equal(status, 200)
    this.#reading = (async () => {
      let rest = ''
      for await (const chunk of body as AsyncIterable<Uint8Array>) {
        const lines = (rest + Buffer.from(chunk).toString()).split('\n')
        rest = lines.pop() ?? ''
        for (const each of lines) {
          if (stop.signal.aborted) return
          this.#hear(JSON.parse(each) as { type: string; object: Shown })
        }
      }
    })()
    // A mistake is told by `end`.
    this.#reading.catch(() => undefined)
  }

  #hear({ type, object }: { type: string; object: Shown }): void {
    const revision = Number(object.metadata.resourceVersion)
    if (type === 'BOOKMARK') {
      this.bookmarks++
      this.#isBeginning = false
      assert.ok(revision >= this.#seen, 'a bookmark goes back')
    } else {
      const key = keyOf(object)
      if (this.#isBeginning && revision > this.#seen && this.#seen > 0) this.#isBeginning = false
      assert.equal(this.#held.has(key), type !== 'ADDED', `${type} ${key}`)
      if (type === 'DELETED') this.#held.delete(key)
      else this.#held.set(key, heldOf(object))
      if (this.#isBeginning) return
      assert.ok(revision > this.#seen, 'events are out of order')
    }
    this.#seen = revision
    this.#believe(revision)
  }
}

const selections = fc.record<Selection>({
  namespace: fc.constantFrom('', ...NAMESPACES),
  app: fc.constantFrom('', ...APPS),
  name: fc.constantFrom('', '', '', ...NAMES),
})
const writes = fc.record({
  kind: fc.constant('write' as const),
  namespace: fc.constantFrom(...NAMESPACES),
  name: fc.constantFrom(...NAMES),
  // Absent: it is deleted.
  app: fc.option(fc.constantFrom(...APPS), { nil: undefined, freq: 3 }),
})
const commands = fc.oneof(
  { weight: 6, arbitrary: writes },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('follow' as const),
      selection: selections,
      beginning: fc.constantFrom<Beginning>('list', 'pages', 'past', 'watch-list', 'from-anything'),
      chance: fc.nat(1000),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('resume' as const), chance: fc.nat(1000) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('settle' as const) }) },
)

async function write(
  { server }: TestServer,
  model: Model,
  { namespace, name, app }: { namespace: string; name: string; app: string | undefined },
): Promise<void> {
  const key = `${namespace}/${name}`
  const folder = `/api/v1/namespaces/${namespace}/configmaps`
  const before = model.newest.state.get(key)
  if (app === undefined && before === undefined) return
  if (app === undefined) {
    await send(server, `DELETE ${folder}/${name}`)
    model.change(server.inside.read.revision(), key, undefined)
    return
  }
  const metadata = { name, labels: { app }, annotations: { n: String(model.newest.revision) } }
  const { json } = await (before === undefined
    ? send(server, `POST ${folder}`, { metadata })
    : send(
        server,
        `PATCH ${folder}/${name}`,
        { metadata },
        { 'content-type': 'application/merge-patch+json' },
      ))
  const held = heldOf(json as unknown as Shown)
  model.change(held.revision, key, held)
}

test('whoever lists and watches knows the state at every revision', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(commands, { minLength: 10, maxLength: 60 }), async (all) => {
      const t = await testServer()
      const model = new Model(t.server.inside.read.revision())
      const followers: Follower[] = []
      for (const command of all)
        switch (command.kind) {
          case 'write':
            await write(t, model, command)
            break
          case 'follow': {
            const follower = new Follower(t.server, model, command.selection)
            followers.push(follower)
            await follower.begin(command.beginning, command.chance)
            break
          }
          case 'resume':
            await followers[command.chance % followers.length]?.resume()
            break
          case 'settle':
            await t.env.settle()
        }
      await t.env.settle()
      await t.env.advance(61_000)
      for (const follower of followers) await follower.end()
      await t.server.close()
    }),
    { numRuns: 40 },
  )
})

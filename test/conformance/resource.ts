/** One resource with every verb and every kind of patch, watched in its namespace and in all of them (H-R1, H-P1). */
import assert from 'node:assert/strict'
import type { Json, Watching } from './api.ts'
import type { Fixture } from './mirror.ts'

export interface Change {
  /** Of the object, for an update. */
  readonly update: (object: Json) => Json
  /** What says the same as strategic merge patch, merge patch and apply; none of them where it is absent. */
  readonly merge?: Json
  /** The same as JSON patch. */
  readonly operations?: readonly Json[]
  /** Only the strategic merge patch is tried. */
  readonly strategicOnly?: true
}

export interface Resource {
  readonly groupVersion: string
  readonly resource: string
  readonly kind: string
  readonly namespaced: boolean
  readonly body: Json
  readonly spec: Change
  readonly status?: Change
}

const PATCHES = {
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
} as const

type Patch = readonly [keyof typeof PATCHES, (object: Json) => unknown]

/** The patches of a change; all but the JSON patch name their object in full. */
function patches({ merge, operations, strategicOnly }: Change): readonly Patch[] {
  const full = ({ apiVersion, kind, metadata: { name, namespace, uid } }: Json): Json => ({
    ...merge,
    apiVersion,
    kind,
    metadata: {
      ...merge?.['metadata'],
      name,
      uid,
      ...(namespace === undefined ? {} : { namespace }),
    },
  })
  if (merge === undefined) return []
  if (strategicOnly) return [['strategic', full]]
  const json: readonly Patch[] = operations === undefined ? [] : [['json', () => operations]]
  return [['strategic', full], ['apply', full], ['merge', full], ...json]
}

/** What an informer saw since the last time, in order; versions never fall. */
function recorder(watching: Watching): (uid: string, expected: RegExp) => Promise<void> {
  let taken = 0
  let version = 0n
  return async (uid, expected) => {
    const deadline = performance.now() + 5000
    for (;;) {
      const frames = watching.frames.slice(taken).filter(({ type }) => type !== 'BOOKMARK')
      const types = frames.map(({ type }) => `${type},`).join('')
      if (expected.test(types)) {
        taken = watching.frames.length
        for (const { object } of frames) {
          assert.equal(object['metadata'].uid, uid)
          assert.match(object['metadata'].resourceVersion, /^[1-9]\d*$/)
          const now = BigInt(object['metadata'].resourceVersion)
          assert.ok(now >= version, `${now} after ${version}`)
          version = now
        }
        return
      }
      assert.ok(performance.now() < deadline, `events are ${types}, not ${expected}`)
      await new Promise<void>((resolve) => {
        const timer = setInterval(() => {
          clearInterval(timer)
          resolve()
        }, 20)
      })
    }
  }
}

const SOME = /^(MODIFIED,)*$/
const CHANGED = /^(MODIFIED,)+$/
const ADDED = /^ADDED,(MODIFIED,)*$/
const ADDED_AND_CHANGED = /^ADDED,(MODIFIED,)+$/
const DELETED = /^(MODIFIED,)*DELETED,$/

export async function everyOperation(fixture: Fixture, what: Resource): Promise<void> {
  const { api, namespace, unique, until, cleanUp } = fixture
  const { groupVersion, resource, kind, namespaced, body, spec, status } = what
  const base = `/apis/${groupVersion}`
  const known = (await api.get(base))['resources'] as Json[]
  assert.ok(known.some((r) => r['name'] === resource))
  if (status) assert.ok(known.some((r) => r['name'] === `${resource}/status`))

  const mark = unique('every')
  const selector = { labelSelector: `e2e-test.kubernetes.io=${mark}` }
  const everywhere = `${base}/${resource}`
  const path = namespaced ? `${base}/namespaces/${namespace}/${resource}` : everywhere
  const name = namespaced ? 'test' : unique('test')
  const own = `${path}/${name}`
  const initial: Json = {
    ...body,
    apiVersion: groupVersion,
    kind,
    metadata: {
      name,
      labels: { 'e2e-test.kubernetes.io': mark },
      ...(namespaced ? { namespace } : {}),
    },
  }
  cleanUp(async () => {
    const answer = await api.call('DELETE', own)
    assert.ok([200, 404].includes(answer.status), answer.text)
  })
  const asInformer = {
    ...selector,
    allowWatchBookmarks: true,
    sendInitialEvents: true,
    resourceVersionMatch: 'NotOlderThan',
    timeoutSeconds: 500,
  }
  const watches = await Promise.all(
    (namespaced ? [everywhere, path] : [everywhere]).map(async (each) => {
      const watching = await api.watch(each, asInformer)
      cleanUp(async () => watching.stop())
      await watching.next('the end of what there was', ({ type }) => type === 'BOOKMARK')
      assert.equal(watching.frames.length, 1)
      return recorder(watching)
    }),
  )
  const seen = async (object: Json, expected: RegExp): Promise<void> => {
    assert.deepEqual([object['kind'], object['metadata'].name], [kind, name])
    for (const each of watches) await each(object['metadata'].uid, expected)
  }
  const must = async (method: string, where: string, options: object): Promise<Json> => {
    const answer = await api.call(method, where, options)
    assert.ok(answer.status < 300, `${method} ${where}: ${answer.text}`)
    return answer.json
  }
  const create = (): Promise<Json> =>
    must('POST', path, { body: initial, query: { fieldValidation: 'Strict' } })
  const replaced = (where: string, change: Change): Promise<Json> =>
    until('the object is replaced', async () => {
      const answer = await api.call('PUT', where, { body: change.update(await api.get(where)) })
      if (answer.status === 409) return undefined
      assert.equal(answer.status, 200, answer.text)
      return answer.json
    })
  const removed = async (object: Json): Promise<void> => {
    await must('DELETE', own, {})
    await until('it is gone', async () => (await api.call('GET', own)).status === 404, 30_000)
    await seen(object, DELETED)
  }
  const patched = (where: string, [type, data]: Patch, object: Json): Promise<Json> =>
    must('PATCH', where, {
      body: data(object),
      headers: { 'content-type': PATCHES[type] },
      query: {
        fieldValidation: 'Strict',
        ...(type === 'apply' ? { fieldManager: 'test-apply', force: true } : {}),
      },
    })

  let object = await create()
  const first = BigInt(object['metadata'].resourceVersion)
  await seen(object, ADDED)
  await seen(await api.get(own), SOME)
  object = await replaced(own, spec)
  assert.ok(BigInt(object['metadata'].resourceVersion) > first)
  await seen(object, CHANGED)
  if (status) {
    object = await replaced(`${own}/status`, status)
    await seen(object, CHANGED)
    await seen(await api.get(`${own}/status`), SOME)
  }
  for (const patch of patches(spec)) {
    await removed(object)
    object = await create()
    object = await patched(own, patch, object)
    await seen(object, ADDED_AND_CHANGED)
  }
  for (const patch of status ? patches(status) : []) {
    await removed(object)
    await create()
    object = await replaced(own, spec)
    object = await patched(`${own}/status`, patch, object)
    assert.notDeepEqual(object['status'] ?? {}, {}, `${patch[0]} changed no status`)
    await seen(object, ADDED_AND_CHANGED)
  }
  assert.equal((await api.get(path, selector))['items'].length, 1)
  if (namespaced) assert.equal((await api.get(everywhere, selector))['items'].length, 1)
  await must('DELETE', path, { query: selector })
  await until('it is gone', async () => (await api.call('GET', own)).status === 404, 30_000)
  await seen(object, DELETED)
}

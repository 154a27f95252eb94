/** What every backend of the store promises, as tests: each runs `storageContract`. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { CompactedError, type Change, type Entry, type Origin, type Storage } from './storage.ts'

export interface Subject {
  readonly storage: Storage
  /** Closes and opens again; absent when nothing outlives a close. */
  readonly reopen?: () => Promise<Storage>
  readonly dispose: () => Promise<void>
}

const origin: Origin = { actor: 'tester', cause: 'a test', time: 1_700_000_000_000 }
export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
export const textOf = (value: Uint8Array | undefined): string | undefined =>
  value === undefined ? undefined : new TextDecoder().decode(value)

const plain = (entry: Entry | undefined) =>
  entry && {
    key: entry.key,
    value: textOf(entry.value),
    modified: entry.modified,
    created: entry.created,
  }
const plainChange = ({ type, key, revision, value, previous }: Change) => ({
  type,
  key,
  revision,
  value: textOf(value),
  previous: textOf(previous),
})

export async function create(storage: Storage, key: string, value: string): Promise<number> {
  const write = await storage.create(key, bytes(value), origin)
  assert.ok(write.ok)
  return write.revision
}
async function update(storage: Storage, key: string, value: string): Promise<number> {
  const { value: entry } = await storage.get(key)
  assert.ok(entry)
  const write = await storage.update(key, bytes(value), entry.modified, origin)
  assert.ok(write.ok)
  return write.revision
}
async function remove(storage: Storage, key: string): Promise<number> {
  const { value: entry } = await storage.get(key)
  assert.ok(entry)
  const write = await storage.delete(key, entry.modified, origin)
  assert.ok(write.ok)
  return write.revision
}

/** The next changes of a watch, until there are so many. */
async function take(watch: AsyncIterable<readonly Change[]>, count: number): Promise<Change[]> {
  const found: Change[] = []
  for await (const batch of watch) {
    assert.ok(batch.length > 0)
    found.push(...batch)
    if (found.length >= count) break
  }
  return found
}

export function storageContract(name: string, open: () => Promise<Subject>): void {
  const check = (
    title: string,
    run: (storage: Storage, subject: Subject) => Promise<void>,
  ): void => {
    test(title, async () => {
      const subject = await open()
      try {
        await run(subject.storage, subject)
      } finally {
        await subject.dispose()
      }
    })
  }

  describe(name, () => {
    check('what was created is there, with the revision of its creation', async (storage) => {
      const before = storage.revisions().current
      const revision = await create(storage, '/a', 'one')
      assert.ok(revision > before)
      const read = await storage.get('/a')
      assert.deepEqual(plain(read.value), {
        key: '/a',
        value: 'one',
        modified: revision,
        created: revision,
      })
      assert.equal(read.revision, revision)
      assert.equal((await storage.get('/b')).value, undefined)
    })

    check('revisions begin above zero, so that an empty store has one', async (storage) => {
      assert.ok(storage.revisions().current >= 1)
      assert.ok((await storage.list({ prefix: '/' })).revision >= 1)
    })

    check('a second creation answers with what is there', async (storage) => {
      const revision = await create(storage, '/a', 'one')
      const write = await storage.create('/a', bytes('two'), origin)
      assert.equal(write.ok, false)
      assert.deepEqual(plain(!write.ok ? write.current : undefined), {
        key: '/a',
        value: 'one',
        modified: revision,
        created: revision,
      })
    })

    check('an update needs the revision it was made from', async (storage) => {
      const first = await create(storage, '/a', 'one')
      const write = await storage.update('/a', bytes('two'), first, origin)
      assert.ok(write.ok)
      const late = await storage.update('/a', bytes('three'), first, origin)
      assert.ok(!late.ok)
      assert.deepEqual(plain(late.current), {
        key: '/a',
        value: 'two',
        modified: write.revision,
        created: first,
      })
      const missing = await storage.update('/b', bytes('x'), first, origin)
      assert.ok(!missing.ok && missing.current === undefined)
    })

    check('a deletion needs the revision too, and the key can come back', async (storage) => {
      const first = await create(storage, '/a', 'one')
      const second = await update(storage, '/a', 'two')
      const late = await storage.delete('/a', first, origin)
      assert.ok(!late.ok && late.current?.modified === second)
      assert.ok((await storage.delete('/a', second, origin)).ok)
      const again = await storage.delete('/a', second, origin)
      assert.ok(!again.ok && again.current === undefined)
      const third = await create(storage, '/a', 'three')
      assert.equal((await storage.get('/a')).value?.created, third)
    })

    check('of many who race for one key, one wins', async (storage) => {
      const writes = await Promise.all(
        Array.from({ length: 50 }, (_, n) => storage.create('/a', bytes(String(n)), origin)),
      )
      assert.equal(writes.filter(({ ok }) => ok).length, 1)
      const { modified = 0 } = (await storage.get('/a')).value ?? {}
      const updates = await Promise.all(
        Array.from({ length: 50 }, (_, n) =>
          storage.update('/a', bytes(`new ${n}`), modified, origin),
        ),
      )
      assert.equal(updates.filter(({ ok }) => ok).length, 1)
      for (const write of updates)
        assert.ok(write.ok || textOf(write.current?.value)?.startsWith('new'))
    })

    check('every change has a revision of its own, in one order', async (storage) => {
      const revisions = await Promise.all(
        Array.from({ length: 100 }, (_, n) => create(storage, `/${n}`, 'x')),
      )
      assert.equal(new Set(revisions).size, 100)
      assert.deepEqual(
        revisions,
        revisions.toSorted((a, b) => a - b),
      )
    })

    check('lists are ordered by key and hold their prefix only', async (storage) => {
      for (const key of ['/pods/b/1', '/pods/a/2', '/podsx', '/pods/a/1', '/nodes/1', '/pods/b/2'])
        await create(storage, key, key)
      const keys = async (prefix: string, after?: string) =>
        (await storage.list({ prefix, ...(after && { after }) })).value.map(({ key }) => key)
      assert.deepEqual(await keys('/pods/'), ['/pods/a/1', '/pods/a/2', '/pods/b/1', '/pods/b/2'])
      assert.deepEqual(await keys('/pods/a/'), ['/pods/a/1', '/pods/a/2'])
      assert.deepEqual(await keys('/pods/', '/pods/a/2'), ['/pods/b/1', '/pods/b/2'])
      assert.deepEqual(await keys('/pods/', '/nodes'), await keys('/pods/'))
      assert.deepEqual(await keys('/pods/', '/q'), [])
      assert.deepEqual(await keys('/none'), [])
    })

    check('pages of one revision are one consistent list', async (storage) => {
      for (let n = 0; n < 25; n++) await create(storage, `/a/${String(n).padStart(2, '0')}`, 'old')
      const first = await storage.list({ prefix: '/a/' }, { limit: 10 })
      await remove(storage, '/a/15')
      await update(storage, '/a/20', 'new')
      await create(storage, '/a/12x', 'new')
      const found = [...first.value]
      for (;;) {
        const after = found.at(-1)?.key ?? ''
        const page = await storage.list({ prefix: '/a/', after }, { limit: 10, at: first.revision })
        assert.equal(page.revision, first.revision)
        if (page.value.length === 0) break
        found.push(...page.value)
      }
      assert.equal(found.length, 25)
      assert.ok(found.every(({ value }) => textOf(value) === 'old'))
    })

    check('a list at a revision shows the past, deletions undone', async (storage) => {
      const first = await create(storage, '/a', 'one')
      const second = await update(storage, '/a', 'two')
      const third = await remove(storage, '/a')
      const fourth = await create(storage, '/a', 'three')
      const at = async (revision: number) =>
        textOf((await storage.list({ prefix: '/a' }, { at: revision })).value[0]?.value)
      assert.equal(await at(first - 1), undefined)
      assert.equal(await at(first), 'one')
      assert.equal(await at(second), 'two')
      assert.equal(await at(third), undefined)
      assert.equal(await at(fourth), 'three')
      await assert.rejects(storage.list({ prefix: '/a' }, { at: fourth + 1 }), RangeError)
    })

    check('a watch replays the past, then follows', async (storage) => {
      const begin = storage.revisions().current
      await create(storage, '/a/1', 'one')
      await create(storage, '/b/1', 'other')
      await update(storage, '/a/1', 'two')
      const watch = take(storage.watch({ prefix: '/a/' }, begin, new AbortController().signal), 4)
      await remove(storage, '/a/1')
      await create(storage, '/a/1', 'three')
      const changes = (await watch).map(plainChange)
      assert.deepEqual(
        changes.map(({ type, value, previous }) => [type, value, previous]),
        [
          ['created', 'one', undefined],
          ['updated', 'two', 'one'],
          ['deleted', 'two', 'two'],
          ['created', 'three', undefined],
        ],
      )
    })

    check('a change says who made it', async (storage) => {
      const begin = storage.revisions().current
      await create(storage, '/a', 'one')
      const [change] = await take(
        storage.watch({ prefix: '/' }, begin, new AbortController().signal),
        1,
      )
      assert.deepEqual(change?.origin, origin)
    })

    check('watchers that begin anywhere see the same order without gaps', async (storage) => {
      const begin = storage.revisions().current
      const starts = [begin]
      for (let n = 0; n < 30; n++) starts.push(await create(storage, `/a/${n % 7}/${n}`, String(n)))
      const { signal } = new AbortController()
      const all = await take(storage.watch({ prefix: '/' }, begin, signal), 30)
      const some = await Promise.all(
        starts
          .slice(0, -1)
          .map((from, at) => take(storage.watch({ prefix: '/' }, from, signal), 30 - at)),
      )
      for (const [at, changes] of some.entries())
        assert.deepEqual(changes.map(plainChange), all.slice(at).map(plainChange))
    })

    check('an aborted watch ends', async (storage) => {
      const abort = new AbortController()
      const watch = take(
        storage.watch({ prefix: '/' }, storage.revisions().current, abort.signal),
        1,
      )
      abort.abort()
      assert.deepEqual(await watch, [])
      const already = storage.watch({ prefix: '/' }, 1, AbortSignal.abort())
      assert.deepEqual(await take(already, 1), [])
    })

    check('what was compacted is refused, what was not is still there', async (storage) => {
      const first = await create(storage, '/a', 'one')
      const second = await update(storage, '/a', 'two')
      await create(storage, '/gone', 'x')
      const third = await remove(storage, '/gone')
      await storage.compact(second)
      assert.equal(storage.revisions().compacted, second)
      const { signal } = new AbortController()
      await assert.rejects(storage.list({ prefix: '/' }, { at: first }), CompactedError)
      await assert.rejects(take(storage.watch({ prefix: '/' }, first, signal), 1), CompactedError)
      assert.equal(
        textOf((await storage.list({ prefix: '/a' }, { at: second })).value[0]?.value),
        'two',
      )
      const left = await take(storage.watch({ prefix: '/' }, second, signal), 2)
      assert.deepEqual(
        left.map(({ type }) => type),
        ['created', 'deleted'],
      )
      await storage.compact(third)
      assert.equal(textOf((await storage.get('/a')).value?.value), 'two')
      assert.equal((await storage.list({ prefix: '/' })).value.length, 1)
      await storage.compact(first)
      assert.equal(storage.revisions().compacted, third)
    })

    check('a watcher that is passed by a compaction hears of it', async (storage) => {
      const begin = storage.revisions().current
      const watch = storage
        .watch({ prefix: '/' }, begin, new AbortController().signal)
        [Symbol.asyncIterator]()
      await create(storage, '/a', 'one')
      assert.equal((await watch.next()).done, false)
      await create(storage, '/b', 'two')
      await storage.compact(await create(storage, '/c', 'three'))
      await assert.rejects(watch.next(), CompactedError)
    })

    check('a value is copied: its writer may use the bytes again', async (storage) => {
      const value = bytes('one')
      assert.ok((await storage.create('/a', value, origin)).ok)
      value.fill(0)
      assert.equal(textOf((await storage.get('/a')).value?.value), 'one')
    })

    check('heartbeats are seen and ordered as all other changes', async (storage) => {
      const begin = storage.revisions().current
      const beat = { ...origin, volatile: true }
      const created = await storage.create('/lease', bytes('1'), beat)
      assert.ok(created.ok)
      assert.equal(textOf((await storage.get('/lease')).value?.value), '1')
      const pod = storage.create('/pod', bytes('x'), origin)
      const second = await storage.update('/lease', bytes('2'), created.revision, beat)
      assert.ok(second.ok)
      assert.ok((await pod).ok)
      assert.ok(!(await storage.update('/lease', bytes('3'), created.revision, beat)).ok)
      const changes = await take(
        storage.watch({ prefix: '/' }, begin, new AbortController().signal),
        3,
      )
      const revisions = changes.map(({ revision }) => revision)
      assert.deepEqual(
        revisions,
        revisions.toSorted((a, b) => a - b),
      )
      assert.equal(changes.filter(({ key }) => key === '/lease').length, 2)
    })

    check('writes of one key keep the order in which they were made', async (storage) => {
      const durable = storage.create('/a', bytes('1'), origin)
      const heartbeat = storage.create('/a', bytes('2'), { ...origin, volatile: true })
      assert.equal((await durable).ok, true)
      assert.equal((await heartbeat).ok, false)
    })

    check('a closed store refuses', async (storage) => {
      const watch = take(
        storage.watch({ prefix: '/' }, storage.revisions().current, new AbortController().signal),
        1,
      )
      await storage.close()
      assert.deepEqual(await watch, [])
      await assert.rejects(storage.create('/a', bytes('x'), origin))
      await assert.rejects(storage.get('/a'))
      await storage.close()
    })

    check('what was closed opens as it was, and goes on', async (storage, { reopen }) => {
      if (reopen === undefined) return
      await create(storage, '/a', 'one')
      await create(storage, '/b', 'one')
      const revision = await update(storage, '/a', 'two')
      await remove(storage, '/b')
      await storage.create('/lease', bytes('1'), { ...origin, volatile: true })
      const lease = (await storage.get('/lease')).value
      await storage.update('/lease', bytes('2'), lease?.modified ?? 0, {
        ...origin,
        volatile: true,
      })
      const expected = (await storage.list({ prefix: '/' })).value.map(plain)
      const { current } = storage.revisions()
      const again = await reopen()
      assert.deepEqual((await again.list({ prefix: '/' })).value.map(plain), expected)
      assert.ok(again.revisions().current >= current)
      assert.equal((await again.get('/a')).value?.modified, revision)
      assert.ok((await create(again, '/c', 'x')) > current)
    })

    test('it does what a simple model does, whatever is asked', async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(command, { maxLength: 60 }), async (commands) => {
          const subject = await open()
          try {
            await againstModel(subject.storage, commands)
          } finally {
            await subject.dispose()
          }
        }),
        { numRuns: 40 },
      )
    })
  })
}

type Command =
  | {
      readonly do: 'create' | 'update' | 'delete' | 'stale'
      readonly key: number
      readonly volatile: boolean
    }
  | { readonly do: 'list'; readonly back: number }
  | { readonly do: 'compact'; readonly back: number }
  | { readonly do: 'together'; readonly keys: readonly number[] }

const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'create' as const,
        'update' as const,
        'delete' as const,
        'stale' as const,
      ),
      key: fc.nat(6),
      volatile: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('list' as const), back: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('compact' as const), back: fc.nat(20) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('together' as const),
      keys: fc.array(fc.nat(6), { maxLength: 5 }),
    }),
  },
)

interface ModelEntry {
  readonly value: string
  readonly modified: number
  readonly created: number
}

/** The model: a map, and a copy of it for each revision. */
async function againstModel(storage: Storage, commands: readonly Command[]): Promise<void> {
  let now = new Map<string, ModelEntry>()
  const past = new Map([[storage.revisions().current, now]])
  const begin = storage.revisions().current
  const log: { type: string; key: string; value: string | undefined; revision: number }[] = []
  const keyOf = (key: number) => `/${key % 2 === 0 ? 'even' : 'odd'}/${key}`
  const record = (type: string, key: string, revision: number, value: string | undefined) => {
    const before = now.get(key)
    now = new Map(now)
    if (value === undefined) now.delete(key)
    else now.set(key, { value, modified: revision, created: before?.created ?? revision })
    past.set(revision, now)
    log.push({ type, key, revision, value: value ?? before?.value })
  }
  let count = 0
  for (const step of commands) {
    if (step.do === 'list') {
      const at = [...past.keys()].at(-1 - (step.back % past.size)) ?? begin
      if (at < storage.revisions().compacted) {
        await assert.rejects(storage.list({ prefix: '/' }, { at }), CompactedError)
        continue
      }
      const expected = [...(past.get(at) ?? [])].toSorted(([a], [b]) => (a < b ? -1 : 1))
      const { value } = await storage.list({ prefix: '/' }, { at })
      assert.deepEqual(
        value.map(plain),
        expected.map(([key, entry]) => ({ key, ...entry })),
      )
    } else if (step.do === 'compact') {
      await storage.compact([...past.keys()].at(-1 - (step.back % past.size)) ?? begin)
    } else if (step.do === 'together') {
      const value = String(++count)
      const writes = await Promise.all(
        step.keys.map((key) => storage.create(keyOf(key), bytes(value), origin)),
      )
      for (const [at, write] of writes.entries()) {
        const key = keyOf(step.keys[at] as number)
        assert.equal(write.ok, !now.has(key))
        if (write.ok) record('created', key, write.revision, value)
      }
    } else {
      const key = keyOf(step.key)
      const value = String(++count)
      const current = now.get(key)
      const from: Origin = { ...origin, volatile: step.volatile }
      const expected = current?.modified ?? 1
      const write =
        step.do === 'create'
          ? await storage.create(key, bytes(value), from)
          : step.do === 'update'
            ? await storage.update(key, bytes(value), expected, from)
            : step.do === 'delete'
              ? await storage.delete(key, expected, from)
              : await storage.update(key, bytes(value), expected + 1000, from)
      const allowed =
        step.do === 'create' ? current === undefined : step.do !== 'stale' && current !== undefined
      assert.equal(write.ok, allowed)
      if (!write.ok) assert.deepEqual(plain(write.current), current && { key, ...current })
      else if (step.do === 'delete') record('deleted', key, write.revision, undefined)
      else record(current === undefined ? 'created' : 'updated', key, write.revision, value)
    }
  }
  const compacted = Math.max(begin, storage.revisions().compacted)
  const expected = log.filter(({ revision }) => revision > compacted)
  if (expected.length === 0) return
  const seen = await take(
    storage.watch({ prefix: '/' }, compacted, new AbortController().signal),
    expected.length,
  )
  assert.deepEqual(
    seen.map(({ type, key, revision, value }) => ({ type, key, value: textOf(value), revision })),
    expected.map(({ type, key, revision, value }) => ({ type, key, value, revision })),
  )
}

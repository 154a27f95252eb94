import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { virtualEnv } from '#base'
import type { CacheEntry } from './cached.ts'
import { createMemoryStorage } from './memory.ts'
import { CompactedError, type Storage } from './storage.ts'
import { createWatchCache, type WatchCache } from './watch-cache.ts'
import { WatchOverflowError, type CacheWatch, type Delivery } from './watchers.ts'

interface Pod {
  metadata: { name: string; labels?: Record<string, string>; resourceVersion?: string }
  spec: { nodeName?: string }
}
const PREFIX = '/registry/pods/'
const origin = { actor: 'tester', time: 0 }
const encode = (pod: Pod) => new TextEncoder().encode(JSON.stringify(pod))
const pod = (name: string, nodeName = '', labels: Record<string, string> = {}): Pod => ({
  metadata: { name, labels },
  spec: { nodeName },
})
const keyOf = (name: string, namespace = 'shop') => `${PREFIX}${namespace}/${name}`

/** The contract and no more: what a store in another process looks like. */
const remote = (store: Storage): Storage => ({
  get: (key) => store.get(key),
  list: (range, options) => store.list(range, options),
  create: (key, value, by) => store.create(key, value, by),
  update: (key, value, expected, by) => store.update(key, value, expected, by),
  delete: (key, expected, by) => store.delete(key, expected, by),
  watch: (range, from, signal) => store.watch(range, from, signal),
  compact: (before) => store.compact(before),
  revisions: () => store.revisions(),
  close: () => store.close(),
})

async function setUp(
  options: { capacity?: number; remote?: boolean; freeze?: boolean; parsedBytes?: number } = {},
) {
  const env = virtualEnv()
  const memory = createMemoryStorage({ clock: env.clock })
  const storage = options.remote === true ? remote(memory) : memory
  const open = () =>
    createWatchCache<Pod>({
      storage,
      prefix: PREFIX,
      clock: env.clock,
      extract: ({ metadata: { labels }, spec: { nodeName = '' } }) => ({
        labels,
        fields: { 'spec.nodeName': nodeName },
      }),
      ...(options.capacity !== undefined && { capacity: options.capacity }),
      ...(options.freeze !== undefined && { freeze: options.freeze }),
      ...(options.parsedBytes !== undefined && { parsedBytes: options.parsedBytes }),
    })
  const put = async (key: string, value: Pod): Promise<number> => {
    const { value: current } = await storage.get(key)
    const write =
      current === undefined
        ? await storage.create(key, encode(value), origin)
        : await storage.update(key, encode(value), current.modified, origin)
    assert.ok(write.ok)
    return write.revision
  }
  const remove = async (key: string): Promise<number> => {
    const { value: current } = await storage.get(key)
    const write = await storage.delete(key, current?.modified ?? 0, origin)
    assert.ok(write.ok)
    return write.revision
  }
  return { env, storage, open, put, remove }
}

const told = ({ type, entry }: Delivery<Pod>) =>
  `${type} ${entry.object.metadata.name} ${entry.object.spec.nodeName} @${entry.object.metadata.resourceVersion}`

async function take(watch: CacheWatch<Pod>, count: number): Promise<string[]> {
  const found: string[] = []
  for await (const batch of watch) {
    found.push(...batch.map(told))
    if (found.length >= count) break
  }
  return found
}
const forever = () => new AbortController().signal

describe('over an embedded store', () => {
  test('a write is visible as soon as its writer hears of it', async () => {
    const { open, put, remove } = await setUp()
    await put(keyOf('before'), pod('before'))
    const cache = await open()
    assert.equal(cache.get(keyOf('before'))?.object.metadata.name, 'before')
    const revision = await put(keyOf('a'), pod('a'))
    assert.equal(cache.get(keyOf('a'))?.modified, revision)
    assert.equal(cache.get(keyOf('a'))?.object.metadata.resourceVersion, String(revision))
    assert.equal(cache.revision, revision)
    await remove(keyOf('a'))
    assert.equal(cache.get(keyOf('a')), undefined)
  })

  test('a list is a snapshot, in order, with what is left', async () => {
    const { open, put } = await setUp()
    const cache = await open()
    for (const name of ['c', 'a', 'b', 'd']) await put(keyOf(name), pod(name))
    await put(keyOf('a', 'other'), pod('a'))
    const range = { prefix: `${PREFIX}shop/` }
    const { entries, remaining, revision } = cache.list(range, { limit: 3 })
    assert.deepEqual(
      entries.map(({ object }) => object.metadata.name),
      ['a', 'b', 'c'],
    )
    assert.equal(remaining, 1)
    assert.equal(revision, cache.revision)
    await put(keyOf('a'), pod('a', 'n1'))
    assert.equal(entries[0]?.object.spec.nodeName, '')
    const rest = cache.list({ ...range, after: keyOf('c') })
    assert.deepEqual(
      rest.entries.map(({ key }) => key),
      [keyOf('d')],
    )
    const filtered = cache.list(undefined, {
      filter: ({ index }) => index.fields?.['spec.nodeName'] === 'n1',
    })
    assert.deepEqual(
      filtered.entries.map(({ key }) => key),
      [keyOf('a')],
    )
  })

  test('the object of one revision is parsed once and shared, the offered one not at all', async () => {
    const { storage, open, put } = await setUp({ freeze: true })
    const cache = await open()
    await put(keyOf('a'), pod('a'))
    const entry = cache.get(keyOf('a'))
    assert.equal(entry?.object, entry?.object)
    assert.ok(Object.isFrozen(entry?.object.metadata))
    const mine = pod('b', 'n1')
    const spec = mine.spec
    const bytes = encode(mine)
    cache.offer(keyOf('b'), bytes, mine)
    const { revision } = await storage.create(keyOf('b'), bytes, origin)
    assert.equal(cache.get(keyOf('b'))?.object.spec, spec)
    assert.equal(cache.get(keyOf('b'))?.object.metadata.resourceVersion, String(revision))
    // An offer that lost its race is not believed.
    cache.offer(keyOf('c'), encode(pod('c', 'wrong')), pod('c', 'wrong'))
    await put(keyOf('c'), pod('c', 'right'))
    assert.equal(cache.get(keyOf('c'))?.object.spec.nodeName, 'right')
  })

  test('an object that somebody still has is not parsed again, however many others were', async () => {
    const { open, put } = await setUp({ parsedBytes: 100 })
    const cache = await open()
    await put(keyOf('a'), pod('a'))
    const kept = cache.get(keyOf('a'))?.object
    for (let i = 0; i < 20; i++) {
      await put(keyOf(`b${i}`), pod(`b${i}`))
      assert.ok(cache.get(keyOf(`b${i}`))?.object)
    }
    assert.equal(cache.get(keyOf('a'))?.object, kept)
  })

  test('waiting for a revision ends with any write, or with the signal', async () => {
    const { storage, open } = await setUp()
    const cache = await open()
    const waiting = cache.waitFor(cache.revision + 1, forever())
    await storage.create('/registry/nodes/n1', encode(pod('n1')), origin)
    await waiting
    await assert.rejects(cache.waitFor(cache.revision + 1, AbortSignal.abort()))
    const abort = new AbortController()
    const late = cache.waitFor(cache.revision + 1, abort.signal)
    abort.abort(new Error('too late'))
    await assert.rejects(late, /too late/)
  })
})

for (const isRemote of [false, true])
  describe(isRemote ? 'watches over a store elsewhere' : 'watches over an embedded store', () => {
    const context = (options = {}) => setUp({ ...options, remote: isRemote })

    test('a watch replays from its revision, then follows', async () => {
      const { open, put, remove } = await context()
      const cache = await open()
      const first = await put(keyOf('a'), pod('a'))
      const second = await put(keyOf('b'), pod('b'))
      await cache.waitFor(second, forever())
      const seen = take(cache.watch({ from: first, signal: forever() }), 3)
      const third = await put(keyOf('a'), pod('a', 'n1'))
      const fourth = await remove(keyOf('a'))
      assert.deepEqual(await seen, [
        `added b  @${second}`,
        `modified a n1 @${third}`,
        `deleted a n1 @${fourth}`,
      ])
    })

    test('an object that comes into the selection is added, one that leaves is deleted as it was', async () => {
      const { open, put } = await context()
      const cache = await open()
      const from = cache.revision
      const filter = ({ index }: CacheEntry<Pod>) => index.fields?.['spec.nodeName'] === 'n1'
      const hint = { field: 'spec.nodeName', value: 'n1' }
      const hinted = take(cache.watch({ from, signal: forever(), filter, hint }), 3)
      const plain = take(cache.watch({ from, signal: forever(), filter }), 3)
      await put(keyOf('a'), pod('a'))
      const came = await put(keyOf('a'), pod('a', 'n1'))
      const stayed = await put(keyOf('a'), pod('a', 'n1', { app: 'web' }))
      await put(keyOf('b'), pod('b', 'n2'))
      const left = await put(keyOf('a'), pod('a', 'n2'))
      const expected = [`added a n1 @${came}`, `modified a n1 @${stayed}`, `deleted a n1 @${left}`]
      assert.deepEqual(await plain, expected)
      assert.deepEqual(await hinted, expected)
    })

    test('a watch of a namespace or of one object hears of nothing else', async () => {
      const { open, put } = await context()
      const cache = await open()
      const from = cache.revision
      const inShop = take(cache.watch({ from, signal: forever(), prefix: `${PREFIX}shop/` }), 2)
      const one = take(cache.watch({ from, signal: forever(), key: keyOf('web-1') }), 1)
      const oddPrefix = take(
        cache.watch({ from, signal: forever(), prefix: `${PREFIX}shop/web` }),
        2,
      )
      await put(keyOf('x', 'other'), pod('x'))
      await put(keyOf('web-10'), pod('web-10'))
      await put(keyOf('web-1'), pod('web-1'))
      const names = (lines: readonly string[]) => lines.map((line) => line.split(' ')[1])
      assert.deepEqual(names(await inShop), ['web-10', 'web-1'])
      assert.deepEqual(names(await one), ['web-1'])
      assert.deepEqual(names(await oddPrefix), ['web-10', 'web-1'])
    })

    test('what is older than the kept events is refused', async () => {
      const { open, put } = await context({ capacity: 5 })
      await put(keyOf('old'), pod('old'))
      const cache = await open()
      const begin = cache.revision
      assert.throws(() => cache.watch({ from: begin - 1, signal: forever() }), CompactedError)
      let last = 0
      for (let n = 0; n < 10; n++) last = await put(keyOf(`${n}`), pod(`${n}`))
      await cache.waitFor(last, forever())
      assert.throws(() => cache.watch({ from: begin, signal: forever() }), CompactedError)
      assert.equal((await take(cache.watch({ from: last - 5, signal: forever() }), 5)).length, 5)
    })

    test('who wishes to be called takes what has come, and hears of the end', async () => {
      const { open, put } = await context()
      const cache = await open()
      const abort = new AbortController()
      const watch = cache.watch({ from: cache.revision, signal: abort.signal })
      const taken: string[] = []
      let isOver = false
      const called = new Promise<void>((resolve) =>
        watch.listen(() => {
          for (const delivery of watch.take() ?? []) taken.push(delivery.entry.object.metadata.name)
          isOver = watch.hasEnded
          if (isOver) resolve()
        }),
      )
      await put(keyOf('a'), pod('a'))
      await put(keyOf('b'), pod('b'))
      await cache.waitFor(await put(keyOf('c'), pod('c')), forever())
      await Promise.resolve()
      assert.deepEqual(taken, ['a', 'b', 'c'])
      assert.equal(isOver, false)
      assert.equal(watch.progress, cache.revision)
      abort.abort()
      await called
      assert.equal(watch.take(), undefined)
    })

    test('a watcher that does not keep up is cut off', async () => {
      const { open, put } = await context()
      const cache = await open()
      let cut = 0
      const slow = cache.watch({
        from: cache.revision,
        signal: forever(),
        limit: 5,
        onOverflow: () => cut++,
      })
      let last = 0
      for (let n = 0; n < 6; n++) last = await put(keyOf(`${n}`), pod(`${n}`))
      await cache.waitFor(last, forever())
      assert.equal(cut, 1)
      await assert.rejects(take(slow, 1), WatchOverflowError)
    })

    test('progress never runs ahead of what was handed out', async () => {
      const { open, put } = await context()
      const cache = await open()
      const watch = cache.watch({
        from: cache.revision,
        signal: forever(),
        prefix: `${PREFIX}shop/`,
      })
      const before = cache.revision
      const other = await put(keyOf('x', 'other'), pod('x'))
      await cache.waitFor(other, forever())
      assert.equal(watch.progress, other)
      const mine = await put(keyOf('x'), pod('x'))
      await cache.waitFor(mine, forever())
      assert.ok(watch.progress >= before && watch.progress < mine)
      await take(watch, 1)
      assert.equal(watch.progress, mine)
    })

    test('an aborted watch ends, and closing the cache ends all', async () => {
      const { open } = await context()
      const cache = await open()
      const abort = new AbortController()
      const first = take(cache.watch({ from: cache.revision, signal: abort.signal }), 1)
      const second = take(cache.watch({ from: cache.revision, signal: forever() }), 1)
      abort.abort()
      assert.deepEqual(await first, [])
      cache.close()
      assert.deepEqual(await second, [])
    })

    test('an event is encoded once for all who watch', async () => {
      const { open, put } = await context()
      const cache = await open()
      let made = 0
      const watches = Array.from({ length: 50 }, () =>
        cache.watch({ from: cache.revision, signal: forever() }),
      )
      const seen = watches.map(async (watch) => {
        for await (const [delivery] of watch)
          return delivery?.event.memo('json', () => `encoding ${++made}`)
        return undefined
      })
      await put(keyOf('a'), pod('a'))
      assert.deepEqual(new Set(await Promise.all(seen)), new Set(['encoding 1']))
    })

    test('a watcher with any filter sees the selection as lists show it', async () => {
      const step = fc.record({
        name: fc.constantFrom('a', 'b', 'c'),
        node: fc.constantFrom('n1', 'n2', ''),
        remove: fc.boolean(),
      })
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 30 }), async (steps) => {
          const { open, put, remove } = await context()
          const cache = await open()
          const filter = ({ index }: CacheEntry<Pod>) => index.fields?.['spec.nodeName'] === 'n1'
          const begin = cache.revision
          let last = begin
          for (const { name, node, remove: gone } of steps) {
            if (!gone) last = await put(keyOf(name), pod(name, node))
            else if (cache.get(keyOf(name)) !== undefined) last = await remove(keyOf(name))
            await cache.waitFor(last, forever())
          }
          const abort = new AbortController()
          const selection = new Map<string, string>()
          const watch = cache.watch({ from: begin, signal: abort.signal, filter })
          await put(keyOf('end'), pod('end', 'n1'))
          for await (const batch of watch) {
            for (const { type, entry } of batch) {
              if (type === 'added') assert.ok(!selection.has(entry.key))
              else assert.ok(selection.has(entry.key))
              if (type === 'deleted') selection.delete(entry.key)
              else selection.set(entry.key, String(entry.modified))
            }
            if (selection.has(keyOf('end'))) break
          }
          const listed = cache.list(undefined, { filter }).entries
          assert.deepEqual(
            new Map([...selection].toSorted(([a], [b]) => (a < b ? -1 : 1))),
            new Map(listed.map(({ key, modified }) => [key, String(modified)])),
          )
          cache.close()
        }),
        { numRuns: 30 },
      )
    })
  })

test('over a store elsewhere, what a compaction hid is found by listing again', async () => {
  const { env, storage, put, remove } = await setUp()
  let cut: AbortController | undefined
  const flaky: Storage = {
    ...remote(storage),
    watch: (range, from, signal) => {
      cut = new AbortController()
      return storage.watch(range, from, AbortSignal.any([signal, cut.signal]))
    },
  }
  await put(keyOf('kept'), pod('kept'))
  await put(keyOf('gone'), pod('gone'))
  const cache: WatchCache<Pod> = await createWatchCache({
    storage: flaky,
    prefix: PREFIX,
    clock: env.clock,
  })
  const seen = take(cache.watch({ from: cache.revision, signal: forever() }), 3)
  await env.advance(10)
  cut?.abort()
  const changed = await put(keyOf('kept'), pod('kept', 'n1'))
  const added = await put(keyOf('new'), pod('new'))
  const removed = await remove(keyOf('gone'))
  await storage.compact(removed)
  await env.advance(5000)
  assert.deepEqual(await seen, [
    `modified kept n1 @${changed}`,
    `added new  @${added}`,
    `deleted gone  @${removed}`,
  ])
  cache.close()
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { virtualEnv } from '#base'
import { bytes, create, storageContract, textOf } from './contract.ts'
import { createMemoryStorage } from './memory.ts'
import { CompactedError, type Storage } from './storage.ts'

const { clock } = virtualEnv()

storageContract('memory', async () => {
  const storage = createMemoryStorage({ clock })
  return { storage, dispose: () => storage.close() }
})

storageContract('a fork of a memory store', async () => {
  const parent = createMemoryStorage({ clock })
  await create(parent, '/other', 'x')
  const { value } = await parent.get('/other')
  await parent.delete('/other', value?.modified ?? 0, origin)
  const storage = parent.fork()
  return { storage, dispose: () => storage.close() }
})

const origin = { actor: 'tester', time: 0 }
const contentOf = async (storage: Storage, at?: number) =>
  (await storage.list({ prefix: '/' }, at === undefined ? {} : { at })).value.map(
    ({ key, value }) => `${key}=${textOf(value)}`,
  )

setFlagsFromString('--expose-gc')
/** Array buffers are counted off only when their wrappers have been swept. */
const collect = runInNewContext('gc') as () => void

test('a fork and its origin do not see each other, and both keep the past', async () => {
  const parent = createMemoryStorage({ clock })
  for (let n = 0; n < 2000; n++) await create(parent, `/${String(n).padStart(4, '0')}`, 'x')
  const at = parent.revisions().current
  const before = await contentOf(parent)
  const fork = parent.fork()
  const entry = (await parent.get('/0000')).value
  await fork.update('/0000', bytes('forked'), entry?.modified ?? 0, origin)
  await create(fork, '/new', 'y')
  await parent.delete('/0001', (await parent.get('/0001')).value?.modified ?? 0, origin)
  assert.equal((await contentOf(fork)).length, 2001)
  assert.equal((await contentOf(parent)).length, 1999)
  assert.deepEqual(await contentOf(fork, at), before)
  await fork.compact(fork.revisions().current)
  assert.deepEqual(await contentOf(parent, at), before)
  await assert.rejects(contentOf(fork, at), CompactedError)
})

test('history can be bounded by time', async () => {
  const env = virtualEnv()
  const storage = createMemoryStorage({ clock: env.clock, historyMs: 60_000 })
  const now = () => ({ actor: 'tester', time: env.clock.now().getTime() })
  await storage.create('/a', bytes('1'), now())
  const early = storage.revisions().current
  await env.advance(61_000)
  await storage.create('/b', bytes('2'), now())
  assert.equal(storage.revisions().compacted, early)
  assert.equal((await contentOf(storage)).length, 2)
})

test('what was overwritten gives its memory back', async () => {
  const env = virtualEnv()
  const storage = createMemoryStorage({ clock: env.clock, historyMs: 0 })
  const value = new Uint8Array(64 * 1024)
  collect()
  const before = process.memoryUsage().arrayBuffers
  let { revision } = await storage.create('/a', value, origin)
  for (let n = 0; n < 4000; n++) {
    if (n % 100 === 0) await env.advance(1000)
    revision = (await storage.update('/a', value, revision, origin)).revision
  }
  // 250 MB were written. Buffers are given back by another thread, a little after the collection.
  const heldNow = (): number => process.memoryUsage().arrayBuffers - before
  for (let turn = 0; turn < 50 && heldNow() >= 150 * 1024 * 1024; turn++) {
    collect()
    await new Promise((resolve) => setImmediate(resolve))
  }
  const held = heldNow()
  assert.ok(held < 150 * 1024 * 1024, `${held} bytes are held`)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { virtualEnv } from '#base'
import { createMemoryStorage } from './memory.ts'
import { transformedStorage } from './transformed.ts'
import { createWatchCache } from './watch-cache.ts'

setFlagsFromString('--expose-gc')
/** Array buffers are counted off only when their wrappers have been swept. */
const collect = runInNewContext('gc') as () => void
const MB = 1024 * 1024

/** What is left of the bytes of array buffers, once those that can be are given back (by another thread, a little later). */
async function heldAbove(before: number, enough: number): Promise<number> {
  const heldNow = (): number => process.memoryUsage().arrayBuffers - before
  for (let turn = 0; turn < 50 && heldNow() >= enough; turn++) {
    collect()
    await new Promise((resolve) => setImmediate(resolve))
  }
  return heldNow()
}

test('a cache whose objects change and go keeps little more than what is there', async () => {
  const env = virtualEnv()
  const inner = createMemoryStorage({ clock: env.clock, historyMs: 60_000 })
  // As the server has it: some resources lie there in another form, most do not.
  const storage = transformedStorage(inner, {
    toStored: (_, value) => value,
    fromStored: (_, stored) => stored,
  })
  const cache = await createWatchCache<{ metadata: { name: string } }>({
    storage,
    prefix: '/registry/pods/',
    clock: env.clock,
  })
  collect()
  const before = process.memoryUsage().arrayBuffers
  const origin = { actor: 'tester', time: 0 }
  const filling = 'x'.repeat(8000)
  for (let round = 0; round < 6; round++) {
    for (let n = 0; n < 2000; n++) {
      const key = `/registry/pods/shop/web-${round}-${n}`
      const value = Buffer.from(JSON.stringify({ metadata: { name: `web-${n}` }, filling }))
      const { revision } = await storage.create(key, value, origin)
      assert.equal(cache.get(key)?.object.metadata.name, `web-${n}`)
      await storage.delete(key, revision, origin)
    }
    await env.advance(70_000)
  }
  // 96 MB went through it, and nothing is there any more but a thousand events of 8 KB.
  await storage.create('/registry/nodes/one', Buffer.from('{}'), origin)
  await env.advance(130_000)
  const held = await heldAbove(before, 24 * MB)
  assert.ok(held < 24 * MB, `${Math.round(held / MB)} MB are held`)
  cache.close()
})

test('history that is forgotten is let go at once', async () => {
  const env = virtualEnv()
  const storage = createMemoryStorage({ clock: env.clock, historyMs: 60_000 })
  collect()
  const before = process.memoryUsage().arrayBuffers
  const origin = { actor: 'tester', time: 0 }
  const value = new Uint8Array(4000)
  const revisions = new Map<string, number>()
  // A minute of it is 24 MB.
  for (let second = 0; second < 115; second++) {
    for (let n = 0; n < 100; n++) {
      const key = `/registry/pods/shop/web-${n}`
      const known = revisions.get(key)
      const { revision } =
        known === undefined
          ? await storage.create(key, value, origin)
          : await storage.update(key, value, known, origin)
      revisions.set(key, revision)
    }
    await env.advance(1000)
  }
  const held = await heldAbove(before, 36 * MB)
  assert.ok(held < 36 * MB, `${Math.round(held / MB)} MB are held`)
  await storage.close()
})

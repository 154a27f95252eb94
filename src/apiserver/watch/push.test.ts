import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualEnv } from '#base'
import type { KubeObject } from '#machinery'
import type { Delivery } from '#storage'
import type { Outlet } from '../exchange.ts'
import type { Form } from './frames.ts'
import { BOOKMARK_MS, pushChanges } from './push.ts'

const CHUNK = 100_000

/** A watch that is told by hand what has come, and an outlet that keeps what was written. */
function setUp({ allowBookmarks = false } = {}) {
  const env = virtualEnv()
  let queue: Delivery<KubeObject>[] = []
  let ready: () => void = () => undefined
  let failure: Error | undefined
  let hasEnded = false
  let isClosed = false
  let takes = true
  let counted = 0
  let drain: () => void = () => undefined
  const written: string[] = []
  const outlet: Outlet = {
    get isClosed() {
      return isClosed
    },
    write(bytes) {
      written.push(Buffer.from(bytes).toString().replaceAll('.', ''))
      return takes
    },
    drained: () => new Promise((resolve) => (drain = resolve)),
  }
  const form: Form = {
    entry: () => Buffer.of(),
    delivery: ({ event }) => Buffer.from(String(event.revision).padEnd(CHUNK, '.')),
    bookmark: ({ revision }) => Buffer.from(`bookmark ${revision}`),
  }
  const changes = {
    progress: 42,
    get hasEnded() {
      return hasEnded
    },
    take() {
      if (failure !== undefined) throw failure
      const batch = queue
      queue = []
      return batch.length === 0 ? undefined : batch
    },
    listen(call: () => void) {
      ready = call
    },
  }
  const over = pushChanges(
    {
      changes,
      form,
      allowBookmarks,
      clock: env.clock,
      sent: { add: (count = 1) => void (counted += count) },
    },
    outlet,
    false,
  )
  return {
    env,
    over,
    written,
    counted: () => counted,
    come(...revisions: number[]) {
      for (const revision of revisions)
        queue.push({ type: 'added', event: { revision } } as Delivery<KubeObject>)
      ready()
    },
    readerStops: () => (takes = false),
    async readerGoesOn() {
      takes = true
      drain()
      await Promise.resolve()
    },
    end() {
      hasEnded = true
      ready()
    },
    close() {
      isClosed = true
      ready()
    },
    fail(error: Error) {
      failure = error
      ready()
    },
  }
}

test('changes are written at once, those that came together in chunks', async () => {
  const { come, end, over, written, counted } = setUp()
  come(1)
  assert.deepEqual(written, ['1'])
  come(2, 3, 4, 5)
  assert.deepEqual(written, ['1', '234', '5'])
  assert.equal(counted(), 5)
  end()
  await over
})

test('a reader that is behind is waited for, and then gets the rest in order', async () => {
  const { come, end, over, readerGoesOn, readerStops, written } = setUp()
  readerStops()
  come(1, 2, 3, 4)
  come(5)
  assert.deepEqual(written, ['123'])
  await readerGoesOn()
  assert.deepEqual(written, ['123', '4', '5'])
  end()
  await over
})

test('nothing is written once the reader is gone', async () => {
  const { close, come, over, written } = setUp()
  close()
  await over
  come(1)
  assert.deepEqual(written, [])
})

test('a bookmark comes while nothing else does, again and again; without the wish for it, none', async () => {
  const { end, env, over, written } = setUp({ allowBookmarks: true })
  await env.advance(2 * BOOKMARK_MS)
  assert.deepEqual(written, ['bookmark 42', 'bookmark 42'])
  end()
  await over
  await env.advance(2 * BOOKMARK_MS)
  assert.equal(written.length, 2)

  const without = setUp()
  await without.env.advance(2 * BOOKMARK_MS)
  assert.deepEqual(without.written, [])
})

test('a bookmark waits until the reader has caught up', async () => {
  const { come, env, readerGoesOn, readerStops, written } = setUp({ allowBookmarks: true })
  readerStops()
  come(1)
  await env.advance(BOOKMARK_MS)
  assert.deepEqual(written, ['1'])
  await readerGoesOn()
  assert.deepEqual(written, ['1', 'bookmark 42'])
})

test('a watcher that is cut off ends with the reason', async () => {
  const { fail, over } = setUp()
  fail(new Error('too far behind'))
  await assert.rejects(over, /too far behind/)
})

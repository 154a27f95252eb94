import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualEnv, type Clock } from '#base'
import { createMemoryStorage, type Storage } from '#storage'
import { definitions } from '#api'
import { Collection } from './collection.ts'
import { EventSweeper } from './event-sweeper.ts'

const MINUTE_MS = 60_000

function setting(most?: number) {
  const env = virtualEnv()
  const storage = createMemoryStorage(env)
  const definition = definitions.find(({ facts }) => facts.resource === 'events')!
  const start = () => {
    const collection = new Collection(storage, definition, env, true)
    const sweeper = new EventSweeper(storage, env, most)
    sweeper.follow(collection)
    return sweeper
  }
  const left = async () =>
    (await storage.list({ prefix: definition.storagePrefix })).value.map(({ key }) =>
      key.slice(key.lastIndexOf('/') + 1),
    )
  const write = (name: string, expected?: number) =>
    writeEvent(storage, env.clock, `${definition.storagePrefix}shop/${name}`, expected)
  return { env, start, left, write }
}

function writeEvent(
  storage: Storage,
  clock: Pick<Clock, 'now'>,
  key: string,
  expected: number | undefined,
) {
  const time = clock.now()
  const value = Buffer.from(
    JSON.stringify({ kind: 'Event', metadata: { creationTimestamp: time.toISOString() } }),
  )
  const origin = { actor: 'tester', time: time.getTime() }
  return expected === undefined
    ? storage.create(key, value, origin)
    : storage.update(key, value, expected, origin)
}

test('an event lives for an hour after it was written last', async () => {
  const { env, start, left, write } = setting()
  const sweeper = start()
  await env.settle()
  const { revision } = await write('a')
  await write('b')
  await env.advance(30 * MINUTE_MS)
  await write('a', revision)
  await env.advance(32 * MINUTE_MS)
  assert.deepEqual(await left(), ['a'])
  await env.advance(30 * MINUTE_MS)
  assert.deepEqual(await left(), [])
  sweeper.close()
})

test('after a start they are as old as they were before', async () => {
  const { env, start, left, write } = setting()
  await write('z-old')
  await env.advance(50 * MINUTE_MS)
  await write('a-new')
  const sweeper = start()
  await env.advance(12 * MINUTE_MS)
  assert.deepEqual(await left(), ['a-new'])
  sweeper.close()
})

test('of more than there is room for, the oldest tenth goes at once', async () => {
  const { env, start, left, write } = setting(20)
  const sweeper = start()
  await env.settle()
  for (let i = 0; i < 20; i++) await write(`e${String(i).padStart(2, '0')}`)
  await env.advance(MINUTE_MS)
  assert.equal((await left()).length, 20)
  await write('e20')
  await env.advance(2000)
  const names = await left()
  assert.equal(names.length, 18)
  assert.equal(names[0], 'e03')
  sweeper.close()
})

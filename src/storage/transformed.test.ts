import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualEnv } from '#base'
import { bytes, storageContract, textOf } from './contract.ts'
import { isEmbedded } from './embedded.ts'
import { createMemoryStorage } from './memory.ts'
import { transformedStorage, type ValueTransform } from './transformed.ts'

/** Every byte turned around, behind a mark, for half of the keys. */
const turned: ValueTransform = {
  toStored: (key, value) =>
    key.length % 2 === 0 ? value : Uint8Array.of(0, ...value.map((byte) => byte ^ 0xff)),
  fromStored: (key, stored) =>
    key.length % 2 === 0 ? stored : stored.subarray(1).map((byte) => byte ^ 0xff),
}

storageContract('transformed', async () => {
  const { clock } = virtualEnv()
  const storage = transformedStorage(createMemoryStorage({ clock }), turned)
  return { storage, dispose: () => storage.close() }
})

test('values lie in the store in their other form, and an embedded store stays one', async () => {
  const { clock } = virtualEnv()
  const inner = createMemoryStorage({ clock })
  const storage = transformedStorage(inner, turned)
  assert.ok(isEmbedded(storage))
  const seen: (string | undefined)[] = []
  storage.listen('/', (changes) => {
    for (const { entry, value, before } of changes)
      seen.push(textOf(entry.value), textOf(value), textOf(before?.value))
  })
  const origin = { actor: 'tester', time: 0 }
  const { revision } = await storage.create('/ab', bytes('one'), origin)
  await storage.update('/ab', bytes('two'), revision, origin)
  assert.notEqual(textOf((await inner.get('/ab')).value?.value), 'two')
  assert.equal(textOf(storage.listNow({ prefix: '/' }).value[0]?.value), 'two')
  assert.deepEqual(seen, ['one', 'one', undefined, 'two', 'two', 'one'])
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Turn, virtualEnv } from '#base'
import type { StoredEntry } from '../collection.ts'
import { protobufList } from './protobuf-list.ts'

const entries = Array.from({ length: 300 }, (_, i) => ({ key: `k${i}` }) as StoredEntry)
const list = { kind: 'PodList', apiVersion: 'v1', metadata: { resourceVersion: '7' } }

function listing(mostHeldBytes?: number) {
  const asked: string[] = []
  const item = ({ key }: StoredEntry) => {
    asked.push(key)
    return Buffer.alloc(1000 + Number(key.slice(1)), key)
  }
  let passed = Buffer.alloc(0)
  const passing = (entry: StoredEntry) => {
    passed.fill(0)
    return (passed = item(entry))
  }
  const encode = { metadata: () => Uint8Array.of(1, 2, 3), item, passing }
  const turn = new Turn(virtualEnv().clock)
  return { asked, chunks: protobufList(list, entries, encode, turn, mostHeldBytes) }
}

const whole = async (chunks: AsyncIterable<Uint8Array>): Promise<Buffer> =>
  Buffer.concat(await Array.fromAsync(chunks))

test('a list that may not hold its items encodes them twice, and says the same', async () => {
  const free = listing()
  const expected = await whole(free.chunks)
  assert.equal(free.asked.length, entries.length)
  for (const limit of [0, 100_000]) {
    const bound = listing(limit)
    assert.deepEqual(await whole(bound.chunks), expected)
    assert.ok(bound.asked.length > entries.length)
  }
})

test('what one list holds another cannot, until it is sent or left', async () => {
  const holdsAll = async (): Promise<boolean> => {
    const { asked, chunks } = listing(400_000)
    await whole(chunks)
    return asked.length === entries.length
  }
  assert.equal(await holdsAll(), true)
  const first = listing(400_000).chunks
  await first.next()
  assert.equal(await holdsAll(), false)
  await first.return(undefined)
  assert.equal(await holdsAll(), true)
})

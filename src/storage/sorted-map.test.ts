import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { SortedMap } from './sorted-map.ts'

const content = (
  map: SortedMap<number>,
  range: { prefix: string; after?: string } = { prefix: '' },
) => {
  const found: [string, number][] = []
  map.scan(range, (value, key) => {
    found.push([key, value])
    return true
  })
  return found
}
const sorted = (model: ReadonlyMap<string, number>) =>
  [...model].toSorted(([a], [b]) => (a < b ? -1 : 1))

test('a sorted map does what a map and a sort do', () => {
  const step = fc.tuple(fc.constantFrom('set', 'delete'), fc.nat(3000), fc.nat())
  fc.assert(
    fc.property(fc.array(step, { maxLength: 4000, size: 'max' }), (steps) => {
      const map = new SortedMap<number>()
      const model = new Map<string, number>()
      for (const [what, number, value] of steps) {
        const key = `/k/${number}`
        if (what === 'set') {
          map.set(key, value)
          model.set(key, value)
        } else assert.equal(map.delete(key), model.delete(key))
      }
      assert.equal(map.size, model.size)
      assert.deepEqual(content(map), sorted(model))
      for (const key of model.keys()) assert.equal(map.get(key), model.get(key))
      const after = '/k/15'
      assert.deepEqual(
        content(map, { prefix: '/k/1', after }),
        sorted(model).filter(([key]) => key.startsWith('/k/1') && key > after),
      )
      for (const prefix of ['', '/k/', '/k/1', '/k/29', '/k/2999', '/j', '/l'])
        for (const range of [{ prefix }, { prefix, after }, { prefix, after: '/k/2' }])
          assert.equal(map.count(range), content(map, range).length)
    }),
    { numRuns: 30 },
  )
})

test('many keys in order, in reverse and at random are all found', () => {
  for (const order of [
    (n: number) => n,
    (n: number) => 20_000 - n,
    (n: number) => (n * 7919) % 20_011,
  ]) {
    const map = new SortedMap<number>()
    for (let n = 0; n < 20_000; n++) map.set(String(order(n)).padStart(6, '0'), n)
    assert.equal(map.size, 20_000)
    assert.equal(content(map).length, 20_000)
    for (let n = 0; n < 20_000; n += 97) assert.equal(map.get(String(order(n)).padStart(6, '0')), n)
    for (let n = 0; n < 20_000; n += 2) map.delete(String(order(n)).padStart(6, '0'))
    assert.equal(content(map).length, 10_000)
  }
})

test('a fork is independent both ways', () => {
  const map = new SortedMap<number>()
  for (let n = 0; n < 5000; n++) map.set(String(n).padStart(4, '0'), n)
  const fork = map.fork()
  fork.set('0000', -1)
  map.set('4999', -2)
  map.delete('2500')
  assert.equal(map.get('0000'), 0)
  assert.equal(fork.get('4999'), 4999)
  assert.equal(fork.get('2500'), 2500)
  assert.equal(fork.size, 5000)
})

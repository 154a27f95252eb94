import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mergeConfiguration } from './merge.ts'
import { LEAF, UNTYPED, type Shape } from './shape.ts'

const struct = (fields: Readonly<Record<string, Shape>>): Shape => ({
  type: 'struct',
  field: (name) => fields[name],
})
const SHAPE = struct({
  replicas: LEAF,
  whole: LEAF,
  labels: { type: 'map', value: LEAF },
  items: {
    type: 'listMap',
    keys: [{ name: 'name' }],
    item: struct({ name: LEAF, args: LEAF, image: LEAF }),
  },
  finalizers: { type: 'listSet' },
  free: UNTYPED,
})

test('a configuration is laid over what is there, list items by their keys', () => {
  const before = {
    replicas: 1,
    labels: { a: '1' },
    items: [{ name: 'a', image: 'x' }, { name: 'b' }],
    finalizers: ['f'],
  }
  assert.deepEqual(
    mergeConfiguration(SHAPE, before, {
      replicas: 2,
      labels: { b: '2' },
      items: [{ name: 'a', image: 'y' }, { name: 'c' }],
      finalizers: ['g'],
    }),
    {
      replicas: 2,
      labels: { a: '1', b: '2' },
      items: [{ name: 'a', image: 'y' }, { name: 'b' }, { name: 'c' }],
      finalizers: ['f', 'g'],
    },
  )
  assert.equal(before.replicas, 1)
})

test('what is one whole cannot be changed in part', () => {
  const wrong = (configuration: object, message: string): void =>
    assert.throws(() => mergeConfiguration(SHAPE, {}, configuration), { message })
  const text = 'may not mutate atomic arrays, maps or structs:'
  wrong({ whole: { a: 1 } }, `${text} .whole`)
  wrong(
    { items: [{ name: 'a', args: ['x'] }], free: { list: [] } },
    `${text} .items[name="a"].args, .free.list`,
  )
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { mergeConfiguration } from './merge.ts'
import { LEAF, UNTYPED, type Shape } from '../shape.ts'

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

test('what is laid over an object is in it, and laying it over again changes nothing', () => {
  const names = fc.constantFrom('a', 'b', 'c', 'd')
  const scalar = fc.oneof(fc.integer(), fc.string())
  const part = fc.record(
    {
      replicas: fc.nat(),
      labels: fc.dictionary(names, scalar, { noNullPrototype: true }),
      items: fc.uniqueArray(fc.record({ name: names, image: scalar }, { noNullPrototype: true }), {
        selector: ({ name }) => name,
      }),
      finalizers: fc.uniqueArray(names),
    },
    { requiredKeys: [], noNullPrototype: true },
  )
  fc.assert(
    fc.property(part, part, (object, configuration) => {
      const once = mergeConfiguration(
        SHAPE,
        object,
        configuration,
      ) as typeof part extends fc.Arbitrary<infer T> ? T : never
      assert.deepEqual(mergeConfiguration(SHAPE, once, configuration), once)
      for (const [key, value] of Object.entries(configuration.labels ?? {}))
        assert.equal(once.labels?.[key], value)
      for (const { name, image } of configuration.items ?? [])
        assert.equal(once.items?.find((item) => item.name === name)?.image, image)
      // Nothing that was there is lost.
      for (const { name } of object.items ?? [])
        assert.ok(once.items?.some((item) => item.name === name))
    }),
  )
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compare } from './compare.ts'
import { inOrder, union } from './field-set.ts'
import { signatureOf } from './field-signature.ts'
import { LEAF, UNTYPED, type Shape } from '../shape.ts'

const item: Shape = { type: 'map', value: LEAF }
const fields: Readonly<Record<string, Shape>> = {
  meta: UNTYPED,
  list: { type: 'listMap', keys: [{ name: 'n' }, { name: 'p', default: 'x' }], item },
  set: { type: 'listSet' },
  whole: LEAF,
}
const shape: Shape = { type: 'struct', field: (name) => fields[name] }

// Names that look like what a signature is made of.
const name = fc.constantFrom('a', 'b', '1+a', '}', '2{ab', '')
const scalar = fc.constantFrom<unknown>('', 'x', 0, null)
const object = fc.record(
  {
    meta: fc.dictionary(name, fc.oneof(scalar, fc.dictionary(name, scalar, { maxKeys: 2 })), {
      maxKeys: 2,
    }),
    list: fc.array(fc.record({ n: scalar, p: scalar, b: scalar }, { requiredKeys: [] }), {
      maxLength: 2,
    }),
    set: fc.array(scalar, { maxLength: 2 }),
    whole: fc.oneof(scalar, fc.array(scalar, { maxLength: 1 })),
    other: scalar,
  },
  { requiredKeys: [] },
)
const zero = fc.constantFrom({}, { meta: {}, whole: null }, { meta: { a: null }, list: null })

test('objects of one signature have the same new fields', () => {
  const known = new Map<string, string>()
  let shared = 0
  fc.assert(
    fc.property(zero, object, (before, after) => {
      const signature = signatureOf(shape, before, after)
      if (signature === undefined) return
      const { added, modified } = compare(shape, before, after)
      const found = JSON.stringify(inOrder(union(added, modified)))
      const wanted = known.get(signature)
      if (wanted !== undefined) {
        shared++
        assert.equal(found, wanted, signature)
      }
      known.set(signature, found)
    }),
    { numRuns: 20_000 },
  )
  assert.ok(shared > 1000)
})

test('lists that had items are compared by their keys instead', () => {
  assert.equal(signatureOf(shape, { list: [{ n: 'a' }] }, { list: [{ n: 'b' }] }), undefined)
})

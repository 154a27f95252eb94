import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { bytesOfShared, parseSharing, sharedFields } from './shared-fields.ts'
import { parseJson } from '../integers.ts'

const owner = (manager: string, fieldsV1: unknown, more: object = {}) => ({
  manager,
  operation: 'Update',
  apiVersion: 'v1',
  time: '2026-01-01T00:00:00Z',
  fieldsType: 'FieldsV1',
  fieldsV1,
  ...more,
})
const object = (name: string, managedFields: unknown, more: object = {}) => ({
  kind: 'Pod',
  apiVersion: 'v1',
  metadata: { name, managedFields },
  ...more,
})
type Owned = { metadata: { managedFields: { fieldsV1: object }[] } }
const setsOf = (parsed: object): object[] =>
  (parsed as Owned).metadata.managedFields.map(({ fieldsV1 }) => fieldsV1)

const SPEC = { 'f:spec': { 'f:containers': { 'k:{"name":"a}\\"b"}': { '.': {}, 'f:image': {} } } } }
const STATUS = { 'f:status': { 'f:phase': {} } }

test('objects with the same owned fields share the sets, whoever owns them', () => {
  const a = parseSharing(JSON.stringify(object('a', [owner('x', SPEC), owner('y', STATUS)])))
  const b = parseSharing(
    JSON.stringify(object('b', [owner('z', STATUS, { subresource: 'status' }), owner('x', SPEC)])),
  )
  assert.deepEqual(a, object('a', [owner('x', SPEC), owner('y', STATUS)]))
  assert.equal(setsOf(a)[0], setsOf(b)[1])
  assert.equal(setsOf(a)[1], setsOf(b)[0])
  assert.equal(setsOf(a)[0], sharedFields(JSON.stringify(SPEC)))
})

test('the text of a shared set is at hand, and of no other', () => {
  const [fields = {}] = setsOf(parseSharing(JSON.stringify(object('a', [owner('x', SPEC)]))))
  assert.equal(Buffer.from(bytesOfShared(fields) ?? []).toString(), JSON.stringify(SPEC))
  assert.equal(bytesOfShared(SPEC), undefined)
})

test('what only looks like owned fields stays what it is', () => {
  const inner = { metadata: { managedFields: [owner('x', SPEC)] } }
  for (const value of [
    object('a', [], { spec: inner }),
    object('a', undefined, { spec: inner }),
    object('a', [owner('x', null)], { spec: inner }),
    object('a', [owner('x', 0)], { spec: inner }),
    object('a', [owner('x', STATUS, { subresource: 'status' })], { spec: inner }),
    { data: JSON.stringify(object('a', [owner('x', SPEC)])) },
    [object('a', [owner('x', SPEC)])],
  ])
    assert.deepEqual(parseSharing(JSON.stringify(value)), JSON.parse(JSON.stringify(value)))
})

test('what is not whole is refused as JSON.parse refuses it', () => {
  const text = JSON.stringify(object('a', [owner('x', SPEC)]))
  for (let cut = text.indexOf('fieldsV1'); cut < text.length; cut += 3)
    assert.throws(() => parseSharing(text.slice(0, cut)), SyntaxError)
})

test('any object is what it is without sharing', () => {
  const fields = fc.letrec<{ set: object }>((tie) => ({
    set: fc.dictionary(
      // Node 26.10 itself takes keys for one another that differ in an escaped last character only.
      fc.oneof(
        fc.constantFrom('.', 'f:a', 'k:{"x":"}"}', 'f:\\.', 'f:".'),
        fc.string().map((key) => `${key}.`),
      ),
      fc.oneof({ maxDepth: 2 }, fc.constant({}), tie('set')),
      { maxKeys: 3 },
    ),
  })).set
  const owners = fc.array(
    fc.record({ manager: fc.string(), fieldsV1: fc.oneof(fields, fc.constant(null)) }),
    { maxLength: 3 },
  )
  fc.assert(
    fc.property(owners, fc.jsonValue(), (managedFields, spec) => {
      const text = JSON.stringify({ kind: 'Pod', metadata: { name: 'a', managedFields }, spec })
      assert.deepEqual(parseSharing(text), parseJson(text))
    }),
  )
})

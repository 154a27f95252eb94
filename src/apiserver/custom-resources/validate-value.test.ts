import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pruneObject } from './prune.ts'
import type { Schema } from './schema.ts'
import { validateRules } from './evaluate-rules.ts'
import { validateLists, validateValue } from './validate-value.ts'

/** What Kubernetes 1.36 says of these was asked of its own library. */
const said = (schema: Schema, value: unknown): readonly string[] => [
  ...validateValue(schema, value, 'spec').map(({ field, detail }) => `${field}: ${detail}`),
  ...validateLists(schema, value, 'spec').map(({ field, detail }) => `${field}: ${detail}`),
]

test('of what is wrong with the length and pattern of a text the first is told', () => {
  const schema: Schema = { type: 'string', maxLength: 2, minLength: 1, pattern: '^[a-z]+$' }
  assert.deepEqual(said(schema, 'ABC'), ['spec: Too long: may not be more than 2 bytes'])
  assert.deepEqual(said(schema, ''), [
    'spec: Invalid value: "": spec in body should be at least 1 chars long',
  ])
  assert.deepEqual(said(schema, 'A'), [
    `spec: Invalid value: "A": spec in body should match '^[a-z]+$'`,
  ])
})

test('where there is a format, values of other types are told in its words, and lists are not', () => {
  const time: Schema = { type: 'string', format: 'date-time' }
  assert.deepEqual(said(time, 5), [
    'spec: Invalid value: "int64": spec in body must be of type date-time: "int64"',
  ])
  assert.deepEqual(said(time, { a: 1 }), [
    'spec: Invalid value: "": spec in body must be of type date-time: ""',
  ])
  assert.deepEqual(said(time, []), [])
  assert.deepEqual(said({ type: 'integer', format: 'int32' }, true), [
    'spec: Invalid value: "": spec in body must be of type int32: ""',
  ])
  assert.deepEqual(said({ type: 'string', format: 'strange' }, 5), [
    'spec: Invalid value: "integer": spec in body must be of type string: "integer"',
  ])
})

test('null is no value of a list of values, though it may be null', () => {
  const schema: Schema = { type: 'string', nullable: true, enum: ['a', 'b'] }
  assert.deepEqual(said(schema, null), [
    'spec: Unsupported value: null: supported values: "a", "b"',
  ])
})

test('whole numbers meet whole bounds, and others are shown as Go shows them', () => {
  assert.deepEqual(said({ type: 'number', maximum: 2.5 }, 100), [
    'spec: Invalid value: 100: spec in body should be less than or equal to 2',
  ])
  assert.deepEqual(said({ type: 'integer', minimum: 1.5 }, 1), [
    '<nil>: Invalid value: "": Minimum boundary value must be of type integer (default format) in spec',
    'spec: Invalid value: 1: spec in body should be greater than or equal to 1.5',
  ])
  assert.deepEqual(said({ type: 'number', maximum: 1_000_000 }, 1_234_567.5), [
    'spec: Invalid value: 1.2345675e+06: spec in body should be less than or equal to 1e+06',
  ])
  assert.deepEqual(said({ type: 'number', multipleOf: 3 }, 1e-7), [
    'spec: Invalid value: 1e-07: spec in body should be a multiple of 3',
  ])
  assert.deepEqual(said({ type: 'number', multipleOf: 0.1 }, 10), [
    'spec: Invalid value: 0: factor MultipleOf declared for spec must be positive: 0',
  ])
  assert.deepEqual(said({ type: 'number', multipleOf: 0.1 }, 0.3), [])
  assert.deepEqual(said({ type: 'number', enum: [1, 2] }, 1.5), [])
})

test('of alternatives that all fail, the one that fits best is told of', () => {
  const schema: Schema = {
    'x-kubernetes-int-or-string': true,
    anyOf: [{ type: 'integer' }, { type: 'string' }],
  }
  const found = said(schema, 1.5)
  assert.ok(
    found.includes('spec: Invalid value: "number": spec in body must be of type integer: "number"'),
  )
  assert.ok(!found.some((text) => text.endsWith('must be of type string: "number"')))
})

test('what is in a list twice is told of once, and what is no object of a map of them', () => {
  const set: Schema = {
    type: 'array',
    items: { type: 'boolean' },
    'x-kubernetes-list-type': 'set',
  }
  assert.deepEqual(said(set, [true, true, true]), ['spec[1]: Duplicate value: true'])
  const map: Schema = {
    type: 'array',
    items: { type: 'object', properties: { a: { type: 'string' } } },
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['a'],
  }
  assert.deepEqual(said(map, [{ a: 'x' }, 'y', { a: 'x' }]).slice(1), [
    'spec[1]: Invalid value: "y": must be an object for an array of list-type map',
  ])
})

test('metadata of a resource within a value is there when it is null, and is told by the key of its map', () => {
  const resource: Schema = {
    type: 'object',
    'x-kubernetes-embedded-resource': true,
    'x-kubernetes-preserve-unknown-fields': true,
  }
  const object = { spec: { a: { metadata: null }, b: { metadata: { odd: 1 } } } }
  const unknown: string[] = []
  const schema: Schema = {
    type: 'object',
    properties: { spec: { type: 'object', additionalProperties: resource } },
  }
  pruneObject(object, schema, { unknown, keepsNulls: true })
  assert.deepEqual(object, { spec: { a: { metadata: {} }, b: { metadata: {} } } })
  assert.deepEqual(unknown, ['spec[b].metadata.odd'])
})

test('rules of items are let pass while their list is as it was, and null is no past', () => {
  const list: Schema = {
    type: 'array',
    items: { type: 'integer', 'x-kubernetes-validations': [{ rule: 'self < 3' }] },
  }
  const judge = (schema: Schema, value: unknown, before: unknown) =>
    validateRules(schema, value, { before: { value: before }, isRoot: false })
  assert.equal(judge(list, [1, 5], [1, 5]).errors.length, 0)
  assert.equal(judge(list, [1, 5], [1, 5]).tolerated.length, 1)
  assert.equal(judge(list, [1, 5], [2, 5]).errors.length, 1)
  const map: Schema = {
    type: 'object',
    nullable: true,
    additionalProperties: { type: 'string' },
    'x-kubernetes-validations': [{ rule: 'oldSelf.all(k, k in self)' }],
  }
  assert.equal(judge(map, { a: 'x' }, null).errors.length, 0)
  assert.equal(judge(map, { a: 'x' }, { b: 'y' }).errors.length, 1)
})

test('an item without the key of its list is judged anew every time', () => {
  const schema: Schema = {
    type: 'array',
    items: { type: 'object', required: ['a'], properties: { a: { type: 'string' } } },
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['a'],
  }
  const errors = validateValue(schema, [{}, { a: 'x' }], 'spec', { value: [{}] })
  assert.deepEqual(
    errors.map(({ field }) => field),
    ['spec[0].a'],
  )
})

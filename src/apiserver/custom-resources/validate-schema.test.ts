import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FieldPath } from '#machinery'
import { selectableProblems } from './field-paths.ts'
import type { Schema } from './schema.ts'
import { validateSchema } from './validate-schema.ts'

/** What Kubernetes 1.36 says of these was asked of its own library. */
const said = (spec: Schema, more: object = {}): readonly string[] =>
  validateSchema(
    { type: 'object', properties: { spec: { ...spec, ...more } } },
    FieldPath.of('s'),
    { hasStatus: false },
  ).map(({ field, detail }) => `${field}: ${detail}`)

test('a rule that does not compile is told of once, and its message is not looked at', () => {
  const found = said({
    type: 'string',
    'x-kubernetes-validations': [{ rule: 'self.x', messageExpression: '1', optionalOldSelf: true }],
  })
  assert.equal(found.length, 2)
  assert.match(found[0] ?? '', /rule: Invalid value: .*compilation failed/)
  assert.match(found[1] ?? '', /optionalOldSelf: Invalid value: true: may not be set/)
})

test('rules are looked at beside what is wrong elsewhere', () => {
  const found = said({
    type: 'object',
    properties: {
      a: { type: 'integer', 'x-kubernetes-validations': [{ rule: '1' }] },
      b: { type: 'array', items: { type: 'string' }, uniqueItems: true },
    },
  })
  assert.equal(found.length, 2, found.join('\n'))
  assert.match(found.join('\n'), /cel expression must evaluate to a bool/)
  assert.match(found.join('\n'), /uniqueItems: Forbidden/)
})

test('a default is judged as what stays and as what comes new, and told of where it stands', () => {
  const found = said({
    type: 'string',
    default: 'a',
    'x-kubernetes-validations': [{ rule: 'self != oldSelf' }],
  })
  assert.deepEqual(found, [
    's.properties[spec].default: Invalid value: "a": failed rule: self != oldSelf',
  ])
  assert.match(
    said({ type: 'object', default: {}, anyOf: [{ required: ['a'] }] }).join('\n'),
    /s\.properties\[spec\]\.default: Invalid value: "": "" must validate at least one schema/,
  )
})

test('selectable fields are named by dots alone', () => {
  const schema: Schema = {
    type: 'object',
    properties: { spec: { type: 'object', additionalProperties: { type: 'object' } } },
  }
  const of = (jsonPath: string) =>
    selectableProblems([{ jsonPath }], schema, FieldPath.of('f'), true).map(({ detail }) => detail)
  assert.match(of('spec')[0] ?? '', /is an invalid path: expected \[ or \. but got: spec$/)
  assert.match(of(".spec['a']")[0] ?? '', /is an invalid path: array notation is not allowed$/)
  assert.match(of('.spec.a')[0] ?? '', /must point to a field of type string/)
  assert.match(of('.status')[0] ?? '', /does not refer to a valid field$/)
})

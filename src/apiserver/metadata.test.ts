import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ObjectMeta, ResourceFact } from '#machinery'
import { generatedName, validateMetadata, validateMetadataUpdate } from './metadata.ts'

const fact = (resource: string, namespaced = true, group = ''): ResourceFact =>
  ({ group, resource, namespaced }) as ResourceFact
const problems = (metadata: Record<string, unknown>, of = fact('pods')): string[] =>
  validateMetadata(metadata, of, 'shop').map(({ field, detail }) => `${field}: ${detail}`)

test('a name is a DNS subdomain, and the message names the rule', () => {
  assert.deepEqual(problems({ name: 'web-0' }), [])
  const [problem = ''] = problems({ name: 'Web_0' })
  assert.match(problem, /^metadata\.name: Invalid value: "Web_0": a lowercase RFC 1123 subdomain/)
})
test('roles may have colons, namespaces may not have dots', () => {
  const roles = fact('roles', true, 'rbac.authorization.k8s.io')
  assert.deepEqual(problems({ name: 'system:node' }, roles), [])
  assert.equal(problems({ name: 'a.b' }, fact('namespaces', false)).length, 1)
})
test('labels are checked in key and value', () => {
  assert.deepEqual(problems({ name: 'a', labels: { 'example.com/app': 'web' } }), [])
  assert.equal(problems({ name: 'a', labels: { 'app ': 'web' } }).length, 1)
  assert.equal(problems({ name: 'a', labels: { app: '-web' } }).length, 1)
  assert.equal(problems({ name: 'a', labels: { app: 'x'.repeat(64) } }).length, 1)
})
test('an object has one controller at most', () => {
  const owner = { apiVersion: 'v1', kind: 'Pod', name: 'a', uid: '1', controller: true }
  const [problem = ''] = problems({ name: 'a', ownerReferences: [owner, { ...owner, name: 'b' }] })
  assert.match(problem, /Only one reference can have Controller set to true/)
})
test('finalizers cannot be added to what is being deleted', () => {
  const old = {
    name: 'a',
    uid: '1',
    creationTimestamp: 't',
    deletionTimestamp: 't',
    finalizers: ['x/a'],
  } as unknown as ObjectMeta
  const update = (finalizers: string[]) =>
    validateMetadataUpdate({ ...old, finalizers }, old, fact('pods'))
  assert.deepEqual(update([]), [])
  assert.equal(update(['x/b'])[0]?.type, 'FieldValueForbidden')
})
test('generated names keep to the length of a label', () => {
  assert.equal(generatedName('x'.repeat(100), () => 0).length, 63)
  assert.equal(
    generatedName('web-', () => 0),
    'web-bbbbb',
  )
})

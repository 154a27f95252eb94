import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import type { TypeTable } from './facts.ts'
import { difference, intersection, isEmptySet, union, type FieldSet } from './field-set.ts'
import { applyConfiguration, trackUpdate, type OwnershipContext } from './managed-fields.ts'
import type { JsonObject } from './object.ts'
import { shapeOf } from './shape.ts'
import { decodeTyped } from './typed.ts'

const { types } = JSON.parse(
  readFileSync(new URL('../../facts/types.json', import.meta.url), 'utf8'),
) as { types: TypeTable }
const DEPLOYMENT = 'io.k8s.api.apps.v1.Deployment'
const shape = shapeOf(types, DEPLOYMENT)
const now = new Date('2026-01-01T00:00:00Z')
const context = (manager: string, more: Partial<OwnershipContext> = {}): OwnershipContext => ({
  shape,
  apiVersion: 'apps/v1',
  manager,
  subresource: '',
  now,
  ...more,
})
const typed = (value: unknown): JsonObject => decodeTyped(types, DEPLOYMENT, value).object
const web = (more: JsonObject = {}): JsonObject => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web', labels: { app: 'web' } },
  spec: {
    replicas: 3,
    selector: { matchLabels: { app: 'web' } },
    template: {
      metadata: { labels: { app: 'web' } },
      spec: { containers: [{ name: 'main', image: 'one', ports: [{ containerPort: 80 }] }] },
    },
    ...more,
  },
})
const apply = (live: JsonObject, config: JsonObject, manager: string, force = false) =>
  applyConfiguration(live, config, { ...context(manager), force })
const accepted = (
  live: JsonObject,
  config: JsonObject,
  manager: string,
  force = false,
): JsonObject => {
  const result = apply(live, config, manager, force)
  assert.ok(result.ok, result.ok ? '' : result.message)
  return {
    ...result.object,
    metadata: { ...(result.object['metadata'] as object), managedFields: result.managedFields },
  }
}
const owners = (object: JsonObject): string[] =>
  (
    object['metadata'] as { managedFields: { manager: string; operation: string }[] }
  ).managedFields.map((e) => `${e.manager}/${e.operation}`)

test('a create is owned by its manager, in the form that kubectl shows', () => {
  const [entry] = trackUpdate(typed({}), typed(web()), context('kubectl-create'))
  assert.deepEqual(entry?.fieldsV1, {
    'f:metadata': { 'f:labels': { '.': {}, 'f:app': {} } },
    'f:spec': {
      'f:replicas': {},
      'f:selector': {},
      'f:template': {
        'f:metadata': { 'f:labels': { '.': {}, 'f:app': {} } },
        'f:spec': {
          'f:containers': {
            'k:{"name":"main"}': {
              '.': {},
              'f:image': {},
              'f:name': {},
              'f:ports': {
                '.': {},
                'k:{"containerPort":80,"protocol":"TCP"}': { '.': {}, 'f:containerPort': {} },
              },
              'f:resources': {},
            },
          },
        },
      },
    },
  })
})

test('an update takes the fields it changes from their owner', () => {
  const live = accepted({}, web(), 'one')
  const changed = structuredClone(live) as { metadata: object; spec: { replicas: number } }
  changed.spec.replicas = 5
  const entries = trackUpdate(live, changed, context('scaler'))
  assert.deepEqual(
    entries.map((e) => [e.manager, e.operation]),
    [
      ['one', 'Apply'],
      ['scaler', 'Update'],
    ],
  )
  assert.deepEqual(entries[1]?.fieldsV1, { 'f:spec': { 'f:replicas': {} } })
  const left = entries[0]?.fieldsV1 as { 'f:spec': object }
  assert.equal('f:replicas' in left['f:spec'], false)
})

test('applying what another owns is a conflict, with force it is taken over', () => {
  const live = accepted({}, web(), 'one')
  const refused = apply(live, web({ replicas: 7 }), 'two')
  assert.ok(!refused.ok)
  assert.deepEqual(refused.causes, [
    { reason: 'FieldManagerConflict', message: 'conflict with "one"', field: '.spec.replicas' },
  ])
  assert.equal(refused.message, 'Apply failed with 1 conflict: conflict with "one": .spec.replicas')
  const forced = accepted(live, web({ replicas: 7 }), 'two', true)
  assert.equal((forced['spec'] as { replicas: number }).replicas, 7)
  assert.deepEqual(owners(forced), ['one/Apply', 'two/Apply'])
})

test('what a manager no longer applies goes away, unless another owns it too', () => {
  const labels = (names: string[]): JsonObject => ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', labels: Object.fromEntries(names.map((n) => [n, 'x'])) },
  })
  const live = accepted(accepted({}, labels(['a', 'b', 'c']), 'one'), labels(['b']), 'two')
  const after = accepted(live, labels(['a']), 'one')
  assert.deepEqual((after['metadata'] as { labels: object }).labels, { a: 'x', b: 'x' })
})

test('items of a list map are merged by their key and removed by it', () => {
  const ports = (list: JsonObject[]): JsonObject => ({
    metadata: { name: 'web' },
    spec: { template: { spec: { containers: [{ name: 'main', ports: list }] } } },
  })
  const live = accepted(accepted({}, web(), 'one'), ports([{ containerPort: 81 }]), 'two')
  const found = JSON.stringify(live['spec'])
  assert.match(found, /"containerPort":80/)
  assert.match(found, /"containerPort":81/)
  const after = accepted(live, { metadata: { name: 'web' } }, 'two')
  assert.doesNotMatch(JSON.stringify(after['spec']), /"containerPort":81/)
})

test('applying twice changes nothing, not even the time', () => {
  const once = accepted({}, web(), 'one')
  const again = applyConfiguration(once, web(), {
    ...context('one', { now: new Date('2027-01-01T00:00:00Z') }),
    force: false,
  })
  assert.ok(again.ok)
  assert.deepEqual(
    again.managedFields,
    (once['metadata'] as { managedFields: unknown }).managedFields,
  )
})

const set: fc.Arbitrary<FieldSet> = fc.letrec<{ node: FieldSet }>((tie) => ({
  node: fc.dictionary(
    fc.constantFrom('f:a', 'f:b', 'k:{"n":"x"}'),
    fc.oneof({ maxDepth: 3 }, fc.constant({}), tie('node') as fc.Arbitrary<FieldSet>),
    { maxKeys: 3, noNullPrototype: true },
  ) as fc.Arbitrary<FieldSet>,
})).node

test('sets of fields obey the laws of sets', () => {
  fc.assert(
    fc.property(set, set, (a, b) => {
      assert.deepEqual(union(a, a), a)
      assert.ok(isEmptySet(difference(a, a)))
      assert.deepEqual(intersection(a, b), intersection(b, a))
      assert.deepEqual(
        union(difference(a, b), intersection(a, b)),
        union(intersection(a, b), difference(a, b)),
      )
      assert.ok(isEmptySet(intersection(difference(a, b), b)))
    }),
  )
})

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import type { TypeTable } from '../facts.ts'
import { applyConfiguration } from './apply.ts'
import type { OwnershipContext } from './entries.ts'
import { trackUpdate } from './track.ts'
import type { JsonObject } from '../object.ts'
import { shapeOf } from '../shape.ts'
import { writtenForm } from '../written-form.ts'

const { types } = JSON.parse(
  readFileSync(new URL('../../../facts/types.json', import.meta.url), 'utf8'),
) as { types: TypeTable }

const contextFor = (type: string, apiVersion: string, manager: string): OwnershipContext => ({
  shape: shapeOf(types, type),
  apiVersion,
  manager,
  subresource: '',
  now: new Date('2026-01-01T00:00:00Z'),
  written: (object) => writtenForm(types, type, object as JsonObject),
})
const POD = 'io.k8s.api.core.v1.Pod'
const ROLE = 'io.k8s.api.rbac.v1.ClusterRole'
const EVENT = 'io.k8s.api.core.v1.Event'
const ofPods = contextFor(POD, 'v1', 'a')
const ofRoles = contextFor(ROLE, 'rbac.authorization.k8s.io/v1', 'a')
const ofEvents = contextFor(EVENT, 'v1', 'a')
const fieldsOf = (entries: readonly { fieldsV1?: unknown }[]): unknown => entries[0]?.fieldsV1

test('whoever adds a condition owns the times in it that Go writes as null', () => {
  const pod: object = { metadata: { name: 'a' }, status: {} }
  const now: object = { ...pod, status: { conditions: [{ type: 'Ready', status: 'True' }] } }
  assert.deepEqual(fieldsOf(trackUpdate(pod, now, ofPods)), {
    'f:status': {
      'f:conditions': {
        '.': {},
        'k:{"type":"Ready"}': {
          '.': {},
          'f:lastProbeTime': {},
          'f:lastTransitionTime': {},
          'f:status': {},
          'f:type': {},
        },
      },
    },
  })
})

test('who empties a field that is always written owns it, empty as it is', () => {
  const managedFields = trackUpdate({}, { reason: 'r' } as object, ofEvents)
  const before = { metadata: { uid: '1', managedFields }, firstTimestamp: '2020-01-01T00:00:00Z' }
  const after = { metadata: { uid: '1', managedFields } }
  assert.deepEqual(fieldsOf(trackUpdate(before, after, ofEvents)), {
    'f:firstTimestamp': {},
    'f:reason': {},
  })
})

test('an empty list over the null of another owner is a conflict', () => {
  const managedFields = trackUpdate({}, { rules: [{ verbs: [] }] } as object, ofRoles)
  const live = { metadata: { name: 'a', uid: '1', managedFields }, rules: [] }
  const sent = { kind: 'ClusterRole', metadata: { name: 'a' }, rules: [] }
  const result = applyConfiguration(live, sent, { ...ofRoles, manager: 'b', force: false })
  assert.equal(
    result.ok ? 'applied' : result.message,
    'Apply failed with 1 conflict: conflict with "a" using rbac.authorization.k8s.io/v1: .rules',
  )
})

test('null applied to a map with entries leaves them to their owners', () => {
  const type = 'io.k8s.api.core.v1.ConfigMap'
  const context = contextFor(type, 'v1', 'b')
  const live = { metadata: { name: 'a', uid: '1' }, data: { a: 'b' } }
  const sent = { metadata: { name: 'a' }, data: null }
  const result = applyConfiguration(live, sent, { ...context, force: true })
  assert.ok(result.ok)
  assert.deepEqual(result.object['data'], { a: 'b' })
})

test('owners are in the order of their times, appliers first', () => {
  const entry = (manager: string, time: string, operation: 'Apply' | 'Update') => ({
    manager,
    operation,
    apiVersion: 'v1',
    time,
    fieldsType: 'FieldsV1',
    fieldsV1: { 'f:data': { [`f:${manager}`]: {} } },
  })
  const managedFields = [
    entry('z', '2020-01-01T00:00:00Z', 'Apply'),
    entry('a', '2021-01-01T00:00:00Z', 'Apply'),
    entry('m', '2019-01-01T00:00:00Z', 'Update'),
  ]
  const live = { metadata: { uid: '1', managedFields }, data: { a: '1', m: '1', z: '1' } }
  const context = contextFor('io.k8s.api.core.v1.ConfigMap', 'v1', 'b')
  const owners = trackUpdate(live, { ...live, data: { ...live.data, b: '1' } } as object, context)
  assert.deepEqual(
    owners.map(({ manager }) => manager),
    ['z', 'a', 'm', 'b'],
  )
})

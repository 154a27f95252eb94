import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { JsonObject, KubeObject, SchemaFact } from '#machinery'
import { canonicalize } from './canonical.ts'
import { findDefinition } from './catalog.ts'
import { typeTable } from './facts.ts'
import { fromWireForm, toWireForm } from './wire-form.ts'

const kept = (kind: string, object: JsonObject): JsonObject => {
  const own = { ...object }
  canonicalize(`io.k8s.api.${kind}`)(own)
  return own
}

test('what is empty and always written shows as Go shows it', () => {
  const role = kept('rbac.v1.ClusterRole', {
    kind: 'ClusterRole',
    apiVersion: 'rbac.authorization.k8s.io/v1',
    metadata: { name: 'a' },
  })
  assert.deepEqual(role['rules'], [])
  assert.equal((toWireForm(role) as JsonObject)['rules'], null)
  const slice = kept('discovery.v1.EndpointSlice', {
    kind: 'EndpointSlice',
    apiVersion: 'discovery.k8s.io/v1',
    metadata: {},
    addressType: 'IPv4',
    endpoints: [{ addresses: [] }],
  })
  const shown = toWireForm(slice) as JsonObject
  assert.equal(shown['ports'], null)
  assert.deepEqual(shown['endpoints'], [{ addresses: null, conditions: {} }])
  const event = toWireForm({ kind: 'Event', apiVersion: 'v1', metadata: { name: 'a' } })
  assert.deepEqual(event, {
    kind: 'Event',
    apiVersion: 'v1',
    metadata: { name: 'a' },
    involvedObject: {},
    source: {},
    firstTimestamp: null,
    lastTimestamp: null,
    eventTime: null,
    reportingComponent: '',
    reportingInstance: '',
  })
})

test('null is for what has no omitempty: pointers and times, also deep inside', () => {
  const pod = toWireForm({
    kind: 'Pod',
    apiVersion: 'v1',
    metadata: { name: 'a' },
    spec: {
      containers: [{ name: 'a', resources: {}, livenessProbe: { grpc: { port: 1 } } }],
    },
    status: { conditions: [{ type: 'Ready', status: 'True' }] },
  })
  assert.deepEqual(pod.spec.containers[0]?.livenessProbe, { grpc: { port: 1, service: null } })
  assert.deepEqual(pod.status.conditions, [
    { type: 'Ready', status: 'True', lastProbeTime: null, lastTransitionTime: null },
  ])
  const template = { metadata: {}, spec: { containers: [] } }
  const deployment = toWireForm({
    kind: 'Deployment',
    apiVersion: 'apps/v1',
    metadata: {},
    spec: { template },
  })
  // The time of a template's making is left out since 1.34.
  assert.deepEqual(deployment.spec, {
    template: { metadata: {}, spec: { containers: null } },
    selector: null,
    strategy: {},
  })
})

test('an event of the old form does not say in the new one that nobody reported it', () => {
  const { convert } = findDefinition('events.k8s.io', 'v1', 'events') ?? {}
  const kept = { kind: 'Event', apiVersion: 'v1', metadata: { name: 'a' }, reportingInstance: '' }
  const shown = convert?.fromStorage(kept as unknown as KubeObject)
  assert.deepEqual(toWireForm(shown ?? {}), {
    kind: 'Event',
    apiVersion: 'events.k8s.io/v1',
    metadata: { name: 'a' },
    eventTime: null,
    deprecatedSource: {},
    deprecatedFirstTimestamp: null,
    deprecatedLastTimestamp: null,
    regarding: {},
  })
})

test('an object that lacks nothing is not copied, and other kinds are left alone', () => {
  const map = { kind: 'ConfigMap', apiVersion: 'v1', metadata: { name: 'a' }, data: { a: 'b' } }
  assert.equal(toWireForm(map), map)
  const own = { kind: 'Pod', apiVersion: 'example.com/v1', metadata: {} }
  assert.equal(toWireForm(own), own)
})

const KINDS = Object.entries(typeTable).flatMap(([type, { gvk = [], notInOpenAPI }]) =>
  notInOpenAPI === true
    ? []
    : gvk
        .filter(([group, , kind]) => !/(List|Options|Event|Status)$/.test(kind) && group !== '')
        .map(([group, version, kind]) => ({ type, apiVersion: `${group}/${version}`, kind })),
)
const TEXTS: Readonly<Record<string, readonly unknown[]>> = {
  Quantity: ['1', '100m'],
  IntOrString: ['50%', 8],
  Time: ['2026-01-02T03:04:05Z'],
  MicroTime: ['2026-01-02T03:04:05.000000Z'],
  Duration: ['1s'],
}

/** A value of a type; `next` gives numbers from 0 to 99. */
function valueOf(schema: SchemaFact, next: () => number, depth: number): unknown {
  const many = <T>(make: () => T): readonly T[] =>
    Array.from({ length: depth > 5 ? 0 : next() % 3 }, make)
  if (schema.ref !== undefined) {
    const fact = typeTable[schema.ref]
    if (fact?.alias !== undefined) return valueOf(fact.alias, next, depth)
    const texts = TEXTS[schema.ref.slice(schema.ref.lastIndexOf('.') + 1)]
    if (fact?.scalar !== undefined)
      return texts === undefined ? { a: 1 } : texts[next() % texts.length]
    return structOf(schema.ref, next, depth + 1)
  }
  if (schema.type === 'array') return many(() => valueOf(schema.items ?? {}, next, depth))
  if (schema.type === 'object')
    return Object.fromEntries(
      many(() => [`k${next()}`, valueOf(schema.values ?? {}, next, depth)] as const),
    )
  if (schema.type === 'string') return schema.format === 'byte' ? 'YQ==' : `t${next()}`
  return schema.type === 'boolean' ? next() % 2 === 0 : next()
}

function structOf(type: string, next: () => number, depth: number): JsonObject {
  const object: JsonObject = {}
  for (const field of typeTable[type]?.fields ?? [])
    if (field.via !== 'TypeMeta' && next() < 60 - 8 * depth)
      object[field.name] = valueOf(field, next, depth)
  return object
}

test('reading back what was written gives the same object, of any kind', () => {
  fc.assert(
    fc.property(fc.constantFrom(...KINDS), fc.infiniteStream(fc.nat(99)), (of, numbers) => {
      const next = (): number => numbers.next().value as number
      const { type, apiVersion, kind } = of
      const object = { kind, apiVersion, ...structOf(type, next, 0) }
      canonicalize(type)(object)
      const back = JSON.parse(JSON.stringify(toWireForm(object))) as JsonObject
      fromWireForm(back)
      // What zero stands for is in the kept form too, by the time that it is stored.
      assert.deepEqual(toWireForm(back), toWireForm(object))
      canonicalize(type)(back)
      assert.deepEqual(JSON.parse(JSON.stringify(back)), JSON.parse(JSON.stringify(object)))
    }),
    { numRuns: 300 },
  )
})

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import type { TypeTable } from './facts.ts'
import type { JsonObject } from './object.ts'
import { decodeProtobuf, encodeProtobuf, readEnvelope } from './protobuf/protobuf.ts'
import { decodeTyped } from './typed.ts'
import { TypeMismatchError } from './typed-mismatch.ts'

const read = (file: string): unknown =>
  JSON.parse(readFileSync(new URL(file, import.meta.url), 'utf8'))
const { types } = read('../../facts/types.json') as { types: TypeTable }
const decode = (kind: string, value: unknown) =>
  decodeTyped(types, `io.k8s.api.${kind}`, value, { unknown: 'collect' })
const refused = (kind: string, value: unknown, message: string): void => {
  assert.throws(
    () => decode(kind, value),
    (error) => {
      assert.ok(error instanceof TypeMismatchError)
      assert.equal(error.message, message)
      return true
    },
  )
}

test('a value of the wrong type is told as Go tells it', () => {
  refused(
    'apps.v1.Deployment',
    { spec: { replicas: 'three' } },
    'json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32',
  )
  const env = [{ name: 'A', value: 1 }]
  refused(
    'apps.v1.Deployment',
    { spec: { template: { spec: { containers: [{ name: 'a' }, { env }] } } } },
    'json: cannot unmarshal number into Go struct field EnvVar.spec.template.spec.containers.env.value of type string',
  )
  refused(
    'core.v1.Pod',
    { metadata: { labels: { 'a.b/c': true } } },
    'json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string',
  )
  refused(
    'core.v1.Pod',
    { spec: { containers: {} } },
    'json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container',
  )
  refused(
    'core.v1.Pod',
    { spec: { volumes: [{ name: 'a', secret: 'b' }] } },
    'json: cannot unmarshal string into Go struct field Volume.spec.volumes.VolumeSource.secret of type v1.SecretVolumeSource',
  )
  refused(
    'core.v1.Pod',
    { spec: { containers: [{ resources: { limits: 1 } }] } },
    'json: cannot unmarshal number into Go struct field ResourceRequirements.spec.containers.resources.limits of type v1.ResourceList',
  )
  refused(
    'core.v1.Pod',
    { spec: 'x' },
    'json: cannot unmarshal string into Go struct field Pod.spec of type v1.PodSpec',
  )
  refused(
    'core.v1.Pod',
    { spec: { terminationGracePeriodSeconds: 1.5 } },
    'json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.terminationGracePeriodSeconds of type int64',
  )
  refused('core.v1.Pod', [], 'json: cannot unmarshal array into Go value of type v1.Pod')
})

test('a value of the wrong form says what the form is', () => {
  refused(
    'core.v1.PersistentVolumeClaim',
    { spec: { resources: { requests: { storage: '1 Gi' } } } },
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
  )
  refused('core.v1.Secret', { data: { a: 'aGk' } }, 'illegal base64 data at input byte 0')
  refused('core.v1.Secret', { data: { a: 'aGk=!' } }, 'illegal base64 data at input byte 4')
  const said = (time: string, why: string): void =>
    refused(
      'core.v1.Pod',
      { metadata: { creationTimestamp: time } },
      `parsing time ${JSON.stringify(time)}${why}`,
    )
  const layout = ' as "2006-01-02T15:04:05Z07:00": cannot parse '
  said('', `${layout}"" as "2006"`)
  said('yesterday', `${layout}"yesterday" as "2006"`)
  said('2026-02-01 00:00:00Z', `${layout}" 00:00:00Z" as "T"`)
  said('2026-02-01T00:00:00', `${layout}"" as "Z07:00"`)
  said('2026-13-01T00:00:00+01:00', ': month out of range')
  said('2026-02-30T00:00:00Z', ': day out of range')
  said('2026-02-01T24:00:00Z', ': hour out of range')
  said('2026-02-01T00:00:00Zx', ': extra text: "x"')
  for (const [time, rest] of [
    ['2026-01-01T00:00:00Z', '"Z" as ".000000"'],
    ['2026-01-01T00:00:00.123Z', '".123Z" as ".000000"'],
    ['2026-01-01T00:00:00.1234567Z', '"7Z" as "Z07:00"'],
  ] as const)
    refused(
      'coordination.v1.Lease',
      { spec: { renewTime: time } },
      `parsing time "${time}" as "2006-01-02T15:04:05.000000Z07:00": cannot parse ${rest}`,
    )
})

test('unknown fields are named with their place, and left out', () => {
  const { object, unknownFields } = decode('core.v1.Pod', {
    metadata: { name: 'a', colour: 'red' },
    spec: { containers: [{ name: 'a' }, { name: 'b', imagee: 'x', ports: [{ port: 1 }] }] },
  })
  assert.deepEqual(unknownFields, [
    'metadata.colour',
    'spec.containers[1].imagee',
    'spec.containers[1].ports[0].port',
  ])
  assert.doesNotMatch(JSON.stringify(object), /red|imagee/)
})

test('times, quantities and bytes take their one form', () => {
  const { object } = decode('core.v1.Pod', {
    metadata: { creationTimestamp: '2026-01-01T01:30:00.75+02:00' },
    spec: {
      containers: [{ name: 'a', resources: { limits: { memory: '1024Mi', cpu: '1000m' } } }],
    },
  })
  const pod = object as unknown as { metadata: JsonObject; spec: { containers: JsonObject[] } }
  assert.equal(pod.metadata['creationTimestamp'], '2025-12-31T23:30:00Z')
  assert.deepEqual(pod.spec.containers[0]?.['resources'], {
    limits: { cpu: '1', memory: '1Gi' },
  })
  const lease = decode('coordination.v1.Lease', {
    spec: { renewTime: '2026-01-01T01:00:00.123456+01:00' },
  }).object
  assert.deepEqual(lease['spec'], { renewTime: '2026-01-01T00:00:00.123456Z' })
})

test('a key named __proto__ is a key', () => {
  const { object } = decode('core.v1.ConfigMap', JSON.parse('{"data":{"b":"1","__proto__":"x"}}'))
  assert.equal(JSON.stringify(object['data']), '{"__proto__":"x","b":"1"}')
  assert.equal(Object.getPrototypeOf(object['data']), Object.prototype)
})

test('the result shares nothing with what was read', () => {
  const raw = { apiVersion: 'v1', kind: 'X', list: [{ a: 1 }] }
  const { object } = decode('apps.v1.ControllerRevision', { data: raw, revision: 1 })
  assert.deepEqual(object['data'], raw)
  assert.notEqual(object['data'], raw)
  assert.notEqual((object['data'] as typeof raw).list[0], raw.list[0])
})

const golden = Object.values(
  (read('./testdata/golden.json') as { objects: Record<string, { json: JsonObject }> }).objects,
)
const definitions = new Map<string, string>()
for (const [definition, { gvk }] of Object.entries(types))
  for (const [group, version, kind] of gvk ?? [])
    definitions.set(`${group === '' ? version : `${group}/${version}`} ${kind}`, definition)

test('what was read once reads the same again, for every kind', () => {
  let count = 0
  for (const { json } of golden) {
    const definition = definitions.get(`${String(json['apiVersion'])} ${String(json['kind'])}`)
    if (definition === undefined) continue
    const once = decodeTyped(types, definition, json).object
    assert.equal(JSON.stringify(decodeTyped(types, definition, once).object), JSON.stringify(once))
    count++
  }
  assert.ok(count >= 100, `${count} kinds`)
})

const pods = golden
  .filter(({ json }) => json['apiVersion'] === 'v1' && json['kind'] === 'Pod')
  .map(({ json }) => json)

/** One place of the object gets another value. */
function change(value: unknown, at: readonly number[], put: unknown): unknown {
  const [first, ...rest] = at
  if (first === undefined || typeof value !== 'object' || value === null) return put
  if (Array.isArray(value)) {
    const i = first % Math.max(value.length, 1)
    return value.with(i, change(value[i], rest, put))
  }
  const keys = Object.keys(value)
  const key = keys[first % Math.max(keys.length, 1)]
  return key === undefined
    ? put
    : { ...value, [key]: change((value as JsonObject)[key], rest, put) }
}

test('whatever is sent, the answer is an object of the type or a refusal, and field order does not matter', () => {
  const anything = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom('', '0', '1Gi', '2026-01-01T00:00:00Z', null, [], {}, -1, 2 ** 31, 1e300),
  )
  fc.assert(
    fc.property(fc.array(fc.nat(40), { maxLength: 7 }), anything, (at, put) => {
      const value = change(pods[0] ?? {}, at, put)
      let object: JsonObject
      try {
        object = decode('core.v1.Pod', value).object
      } catch (error) {
        assert.ok(error instanceof TypeMismatchError, String(error))
        assert.doesNotMatch(error.message, /undefined/)
        return
      }
      const again = decode('core.v1.Pod', object)
      assert.deepEqual(again.unknownFields, [])
      assert.equal(JSON.stringify(again.object), JSON.stringify(object))
      const turned = Object.fromEntries(Object.entries(value as JsonObject).toReversed())
      assert.equal(JSON.stringify(decode('core.v1.Pod', turned).object), JSON.stringify(object))
    }),
    { numRuns: 500 },
  )
})

test('schemas inside the unions of a schema keep no zeros, whatever form they came in', () => {
  const kind = 'CustomResourceDefinition'
  const definition = `io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.${kind}`
  const schema = {
    type: 'object',
    properties: {
      list: { type: 'array', items: { type: 'object', properties: { a: { type: 'string' } } } },
      map: { type: 'object', additionalProperties: { type: 'integer', minimum: 0 } },
      any: { type: 'object', additionalProperties: true },
    },
  }
  const crd = {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind,
    metadata: { name: 'foos.example.com' },
    spec: { versions: [{ name: 'v1', schema: { openAPIV3Schema: schema } }] },
  }
  const given = decodeTyped(types, definition, crd).object
  const bytes = encodeProtobuf(types, definition, given)
  const back = decodeProtobuf(types, definition, readEnvelope(bytes))
  assert.deepEqual(decodeTyped(types, definition, back).object, given)
  const found = JSON.stringify(given)
  assert.match(found, /"items":\{"type":"object","properties":\{"a":\{"type":"string"\}\}\}/)
  assert.match(found, /"additionalProperties":\{"type":"integer","minimum":0\}/)
  assert.match(found, /"additionalProperties":true/)
})

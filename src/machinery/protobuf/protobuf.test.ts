import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import type { TypeTable } from '../facts.ts'
import { durationNanos, formatDuration } from '../go-duration.ts'
import { decodeProtobuf, encodeProtobuf, readEnvelope } from './protobuf.ts'
import { decodeTyped } from '../typed.ts'
import { deepFreeze } from '../frozen.ts'

const read = (file: string): unknown =>
  JSON.parse(readFileSync(new URL(file, import.meta.url), 'utf8'))
const { types } = read('../../../facts/types.json') as { types: TypeTable }
const { objects } = read('../testdata/golden.json') as {
  objects: Record<string, { json: { apiVersion: string; kind: string }; pb: string }>
}

const byKind = new Map<string, string>()
for (const [definition, { gvk }] of Object.entries(types)) {
  for (const [group, version, kind] of gvk ?? [])
    byKind.set(`${group === '' ? 'core' : group}.${version}.${kind}`, definition)
}
/** Options and reviews are not in OpenAPI under a kind of their own. */
function definitionOf(name: string): string | undefined {
  const known = byKind.get(name)
  if (known !== undefined) return known
  const parts = name.split('.')
  const [kind = '', version = ''] = [parts.at(-1), parts.at(-2)]
  const group = parts.slice(0, -2).join('.')
  const short = group.split('.')[0] ?? ''
  const candidates = [
    `io.k8s.api.${short}.${version}.${kind}`,
    `io.k8s.apimachinery.pkg.apis.meta.v1.${kind}`,
  ]
  return candidates.find((each) => types[each] !== undefined)
}

for (const [name, { json, pb }] of Object.entries(objects)) {
  const definition = definitionOf(name)
  if (definition === undefined) continue
  test(`${name} goes to the golden bytes and back`, () => {
    const bytes = Buffer.from(pb, 'base64')
    const envelope = readEnvelope(bytes)
    const decoded = decodeProtobuf(types, definition, envelope)
    assert.deepEqual(
      decodeTyped(types, definition, decoded).object,
      decodeTyped(types, definition, json).object,
    )
    assert.deepEqual(
      Buffer.from(encodeProtobuf(types, definition, json)).toString('base64'),
      bytes.toString('base64'),
    )
  })
}

test('durations have the form that Go gives them', () => {
  for (const text of ['0s', '1h0m0s', '1m30s', '2.5s', '150ms', '1h2m3.000000004s', '30s'])
    assert.equal(formatDuration(durationNanos(text)), text)
})

test('messages nested too deep are refused', () => {
  const name = 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition'
  const nested = (levels: number) => {
    let schema: object = { type: 'string' }
    for (let i = 0; i < levels; i++) schema = { properties: { a: schema } }
    const versions = [{ name: 'v1', schema: { openAPIV3Schema: schema } }]
    return readEnvelope(encodeProtobuf(types, name, { kind: 'x', spec: { versions } } as object))
  }
  assert.ok(decodeProtobuf(types, name, nested(150)))
  assert.throws(() => decodeProtobuf(types, name, nested(450)), /nested deeper/)
})

test('a time of no year that JSON can tell is refused', () => {
  const name = 'io.k8s.api.core.v1.Pod'
  const read = (seconds: number) => {
    // metadata, creationTimestamp, seconds
    const time = varint(seconds)
    const meta = [0x42, time.length + 1, 0x08, ...time]
    const raw = Uint8Array.from([0x0a, meta.length, ...meta])
    return decodeProtobuf(types, name, { apiVersion: 'v1', kind: 'Pod', raw }) as {
      metadata: { creationTimestamp: string }
    }
  }
  const varint = (value: number): readonly number[] =>
    value < 128 ? [value] : [(value % 128) | 128, ...varint(Math.floor(value / 128))]
  assert.equal(read(253_402_300_799).metadata.creationTimestamp, '9999-12-31T23:59:59Z')
  for (const seconds of [253_402_300_800, 2 ** 50]) {
    assert.throws(() => read(seconds), { name: 'StatusError', message: /year is outside of range/ })
  }
})

test('what is frozen is written as what is not, again and again', () => {
  const spec = { containers: [{ name: 'main', image: 'web:1' }], nodeName: 'n' }
  const frozen = deepFreeze(structuredClone(spec))
  const bytes = (name: string, one: object): Uint8Array =>
    encodeProtobuf(types, 'io.k8s.api.core.v1.Pod', {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name },
      spec: one,
    } as object)
  for (const name of ['a', 'b', 'c'])
    assert.deepEqual(Buffer.from(bytes(name, frozen)), Buffer.from(bytes(name, spec)))
  const other = deepFreeze({ ...structuredClone(spec), nodeName: 'm' })
  assert.notDeepEqual(Buffer.from(bytes('a', other)), Buffer.from(bytes('a', frozen)))
})

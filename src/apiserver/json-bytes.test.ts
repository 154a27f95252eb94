import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toWireForm, typeTable } from '#api'
import { shapeOf, trackUpdate, type JsonObject } from '#machinery'
import {
  ChunkWriter,
  giveBack,
  hasHead,
  isLent,
  splice,
  spliceBound,
  spliced,
  storedFormOf,
  toStored,
} from './json-bytes.ts'

const form = storedFormOf({ group: '', version: 'v1', kind: 'Pod' })
const pod = {
  apiVersion: 'v1',
  spec: { a: 'ü' },
  kind: 'Pod',
  metadata: { resourceVersion: '3', name: 'web' },
}

test('what is stored has no revision, and gets the right one on its way out', () => {
  const bytes = toStored(pod).bytes
  assert.ok(hasHead(bytes, form))
  assert.deepEqual(JSON.parse(Buffer.from(spliced(bytes, 42, form)).toString()), {
    ...toWireForm(pod),
    metadata: { resourceVersion: '42', name: 'web' },
  })
})
test('sets of fields that many objects share are written from their text, and nothing is different', () => {
  const shape = shapeOf(typeTable, 'io.k8s.api.core.v1.Pod')
  const made = (metadata: JsonObject, rest: JsonObject): JsonObject => {
    const object = { kind: 'Pod', apiVersion: 'v1', metadata, ...rest }
    const context = {
      shape,
      manager: 'tester',
      apiVersion: 'v1',
      subresource: '',
      now: new Date(0),
    }
    metadata['managedFields'] = trackUpdate({}, object, context)
    return object
  }
  for (const object of [
    made({ name: 'web' }, { spec: { nodeName: 'a' } }),
    made({ name: 'web', labels: { a: 'ü', 'b"': '1' } }, {}),
    made({}, { spec: { nodeName: 'a' } }),
  ])
    assert.deepEqual(JSON.parse(Buffer.from(toStored(object).bytes).toString()), toWireForm(object))
})
test('items of a list carry no kind', () => {
  const bytes = toStored(pod).bytes
  const target = Buffer.alloc(spliceBound(bytes))
  const end = splice(target, 0, bytes, 9_007_199_254_740_991, form, { withKind: false })
  const { kind: _kind, apiVersion: _version, ...rest } = toWireForm(pod)
  assert.deepEqual(JSON.parse(target.subarray(0, end).toString()), {
    ...rest,
    metadata: { resourceVersion: '9007199254740991', name: 'web' },
  })
})
test('other kinds, and metadata with nothing in it, are not taken for the stored form', () => {
  assert.ok(!hasHead(toStored({ ...pod, kind: 'Pot' }).bytes, form))
  assert.ok(!hasHead(toStored({ kind: 'Pod', apiVersion: 'v1', metadata: {} }).bytes, form))
})
test('chunks hold all that was written, in order, whatever its size', () => {
  const writer = new ChunkWriter()
  const parts = ['a'.repeat(100_000), 'b'.repeat(300_000), 'ü'.repeat(10), 'c'.repeat(100_000)]
  const chunks: Uint8Array[] = []
  for (const part of parts) {
    if (part.startsWith('b')) writer.bytes(Buffer.from(part))
    else writer.text(part)
    chunks.push(...writer.take())
  }
  chunks.push(...writer.finish())
  assert.equal(Buffer.concat(chunks).toString(), parts.join(''))
})

test('a chunk is used again once it was given back, and not before', () => {
  const written = (letter: string): Uint8Array => {
    const writer = new ChunkWriter()
    writer.text(letter.repeat(30_000))
    writer.text(letter.repeat(20_000))
    const [chunk, ...others] = writer.finish()
    assert.ok(chunk !== undefined && others.length === 0)
    return chunk
  }
  const first = written('a')
  const second = written('b')
  assert.equal(first[0], 'a'.charCodeAt(0))
  assert.ok(isLent(first))
  giveBack(first)
  giveBack(first)
  assert.ok(!isLent(first))
  const third = written('c')
  assert.equal(third.buffer, first.buffer)
  assert.notEqual(written('d').buffer, first.buffer)
  assert.equal(second[0], 'b'.charCodeAt(0))
  // A little is copied: it needs no chunk.
  const small = new ChunkWriter()
  small.text('few')
  assert.ok(small.finish().every((each) => !isLent(each)))
})

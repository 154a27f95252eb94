import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isStatus } from '#machinery'
import {
  LIST_SHAPES,
  NO_SHAPES,
  OBJECT_SHAPES,
  bodyEncoding,
  negotiate,
  negotiateError,
} from './negotiate.ts'

const TABLE = 'application/json;as=Table;v=v1;g=meta.k8s.io'
const PARTIAL = 'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io'

test('kubectl get is given a table, and JSON where there is none', () => {
  const accept = `${TABLE},application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json`
  assert.equal(negotiate(accept, LIST_SHAPES).shape, 'table')
  assert.equal(negotiate(accept, NO_SHAPES).shape, 'object')
})
test('what one answer has no table for, another one still has', () => {
  const none = { Table: 'object' } as const
  assert.equal(negotiate(TABLE, none).shape, 'object')
  assert.equal(negotiate(TABLE, OBJECT_SHAPES).shape, 'table')
  assert.equal(negotiate(TABLE, LIST_SHAPES).shape, 'table')
})
test('a table alone, of something that has none, is not acceptable', () => {
  assert.throws(
    () => negotiate(TABLE, NO_SHAPES),
    (error) => isStatus(error, 'NotAcceptable'),
  )
})
test('the order of the header decides between encodings of one quality, then quality does', () => {
  const protobuf = 'application/vnd.kubernetes.protobuf,application/json'
  assert.equal(negotiate(protobuf, OBJECT_SHAPES).encoding, 'protobuf')
  assert.equal(
    negotiate('application/yaml;q=0.4, application/json', OBJECT_SHAPES).encoding,
    'json',
  )
})
test('metadata of an object and of a list are asked for by different names', () => {
  assert.equal(negotiate(PARTIAL, OBJECT_SHAPES).shape, 'metadata')
  assert.throws(() => negotiate(PARTIAL, LIST_SHAPES))
})
test('another form is named in full, or it is not acceptable', () => {
  for (const part of ['as=Table;v=v1', 'as=Table;g=meta.k8s.io', 'g=meta.k8s.io;v=v1', 'v=v1'])
    assert.throws(
      () => negotiate(`application/json;${part}`, OBJECT_SHAPES),
      (error) => isStatus(error, 'NotAcceptable'),
    )
})
test('an error has no other form: it is JSON for who asks for one only', () => {
  const table = 'application/yaml;as=Table;v=v1;g=meta.k8s.io'
  assert.equal(negotiateError(table), 'json')
  assert.equal(negotiateError(`${table},application/yaml`), 'yaml')
})
test('no wish and any wish are JSON', () => {
  assert.equal(negotiate(undefined, OBJECT_SHAPES).encoding, 'json')
  assert.equal(negotiate('text/html, */*;q=0.8', OBJECT_SHAPES).encoding, 'json')
})
test('a body of an unknown type is 415 and says what would be right', () => {
  assert.throws(
    () => bodyEncoding('application/cbor'),
    (error) => isStatus(error, 'UnsupportedMediaType') && /application\/json/.test(error.message),
  )
  assert.equal(bodyEncoding('application/json; charset=utf-8'), 'json')
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parse } from 'yaml'
import { typeTable } from '#api'
import {
  decodeProtobuf,
  decodeTyped,
  encodeProtobuf,
  readEnvelope,
  type JsonObject,
} from '#machinery'
import { exchangeFor, send, testServer } from '../server.testing.ts'

const MAPS = '/api/v1/namespaces/shop/configmaps'
const PROTOBUF = 'application/vnd.kubernetes.protobuf'
const CONFIG_MAP = 'io.k8s.api.core.v1.ConfigMap'
const map = (name: string, data: Record<string, string> = { a: 'b' }): JsonObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name },
  data,
})

const bytesOf = async (
  { server }: Awaited<ReturnType<typeof testServer>>,
  line: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<{ readonly status: number; readonly type: unknown; readonly bytes: Buffer }> => {
  const reply = await server.handler(exchangeFor(line, body, headers))
  const chunks: Uint8Array[] = []
  if (reply.body instanceof Uint8Array) chunks.push(reply.body)
  else if (reply.body !== undefined) for await (const chunk of reply.body) chunks.push(chunk)
  return {
    status: reply.status,
    type: reply.headers['content-type'],
    bytes: Buffer.concat(chunks),
  }
}
const decode = (bytes: Uint8Array, type: string): JsonObject =>
  // Zero values are on the wire: as typed they are absent again.
  decodeTyped(typeTable, type, decodeProtobuf(typeTable, type, readEnvelope(bytes))).object

test('protobuf goes in and comes out', async () => {
  const t = await testServer()
  const body = encodeProtobuf(typeTable, CONFIG_MAP, map('a'))
  const made = await bytesOf(t, `POST ${MAPS}`, body, {
    'content-type': PROTOBUF,
    accept: PROTOBUF,
  })
  assert.equal(made.status, 201)
  assert.equal(made.type, PROTOBUF)
  const object = decode(made.bytes, CONFIG_MAP)
  assert.deepEqual(object['data'], { a: 'b' })
  const { json } = await send(t.server, `GET ${MAPS}/a`)
  assert.deepEqual(json['metadata'], object['metadata'])
})

test('a list in protobuf says what the list in JSON says', async () => {
  const t = await testServer()
  for (let i = 0; i < 150; i++)
    await send(t.server, `POST ${MAPS}`, map(`m${i}`, { text: 'x'.repeat(2000) }))
  const { bytes } = await bytesOf(t, `GET ${MAPS}`, undefined, {
    accept: `${PROTOBUF},application/json`,
  })
  const list = decode(bytes, 'io.k8s.api.core.v1.ConfigMapList')
  const { json } = await send(t.server, `GET ${MAPS}`)
  assert.equal(list['kind'], 'ConfigMapList')
  const items = (list: JsonObject) =>
    (list['items'] as JsonObject[]).map(({ metadata, data }) => ({ metadata, data }))
  assert.deepEqual(items(list), items(json))
  assert.equal(
    (list['metadata'] as JsonObject)['resourceVersion'],
    (json['metadata'] as JsonObject)['resourceVersion'],
  )
})

test('only the metadata comes in protobuf too', async () => {
  const t = await testServer()
  const PARTIAL = 'io.k8s.apimachinery.pkg.apis.meta.v1.PartialObjectMetadata'
  await send(t.server, `POST ${MAPS}`, { ...map('a'), metadata: { name: 'a', labels: { x: 'y' } } })
  for (const version of ['v1', 'v1beta1']) {
    const { status, bytes } = await bytesOf(t, `GET ${MAPS}/a`, undefined, {
      accept: `${PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=${version},application/json`,
    })
    assert.equal(status, 200)
    assert.equal(readEnvelope(bytes).apiVersion, `meta.k8s.io/${version}`)
    const { kind, metadata, data } = decode(bytes, PARTIAL)
    assert.deepEqual(
      [kind, (metadata as JsonObject)['labels'], data],
      ['PartialObjectMetadata', { x: 'y' }, undefined],
    )
  }
})

test('events of a watch are framed by their length', async () => {
  const t = await testServer()
  await send(t.server, `POST ${MAPS}`, map('a'))
  await send(t.server, `POST ${MAPS}`, map('b'))
  const stop = new AbortController()
  const line = `GET ${MAPS}?watch=1`
  const headers = { accept: `${PROTOBUF};stream=watch` }
  const reply = await t.server.handler(exchangeFor(line, undefined, headers, stop.signal))
  assert.equal(reply.headers['content-type'], `${PROTOBUF};stream=watch`)
  const names: string[] = []
  for await (const chunk of reply.body as AsyncIterable<Uint8Array>) {
    let rest = Buffer.from(chunk)
    while (rest.length > 0) {
      const length = rest.readUInt32BE(0)
      const frame = rest.subarray(4, 4 + length)
      // Field 1 is the type, field 2 the object, whose envelope begins with its magic.
      assert.equal(frame.subarray(2, 7).toString(), 'ADDED')
      const object = decode(frame.subarray(frame.indexOf('k8s\0')), CONFIG_MAP)
      names.push(String((object['metadata'] as JsonObject)['name']))
      rest = rest.subarray(4 + length)
    }
    break
  }
  stop.abort()
  assert.deepEqual(names, ['a', 'b'])
})

test('errors are answered in the encoding that was asked for', async () => {
  const t = await testServer()
  const { status, bytes, type } = await bytesOf(t, `GET ${MAPS}/none`, undefined, {
    accept: PROTOBUF,
  })
  assert.equal(status, 404)
  assert.equal(type, PROTOBUF)
  const error = decode(bytes, 'io.k8s.apimachinery.pkg.apis.meta.v1.Status')
  assert.equal(error['reason'], 'NotFound')
  assert.equal(error['code'], 404)
})

test('bytes that are no protobuf of ours are 400', async () => {
  const t = await testServer()
  const headers = { 'content-type': PROTOBUF }
  for (const body of [
    Buffer.from('{}'),
    Buffer.from('6b387300ff', 'hex'),
    Buffer.alloc(50, 0xff),
  ]) {
    const { status } = await send(t.server, `POST ${MAPS}`, body, headers)
    assert.equal(status, 400, body.toString('hex'))
  }
})

test('YAML goes in and comes out', async () => {
  const { server } = await testServer()
  const made = await send(server, `POST ${MAPS}`, 'metadata:\n  name: a\ndata:\n  x: "1"\n', {
    'content-type': 'application/yaml',
    accept: 'application/yaml',
  })
  assert.equal(made.status, 201)
  assert.deepEqual((parse(made.text) as JsonObject)['data'], { x: '1' })
})

test('what is not JSON, not an object, or of the wrong type is 400 with the reason', async () => {
  const { server } = await testServer()
  const message = async (body: string): Promise<string> => {
    const { status, json } = await send(server, `POST ${MAPS}`, body)
    assert.equal(status, 400, body)
    return String(json['message'])
  }
  await message('{')
  await message('[]')
  await message('null')
  await message('"text"')
  assert.match(
    await message('{"metadata":{"name":"a"},"data":{"x":1}}'),
    /^ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number/,
  )
  await message(`{"metadata":${'['.repeat(5000)}${']'.repeat(5000)}}`)
})

test('people get line ends', async () => {
  const { server } = await testServer()
  assert.match((await send(server, 'GET /version?pretty=true')).text, /\n {2}"major": "1"/)
  assert.doesNotMatch((await send(server, 'GET /version')).text, /\n {2}/)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ApiServer } from './server.ts'
import { exchangeFor, send, testServer } from './server.testing.ts'

const REVISIONS = '/apis/apps/v1/namespaces/shop/controllerrevisions'
const PROTOBUF = { accept: 'application/vnd.kubernetes.protobuf' }

test('what a client in Go keeps as bytes has the bytes that Go would write', async () => {
  const { server } = await testServer()
  const data = { spec: { args: ['a && b < c > d \u2028\u2029'], $patch: 'replace' } }
  const body = { metadata: { name: 'r' }, data, revision: 1 }
  const made = await send(server, `POST ${REVISIONS}`, body)
  const written = String.raw`"data":{"spec":{"args":["a \u0026\u0026 b \u003c c \u003e d \u2028\u2029"],"$patch":"replace"}}`
  assert.ok(made.text.includes(written), made.text)
  assert.deepEqual(made.json['data'], data)
  for (const headers of [{}, PROTOBUF])
    for (const path of [`${REVISIONS}/r`, REVISIONS]) {
      const { text } = await send(server, `GET ${path}`, undefined, headers)
      assert.ok(text.includes(written.slice('"data":'.length)), text)
    }
})

/** The first bytes of a watch. */
async function firstOf({ handler }: ApiServer, url: string, accept: string): Promise<string> {
  const stop = new AbortController()
  const { body } = await handler(exchangeFor(`GET ${url}`, undefined, { accept }, stop.signal))
  assert.ok(body !== undefined && !(body instanceof Uint8Array))
  for await (const chunk of body) {
    stop.abort()
    return Buffer.from(chunk).toString()
  }
  return ''
}

test('metadata, tables and watches of them are escaped like all else', async () => {
  const { server } = await testServer()
  const annotations = { note: 'a < b & c' }
  const body = { metadata: { name: 'r', annotations }, data: {}, revision: 1 }
  await send(server, `POST ${REVISIONS}`, body)
  const escaped = String.raw`{"note":"a \u003c b \u0026 c"}`
  const as = (kind: string) => `application/json;as=${kind};g=meta.k8s.io;v=v1`
  for (const kind of ['PartialObjectMetadataList', 'Table']) {
    const { text } = await send(server, `GET ${REVISIONS}`, undefined, { accept: as(kind) })
    assert.ok(text.includes(escaped), text)
  }
  for (const kind of ['PartialObjectMetadata', 'Table']) {
    const text = await firstOf(server, `${REVISIONS}?watch=1`, as(kind))
    assert.ok(text.includes(escaped), text)
  }
})

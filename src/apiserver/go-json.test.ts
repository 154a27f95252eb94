import assert from 'node:assert/strict'
import { test } from 'node:test'
import { send, testServer } from './server.testing.ts'

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

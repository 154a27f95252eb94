import assert from 'node:assert/strict'
import { test } from 'node:test'
import { send, testServer } from '../server.testing.ts'

const MAPS = '/api/v1/namespaces/shop/configmaps'
const SETS = '/apis/apps/v1/namespaces/shop/deployments'
const large = (bytes: number) => ({
  metadata: { name: 'large' },
  spec: {
    selector: { matchLabels: { a: 'b' } },
    template: {
      metadata: { labels: { a: 'b' } },
      spec: { containers: [{ name: 'main', image: 'web:1', args: ['x'.repeat(bytes)] }] },
    },
  },
})

test('objects that etcd would not take are refused in its words, new or grown', async () => {
  const { server } = await testServer()
  const refused = async (line: string, body: object) => {
    const { status, json } = await send(server, line, body)
    return [status, json['message'], json['reason']]
  }
  const tooLarge = [500, 'etcdserver: request is too large', undefined]
  assert.deepEqual(await refused(`POST ${SETS}`, large(1_600_000)), tooLarge)
  assert.equal((await send(server, `POST ${SETS}`, large(1000))).status, 201)
  assert.deepEqual(await refused(`PUT ${SETS}/large`, large(1_600_000)), tooLarge)
  const [code, message] = await refused(`POST ${SETS}`, large(2_200_000))
  assert.equal(code, 500)
  assert.match(String(message), /^rpc error: code = ResourceExhausted desc = trying to send/)
  assert.equal((await send(server, `GET ${SETS}/large`)).status, 200)
})

test('what counts is the form of Kubernetes: a megabyte of line ends is a megabyte', async () => {
  const { server } = await testServer()
  const map = { metadata: { name: 'lines' }, data: { text: '\n'.repeat(1_000_000) } }
  assert.equal((await send(server, `POST ${MAPS}`, map)).status, 201)
})

import assert from 'node:assert/strict'
import * as http2 from 'node:http2'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import { configMaps } from '#api'
import { isStatus } from '#machinery'
import { createClient } from '../client.ts'
import { httpTransport } from './transport.ts'

type Answer = (
  stream: http2.ServerHttp2Stream,
  headers: http2.IncomingHttpHeaders,
  body: string,
) => void

/** A server that speaks HTTP/2 without TLS; `answers` are used in turn, the last one for ever. */
async function serving(...answers: readonly Answer[]) {
  const sessions = new Set<http2.ServerHttp2Session>()
  const server = http2.createServer()
  let served = 0
  server.on('session', (session) => sessions.add(session))
  server.on('stream', (stream, headers) => {
    let body = ''
    stream.on('error', () => undefined)
    stream.on('data', (chunk: Buffer) => (body += chunk.toString()))
    stream.on('end', () =>
      answers[Math.min(served++, answers.length - 1)]?.(
        stream as http2.ServerHttp2Stream,
        headers,
        body,
      ),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const transport = httpTransport({
    server: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    token: () => `token-${served}`,
  })
  const close = (): void => {
    transport.close()
    for (const session of sessions) session.destroy()
    server.close()
  }
  after(close)
  return { client: createClient(transport), transport, sessions, close }
}

const json =
  (status: number, body: unknown): Answer =>
  (stream) => {
    stream.respond({ ':status': status, 'content-type': 'application/json' })
    stream.end(JSON.stringify(body))
  }
const map = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a', namespace: 'shop' } }
const key = { namespace: 'shop', name: 'a' }

test('what a server shows as null is absent, or empty where a list is always there', async () => {
  const slice = {
    metadata: { name: 'a', namespace: 'shop' },
    addressType: 'IPv4',
    endpoints: null,
    ports: null,
  }
  const apiVersion = 'discovery.k8s.io/v1'
  const whole = { kind: 'EndpointSlice', apiVersion, ...slice }
  const list = { kind: 'EndpointSliceList', apiVersion, metadata: {}, items: [slice] }
  const { transport } = await serving(json(200, whole), json(200, list), (stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/json' })
    stream.end(`${JSON.stringify({ type: 'ADDED', object: whole })}\n`)
  })
  const path = '/apis/discovery.k8s.io/v1/endpointslices'
  const read = { ...slice, endpoints: [], ports: [] }
  const one = (await transport.request({ method: 'GET', path })) as object
  assert.deepEqual(one, { kind: 'EndpointSlice', apiVersion, ...read })
  const all = (await transport.request({ method: 'GET', path })) as { items: unknown }
  assert.deepEqual(all.items, [read])
  for await (const [event] of await transport.watch({ method: 'GET', path }))
    assert.deepEqual(event?.object, one)
})

test('a request says what it wants, and gets the decoded answer', async () => {
  let seen: unknown
  const { client } = await serving((stream, headers, body) => {
    const { ':method': method, ':path': path, 'content-type': type, authorization } = headers
    seen = [method, path, type, authorization, JSON.parse(body)]
    json(200, map)(stream, headers, body)
  })
  const answer = await client.patch(configMaps, key, 'merge', { data: { a: '1' } })
  assert.equal(answer.metadata.name, 'a')
  assert.deepEqual(seen, [
    'PATCH',
    '/api/v1/namespaces/shop/configmaps/a',
    'application/merge-patch+json',
    'Bearer token-0',
    { data: { a: '1' } },
  ])
})

test('a refusal is an error with the status of the server, also when that is no Status', async () => {
  const { client } = await serving(
    json(404, {
      kind: 'Status',
      code: 404,
      reason: 'NotFound',
      message: 'configmaps "a" not found',
    }),
    (stream) => {
      stream.respond({ ':status': 502 })
      stream.end('bad gateway')
    },
  )
  await assert.rejects(client.get(configMaps, key), (error) => isStatus(error, 'NotFound'))
  await assert.rejects(client.get(configMaps, key), /bad gateway/)
})

test('a lost connection fails what is under way, and the next request makes a new one', async () => {
  const { client, sessions } = await serving((stream) => stream.session?.destroy(), json(200, map))
  await assert.rejects(client.get(configMaps, key))
  assert.equal((await client.get(configMaps, key)).metadata.name, 'a')
  assert.equal(sessions.size, 2)
})

test('events of a watch arrive whole though the wire cuts them anywhere', async () => {
  const text = ['a', 'ä', 'c']
    .map((name) => JSON.stringify({ type: 'ADDED', object: { metadata: { name } } }) + '\n')
    .join('')
  const bytes = Buffer.from(text)
  const { client } = await serving((stream) => {
    stream.respond({ ':status': 200 })
    for (let at = 0; at < bytes.length; at += 7) stream.write(bytes.subarray(at, at + 7))
    stream.end()
  })
  const names: string[] = []
  for await (const batch of await client.watch(configMaps))
    for (const { object } of batch) names.push(object.metadata.name)
  assert.deepEqual(names, ['a', 'ä', 'c'])
})

test('a watch ends when its signal aborts', async () => {
  const stop = new AbortController()
  const { client } = await serving((stream) => {
    stream.respond({ ':status': 200 })
    stream.write(`${JSON.stringify({ type: 'ADDED', object: map })}\n`)
  })
  const events = await client.watch(configMaps, { signal: stop.signal })
  await assert.rejects(async () => {
    for await (const batch of events) {
      assert.equal(batch.length, 1)
      stop.abort()
    }
  })
})

import assert from 'node:assert/strict'
import type { Duplex } from 'node:stream'
import { test } from 'node:test'
import type { EndpointSlice, Node, Service } from '#api'
import { virtualEnv } from '#base'
import type { Change, Follow } from '../../follow.ts'
import { SYNC_LIMIT_MS } from './answers.ts'
import { ASK_WITHIN_MS } from './http.ts'
import { answerHealth } from './index.ts'

const meta = { uid: 'u', resourceVersion: '1', creationTimestamp: '' }
const HEALTH = 10_256

const node = (more: { taint?: string; deleted?: boolean } = {}): Node => ({
  metadata: {
    ...meta,
    name: 'n1',
    ...(more.deleted === true ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}),
  },
  spec: more.taint === undefined ? {} : { taints: [{ key: more.taint, effect: 'NoSchedule' }] },
})
const service = (
  name: string,
  healthCheckNodePort: number,
  policy: 'Local' | 'Cluster' = 'Local',
): Service => ({
  metadata: { ...meta, name, namespace: 'shop' },
  spec: { type: 'LoadBalancer', externalTrafficPolicy: policy, healthCheckNodePort },
})
const slice = (...endpoints: readonly (readonly [ip: string, node: string, ready: boolean])[]) =>
  ({
    metadata: {
      ...meta,
      name: 'web-1',
      namespace: 'shop',
      labels: { 'kubernetes.io/service-name': 'web' },
    },
    addressType: 'IPv4',
    endpoints: endpoints.map(([ip, nodeName, ready]) => ({
      addresses: [ip],
      nodeName,
      conditions: { ready },
    })),
  }) satisfies EndpointSlice

/** What is told by hand. */
function told<T>(): { follow: Follow<T>; tell: (change: Change<T>) => void } {
  let run: (change: Change<T>) => void = () => undefined
  return {
    follow: async (onChange) => {
      run = onChange
    },
    tell: (change) => run(change),
  }
}

async function running() {
  const env = virtualEnv()
  const nodes = told<Node>()
  const services = told<Service>()
  const slices = told<EndpointSlice>()
  let since: number | undefined
  const stop = new AbortController()
  await answerHealth(
    {
      env,
      nodeName: 'n1',
      nodes: nodes.follow,
      services: services.follow,
      endpointSlices: slices.follow,
      waitingSince: () => since,
    },
    stop.signal,
  )
  const open = (port: number): Promise<Duplex> => env.net.connect({ host: '127.0.0.1', port })
  const ask = async (port: number, request: string): Promise<string> => {
    const socket = await open(port)
    socket.write(request)
    let answer = ''
    for await (const chunk of socket) answer += String(chunk)
    return answer
  }
  const get = async (port: number, path: string) => {
    const answer = await ask(port, `GET ${path} HTTP/1.1\r\nHost: n1\r\n\r\n`)
    const [head = '', body = ''] = answer.split('\r\n\r\n')
    return { status: Number(head.split(' ')[1]), head, body }
  }
  return { env, nodes, services, slices, stop, open, ask, get, wait: (at?: number) => (since = at) }
}

test('a node whose proxy works should be sent connections', async () => {
  const { get, env } = await running()
  const { status, head, body } = await get(HEALTH, '/healthz?x=1')
  assert.equal(status, 200)
  assert.match(head, /^HTTP\/1\.1 200 OK\r\nContent-Type: application\/json\r\n/)
  const now = env.clock.now().toISOString()
  assert.deepEqual(JSON.parse(body), {
    lastUpdated: now,
    currentTime: now,
    nodeEligible: true,
    status: { IPv4: { lastUpdated: now, healthy: true } },
  })
  assert.equal((await get(HEALTH, '/livez')).status, 200)
  assert.equal((await get(HEALTH, '/')).status, 404)
  assert.equal((await get(10_249, '/proxyMode')).body, 'nftables')
  assert.equal((await get(10_249, '/healthz')).body, 'ok')
})

test('a node that is going away is sent nothing more, though its proxy lives', async () => {
  const { get, nodes } = await running()
  for (const gone of [node({ deleted: true }), node({ taint: 'ToBeDeletedByClusterAutoscaler' })]) {
    nodes.tell({ type: 'set', object: gone })
    const { status, body } = await get(HEALTH, '/healthz')
    assert.equal(status, 503)
    assert.equal((JSON.parse(body) as { nodeEligible: boolean }).nodeEligible, false)
    assert.equal((await get(HEALTH, '/livez')).status, 200)
  }
  nodes.tell({ type: 'set', object: node() })
  assert.equal((await get(HEALTH, '/healthz')).status, 200)
})

test('a proxy whose changes do not reach the kernel is not healthy', async () => {
  const { get, env, wait } = await running()
  wait(env.clock.monotonic())
  await env.advance(SYNC_LIMIT_MS)
  assert.equal((await get(HEALTH, '/livez')).status, 200)
  await env.advance(1)
  assert.equal((await get(HEALTH, '/livez')).status, 503)
  assert.equal((await get(HEALTH, '/healthz')).status, 503)
  wait(undefined)
  assert.equal((await get(HEALTH, '/livez')).status, 200)
})

test('a load balancer learns on which nodes a Service has pods', async () => {
  const { get, services, slices, env, stop, open } = await running()
  services.tell({ type: 'set', object: service('web', 30_100) })
  await env.advance(0)
  assert.equal((await get(30_100, '/')).status, 503)
  slices.tell({
    type: 'set',
    object: slice(['10.0.0.1', 'n1', true], ['10.0.0.2', 'n1', false], ['10.0.1.1', 'n2', true]),
  })
  const { status, head, body } = await get(30_100, '/anything')
  assert.equal(status, 200)
  assert.match(head, /\r\nX-Load-Balancing-Endpoint-Weight: 1\r\n/)
  assert.deepEqual(JSON.parse(body), {
    service: { namespace: 'shop', name: 'web' },
    localEndpoints: 1,
    serviceProxyHealthy: true,
  })
  // The port goes on to another Service.
  services.tell({ type: 'gone', object: service('web', 30_100) })
  services.tell({ type: 'set', object: service('api', 30_100) })
  await env.advance(0)
  assert.match((await get(30_100, '/')).body, /"name": "api"/)
  services.tell({ type: 'set', object: service('api', 30_100, 'Cluster') })
  await env.advance(0)
  await assert.rejects(open(30_100), /ECONNREFUSED/)
  stop.abort()
  await env.advance(0)
  await assert.rejects(open(HEALTH), /ECONNREFUSED/)
})

test('who asks otherwise than by GET, too much or not at all is sent away', async () => {
  const { ask, open, env } = await running()
  const head = await ask(HEALTH, 'HEAD /healthz HTTP/1.1\r\n\r\n')
  assert.match(head, /^HTTP\/1\.1 200 OK\r\n.*\r\n\r\n$/s)
  assert.match(await ask(HEALTH, 'POST /healthz HTTP/1.1\r\n\r\n'), /^HTTP\/1\.1 405 /)
  const much = await open(HEALTH)
  much.write(`GET /${'a'.repeat(10_000)}`)
  const silent = await open(HEALTH)
  await env.advance(ASK_WITHIN_MS)
  assert.deepEqual([much.destroyed, silent.destroyed], [true, true])
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodes, pods, type Node, type Pod } from '#api'
import { virtualEnv } from '#base'
import type { NodeApi } from '#client'
import { testReader } from '../auth/reader.testing.ts'
import type { KubeObject } from '#machinery'
import type { Exchange } from '../exchange.ts'
import { send, testServer } from '../server.testing.ts'
import { metricsReads } from './index.ts'

const exchange = {} as Exchange
const ALL = { namespace: '', name: '' }

/** A node that has used half a core since the beginning, and a pod that used a tenth of one. */
function setting() {
  const env = virtualEnv()
  const read = testReader()
  const node = (name: string, labels = {}) => ({ metadata: { name, labels } }) as unknown as Node
  read.put(nodes, node('n1', { zone: 'a' }))
  read.put(nodes, node('dead'))
  const pod = (name: string, phase: string) =>
    ({
      metadata: { namespace: 'shop', name, labels: { app: name } },
      spec: { nodeName: 'n1', containers: [] },
      status: { phase },
    }) as unknown as Pod
  read.put(pods, pod('web', 'Running'))
  read.put(pods, pod('done', 'Succeeded'))
  read.put(pods, pod('quiet', 'Running'))
  let asked = 0
  const page: NodeApi['page'] = async () => {
    asked++
    const nanos = env.clock.monotonic() * 1e6
    const summary = {
      node: {
        cpu: { usageCoreNanoSeconds: nanos / 2 },
        memory: { workingSetBytes: 2048 * 1024 },
      },
      pods: [
        {
          podRef: { namespace: 'shop', name: 'web' },
          containers: [
            {
              name: 'main',
              cpu: { usageCoreNanoSeconds: nanos / 10 },
              memory: { workingSetBytes: 1000 },
            },
          ],
        },
      ],
    }
    const body = Buffer.from(JSON.stringify(summary))
    return { status: 200, contentType: 'application/json', body }
  }
  const nodeApi = (name: string) => (name === 'n1' ? ({ page } as NodeApi) : undefined)
  const reads = metricsReads({ env, read, nodeApi })
  const ask = async (resource: 'nodes' | 'pods', wanted = ALL): Promise<readonly unknown[]> => {
    const answer = reads[`${resource}.metrics.k8s.io`]!(exchange, wanted)
    // It is looked at once the time has passed.
    answer.catch(() => undefined)
    await env.advance(1000)
    return answer
  }
  return { env, ask, asked: () => asked }
}

test('what nodes and pods use is known after a second, in the form of metrics.k8s.io', async () => {
  const { ask } = setting()
  const [node, ...others] = await ask('nodes')
  assert.deepEqual(others, [])
  assert.deepEqual(node, {
    kind: 'NodeMetrics',
    apiVersion: 'metrics.k8s.io/v1beta1',
    metadata: { name: 'n1', labels: { zone: 'a' }, creationTimestamp: '2026-01-01T00:00:01Z' },
    timestamp: '2026-01-01T00:00:01Z',
    window: '1.000s',
    usage: { cpu: '500000000n', memory: '2048Ki' },
  })
  const web = await ask('pods', { namespace: 'shop', name: 'web' })
  assert.deepEqual((web[0] as { containers: unknown }).containers, [
    { name: 'main', usage: { cpu: '100000000n', memory: '1Ki' } },
  ])
  assert.equal((await ask('pods')).length, 1)
})

test('two that ask at the same moment are both answered from looks that have time between them', async () => {
  const { env, ask } = setting()
  await ask('nodes')
  await env.advance(4000)
  for (const [node] of await Promise.all([ask('nodes'), ask('nodes')]))
    assert.deepEqual((node as { usage: unknown }).usage, { cpu: '500000000n', memory: '2048Ki' })
})

test('nodes are looked at while somebody asks, and left alone after a while', async () => {
  const { env, ask, asked } = setting()
  await ask('nodes')
  assert.equal(asked(), 2)
  await env.advance(50_000)
  const [node] = (await ask('nodes')) as { window: string; timestamp: string }[]
  // Since the last look, six seconds ago.
  assert.equal(node?.window, '6.000s')
  assert.equal(node.timestamp, '2026-01-01T00:00:51Z')
  await env.advance(30 * 60_000)
  const before = asked()
  await env.advance(30 * 60_000)
  assert.equal(asked(), before)
  assert.equal((await ask('nodes')).length, 1)
})

test('what is not there, and what nothing is known of, are told apart', async () => {
  const { ask } = setting()
  const missing = (resource: 'nodes' | 'pods', name: string, message: string): Promise<void> =>
    assert.rejects(ask(resource, { namespace: resource === 'pods' ? 'shop' : '', name }), {
      reason: 'NotFound',
      message,
    })
  await missing('nodes', 'nope', 'node "nope" not found')
  await missing('nodes', 'dead', 'nodemetrics.metrics.k8s.io "dead" not found')
  await missing('pods', 'nope', 'pods "nope" not found')
  await missing('pods', 'done', 'pods "done" not found')
  await missing('pods', 'quiet', 'podmetrics.metrics.k8s.io "shop/quiet" not found')
})

test('clients see it in discovery, ask in protobuf as kubectl does, and choose by labels', async () => {
  const usage = { cpu: '1n', memory: '1Ki' }
  const about = (name: string) =>
    ({
      kind: 'NodeMetrics',
      apiVersion: 'metrics.k8s.io/v1beta1',
      metadata: { name, labels: { name } },
      timestamp: '2026-01-01T00:00:00Z',
      window: '15s',
      usage,
    }) as unknown as KubeObject
  const { server } = await testServer({
    extensions: {
      virtualReads: { 'nodes.metrics.k8s.io': async () => [about('a'), about('b')] },
    },
  })
  const path = '/apis/metrics.k8s.io/v1beta1'
  const { json } = await send(server, `GET ${path}`)
  assert.deepEqual(
    (json['resources'] as { name: string }[]).map(({ name }) => name),
    ['nodes'],
  )
  const accept = 'application/vnd.kubernetes.protobuf'
  const bytes = await send(server, `GET ${path}/nodes`, undefined, { accept })
  assert.equal(bytes.status, 200)
  assert.match(bytes.text, /^k8s\0.*NodeMetricsList/s)
  const chosen = await send(server, `GET ${path}/nodes?labelSelector=name%3Db`)
  assert.deepEqual(
    (chosen.json['items'] as KubeObject[]).map(({ metadata }) => metadata.name),
    ['b'],
  )
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { events, leases, nodes, pods, type Node, type Pod } from '#api'
import type { Draft } from '#machinery'
import { isReady } from '../framework/index.ts'
import { podGcController } from '../pod-gc/index.ts'
import { taintEvictionController } from '../taint-eviction/index.ts'
import { heartbeats, world, type World, type WorldOptions } from '../testing/world.ts'
import { nodeLifecycleController } from './index.ts'

async function running(options: WorldOptions = {}) {
  const w = await world([nodeLifecycleController(), taintEvictionController(), podGcController], {
    nodes: ['n1', 'n2'],
    place: ({ metadata }) => (metadata.name.startsWith('a') ? 'n1' : 'n2'),
    ...options,
  })
  const stop = new AbortController()
  heartbeats(w, stop.signal)
  return { ...w, stop: () => (stop.abort(), w.stop()) }
}
const pod = (name: string, more: Partial<Pod['spec']> = {}): Draft<Pod> => ({
  metadata: { namespace: 'shop', name },
  spec: { containers: [{ name: 'main', image: 'web:1' }], ...more },
})
const tolerating = (seconds: number): Partial<Pod['spec']> => ({
  tolerations: ['not-ready', 'unreachable'].map((key) => ({
    key: `node.kubernetes.io/${key}`,
    operator: 'Exists' as const,
    effect: 'NoExecute' as const,
    tolerationSeconds: seconds,
  })),
})
const nodeNamed = ({ store }: World, name: string) => store.get(nodes, { name })
const taintsOf = (node: Node | undefined): readonly string[] =>
  (node?.spec.taints ?? []).map(({ key, effect }) => `${key.split('/')[1]}:${effect}`)
const readyOf = (node: Node | undefined) =>
  node?.status?.conditions?.find(({ type }) => type === 'Ready')
const podNamed = ({ store }: World, name: string) => store.get(pods, { namespace: 'shop', name })

test('a node that falls silent is unknown and tainted after its grace, and its pods are not ready', async () => {
  const w = await running()
  await w.client.create(pods, pod('a', tolerating(300)))
  await w.env.advance(20_000)
  w.silent.add('n1')
  await w.env.advance(35_000)
  assert.equal(readyOf(nodeNamed(w, 'n1'))?.status, 'True')
  await w.env.advance(30_000)
  const ready = readyOf(nodeNamed(w, 'n1'))
  assert.deepEqual([ready?.status, ready?.reason], ['Unknown', 'NodeStatusUnknown'])
  assert.deepEqual(taintsOf(nodeNamed(w, 'n1')), [
    'unreachable:NoSchedule',
    'unreachable:NoExecute',
  ])
  assert.equal(isReady(podNamed(w, 'a')!), false)
  assert.equal(podNamed(w, 'a')?.metadata.deletionTimestamp, undefined)
  assert.deepEqual(taintsOf(nodeNamed(w, 'n2')), [])
  w.stop()
})

test('pods leave a dead node when they no longer tolerate it, and not before', async () => {
  const w = await running()
  await w.client.create(pods, pod('a1', tolerating(300)))
  await w.client.create(pods, pod('a2', tolerating(30)))
  await w.env.advance(10_000)
  w.silent.add('n1')
  await w.env.advance(70_000)
  assert.equal(podNamed(w, 'a2')?.metadata.deletionTimestamp, undefined)
  await w.env.advance(30_000)
  assert.ok(podNamed(w, 'a2')?.metadata.deletionTimestamp)
  assert.equal(
    podNamed(w, 'a2')?.status?.conditions?.find(({ type }) => type === 'DisruptionTarget')?.reason,
    'DeletionByTaintManager',
  )
  assert.equal(podNamed(w, 'a1')?.metadata.deletionTimestamp, undefined)
  await w.env.advance(280_000)
  assert.ok(podNamed(w, 'a1')?.metadata.deletionTimestamp)
  w.stop()
})

test('when no node at all is heard, nobody is driven away', async () => {
  const w = await running()
  await w.client.create(pods, pod('a', tolerating(10)))
  await w.env.advance(10_000)
  w.silent.add('n1').add('n2')
  await w.env.advance(600_000)
  assert.equal(readyOf(nodeNamed(w, 'n1'))?.status, 'Unknown')
  assert.deepEqual(taintsOf(nodeNamed(w, 'n1')), ['unreachable:NoSchedule'])
  assert.equal(podNamed(w, 'a')?.metadata.deletionTimestamp, undefined)
  w.stop()
})

test('a node that comes back loses its taints', async () => {
  const w = await running()
  await w.env.advance(10_000)
  w.silent.add('n1')
  await w.env.advance(70_000)
  w.silent.delete('n1')
  await w.env.advance(10_000)
  const node = nodeNamed(w, 'n1')!
  await w.client.updateStatus(nodes, {
    ...node,
    status: {
      ...node.status,
      conditions: (node.status?.conditions ?? []).map((each) =>
        each.type === 'Ready' ? { ...each, status: 'True' } : each,
      ),
    },
  })
  await w.env.advance(1000)
  assert.deepEqual(taintsOf(nodeNamed(w, 'n1')), [])
  w.stop()
})

test('a control plane that was away does not take its nodes for dead', async () => {
  const before = await world([], { nodes: ['n1'] })
  await before.env.advance(3_600_000)
  const lease = before.store.get(leases, { namespace: 'kube-node-lease', name: 'n1' })
  assert.ok(lease)
  const { createClient, createInformers } = await import('#client')
  const stop = new AbortController()
  const client = createClient(before.transport)
  nodeLifecycleController().start({
    client,
    informers: createInformers(client, before.env, stop.signal),
    env: before.env,
    signal: stop.signal,
  })
  await before.env.advance(20_000)
  assert.equal(readyOf(nodeNamed(before, 'n1'))?.status, 'True')
  await before.env.advance(40_000)
  assert.equal(readyOf(nodeNamed(before, 'n1'))?.status, 'Unknown')
  stop.abort()
  before.stop()
})

test('pressure and closing show as taints, and other taints stay', async () => {
  const w = await running()
  await w.client.patch(nodes, { name: 'n1' }, 'merge', {
    spec: { unschedulable: true, taints: [{ key: 'mine', effect: 'NoSchedule' }] },
  })
  await w.env.advance(1000)
  assert.deepEqual(
    taintsOf(nodeNamed(w, 'n1')).toSorted((a, b) => (a < b ? -1 : 1)),
    ['undefined:NoSchedule', 'unschedulable:NoSchedule'],
  )
  w.stop()
})

test('a taint by hand evicts after the tolerated time, counted from when it was seen', async () => {
  const w = await running()
  await w.client.create(
    pods,
    pod('a1', {
      tolerations: [{ key: 'k', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 40 }],
    }),
  )
  await w.client.create(pods, pod('a2'))
  await w.client.create(
    pods,
    pod('a3', { tolerations: [{ key: 'k', operator: 'Exists', effect: 'NoExecute' }] }),
  )
  await w.env.advance(5000)
  await w.client.patch(nodes, { name: 'n1' }, 'merge', {
    spec: { taints: [{ key: 'k', effect: 'NoExecute' }] },
  })
  await w.env.advance(500)
  assert.ok(podNamed(w, 'a2')?.metadata.deletionTimestamp)
  await w.env.advance(35_000)
  assert.equal(podNamed(w, 'a1')?.metadata.deletionTimestamp, undefined)
  await w.env.advance(6000)
  assert.equal(
    podNamed(w, 'a1')?.metadata.deletionTimestamp === undefined && podNamed(w, 'a1') !== undefined,
    false,
  )
  assert.equal(podNamed(w, 'a3')?.metadata.deletionTimestamp, undefined)
  w.stop()
})

test('each node is registered once', async () => {
  const w = await running()
  await w.env.advance(100_000)
  const told = w.store.list(events).filter(({ reason }) => reason === 'RegisteredNode')
  assert.deepEqual(
    told.map(({ message }) => message).toSorted((a, b) => ((a ?? '') < (b ?? '') ? -1 : 1)),
    [
      'Node n1 event: Registered Node n1 in Controller',
      'Node n2 event: Registered Node n2 in Controller',
    ],
  )
  assert.equal(told[0]?.source?.component, 'node-controller')
  w.stop()
})

test('a node that never says how it is stays untainted for a minute, and then is unknown', async () => {
  const w = await running()
  w.silent.add('n3')
  await w.client.create(nodes, {
    metadata: { name: 'n3' },
    spec: { taints: [{ key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' }] },
  })
  await w.env.advance(55_000)
  assert.deepEqual(taintsOf(nodeNamed(w, 'n3')), [])
  assert.equal(readyOf(nodeNamed(w, 'n3')), undefined)
  await w.env.advance(10_000)
  assert.equal(readyOf(nodeNamed(w, 'n3'))?.reason, 'NodeStatusNeverUpdated')
  assert.deepEqual(taintsOf(nodeNamed(w, 'n3')), [
    'unreachable:NoSchedule',
    'unreachable:NoExecute',
  ])
  w.stop()
})

test('pods of a node that is gone are collected', async () => {
  const w = await running()
  await w.client.create(pods, pod('a'))
  await w.env.advance(10_000)
  w.silent.add('n1')
  await w.client.delete(nodes, { name: 'n1' })
  await w.env.advance(60_000)
  assert.equal(podNamed(w, 'a'), undefined)
  assert.deepEqual(
    w.store
      .list(events)
      .flatMap(({ reason, message }) => (reason === 'RemovingNode' ? [message] : [])),
    ['Node n1 event: Removing Node n1 from Controller'],
  )
  w.stop()
})

test('a wall clock that is set forward or back makes no node silent', async () => {
  const w = await running()
  for (const ms of [3_600_000, -7_200_000, 3_600_000]) {
    await w.env.advance(25_000)
    w.env.jump(ms)
    // Something happens to the nodes before their next heartbeat.
    for (const name of ['n1', 'n2'])
      await w.client.patch(nodes, { name }, 'merge', { metadata: { labels: { at: String(ms) } } })
    await w.env.advance(100)
    assert.equal(readyOf(nodeNamed(w, 'n1'))?.status, 'True', `after ${ms} ms`)
    await w.env.advance(120_000)
    assert.equal(readyOf(nodeNamed(w, 'n1'))?.status, 'True', `two minutes after ${ms} ms`)
  }
  w.silent.add('n1')
  await w.env.advance(65_000)
  assert.equal(readyOf(nodeNamed(w, 'n1'))?.status, 'Unknown')
  w.stop()
})

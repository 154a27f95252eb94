import assert from 'node:assert/strict'
import { test } from 'node:test'
import { leases, nodes, pods, type Pod } from '#api'
import { phase, started, world } from './kubelet.testing.ts'

test('the node registers, is Ready, has its capacity, and renews its lease', async () => {
  const { env, node } = await world({ reserved: { cpu: '200m', memory: '256Mi' } })
  const n1 = node.api.store.get(nodes, { name: 'n1' })
  assert.equal(n1?.status?.conditions?.find(({ type }) => type === 'Ready')?.status, 'True')
  assert.equal(n1?.status?.capacity?.['cpu'], '4')
  assert.equal(n1?.status?.allocatable?.['cpu'], '3800m')
  assert.equal(n1?.metadata.labels?.['kubernetes.io/hostname'], 'n1')
  const renewed = () =>
    node.api.store.get(leases, { namespace: 'kube-node-lease', name: 'n1' })?.spec?.renewTime
  const before = renewed()
  await env.advance(10_000)
  assert.notEqual(renewed(), before)
  await node.stop()
})

test('heartbeats leave the node object alone when nothing has changed', async () => {
  const { env, node } = await world()
  await env.advance(1000)
  const version = () => node.api.store.get(nodes, { name: 'n1' })?.metadata.resourceVersion
  const before = version()
  await env.advance(60_000)
  assert.equal(version(), before)
  await env.advance(300_000)
  assert.notEqual(version(), before)
  await node.stop()
})

test('a node that was called silent says at once that it is ready', async () => {
  const { env, node } = await world()
  const { store } = node.api
  const unknown = { status: 'Unknown', reason: 'NodeStatusUnknown', message: 'silent' }
  const n1 = store.get(nodes, { name: 'n1' })
  store.patch(
    nodes,
    { name: 'n1' },
    {
      contentType: 'application/merge-patch+json',
      patch: { status: { conditions: n1?.status?.conditions?.map((c) => ({ ...c, ...unknown })) } },
      subresource: 'status',
    },
  )
  await env.advance(1000)
  const conditions = store.get(nodes, { name: 'n1' })?.status?.conditions ?? []
  assert.deepEqual(
    conditions.map(({ type, status }) => `${type}=${status}`),
    ['MemoryPressure=False', 'DiskPressure=False', 'PIDPressure=False', 'Ready=True'],
  )
  await node.stop()
})

test("what others write into the part of the status that is the node's is put right", async () => {
  const { env, node } = await world()
  node.api.store.patch(
    nodes,
    { name: 'n1' },
    {
      contentType: 'application/merge-patch+json',
      patch: { status: { capacity: { cpu: '1000' } } },
      subresource: 'status',
    },
  )
  await env.advance(11_000)
  assert.equal(node.api.store.get(nodes, { name: 'n1' })?.status?.capacity?.['cpu'], '4')
  await node.stop()
})

test('extended resources that others put on the node stay', async () => {
  const { env, node } = await world()
  node.api.store.patch(
    nodes,
    { name: 'n1' },
    {
      contentType: 'application/merge-patch+json',
      patch: {
        status: { capacity: { 'example.com/gpu': '2' }, allocatable: { 'example.com/gpu': '2' } },
      },
      subresource: 'status',
    },
  )
  await env.advance(600_000)
  assert.equal(
    node.api.store.get(nodes, { name: 'n1' })?.status?.capacity?.['example.com/gpu'],
    '2',
  )
  await node.stop()
})

test('what people say that a node has, pods may have, until they take it back', async () => {
  const { env, node } = await world()
  const say = async (dongles: string | null) => {
    node.api.store.patch(
      nodes,
      { name: 'n1' },
      {
        contentType: 'application/merge-patch+json',
        patch: { status: { capacity: { 'example.com/dongle': dongles } } },
        subresource: 'status',
      },
    )
    await env.advance(1000)
    const { capacity, allocatable } = node.api.store.get(nodes, { name: 'n1' })?.status ?? {}
    return [capacity?.['example.com/dongle'], allocatable?.['example.com/dongle']]
  }
  assert.deepEqual(await say('4'), ['4', '4'])
  assert.deepEqual(await say('2'), ['2', '2'])
  assert.deepEqual(await say(null), [undefined, undefined])
  await node.stop()
})

test('a pod that asks for a label the node got a moment ago is not rejected', async () => {
  const { env, node } = await world()
  await env.advance(1000)
  node.api.store.patch(
    nodes,
    { name: 'n1' },
    {
      contentType: 'application/merge-patch+json',
      patch: { metadata: { labels: { colour: 'blue' } } },
    },
  )
  node.create(started('blue', { nodeSelector: { colour: 'blue' } }))
  node.create(started('red', { nodeSelector: { colour: 'red' } }))
  await env.advance(500)
  assert.equal(phase(node.get('blue')), 'Running')
  assert.equal(node.get('red')?.status?.reason, 'NodeAffinity')
  assert.equal(node.get('red')?.status?.containerStatuses, undefined)
  await node.stop()
})

test('a hundred pods run within seconds, and idle costs nothing but leases', async () => {
  const { env, node } = await world()
  for (let index = 0; index < 100; index++) node.create(started(`web-${index}`))
  await env.advance(5000)
  const running = node.api.store.list<Pod>(pods).filter((each) => phase(each) === 'Running')
  assert.equal(running.length, 100)
  const before = node.api.requests.length
  await env.advance(60_000)
  const writes = node.api.requests.slice(before).filter(({ method }) => method !== 'GET')
  assert.ok(
    writes.every(({ path }) => path.includes('/leases/')),
    writes.map(({ path }) => path).join('\n'),
  )
  await node.stop()
})

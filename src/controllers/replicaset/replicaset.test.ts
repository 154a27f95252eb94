import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { events, pods, replicaSets, type Pod, type ReplicaSet } from '#api'
import { StatusError, type Draft } from '#machinery'
import { byDeletionOrder, controllerOf } from '../framework/index.ts'
import { world, type WorldOptions } from '../testing/world.ts'
import { decide } from './decide.ts'
import { replicaSetController } from './index.ts'

const spec = { containers: [{ name: 'main', image: 'web:1' }] }
const web = (replicas: number, more: Partial<ReplicaSet['spec']> = {}): Draft<ReplicaSet> => ({
  metadata: { namespace: 'shop', name: 'web' },
  spec: {
    replicas,
    selector: { matchLabels: { app: 'web' } },
    template: { metadata: { labels: { app: 'web' } }, spec },
    ...more,
  },
})
const key = { namespace: 'shop', name: 'web' }
const running = (options?: WorldOptions) => world([replicaSetController], options)

test('it makes as many pods as it asks for, and says so', async () => {
  const { client, store, rest, stop } = await running()
  await client.create(replicaSets, web(3))
  await rest()
  assert.equal(store.list(pods).length, 3)
  const { status } = store.get(replicaSets, key) ?? {}
  assert.deepEqual(
    [
      status?.replicas,
      status?.readyReplicas,
      status?.availableReplicas,
      status?.fullyLabeledReplicas,
    ],
    [3, 3, 3, 3],
  )
  assert.equal(status?.observedGeneration, 1)
  const messages = store.list(events).map(({ message }) => message)
  for (const { metadata } of store.list(pods))
    assert.ok(messages.includes(`Created pod: ${metadata.name}`))
  stop()
})

test('it replaces pods that end, fail or are deleted, and removes what is too much', async () => {
  const { client, store, rest, stop, end } = await running()
  await client.create(replicaSets, web(3))
  await rest()
  const [a, b] = store.list(pods)
  await end(a!, 'Failed')
  await client.delete(pods, b!.metadata)
  await rest()
  const alive = store.list(pods).filter(({ status }) => status?.phase === 'Running')
  assert.equal(alive.length, 3)
  await client.scale(replicaSets, key, 1)
  await rest()
  assert.equal(store.list(pods).filter(({ status }) => status?.phase === 'Running').length, 1)
  stop()
})

test('it adopts a pod of nobody that it selects, and lets one go that it no longer selects', async () => {
  const { client, store, rest, stop } = await running()
  const orphan = await client.create(pods, {
    metadata: { namespace: 'shop', name: 'orphan', labels: { app: 'web' } },
    spec,
  })
  await client.create(replicaSets, web(1))
  await rest()
  assert.equal(store.list(pods).length, 1)
  assert.equal(controllerOf(store.get(pods, orphan.metadata)!)?.name, 'web')
  await client.patch(pods, orphan.metadata, 'merge', { metadata: { labels: { app: 'other' } } })
  await rest()
  assert.equal(controllerOf(store.get(pods, orphan.metadata)!), undefined)
  assert.equal(store.list(pods).length, 2)
  stop()
})

test('a quota shows as a condition that goes away again, without a storm', async () => {
  let refused = 0
  let open = false
  const { client, store, rest, env, stop } = await running({
    before: ({ method, path }) => {
      if (method !== 'POST' || !path.endsWith('/pods') || open) return
      refused++
      throw new StatusError('Forbidden', `pods "web-${refused}" is forbidden: exceeded quota: q`)
    },
  })
  await client.create(replicaSets, web(100))
  await env.advance(60_000)
  const failure = () =>
    store.get(replicaSets, key)?.status?.conditions?.find(({ type }) => type === 'ReplicaFailure')
  assert.equal(failure()?.reason, 'FailedCreate')
  assert.match(failure()?.message ?? '', /exceeded quota/)
  assert.ok(refused < 30, `${refused} attempts in a minute`)
  open = true
  await rest(120_000)
  assert.equal(failure(), undefined)
  assert.equal(store.list(pods).length, 100)
  stop()
})

test('it never makes too many, however late it sees its own pods', async () => {
  const { client, store, env, stop } = await running({ watchDelayMs: 700, nodes: [] })
  await client.create(replicaSets, web(5))
  await env.advance(30_000)
  const made = store.log.filter(
    ({ resource, event }) => resource.resource === 'pods' && event.type === 'ADDED',
  )
  assert.equal(made.length, 5)
  stop()
})

test('a ready pod is available only after minReadySeconds', async () => {
  const { client, store, env, stop } = await running()
  await client.create(replicaSets, web(1, { minReadySeconds: 10 }))
  await env.advance(5000)
  const status = () => store.get(replicaSets, key)?.status
  assert.deepEqual([status()?.readyReplicas, status()?.availableReplicas ?? 0], [1, 0])
  await env.advance(10_000)
  assert.equal(status()?.availableReplicas, 1)
  stop()
})

test('when nothing changes, nothing is asked and nothing waits', async () => {
  const { client, transport, env, rest, stop } = await running()
  await client.create(replicaSets, web(3))
  await rest()
  const before = transport.requests.length
  await env.advance(3_600_000)
  assert.equal(transport.requests.length, before)
  assert.equal(env.nextTimer(), undefined)
  stop()
})

test('its pods are left when it is going', async () => {
  const { client, store, rest, stop } = await running()
  await client.create(replicaSets, {
    ...web(2),
    metadata: { ...web(2).metadata, finalizers: ['x.dev/slow'] },
  })
  await rest()
  await client.delete(replicaSets, key)
  await client.delete(pods, store.list(pods)[0]!.metadata)
  await rest()
  assert.equal(store.list(pods).length, 1)
  stop()
})

const now = new Date('2026-01-01T01:00:00Z')
const at = (minutes: number): string => new Date(now.getTime() - minutes * 60_000).toISOString()
const pod = (name: string, more: object = {}, status: object = {}, meta: object = {}): Pod =>
  ({
    metadata: { name, uid: name, resourceVersion: '1', creationTimestamp: at(30), ...meta },
    spec: { ...spec, nodeName: 'n1', ...more },
    status: {
      phase: 'Running',
      conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: at(20) }],
      ...status,
    },
  }) as Pod

test('those that are least missed go first', () => {
  const pairs: readonly (readonly [string, Pod, Pod])[] = [
    ['unassigned', pod('a', { nodeName: '' }, { phase: 'Pending' }), pod('b')],
    ['pending', pod('a', {}, { phase: 'Pending' }), pod('b')],
    ['not ready', pod('a', {}, { conditions: [] }), pod('b')],
    [
      'cheap',
      pod('a', {}, {}, { annotations: { 'controller.kubernetes.io/pod-deletion-cost': '-5' } }),
      pod('b'),
    ],
    ['crowded', pod('b', { nodeName: 'full' }), pod('a')],
    [
      'ready last',
      pod('b', {}, { conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: at(1) }] }),
      pod('a'),
    ],
    ['restarted', pod('b', {}, { containerStatuses: [{ restartCount: 3 }] }), pod('a')],
    [
      'young',
      pod('b', {}, {}, { creationTimestamp: at(21) }),
      pod('a', {}, {}, { creationTimestamp: at(600) }),
    ],
  ]
  const order = byDeletionOrder(
    now,
    new Map([
      ['full', 3],
      ['n1', 1],
    ]),
  )
  for (const [why, first, second] of pairs) {
    assert.ok(order(first, second) < 0, why)
    assert.ok(order(second, first) > 0, why)
  }
})

const anyPod = fc.record({
  node: fc.constantFrom('', 'n1', 'n2'),
  phase: fc.constantFrom('Pending', 'Running', 'Succeeded', 'Failed'),
  ready: fc.boolean(),
  going: fc.boolean(),
  cost: fc.integer({ min: -3, max: 3 }),
  age: fc.integer({ min: 0, max: 500 }),
})
const set: ReplicaSet = {
  ...web(3),
  apiVersion: 'apps/v1',
  kind: 'ReplicaSet',
  metadata: { ...key, uid: 'set', resourceVersion: '1', creationTimestamp: at(60), generation: 1 },
}
const ownedPods = (
  list: readonly {
    node: string
    phase: string
    ready: boolean
    going: boolean
    cost: number
    age: number
  }[],
) =>
  list.map(({ node, phase, ready, going, cost, age }, i) =>
    pod(
      `p${i}`,
      { nodeName: node },
      {
        phase,
        conditions: [
          { type: 'Ready', status: ready ? 'True' : 'False', lastTransitionTime: at(age) },
        ],
      },
      {
        labels: { app: 'web' },
        annotations: { 'controller.kubernetes.io/pod-deletion-cost': String(cost) },
        creationTimestamp: at(age),
        ...(going ? { deletionTimestamp: at(1) } : {}),
        ownerReferences: [
          { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web', uid: 'set', controller: true },
        ],
      },
    ),
  )

test('from any state it asks for exactly the difference, removes only its own, and the order of what it sees does not matter', () => {
  fc.assert(
    fc.property(
      fc.nat(20),
      fc.array(anyPod, { maxLength: 30 }),
      fc.infiniteStream(fc.nat(1000)),
      (replicas, list, noise) => {
        const all = ownedPods(list)
        const replicaSet = { ...set, spec: { ...set.spec, replicas } }
        const { actions } = decide({ replicaSet, pods: all }, now)
        const active = all.filter(
          ({ metadata, status }) =>
            metadata.deletionTimestamp === undefined &&
            !['Succeeded', 'Failed'].includes(status?.phase ?? ''),
        )
        const created = actions.filter(({ type }) => type === 'create').length
        const removed = actions.flatMap((action) =>
          action.type === 'remove' ? [action.object.metadata.uid] : [],
        )
        assert.equal(active.length + created - removed.length, replicas)
        assert.ok(created === 0 || removed.length === 0)
        for (const uid of removed) assert.ok(active.some(({ metadata }) => metadata.uid === uid))
        const shuffled = all
          .map((each) => ({ each, by: noise.next().value ?? 0 }))
          .toSorted((a, b) => a.by - b.by)
        const again = decide({ replicaSet, pods: shuffled.map(({ each }) => each) }, now)
        assert.deepEqual(again, decide({ replicaSet, pods: all }, now))
      },
    ),
  )
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { controllerRevisions, daemonSets, nodes, pods, type DaemonSet, type Pod } from '#api'
import type { Draft } from '#machinery'
import { isReady } from '../framework/index.ts'
import { world, type World, type WorldOptions } from '../testing/world.ts'
import { daemonSetController } from './index.ts'
import { nodeOf } from './nodes.ts'

const key = { namespace: 'shop', name: 'agent' }
const agent = (more: Partial<DaemonSet['spec']> = {}, pod: object = {}): Draft<DaemonSet> => ({
  metadata: key,
  spec: {
    selector: { matchLabels: { app: 'agent' } },
    template: {
      metadata: { labels: { app: 'agent' } },
      spec: { containers: [{ name: 'main', image: 'agent:1' }], ...pod },
    },
    ...more,
  },
})
const NODES = ['n1', 'n2', 'n3', 'n4'] as const

/** A world whose kubelet puts pods where their affinity says. */
async function running(options: WorldOptions = {}): Promise<World> {
  const w = await world([daemonSetController()], {
    nodes: NODES,
    place: (pod) => nodeOf(pod) ?? '',
    ...options,
  })
  return w
}
const roll = (w: World, image: string) =>
  w.client.patch(daemonSets, key, 'merge', {
    spec: { template: { spec: { containers: [{ name: 'main', image }] } } },
  })
const placed = ({ store }: World): readonly string[] =>
  store
    .list(pods)
    .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
    .map((pod) => nodeOf(pod) ?? '')
    .toSorted((a, b) => (a < b ? -1 : 1))
const statusOf = ({ store }: World) => store.get(daemonSets, key)?.status
const imageOf = ({ spec }: Pod) => spec.containers[0]?.image

test('each node has its pod, also one that comes later', async () => {
  const w = await running()
  await w.client.create(daemonSets, agent())
  await w.rest()
  assert.deepEqual(placed(w), ['n1', 'n2', 'n3', 'n4'])
  assert.deepEqual(statusOf(w), {
    currentNumberScheduled: 4,
    numberMisscheduled: 0,
    desiredNumberScheduled: 4,
    numberReady: 4,
    observedGeneration: 1,
    updatedNumberScheduled: 4,
    numberAvailable: 4,
  })
  await w.client.create(nodes, { metadata: { name: 'n5' }, spec: {} })
  await w.rest()
  assert.deepEqual(placed(w), ['n1', 'n2', 'n3', 'n4', 'n5'])
  w.stop()
})

test('selectors, affinity and taints say where; daemons bear closed nodes', async () => {
  const w = await running()
  await w.client.patch(nodes, { name: 'n1' }, 'merge', { metadata: { labels: { disk: 'ssd' } } })
  await w.client.patch(nodes, { name: 'n2' }, 'merge', { metadata: { labels: { disk: 'ssd' } } })
  await w.client.patch(nodes, { name: 'n2' }, 'merge', {
    spec: { taints: [{ key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' }] },
  })
  await w.client.patch(nodes, { name: 'n3' }, 'merge', {
    metadata: { labels: { disk: 'ssd' } },
    spec: { taints: [{ key: 'special', effect: 'NoSchedule' }] },
  })
  await w.client.create(daemonSets, agent({}, { nodeSelector: { disk: 'ssd' } }))
  await w.rest()
  assert.deepEqual(placed(w), ['n1', 'n2'])
  await w.client.patch(nodes, { name: 'n1' }, 'merge', { metadata: { labels: { disk: 'hdd' } } })
  await w.rest()
  assert.deepEqual(placed(w), ['n2'])
  w.stop()
})

test('a failed pod is replaced, ever more slowly', async () => {
  const w = await running({ nodes: ['n1'] })
  await w.client.create(daemonSets, agent())
  await w.rest()
  const starts: number[] = []
  w.store.onEvent(({ resource, event }) => {
    if (resource.resource === 'pods' && event.type === 'ADDED') starts.push(w.env.clock.monotonic())
  })
  for (let i = 0; i < 5; i++) {
    const ended = w.env.clock.monotonic()
    await w.end(w.store.list(pods).find(isReady)!, 'Failed')
    await w.rest(20_000)
    starts[i] = (starts[i] ?? 0) - ended
  }
  assert.equal(starts.length, 5)
  assert.ok((starts[0] ?? 0) < 2000, String(starts))
  assert.ok((starts[4] ?? 0) >= 8000, String(starts))
  w.stop()
})

test('an update replaces one at a time, and a rollback brings the old revision forward', async () => {
  const w = await running()
  await w.client.create(daemonSets, agent())
  await w.rest()
  let fewest = 4
  w.store.onEvent(({ resource }) => {
    if (resource.resource !== 'pods') return
    const ready = w.store.list(pods).filter((p) => isReady(p) && !p.metadata.deletionTimestamp)
    fewest = Math.min(fewest, ready.length)
  })
  await roll(w, 'agent:2')
  await w.rest()
  assert.deepEqual(
    w.store.list(pods).map(imageOf),
    Array.from({ length: 4 }, () => 'agent:2'),
  )
  assert.equal(fewest, 3)
  assert.equal(statusOf(w)?.updatedNumberScheduled, 4)
  await roll(w, 'agent:1')
  await w.rest()
  const revisions = w.store.list(controllerRevisions)
  assert.deepEqual(
    revisions.map(({ revision }) => revision).toSorted((a, b) => a - b),
    [2, 3],
  )
  w.stop()
})

test('with a surge the new pod is available before the old one goes', async () => {
  const w = await running()
  await w.client.create(
    daemonSets,
    agent({
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
    }),
  )
  await w.rest()
  let fewest = 4
  w.store.onEvent(({ resource }) => {
    if (resource.resource !== 'pods') return
    const ready = w.store.list(pods).filter((p) => isReady(p) && !p.metadata.deletionTimestamp)
    fewest = Math.min(fewest, new Set(ready.map(nodeOf)).size)
  })
  await roll(w, 'agent:2')
  await w.rest()
  assert.deepEqual(
    w.store.list(pods).map(imageOf),
    Array.from({ length: 4 }, () => 'agent:2'),
  )
  assert.equal(fewest, 4)
  w.stop()
})

test('with OnDelete only what is deleted becomes new', async () => {
  const w = await running()
  await w.client.create(daemonSets, agent({ updateStrategy: { type: 'OnDelete' } }))
  await w.rest()
  await roll(w, 'agent:2')
  await w.rest()
  assert.equal(statusOf(w)?.updatedNumberScheduled, undefined)
  await w.client.delete(pods, w.store.list(pods)[0]!.metadata)
  await w.rest()
  assert.equal(statusOf(w)?.updatedNumberScheduled, 1)
  w.stop()
})

test('a stuck update stops at what may be missing, and a rollback restarts only what was stuck', async () => {
  const w = await running({ isStuck: (pod) => imageOf(pod) === 'agent:404' })
  await w.client.create(daemonSets, agent())
  await w.rest()
  await roll(w, 'agent:404')
  await w.rest()
  const before = new Set(
    w.store
      .list(pods)
      .filter(isReady)
      .map(({ metadata }) => metadata.uid),
  )
  assert.equal(before.size, 3)
  await roll(w, 'agent:1')
  await w.rest()
  const after = w.store.list(pods).filter(isReady)
  assert.equal(after.length, 4)
  assert.equal(after.filter(({ metadata }) => before.has(metadata.uid)).length, 3)
  w.stop()
})

test('a settled daemon set asks nothing, and nothing waits', async () => {
  const w = await running()
  await w.client.create(daemonSets, agent())
  await w.rest()
  const before = w.transport.requests.length
  await w.env.advance(3_600_000)
  assert.equal(w.transport.requests.length, before)
  assert.equal(w.env.nextTimer(), undefined)
  w.stop()
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  controllerRevisions,
  events,
  persistentVolumeClaims,
  pods,
  statefulSets,
  type Pod,
  type StatefulSet,
} from '#api'
import type { Draft } from '#machinery'
import { isReady } from '../framework/index.ts'
import { world, type World, type WorldOptions } from '../testing/world.ts'
import { statefulSetController } from './index.ts'

const key = { namespace: 'shop', name: 'db' }
const db = (replicas: number, more: Partial<StatefulSet['spec']> = {}): Draft<StatefulSet> => ({
  metadata: key,
  spec: {
    replicas,
    serviceName: 'db',
    selector: { matchLabels: { app: 'db' } },
    template: {
      metadata: { labels: { app: 'db' } },
      spec: { containers: [{ name: 'main', image: 'db:1' }] },
    },
    ...more,
  },
})
const running = (options?: WorldOptions) => world([statefulSetController], options)
const names = ({ store }: World): readonly string[] =>
  store.list(pods).map(({ metadata }) => metadata.name)
const imageOf = ({ spec }: Pod) => spec.containers[0]?.image
const images = ({ store }: World): readonly (string | undefined)[] => store.list(pods).map(imageOf)
const statusOf = ({ store }: World) => store.get(statefulSets, key)?.status
const roll = (w: World, image: string) =>
  w.client.patch(statefulSets, key, 'merge', {
    spec: { template: { spec: { containers: [{ name: 'main', image }] } } },
  })
/** Names of pods as they were made and removed. */
function story(w: World): string[] {
  const lines: string[] = []
  w.store.onEvent(({ resource, event }) => {
    if (resource.resource !== 'pods' || event.type === 'MODIFIED') return
    lines.push(`${event.type === 'ADDED' ? '+' : '-'}${event.object.metadata.name}`)
  })
  return lines
}

test('pods come one after the other, each when the one before is ready, and go the other way', async () => {
  const w = await running()
  const lines = story(w)
  await w.client.create(statefulSets, db(3))
  await w.env.advance(1500)
  assert.deepEqual(names(w), ['db-0', 'db-1'])
  await w.rest()
  assert.deepEqual(names(w), ['db-0', 'db-1', 'db-2'])
  const [first] = w.store.list(pods)
  assert.equal(first?.spec.hostname, 'db-0')
  assert.equal(first?.spec.subdomain, 'db')
  assert.equal(first?.metadata.labels?.['apps.kubernetes.io/pod-index'], '0')
  assert.equal(first?.metadata.labels?.['controller-revision-hash'], statusOf(w)?.updateRevision)
  await w.client.scale(statefulSets, key, 1)
  await w.rest()
  assert.deepEqual(lines, ['+db-0', '+db-1', '+db-2', '-db-2', '-db-1'])
  assert.ok(
    w.store
      .list(events)
      .some(({ message }) => message === 'create Pod db-0 in StatefulSet db successful'),
  )
  w.stop()
})

test('a parallel set does not wait', async () => {
  const w = await running({ nodes: [] })
  await w.client.create(statefulSets, db(3, { podManagementPolicy: 'Parallel' }))
  await w.env.advance(100)
  assert.deepEqual(names(w), ['db-0', 'db-1', 'db-2'])
  w.stop()
})

test('an unready pod halts scaling up and down', async () => {
  const w = await running({ isStuck: ({ metadata }) => metadata.name === 'db-1' })
  await w.client.create(statefulSets, db(3))
  await w.rest()
  assert.deepEqual(names(w), ['db-0', 'db-1'])
  w.stop()
})

test('a set does not shrink while pods below the highest are unready too', async () => {
  const w = await running()
  await w.client.create(statefulSets, db(3))
  await w.rest()
  for (const pod of w.store.list(pods))
    await w.client.updateStatus(pods, { ...pod, status: { ...pod.status, conditions: [] } })
  await w.client.patch(statefulSets, key, 'merge', { spec: { replicas: 0 } })
  await w.env.advance(1000)
  assert.deepEqual(names(w), ['db-0', 'db-1', 'db-2'])
  w.stop()
})

test('a pod that failed or was deleted comes back under its name', async () => {
  const w = await running()
  await w.client.create(statefulSets, db(2))
  await w.rest()
  const before = w.store.list(pods).map(({ metadata }) => metadata.uid)
  await w.end(w.store.list(pods)[0]!, 'Failed')
  await w.client.delete(pods, w.store.list(pods)[1]!.metadata)
  await w.rest()
  assert.deepEqual(names(w), ['db-0', 'db-1'])
  assert.ok(w.store.list(pods).every((pod) => isReady(pod) && !before.includes(pod.metadata.uid)))
  assert.ok(w.store.list(events).some(({ reason }) => reason === 'RecreatingFailedPod'))
  w.stop()
})

test('an update goes from the highest down, one at a time, and then the new revision is current', async () => {
  const w = await running()
  await w.client.create(statefulSets, db(3))
  await w.rest()
  const first = statusOf(w)?.currentRevision
  const lines = story(w)
  await roll(w, 'db:2')
  await w.rest()
  assert.deepEqual(lines, ['-db-2', '+db-2', '-db-1', '+db-1', '-db-0', '+db-0'])
  assert.deepEqual(images(w), ['db:2', 'db:2', 'db:2'])
  const status = statusOf(w)
  assert.notEqual(status?.currentRevision, first)
  assert.equal(status?.currentRevision, status?.updateRevision)
  assert.equal(status?.updatedReplicas, 3)
  await roll(w, 'db:1')
  await w.rest()
  assert.equal(statusOf(w)?.currentRevision, first)
  assert.deepEqual(
    w.store
      .list(controllerRevisions)
      .map(({ revision }) => revision)
      .toSorted((a, b) => a - b),
    [2, 3],
  )
  w.stop()
})

test('below the partition the older template stays, also for pods that are made anew', async () => {
  const w = await running()
  const strategy = (partition: number) => ({
    updateStrategy: { type: 'RollingUpdate' as const, rollingUpdate: { partition } },
  })
  await w.client.create(statefulSets, db(3, strategy(2)))
  await w.rest()
  await roll(w, 'db:2')
  await w.rest()
  assert.deepEqual(images(w), ['db:1', 'db:1', 'db:2'])
  assert.equal(statusOf(w)?.updatedReplicas, 1)
  assert.equal(statusOf(w)?.currentReplicas, 2)
  await w.client.delete(pods, { namespace: 'shop', name: 'db-0' })
  await w.client.delete(pods, { namespace: 'shop', name: 'db-2' })
  await w.rest()
  assert.deepEqual(images(w), ['db:1', 'db:1', 'db:2'])
  await w.client.patch(statefulSets, key, 'merge', { spec: strategy(0) })
  await w.rest()
  assert.deepEqual(images(w), ['db:2', 'db:2', 'db:2'])
  w.stop()
})

test('a stuck update stops, and a further template gets it going again', async () => {
  const w = await running({ isStuck: (pod) => imageOf(pod) === 'db:404' })
  await w.client.create(statefulSets, db(3))
  await w.rest()
  await roll(w, 'db:404')
  await w.rest()
  assert.deepEqual(images(w), ['db:1', 'db:1', 'db:404'])
  await roll(w, 'db:3')
  await w.rest()
  // As upstream: the stuck pod has to be deleted by hand.
  await w.client.delete(pods, { namespace: 'shop', name: 'db-2' })
  await w.rest()
  assert.deepEqual(images(w), ['db:3', 'db:3', 'db:3'])
  w.stop()
})

test('claims are made for each pod, and stay when it goes', async () => {
  const w = await running()
  const volumeClaimTemplates = [
    {
      metadata: { name: 'data' } as never,
      spec: {
        accessModes: ['ReadWriteOnce' as const],
        resources: { requests: { storage: '1Gi' } },
      },
    },
  ]
  await w.client.create(statefulSets, db(2, { volumeClaimTemplates }))
  await w.rest()
  const claims = () => w.store.list(persistentVolumeClaims).map(({ metadata }) => metadata.name)
  assert.deepEqual(claims(), ['data-db-0', 'data-db-1'])
  assert.equal(
    w.store.list(pods)[0]?.spec.volumes?.[0]?.persistentVolumeClaim?.claimName,
    'data-db-0',
  )
  await w.client.scale(statefulSets, key, 1)
  await w.rest()
  assert.deepEqual(claims(), ['data-db-0', 'data-db-1'])
  w.stop()
})

test('claims that are to go with a pod belong to it before it goes', async () => {
  const w = await running()
  await w.client.create(
    statefulSets,
    db(2, {
      persistentVolumeClaimRetentionPolicy: { whenScaled: 'Delete', whenDeleted: 'Delete' },
      volumeClaimTemplates: [
        {
          metadata: { name: 'data' } as never,
          spec: {
            accessModes: ['ReadWriteOnce'],
            resources: { requests: { storage: '1Gi' } },
          },
        },
      ],
    }),
  )
  await w.rest()
  const owner = (name: string) =>
    w.store
      .get(persistentVolumeClaims, { namespace: 'shop', name })
      ?.metadata.ownerReferences?.map(({ kind }) => kind)
  assert.deepEqual(owner('data-db-1'), ['StatefulSet'])
  await w.client.scale(statefulSets, key, 1)
  await w.env.advance(500)
  assert.deepEqual(owner('data-db-1'), ['Pod'])
  assert.deepEqual(owner('data-db-0'), ['StatefulSet'])
  w.stop()
})

test('ordinals begin where they are told to', async () => {
  const w = await running()
  await w.client.create(statefulSets, db(2, { ordinals: { start: 5 } }))
  await w.rest()
  assert.deepEqual(names(w), ['db-5', 'db-6'])
  w.stop()
})

test('a settled set asks nothing, and nothing waits', async () => {
  const w = await running({ watchDelayMs: 100 })
  await w.client.create(statefulSets, db(3))
  await w.rest()
  const before = w.transport.requests.length
  await w.env.advance(3_600_000)
  assert.equal(w.transport.requests.length, before)
  assert.equal(w.env.nextTimer(), undefined)
  w.stop()
})

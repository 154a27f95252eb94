import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { deployments, events, pods, replicaSets, type Deployment, type ReplicaSet } from '#api'
import type { Draft } from '#machinery'
import { replicaSetController } from '../replicaset/index.ts'
import { world, type World, type WorldOptions } from '../testing/world.ts'
import { deploymentController } from './index.ts'
import { boundsOf, proportionalSizes } from './numbers.ts'

const key = { namespace: 'shop', name: 'web' }
const template = (image: string) => ({
  metadata: { labels: { app: 'web' } },
  spec: { containers: [{ name: 'main', image }] },
})
const web = (
  replicas: number,
  more: Partial<Deployment['spec']> = {},
  image = 'web:1',
): Draft<Deployment> => ({
  metadata: key,
  spec: {
    replicas,
    selector: { matchLabels: { app: 'web' } },
    template: template(image),
    ...more,
  },
})
const running = (options?: WorldOptions) =>
  world([replicaSetController, deploymentController], {
    isStuck: ({ spec }) => spec.containers[0]?.image === 'web:404',
    ...options,
  })
const roll = (w: World, image: string) =>
  w.client.patch(deployments, key, 'merge', { spec: { template: { spec: template(image).spec } } })
const statusOf = ({ store }: World) => store.get(deployments, key)?.status
const setsOf = ({ store }: World): readonly ReplicaSet[] =>
  store.list(replicaSets).toSorted((a, b) => revision(a) - revision(b))
const revision = ({ metadata }: ReplicaSet | Deployment): number =>
  Number(metadata.annotations?.['deployment.kubernetes.io/revision'])
const conditionOf = (w: World, type: string) =>
  statusOf(w)?.conditions?.find((each) => each.type === type)
const scalings = ({ store }: World): readonly string[] =>
  store
    .list(events)
    .filter(({ reason }) => reason === 'ScalingReplicaSet')
    .map(({ message = '' }) => message.replace(/web-\w+/, 'SET'))

test('a new deployment makes a replica set, and is available when its pods are', async () => {
  const w = await running()
  await w.client.create(deployments, web(3))
  await w.rest()
  const [set] = setsOf(w)
  const hash = set?.metadata.labels?.['pod-template-hash']
  assert.equal(set?.metadata.name, `web-${hash}`)
  assert.equal(set.spec.selector.matchLabels?.['pod-template-hash'], hash)
  assert.equal(revision(set), 1)
  assert.equal(revision(w.store.get(deployments, key)!), 1)
  const { conditions: _, ...counts } = statusOf(w) ?? {}
  assert.deepEqual(counts, {
    observedGeneration: 1,
    replicas: 3,
    updatedReplicas: 3,
    readyReplicas: 3,
    availableReplicas: 3,
    terminatingReplicas: 0,
  })
  assert.equal(conditionOf(w, 'Available')?.reason, 'MinimumReplicasAvailable')
  assert.equal(conditionOf(w, 'Progressing')?.reason, 'NewReplicaSetAvailable')
  assert.equal(
    conditionOf(w, 'Progressing')?.message,
    `ReplicaSet "${set.metadata.name}" has successfully progressed.`,
  )
  assert.deepEqual(scalings(w), ['Scaled up replica set SET from 0 to 3'])
  w.stop()
})

/** Watches over the pods of a rollout. */
function bounds(w: World) {
  const seen = { most: 0, fewest: Infinity }
  const count = (): void => {
    const alive = w.store
      .list(pods)
      .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
    const ready = alive.filter(({ status }) =>
      status?.conditions?.some((each) => each.type === 'Ready' && each.status === 'True'),
    )
    seen.most = Math.max(seen.most, alive.length)
    seen.fewest = Math.min(seen.fewest, ready.length)
  }
  w.store.onEvent(({ resource }) => {
    if (resource.resource === 'pods') count()
  })
  return seen
}

for (const [maxSurge, maxUnavailable, most, fewest] of [
  [1, 0, 5, 4],
  ['25%', '25%', 5, 3],
  [0, 1, 4, 3],
  ['50%', '50%', 6, 2],
] as const)
  test(`a rolling update keeps within surge ${maxSurge} and unavailable ${maxUnavailable}`, async () => {
    const w = await running()
    await w.client.create(
      deployments,
      web(4, { strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge, maxUnavailable } } }),
    )
    await w.rest()
    const seen = bounds(w)
    await roll(w, 'web:2')
    await w.rest()
    const [old, now] = setsOf(w)
    assert.deepEqual([old?.spec.replicas, now?.spec.replicas], [0, 4])
    assert.equal(statusOf(w)?.updatedReplicas, 4)
    assert.ok(seen.most <= most, `${seen.most} pods at most`)
    assert.ok(seen.fewest >= fewest, `${seen.fewest} ready at least`)
    w.stop()
  })

test('going back to an older template reuses its replica set with a new revision', async () => {
  const w = await running()
  await w.client.create(deployments, web(2))
  await w.rest()
  const [first] = setsOf(w)
  await roll(w, 'web:2')
  await w.rest()
  await roll(w, 'web:1')
  await w.rest()
  const sets = setsOf(w)
  assert.equal(sets.length, 2)
  assert.equal(sets.at(-1)?.metadata.name, first?.metadata.name)
  assert.equal(revision(sets.at(-1)!), 3)
  assert.equal(
    sets.at(-1)?.metadata.annotations?.['deployment.kubernetes.io/revision-history'],
    '1',
  )
  assert.equal(sets.at(-1)?.spec.replicas, 2)
  w.stop()
})

test('recreate stops all old pods before it starts new ones', async () => {
  const w = await running()
  await w.client.create(deployments, web(3, { strategy: { type: 'Recreate' } }))
  await w.rest()
  let together = false
  w.store.onEvent(() => {
    const images = new Set(w.store.list(pods).map(({ spec }) => spec.containers[0]?.image))
    together ||= images.size > 1
  })
  await roll(w, 'web:2')
  await w.rest()
  assert.equal(together, false)
  assert.equal(statusOf(w)?.availableReplicas, 3)
  w.stop()
})

test('a rollout that is stuck says so after its deadline, and old pods go on', async () => {
  const w = await running()
  await w.client.create(deployments, web(4, { progressDeadlineSeconds: 60 }))
  await w.rest()
  await roll(w, 'web:404')
  await w.env.advance(50_000)
  assert.equal(conditionOf(w, 'Progressing')?.reason, 'ReplicaSetUpdated')
  await w.env.advance(30_000)
  assert.equal(conditionOf(w, 'Progressing')?.reason, 'ProgressDeadlineExceeded')
  assert.equal(conditionOf(w, 'Progressing')?.status, 'False')
  assert.equal(statusOf(w)?.availableReplicas, 3)
  await roll(w, 'web:3')
  await w.rest()
  assert.equal(conditionOf(w, 'Progressing')?.reason, 'NewReplicaSetAvailable')
  assert.equal(statusOf(w)?.availableReplicas, 4)
  w.stop()
})

test('a change of size in the middle of a stuck rollout is shared', async () => {
  const w = await running()
  await w.client.create(
    deployments,
    web(10, {
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 3, maxUnavailable: 2 } },
    }),
  )
  await w.rest()
  await roll(w, 'web:404')
  await w.rest()
  const sizes = () => setsOf(w).map(({ spec }) => spec.replicas)
  assert.deepEqual(sizes(), [8, 5])
  await w.client.scale(deployments, key, 30)
  await w.rest()
  // As in upstream's own test of proportional scaling: 33 in all, 20 and 13.
  assert.deepEqual(sizes(), [20, 13])
  w.stop()
})

test('a paused deployment scales but does not roll', async () => {
  const w = await running()
  await w.client.create(deployments, web(2))
  await w.rest()
  await w.client.patch(deployments, key, 'merge', { spec: { paused: true } })
  await roll(w, 'web:2')
  await w.client.scale(deployments, key, 5)
  await w.rest()
  assert.deepEqual(
    setsOf(w).map(({ spec }) => spec.replicas),
    [5],
  )
  assert.equal(conditionOf(w, 'Progressing')?.reason, 'DeploymentPaused')
  await w.client.patch(deployments, key, 'merge', { spec: { paused: false } })
  await w.rest()
  assert.equal(statusOf(w)?.updatedReplicas, 5)
  w.stop()
})

test('old replica sets are kept as far as the history limit says', async () => {
  const w = await running()
  await w.client.create(deployments, web(1, { revisionHistoryLimit: 2 }))
  await w.rest()
  for (let i = 2; i < 7; i++) {
    await roll(w, `web:${i}`)
    await w.rest()
  }
  assert.deepEqual(setsOf(w).map(revision), [4, 5, 6])
  w.stop()
})

test('a new template in the middle of a rollout rolls over', async () => {
  const w = await running()
  await w.client.create(deployments, web(4))
  await w.rest()
  await roll(w, 'web:404')
  await w.env.advance(3000)
  await roll(w, 'web:3')
  await w.rest()
  assert.deepEqual(
    setsOf(w).map(({ spec }) => spec.replicas),
    [0, 0, 4],
  )
  assert.equal(statusOf(w)?.availableReplicas, 4)
  w.stop()
})

test('an orphaned replica set that matches is adopted', async () => {
  const w = await running()
  await w.client.create(deployments, web(2))
  await w.rest()
  const [set] = setsOf(w)
  await w.client.delete(deployments, key)
  await w.client.patch(replicaSets, set!.metadata, 'merge', { metadata: { ownerReferences: [] } })
  await w.client.create(deployments, web(2))
  await w.rest()
  assert.equal(setsOf(w).length, 1)
  assert.equal(
    setsOf(w)[0]?.metadata.ownerReferences?.[0]?.uid,
    w.store.get(deployments, key)?.metadata.uid,
  )
  w.stop()
})

test('a revision may be larger than what a number holds', async () => {
  const w = await running()
  await w.client.create(deployments, web(1))
  await w.rest()
  const [set] = setsOf(w)
  await w.client.patch(replicaSets, set!.metadata, 'merge', {
    metadata: { annotations: { 'deployment.kubernetes.io/revision': '3546343826724305832' } },
  })
  await roll(w, 'web:2')
  await w.rest()
  assert.equal(
    w.store.get(deployments, key)?.metadata.annotations?.['deployment.kubernetes.io/revision'],
    '3546343826724305833',
  )
  w.stop()
})

test('a name that is taken by another template is counted as a collision', async () => {
  const w = await running()
  const made = await w.client.create(deployments, web(1))
  await w.rest()
  const [set] = setsOf(w)
  await w.client.delete(deployments, key)
  await w.client.delete(replicaSets, set!.metadata)
  await w.client.create(replicaSets, {
    metadata: { namespace: 'shop', name: set!.metadata.name },
    spec: {
      replicas: 0,
      selector: { matchLabels: { app: 'else' } },
      template: { metadata: { labels: { app: 'else' } }, spec: template('x').spec },
    },
  })
  await w.client.create(deployments, web(1))
  await w.rest()
  assert.equal(statusOf(w)?.collisionCount, 1)
  assert.equal(statusOf(w)?.availableReplicas, 1)
  assert.ok(made)
  w.stop()
})

test('a settled deployment asks nothing, and nothing waits', async () => {
  const w = await running()
  await w.client.create(deployments, web(3))
  await w.rest()
  const before = w.transport.requests.length
  await w.env.advance(3_600_000)
  assert.equal(w.transport.requests.length, before)
  assert.equal(w.env.nextTimer(), undefined)
  w.stop()
})

test('it settles though it sees its own writes late', async () => {
  const w = await running({ watchDelayMs: 300 })
  await w.client.create(deployments, web(4))
  await w.rest()
  await roll(w, 'web:2')
  await w.rest()
  assert.equal(setsOf(w).length, 2)
  assert.equal(statusOf(w)?.availableReplicas, 4)
  w.stop()
})

test('proportional sizes add up to what is allowed, unless the largest has no more to give', () => {
  const set = (name: string, replicas: number, most: number): ReplicaSet => ({
    metadata: {
      name,
      uid: name,
      resourceVersion: '1',
      creationTimestamp: `2026-01-01T00:00:${10 + name.length}Z`,
      annotations: { 'deployment.kubernetes.io/max-replicas': String(most) },
    },
    spec: { replicas, selector: {} },
  })
  fc.assert(
    fc.property(
      fc.nat(100),
      fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 2, maxLength: 5 }),
      fc.nat(10),
      (replicas, sizes, maxSurge) => {
        const deployment = {
          ...web(replicas, {
            strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge, maxUnavailable: 1 } },
          }),
          metadata: { ...key, uid: 'd', resourceVersion: '1', creationTimestamp: '' },
        }
        const total = sizes.reduce((a, b) => a + b)
        const sets = sizes.map((size, i) => set('s'.repeat(i + 1), size, total))
        const shares = [...proportionalSizes(deployment, sets).values()]
        const allowed = replicas === 0 ? 0 : replicas + boundsOf(deployment).maxSurge
        const given = shares.reduce((a, b) => a + b)
        // Rounding may leave more to take than the first of them has: the next look takes the rest.
        assert.ok(given === allowed || (given > allowed && shares[0] === 0), String(shares))
        assert.ok(shares.every((share) => share >= 0))
      },
    ),
  )
})

/** Whatever happens to them, workloads come to be what they were asked to be. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { daemonSets, deployments, pods, replicaSets, statefulSets, type Pod } from '#api'
import { StatusError, isStatus } from '#machinery'
import { daemonSetController } from '../daemonset/index.ts'
import { nodeOf } from '../daemonset/nodes.ts'
import { deploymentController } from '../deployment/index.ts'
import { isReady } from '../framework/index.ts'
import { garbageCollector } from '../garbage-collector/index.ts'
import { replicaSetController } from '../replicaset/index.ts'
import { statefulSetController } from '../statefulset/index.ts'
import { world, type World } from './world.ts'

const KINDS = { web: deployments, db: statefulSets, agent: daemonSets } as const
type Name = keyof typeof KINDS

const anyName = fc.constantFrom<Name>('web', 'db')
const anyStep = fc.oneof(
  fc.record({ do: fc.constant('scale' as const), name: anyName, to: fc.nat(6) }),
  fc.record({
    do: fc.constant('roll' as const),
    name: fc.constantFrom<Name>('web', 'db', 'agent'),
    image: fc.constantFrom('i:1', 'i:2', 'i:3'),
  }),
  fc.record({ do: fc.constant('delete' as const), at: fc.nat(20) }),
  fc.record({ do: fc.constant('fail' as const), at: fc.nat(20) }),
  fc.record({ do: fc.constant('disconnect' as const), expire: fc.boolean() }),
  fc.record({ do: fc.constant('wait' as const), ms: fc.nat(4000) }),
)
type Step = typeof anyStep extends fc.Arbitrary<infer S> ? S : never

async function start(watchDelayMs: number, faultEvery: number): Promise<World> {
  let writes = 0
  const w = await world(
    [
      replicaSetController,
      deploymentController,
      statefulSetController,
      daemonSetController(),
      garbageCollector,
    ],
    {
      watchDelayMs,
      nodes: ['n1', 'n2'],
      place: (pod) => nodeOf(pod) ?? (pod.metadata.uid.length % 2 === 0 ? 'n1' : 'n2'),
      before: ({ method, cause }) => {
        // Only what controllers write fails.
        if (method === 'GET' || cause === undefined || faultEvery === 0) return
        writes++
        if (writes % faultEvery === 0) throw new StatusError('InternalError', 'injected')
      },
    },
  )
  for (const [name, ref] of Object.entries(KINDS))
    await w.client.create(ref as typeof deployments, {
      metadata: { namespace: 'shop', name },
      spec: {
        ...(name === 'agent' ? {} : { replicas: 2 }),
        selector: { matchLabels: { app: name } },
        template: {
          metadata: { labels: { app: name } },
          spec: { containers: [{ name: 'main', image: 'i:1' }] },
        },
      },
    })
  return w
}

async function take(w: World, step: Step, wanted: Map<Name, { size: number; image: string }>) {
  const key = (name: string) => ({ namespace: 'shop', name })
  switch (step.do) {
    case 'scale':
      wanted.set(step.name, { ...wanted.get(step.name)!, size: step.to })
      return w.client.patch(KINDS[step.name] as typeof deployments, key(step.name), 'merge', {
        spec: { replicas: step.to },
      })
    case 'roll':
      wanted.set(step.name, { ...wanted.get(step.name)!, image: step.image })
      return w.client.patch(KINDS[step.name] as typeof deployments, key(step.name), 'merge', {
        spec: { template: { spec: { containers: [{ name: 'main', image: step.image }] } } },
      })
    case 'delete':
    case 'fail': {
      const all = w.store.list(pods)
      const pod = all[step.at % Math.max(1, all.length)]
      if (pod === undefined) return undefined
      try {
        return step.do === 'delete'
          ? await w.client.delete(pods, pod.metadata)
          : pod.metadata.deletionTimestamp === undefined && isReady(pod)
            ? await w.end(pod, 'Failed')
            : undefined
      } catch (error) {
        if (!isStatus(error, 'Conflict') && !isStatus(error, 'NotFound')) throw error
        return undefined
      }
    }
    case 'disconnect':
      return w.transport.disconnect({ expire: step.expire })
    case 'wait':
      return w.env.advance(step.ms)
  }
}

test('after any sequence of changes, failures, lost writes and cut watches, all is as asked, and rests', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyStep, { maxLength: 12 }),
      fc.constantFrom(0, 50, 400),
      fc.constantFrom(0, 3, 7),
      async (steps, watchDelayMs, faultEvery) => {
        const w = await start(watchDelayMs, faultEvery)
        const wanted = new Map<Name, { size: number; image: string }>(
          (['web', 'db', 'agent'] as const).map((name) => [name, { size: 2, image: 'i:1' }]),
        )
        try {
          for (const step of steps) await take(w, step, wanted)
          await w.rest(60_000)
          for (const [name, { size, image }] of wanted) {
            const alive = w.store
              .list(pods)
              .filter((pod) => pod.metadata.labels?.['app'] === name && isAlive(pod))
            assert.equal(alive.length, size, `pods of ${name}`)
            for (const pod of alive) {
              assert.ok(isReady(pod), `${pod.metadata.name} is ready`)
              assert.equal(pod.spec.containers[0]?.image, image)
            }
          }
          const active = w.store.list(replicaSets).filter(({ spec }) => (spec.replicas ?? 0) > 0)
          assert.ok(active.length <= 1, 'one replica set runs')
          const before = w.transport.requests.length
          await w.env.advance(600_000)
          assert.equal(w.transport.requests.length, before, 'idle means idle')
        } finally {
          w.stop()
        }
      },
    ),
    { numRuns: Number(process.env['SETTLES_RUNS'] ?? 25) },
  )
})

const isAlive = ({ metadata, status }: Pod): boolean =>
  metadata.deletionTimestamp === undefined && status?.phase !== 'Failed'

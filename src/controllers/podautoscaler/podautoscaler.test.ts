import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { horizontalPodAutoscalers, type Pod } from '#api'
import { createClient, createInformers } from '#client'
import { world } from '../testing/world.ts'
import { podAutoscalerController } from './index.ts'
import { limit, noHistory, recommended, scaledTo } from './limits.ts'
import {
  byAverage,
  byUtilization,
  byValue,
  requestsOf,
  type Counting,
  type PodValue,
} from './replicas.ts'

const NOW = Date.parse('2026-01-01T01:00:00Z')
const pod = (name: string, more: { phase?: string; ready?: string; started?: string } = {}): Pod =>
  ({
    metadata: { namespace: 'shop', name },
    spec: { containers: [{ name: 'main', resources: { requests: { cpu: '100m' } } }] },
    status: {
      phase: more.phase ?? 'Running',
      startTime: more.started ?? '2026-01-01T00:00:00Z',
      conditions: [
        {
          type: 'Ready',
          status: more.ready ?? 'True',
          lastTransitionTime: more.started ?? '2026-01-01T00:00:00Z',
        },
      ],
    },
  }) as unknown as Pod
const using = (milli: number): PodValue => ({ milli, atMs: NOW, windowMs: 15_000 })

const counting = (
  pods: readonly Pod[],
  values: Readonly<Record<string, number>>,
  more: Partial<Counting> = {},
): Counting => ({
  currentReplicas: pods.length,
  pods,
  values: new Map(Object.entries(values).map(([name, milli]) => [name, using(milli)])),
  isCpu: true,
  tolerance: { up: 0.1, down: 0.1 },
  nowMs: NOW,
  ...more,
})
const percent = (given: Counting, target: number): number =>
  byUtilization(given, target, requestsOf(given.pods, 'cpu', undefined)).replicas

test('there are as many pods as bring their use to the target, and a little off is near enough', () => {
  const three = [pod('a'), pod('b'), pod('c')]
  assert.equal(percent(counting(three, { a: 90, b: 90, c: 90 }), 30), 9)
  assert.equal(percent(counting(three, { a: 10, b: 10, c: 10 }), 30), 1)
  assert.equal(percent(counting(three, { a: 32, b: 32, c: 32 }), 30), 3)
  const proposal = byUtilization(
    counting(three, { a: 30, b: 60, c: 90 }),
    30,
    requestsOf(three, 'cpu', undefined),
  )
  assert.deepEqual(proposal, { replicas: 6, averageMilli: 60, utilization: 60 })
})

test('a pod that says nothing is taken to use what speaks against a change', () => {
  const three = [pod('a'), pod('b'), pod('c')]
  // As if it used nothing when there would be more, and all that it asked for when there would be fewer.
  assert.equal(percent(counting(three, { a: 100, b: 100 }), 50), 4)
  assert.equal(percent(counting(three, { a: 10, b: 10 }), 50), 3)
})

test('a pod that starts does not count, and is taken to use nothing when there would be more', () => {
  const started = '2026-01-01T00:59:50Z'
  const fresh = pod('c', { ready: 'False', started })
  assert.equal(percent(counting([pod('a'), pod('b'), fresh], { a: 100, b: 100, c: 1000 }), 50), 4)
  const waiting = pod('c', { phase: 'Pending' })
  assert.equal(percent(counting([pod('a'), pod('b'), waiting], { a: 20, b: 20 }), 50), 1)
})

test('what cannot be known is said', () => {
  const given = counting([pod('a')], {})
  assert.throws(() => percent(given, 50), /did not receive metrics for targeted pods/)
  const silent = { ...pod('a'), spec: { containers: [{ name: 'main' }] } } as unknown as Pod
  assert.throws(
    () => requestsOf([silent], 'cpu', undefined),
    /missing request for cpu in container main of Pod a/,
  )
})

test('averages and values of other things work the same way', () => {
  const two = [pod('a'), pod('b')]
  assert.equal(byAverage(counting(two, { a: 3000, b: 5000 }), 2000).replicas, 4)
  const all = { currentReplicas: 2, pods: two, tolerance: { up: 0.1, down: 0.1 } }
  assert.equal(byValue(all, 30_000, { value: 10_000 }), 6)
  assert.equal(byValue(all, 30_000, { average: 10_000 }), 3)
  assert.equal(byValue(all, 20_500, { average: 10_000 }), 2)
})

const spec = (more: object = {}) =>
  ({
    minReplicas: 1,
    maxReplicas: 100,
    scaleTargetRef: { kind: 'Deployment', name: 'web' },
    ...more,
  }) as Parameters<typeof limit>[0]

test('more come at once, at most twice as many or four in 15 seconds; fewer after five minutes', () => {
  const now = { current: 10, nowMs: NOW }
  assert.equal(limit(spec(), 15, noHistory, now).replicas, 15)
  const fast = limit(spec(), 50, noHistory, now)
  assert.equal(fast.replicas, 20)
  assert.equal(fast.limited.reason, 'ScaleUpLimit')
  const grown = scaledTo(noHistory, 10, 20, NOW - 1000)
  assert.equal(limit(spec(), 50, grown, { current: 20, nowMs: NOW }).replicas, 20)
  assert.equal(limit(spec(), 50, grown, { current: 20, nowMs: NOW + 15_000 }).replicas, 40)
  const before = recommended(noHistory, 10, NOW - 60_000)
  const waiting = limit(spec(), 2, before, now)
  assert.equal(waiting.replicas, 10)
  assert.equal(waiting.able.reason, 'ScaleDownStabilized')
  assert.equal(limit(spec(), 2, before, { current: 10, nowMs: NOW + 300_000 }).replicas, 2)
})

test('the bounds hold, and behaviour may forbid a direction', () => {
  const now = { current: 4, nowMs: NOW }
  const most = limit(spec({ maxReplicas: 6 }), 50, noHistory, now)
  assert.deepEqual([most.replicas, most.limited.reason], [6, 'TooManyReplicas'])
  const least = limit(spec({ minReplicas: 3 }), 1, noHistory, now)
  assert.deepEqual([least.replicas, least.limited.reason], [3, 'TooFewReplicas'])
  const never = { behavior: { scaleDown: { selectPolicy: 'Disabled' } } }
  assert.equal(limit(spec(never), 1, noHistory, now).replicas, 4)
  const slowly = {
    behavior: { scaleDown: { policies: [{ type: 'Pods', value: 1, periodSeconds: 60 }] } },
  }
  assert.equal(limit(spec(slowly), 1, noHistory, now).replicas, 3)
})

test('whatever is proposed, it stays within the bounds', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 50 }),
      fc.integer({ min: 0, max: 50 }),
      fc.integer({ min: 1, max: 100 }),
      fc.nat(200),
      (minReplicas, more, current, proposed) => {
        const maxReplicas = minReplicas + more
        const within = Math.min(maxReplicas, Math.max(minReplicas, current))
        const { replicas } = limit(spec({ minReplicas, maxReplicas }), proposed, noHistory, {
          current: within,
          nowMs: NOW,
        })
        assert.ok(replicas >= minReplicas && replicas <= maxReplicas)
      },
    ),
  )
})

test('without metrics it says how many are asked for, and wants what it wanted before', async () => {
  const w = await world([])
  const scale = { spec: { replicas: 2 }, status: { replicas: 1, selector: 'app=d' } }
  const client = createClient({
    ...w.transport,
    request: async (request) => {
      if (request.path === '/apis/apps/v1')
        return { resources: [{ name: 'deployments', kind: 'Deployment' }] }
      return request.path.endsWith('/scale') ? scale : w.transport.request(request)
    },
  })
  const stop = new AbortController()
  const { signal } = stop
  const informers = createInformers(client, w.env, signal)
  podAutoscalerController.start({ client, informers, env: w.env, signal })
  const target = { type: 'Utilization', averageUtilization: 50 }
  await w.client.create(horizontalPodAutoscalers, {
    metadata: { namespace: 'shop', name: 'd' },
    spec: {
      maxReplicas: 3,
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'd' },
      metrics: [{ type: 'Resource', resource: { name: 'cpu', target } }],
    },
  })
  await w.env.advance(1000)
  const { status } = w.store.get(horizontalPodAutoscalers, { namespace: 'shop', name: 'd' })!
  assert.equal(status?.conditions?.[1]?.reason, 'FailedGetResourceMetric')
  assert.deepEqual([status.currentReplicas, status.desiredReplicas], [2, 0])
  stop.abort()
  w.stop()
})

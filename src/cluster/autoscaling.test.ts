import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deployments, events, horizontalPodAutoscalers } from '#api'
import { createLogger, virtualEnv, type LogRecord } from '#base'
import { createCluster } from './library/create-cluster.ts'

test('a deployment grows to what its pods use, by the metrics of the nodes and the rights of its role', async () => {
  const said: LogRecord[] = []
  const log = createLogger({
    now: () => new Date(),
    level: () => 'info',
    sink: (record) => said.push(record),
  })
  const env = virtualEnv({ log })
  const cluster = await createCluster({ env })
  const { client } = cluster
  await env.advance(2000)
  const key = { namespace: 'default', name: 'web' }
  const labels = { app: 'web' }
  await client.create(deployments, {
    metadata: key,
    spec: {
      replicas: 1,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          // Simulated containers use a hundredth of a core.
          containers: [{ name: 'main', image: 'web:1', resources: { requests: { cpu: '5m' } } }],
        },
      },
    },
  } as never)
  await client.create(horizontalPodAutoscalers, {
    metadata: key,
    spec: {
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' },
      minReplicas: 1,
      maxReplicas: 3,
      metrics: [
        {
          type: 'Resource',
          resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 50 } },
        },
      ],
    },
  })
  // A program that has just started says nothing of what it will use.
  for (let i = 0; i < 40; i++) await env.advance(15_000)
  const { spec } = await client.get(deployments, key)
  assert.equal(spec.replicas, 3)
  const { status } = await client.get(horizontalPodAutoscalers, key)
  assert.equal(status?.desiredReplicas, 3)
  assert.equal(status?.currentReplicas, 3)
  const [metric] = status?.currentMetrics ?? []
  assert.ok((metric?.resource?.current.averageUtilization ?? 0) > 100)
  const reasons = Object.fromEntries(
    (status?.conditions ?? []).map(({ type, status: is, reason }) => [type, `${is} ${reason}`]),
  )
  assert.equal(reasons['ScalingActive'], 'True ValidMetricFound')
  assert.equal(reasons['ScalingLimited'], 'True TooManyReplicas')
  assert.match(reasons['AbleToScale'] ?? '', /^True /)
  const told = (await client.list(events, { namespace: 'default' })).items
  assert.ok(
    told.some(
      ({ reason, message }) =>
        reason === 'SuccessfulRescale' &&
        message ===
          'New size: 3; reason: cpu resource utilization (percentage of request) above target',
    ),
    told.map(({ reason, message }) => `${reason}: ${message}`).join('\n'),
  )
  // The first look at a node takes a second.
  const quick = said.filter(({ message }) => message !== 'slow request')
  assert.deepEqual(
    quick.filter(({ level }) => level === 'warn' || level === 'error'),
    [],
  )
  await cluster.stop()
})

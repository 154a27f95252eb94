import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deployments, pods, type Deployment } from '#api'
import type { Draft } from '#machinery'
import { createCluster, type Cluster } from './create-cluster.ts'

const web: Draft<Deployment> = {
  metadata: { name: 'web', namespace: 'default' },
  spec: {
    replicas: 3,
    selector: { matchLabels: { app: 'web' } },
    template: {
      metadata: { labels: { app: 'web' } },
      spec: { containers: [{ name: 'web', image: 'web:1' }] },
    },
  },
}

/** Watches until three replicas are available, and leaves the watch. */
async function available({ client }: Cluster): Promise<void> {
  const stop = new AbortController()
  try {
    const events = await client.watch(deployments, {
      namespace: 'default',
      sendInitialEvents: true,
      signal: stop.signal,
    })
    for await (const batch of events)
      for (const { object } of batch)
        if ((object as Deployment).status?.availableReplicas === 3) return
  } finally {
    stop.abort()
  }
  throw new Error('the watch ended')
}

test('a cluster in the process runs a Deployment, beside others, and leaves nothing behind', async () => {
  const before = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  const clusters = await Promise.all([1, 2, 3].map((nodes) => createCluster({ nodes })))
  await Promise.all(
    clusters.map(async (cluster, i) => {
      await cluster.ready
      await cluster.client.create(deployments, web)
      await available(cluster)
      const { items } = await cluster.client.list(pods, { namespace: 'default' })
      assert.equal(items.length, 3)
      const nodes = new Set(items.map(({ spec }) => spec.nodeName))
      assert.equal(nodes.size, i + 1)
    }),
  )
  await Promise.all(clusters.map((cluster) => cluster.stop()))
  const after = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  assert.ok(after <= before, `${after - before} timers are left`)
})

test('a watch that is left ends, and the cluster still stops', async () => {
  const cluster = await createCluster()
  await cluster.ready
  const events = await cluster.client.watch(pods, { sendInitialEvents: true })
  for await (const batch of events) {
    assert.ok(batch.length > 0)
    break
  }
  await cluster.stop()
})

test('a cluster may be stopped before it is ready, by somebody who never asked whether it is', async () => {
  for (let i = 0; i < 3; i++) {
    const cluster = await createCluster()
    await cluster.stop()
  }
  // A rejection that nobody handles would be told by now, and end the process of whoever has no test runner.
  await new Promise((resolve) => setImmediate(resolve))
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { customResourceDefinitions, podDisruptionBudgets, pods } from '#api'
import { virtualEnv } from '#base'
import { createCluster } from './library/create-cluster.ts'

test('a budget counts what a custom owner asks for by its scale', async () => {
  const env = virtualEnv()
  const cluster = await createCluster({ env })
  const { client } = cluster
  await env.advance(2000)
  await client.create(customResourceDefinitions, {
    metadata: { name: 'toys.x.dev' },
    spec: {
      group: 'x.dev',
      scope: 'Namespaced',
      names: { plural: 'toys', kind: 'Toy' },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          subresources: {
            scale: {
              specReplicasPath: '.spec.replicas',
              statusReplicasPath: '.status.replicas',
            },
          },
          schema: {
            openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
          },
        },
      ],
    },
  } as never)
  await env.advance(2000)
  const toy = (await client.transport.request({
    method: 'POST',
    path: '/apis/x.dev/v1/namespaces/default/toys',
    body: {
      apiVersion: 'x.dev/v1',
      kind: 'Toy',
      metadata: { name: 't' },
      spec: { replicas: 4 },
    },
  })) as { metadata: { uid: string } }
  await client.create(podDisruptionBudgets, {
    metadata: { namespace: 'default', name: 'toys' },
    spec: { selector: { matchLabels: { app: 'toy' } }, minAvailable: '50%' },
  })
  await client.create(pods, {
    metadata: {
      namespace: 'default',
      name: 'a',
      labels: { app: 'toy' },
      ownerReferences: [
        {
          apiVersion: 'x.dev/v1',
          kind: 'Toy',
          name: 't',
          uid: toy.metadata.uid,
          controller: true,
        },
      ],
    },
    spec: { containers: [{ name: 'main', image: 'toy:1' }] },
  })
  for (let i = 0; i < 10; i++) await env.advance(1000)
  const { status } = await client.get(podDisruptionBudgets, { namespace: 'default', name: 'toys' })
  assert.deepEqual(
    [status?.expectedPods, status?.desiredHealthy, status?.conditions?.[0]?.reason],
    [4, 2, 'InsufficientPods'],
  )
  await cluster.stop()
})

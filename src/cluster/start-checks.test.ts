import assert from 'node:assert/strict'
import { test } from 'node:test'
import { flowSchemas, namespaces } from '#api'
import { virtualEnv } from '#base'
import { createCluster } from './library/create-cluster.ts'

test('a cluster is healthy with what it begins with, and not for as long as that is there', async () => {
  const env = virtualEnv()
  const cluster = await createCluster({ env })
  const { client } = cluster
  const health = async () => {
    return String(
      await client.transport.request({ method: 'GET', path: '/livez', query: { verbose: '' } }),
    )
  }
  await env.advance(5000)
  const text = await health()
  for (const hook of [
    'start-system-namespaces-controller',
    'bootstrap-controller',
    'start-kubernetes-service-cidr-controller',
    'start-cluster-authentication-info-controller',
    'start-legacy-token-tracking-controller',
    'rbac/bootstrap-roles',
    'scheduling/bootstrap-system-priority-classes',
    'priority-and-fairness-config-producer',
  ])
    assert.match(text, new RegExp(`^\\[\\+\\]poststarthook/${hook} ok$`, 'm'))
  await client.delete(flowSchemas, { name: 'catch-all' })
  assert.equal(
    (await client.getOptional(namespaces, { name: 'default' }))?.metadata.name,
    'default',
  )
  assert.match(await health(), /livez check passed/)
  await cluster.stop()
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pods, replicationControllers } from '#api'
import { StatusError } from '#machinery'
import { controllerOf } from '../framework/index.ts'
import { world } from '../testing/world.ts'
import { replicationControllerController } from './index.ts'

const spec = { containers: [{ name: 'main', image: 'web:1' }] }
const key = { namespace: 'shop', name: 'web' }
const web = (replicas: number) => ({
  metadata: key,
  spec: {
    replicas,
    selector: { app: 'web' },
    template: { metadata: { labels: { app: 'web' } }, spec },
  },
})

test('it makes, adopts, releases and removes pods, and then rests', async () => {
  const w = await world([replicationControllerController])
  const orphan = await w.client.create(pods, {
    metadata: { namespace: 'shop', name: 'orphan', labels: { app: 'web' } },
    spec,
  })
  await w.client.create(replicationControllers, web(3))
  await w.rest()
  assert.equal(w.store.list(pods).length, 3)
  assert.equal(controllerOf(w.store.get(pods, orphan.metadata)!)?.kind, 'ReplicationController')
  assert.equal(w.store.get(replicationControllers, key)?.status?.availableReplicas, 3)
  await w.client.patch(pods, orphan.metadata, 'merge', { metadata: { labels: { app: 'x' } } })
  await w.rest()
  assert.equal(controllerOf(w.store.get(pods, orphan.metadata)!), undefined)
  await w.client.scale(replicationControllers, key, 1)
  await w.rest()
  assert.equal(w.store.list(pods).length, 2)
  const before = w.transport.requests.length
  await w.env.advance(3_600_000)
  assert.equal(w.transport.requests.length, before)
  assert.equal(w.store.get(replicationControllers, key)?.status?.replicas, 1)
  w.stop()
})

test('a refusal shows as a condition', async () => {
  const w = await world([replicationControllerController], {
    before: ({ method, path }) => {
      if (method === 'POST' && path.endsWith('/pods'))
        throw new StatusError('Forbidden', 'exceeded quota: q')
    },
  })
  await w.client.create(replicationControllers, web(3))
  await w.env.advance(10_000)
  const [condition] = w.store.get(replicationControllers, key)?.status?.conditions ?? []
  assert.deepEqual([condition?.type, condition?.reason], ['ReplicaFailure', 'FailedCreate'])
  w.stop()
})

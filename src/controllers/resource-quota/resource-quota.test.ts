import assert from 'node:assert/strict'
import { test } from 'node:test'
import { configMaps, pods, resourceQuotas, type Pod } from '#api'
import { world, type World } from '../testing/world.ts'
import { countedBy, resourceQuotaController } from './index.ts'

const key = { namespace: 'shop', name: 'q' }
const rules = {
  usageOf: (resource: string, object: unknown): Readonly<Record<string, string>> => ({
    [`count/${resource}`]: '1',
    [resource]: '1',
    ...(resource === 'pods'
      ? {
          'requests.cpu': (object as Pod).spec.containers[0]?.resources?.requests?.['cpu'] ?? '0',
        }
      : {}),
  }),
  inScope: () => true,
}
const pod = (name: string) => ({
  metadata: { namespace: 'shop', name },
  spec: {
    containers: [{ name: 'main', image: 'i', resources: { requests: { cpu: '250m' } } }],
  },
})
const used = ({ store }: World) => store.get(resourceQuotas, key)?.status?.used

test('usage is counted when a quota comes, and falls when things go or end', async () => {
  const w = await world([resourceQuotaController(rules)])
  await w.client.create(pods, pod('a'))
  await w.client.create(pods, pod('b'))
  await w.client.create(configMaps, { metadata: { namespace: 'shop', name: 'm' } })
  await w.client.create(configMaps, { metadata: { namespace: 'other', name: 'm' } })
  const hard = { pods: '10', 'requests.cpu': '2', 'count/pods': '5', configmaps: '3' }
  await w.client.create(resourceQuotas, { metadata: key, spec: { hard } })
  await w.env.advance(500)
  assert.deepEqual(used(w), {
    pods: '2',
    'requests.cpu': '500m',
    'count/pods': '2',
    configmaps: '1',
  })
  assert.deepEqual(w.store.get(resourceQuotas, key)?.status?.hard, hard)
  await w.rest()
  await w.end(w.store.list(pods)[0]!, 'Succeeded')
  await w.client.delete(configMaps, { namespace: 'shop', name: 'm' })
  await w.rest()
  assert.deepEqual(used(w), {
    pods: '1',
    'requests.cpu': '250m',
    'count/pods': '2',
    configmaps: '0',
  })
  const before = w.transport.requests.length
  await w.env.advance(3_600_000)
  assert.equal(w.transport.requests.length, before)
  w.stop()
})

test('a status that somebody else wrote is put right within five minutes, and not at once', async () => {
  const w = await world([resourceQuotaController(rules)])
  await w.client.create(resourceQuotas, { metadata: key, spec: { hard: { pods: '1' } } })
  await w.env.advance(500)
  const found = w.store.get(resourceQuotas, key)!
  await w.client.updateStatus(resourceQuotas, { ...found, status: { hard: { pods: '9' } } })
  await w.env.advance(10_000)
  assert.deepEqual(w.store.get(resourceQuotas, key)?.status?.hard, { pods: '9' })
  await w.env.advance(300_000)
  assert.deepEqual(w.store.get(resourceQuotas, key)?.status?.hard, { pods: '1' })
  w.stop()
})

test('names in a quota say what they count', () => {
  const cases = {
    pods: 'pods',
    cpu: 'pods',
    'limits.memory': 'pods',
    'requests.example.com/gpu': 'pods',
    'services.nodeports': 'services',
    'requests.storage': 'persistentvolumeclaims',
    'gold.storageclass.storage.k8s.io/requests.storage': 'persistentvolumeclaims',
    'count/deployments.apps': 'deployments.apps',
    secrets: 'secrets',
  }
  for (const [name, resource] of Object.entries(cases)) assert.equal(countedBy(name), resource)
})

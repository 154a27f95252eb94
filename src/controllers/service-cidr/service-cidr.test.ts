import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ipAddresses, serviceCIDRs, services } from '#api'
import { world } from '../testing/world.ts'
import { ipAddressController, serviceCidrController } from './index.ts'

test('a range is said to be ready, and goes only when no address is left in it', async () => {
  const w = await world([serviceCidrController, ipAddressController])
  const spec = { clusterIP: '10.9.0.7', clusterIPs: ['10.9.0.7'], ports: [{ port: 80 }] }
  await w.client.create(serviceCIDRs, {
    metadata: { name: 'more' },
    spec: { cidrs: ['10.9.0.0/24'] },
  })
  await w.client.create(services, { metadata: { namespace: 'shop', name: 'web' }, spec })
  await w.rest()
  const found = w.store.get(serviceCIDRs, { name: 'more' })
  assert.equal(found?.status?.conditions?.[0]?.status, 'True')
  assert.deepEqual(found.metadata.finalizers, ['networking.k8s.io/service-cidr-finalizer'])
  assert.deepEqual(w.store.get(ipAddresses, { name: '10.9.0.7' })?.spec.parentRef, {
    resource: 'services',
    namespace: 'shop',
    name: 'web',
  })

  await w.client.delete(serviceCIDRs, { name: 'more' })
  await w.rest()
  assert.equal(
    w.store.get(serviceCIDRs, { name: 'more' })?.status?.conditions?.[0]?.reason,
    'Terminating',
  )
  await w.client.delete(services, { namespace: 'shop', name: 'web' })
  await w.rest()
  assert.equal(w.store.get(ipAddresses, { name: '10.9.0.7' }), undefined)
  assert.equal(w.store.get(serviceCIDRs, { name: 'more' }), undefined)
  w.stop()
})

test('an address that somebody made by hand stays', async () => {
  const w = await world([ipAddressController])
  await w.client.create(ipAddresses, {
    metadata: { name: '10.9.0.8' },
    spec: { parentRef: { resource: 'services', namespace: 'shop', name: 'gone' } },
  })
  await w.rest()
  assert.ok(w.store.get(ipAddresses, { name: '10.9.0.8' }))
  w.stop()
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { configMaps, namespaces, nodes, serviceAccounts } from '#api'
import { nodeIpamController } from '../node-ipam/index.ts'
import { rootCaController } from '../root-ca/index.ts'
import { world } from '../testing/world.ts'
import { serviceAccountController } from './index.ts'

const PEM = '-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n'
const published = { namespace: 'shop', name: 'kube-root-ca.crt' }
const account = { namespace: 'shop', name: 'default' }

test('every namespace has its default account and the cluster authority, and has them again when they are deleted or edited', async () => {
  const w = await world([serviceAccountController, rootCaController(PEM)])
  await w.client.create(namespaces, { metadata: { name: 'shop' }, spec: {} })
  await w.env.advance(100)
  assert.ok(w.store.get(serviceAccounts, account))
  assert.deepEqual(w.store.get(configMaps, published)?.data, { 'ca.crt': PEM })
  await w.client.delete(serviceAccounts, account)
  await w.client.patch(configMaps, published, 'merge', { data: { 'ca.crt': 'x', more: 'y' } })
  await w.env.advance(100)
  assert.ok(w.store.get(serviceAccounts, account))
  assert.deepEqual(w.store.get(configMaps, published)?.data, { 'ca.crt': PEM })
  await w.client.delete(configMaps, published)
  await w.env.advance(100)
  assert.ok(w.store.get(configMaps, published))
  w.stop()
})

test('a namespace that is being deleted gets nothing any more', async () => {
  const w = await world([serviceAccountController, rootCaController(PEM)])
  await w.client.create(namespaces, {
    metadata: { name: 'shop' },
    spec: { finalizers: ['kubernetes'] },
  })
  await w.env.advance(100)
  await w.client.delete(namespaces, { name: 'shop' })
  await w.client.delete(serviceAccounts, account)
  await w.client.delete(configMaps, published)
  await w.env.advance(1000)
  assert.equal(w.store.get(serviceAccounts, account), undefined)
  assert.equal(w.store.get(configMaps, published), undefined)
  w.stop()
})

test('each node has a range of its own, and one that is freed is given again', async () => {
  const w = await world([nodeIpamController('10.244.0.0/16')], { nodes: ['a', 'b', 'c'] })
  await w.env.advance(100)
  const ranges = () => w.store.list(nodes).map(({ spec }) => spec.podCIDR)
  assert.deepEqual(new Set(ranges()), new Set(['10.244.0.0/24', '10.244.1.0/24', '10.244.2.0/24']))
  const freed = w.store.get(nodes, { name: 'b' })?.spec.podCIDR
  await w.client.delete(nodes, { name: 'b' })
  await w.env.advance(100)
  await w.client.create(nodes, { metadata: { name: 'd' }, spec: {} })
  await w.env.advance(100)
  assert.equal(w.store.get(nodes, { name: 'd' })?.spec.podCIDR, freed)
  w.stop()
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { configMaps, deployments, namespaces, pods, replicationControllers } from '#api'
import { virtualEnv } from '#base'
import { createClient, createInformers } from '#client'
import { memoryTransport } from '#client/testing'
import type { KubeObject, OwnerReference, ResourceRef } from '#machinery'
import { garbageCollector } from './index.ts'
import { judge, type OwnerState } from './judge.ts'

const toys: ResourceRef = {
  group: 'x.dev',
  version: 'v1',
  resource: 'toys',
  kind: 'Toy',
  namespaced: true,
}

async function collecting() {
  const env = virtualEnv()
  const transport = memoryTransport({ clock: env.clock, custom: [toys] })
  const client = createClient(transport)
  const stop = new AbortController()
  const informers = createInformers(client, env, stop.signal)
  garbageCollector.start({ client, informers, env, signal: stop.signal })
  await env.advance(1000)
  const map = (name: string, owners: readonly OwnerReference[] = [], more: object = {}) =>
    client.create(configMaps, {
      metadata: { namespace: 'shop', name, ownerReferences: owners, ...more },
    })
  const names = () => transport.store.list(configMaps).map(({ metadata }) => metadata.name)
  return { env, client, transport, stop, map, names, store: transport.store }
}

const owned = (owner: KubeObject, block = true): OwnerReference => ({
  apiVersion: owner.apiVersion ?? 'v1',
  kind: owner.kind ?? 'ConfigMap',
  name: owner.metadata.name,
  uid: owner.metadata.uid,
  blockOwnerDeletion: block,
})

test('dependents go after their owner, and theirs after them', async () => {
  const { env, client, map, names, stop } = await collecting()
  const a = await map('a')
  const b = await map('b', [owned(a)])
  await map('c', [owned(b)])
  await map('other')
  await env.advance(1000)
  assert.deepEqual(names(), ['a', 'b', 'c', 'other'])
  await client.delete(configMaps, a.metadata)
  await env.advance(1000)
  assert.deepEqual(names(), ['other'])
  stop.abort()
})

test('an object that comes after its owner has gone is collected', async () => {
  const { env, client, map, names, stop } = await collecting()
  const a = await map('a')
  await client.delete(configMaps, a.metadata)
  await map('late', [owned(a)])
  await env.advance(1000)
  assert.deepEqual(names(), [])
  stop.abort()
})

test('with two owners, the one that is left keeps it, and the reference to the other goes', async () => {
  const { env, client, map, store, stop } = await collecting()
  const [a, b] = [await map('a'), await map('b')]
  await map('c', [owned(a), owned(b)])
  await env.advance(1000)
  await client.delete(configMaps, a.metadata)
  await env.advance(1000)
  const c = store.get(configMaps, { namespace: 'shop', name: 'c' })
  assert.deepEqual(
    c?.metadata.ownerReferences?.map(({ name }) => name),
    ['b'],
  )
  stop.abort()
})

test('in a foreground deletion the owner goes last', async () => {
  const { env, client, map, names, store, stop } = await collecting()
  const a = await map('a')
  await map('b', [owned(a)], { finalizers: ['x.dev/slow'] })
  await env.advance(1000)
  await client.delete(configMaps, a.metadata, { propagationPolicy: 'Foreground' })
  await env.advance(1000)
  assert.deepEqual(names(), ['a', 'b'])
  const b = store.get(configMaps, { namespace: 'shop', name: 'b' })
  assert.ok(b?.metadata.deletionTimestamp)
  await client.patch(configMaps, b.metadata, 'merge', { metadata: { finalizers: [] } })
  await env.advance(1000)
  assert.deepEqual(names(), [])
  stop.abort()
})

test('a dependent that does not block is not waited for', async () => {
  const { env, client, map, names, stop } = await collecting()
  const a = await map('a')
  await map('b', [owned(a, false)], { finalizers: ['x.dev/slow'] })
  await env.advance(1000)
  await client.delete(configMaps, a.metadata, { propagationPolicy: 'Foreground' })
  await env.advance(1000)
  assert.deepEqual(names(), ['b'])
  stop.abort()
})

test('orphans stay, and forget their owner', async () => {
  const { env, client, map, names, store, stop } = await collecting()
  const a = await map('a')
  await map('b', [owned(a)])
  await env.advance(1000)
  await client.delete(configMaps, a.metadata, { propagationPolicy: 'Orphan' })
  await env.advance(60_000)
  assert.deepEqual(names(), ['b'])
  const b = store.get(configMaps, { namespace: 'shop', name: 'b' })
  assert.deepEqual(b?.metadata.ownerReferences ?? [], [])
  stop.abort()
})

test('a circle of owners does not keep itself alive in a foreground deletion', async () => {
  const { env, client, map, names, stop } = await collecting()
  const [a, b, c] = [await map('a'), await map('b'), await map('c')]
  const own = (of: KubeObject, by: KubeObject) =>
    client.patch(configMaps, of.metadata, 'merge', { metadata: { ownerReferences: [owned(by)] } })
  await own(a, c)
  await own(b, a)
  await own(c, b)
  await env.advance(1000)
  assert.deepEqual(names(), ['a', 'b', 'c'])
  await client.delete(configMaps, a.metadata, { propagationPolicy: 'Foreground' })
  await env.advance(60_000)
  assert.deepEqual(names(), [])
  stop.abort()
})

test('custom resources own like others, and an unknown kind keeps what it is said to own', async () => {
  const { env, client, map, names, store, stop } = await collecting()
  const toy = store.create(toys, {
    apiVersion: 'x.dev/v1',
    kind: 'Toy',
    metadata: { namespace: 'shop', name: 'bear' },
  })
  await map('of-toy', [owned(toy)])
  await map('of-nobody', [{ apiVersion: 'y.dev/v1', kind: 'What', name: 'x', uid: 'u' }])
  await env.advance(1000)
  assert.deepEqual(names(), ['of-nobody', 'of-toy'])
  await client.delete(toys, toy.metadata)
  await env.advance(1000)
  assert.deepEqual(names(), ['of-nobody'])
  stop.abort()
})

test('an owner in another namespace is none', async () => {
  const { env, client, names, stop } = await collecting()
  const far = await client.create(configMaps, { metadata: { namespace: 'far', name: 'a' } })
  await client.create(configMaps, {
    metadata: { namespace: 'shop', name: 'b', ownerReferences: [owned(far)] },
  })
  await env.advance(1000)
  assert.deepEqual(names(), ['a'])
  stop.abort()
})

test('a namespaced owner of a cluster-scoped object is ignored', async () => {
  const { env, client, map, store, stop } = await collecting()
  const a = await map('a')
  await client.create(namespaces, {
    metadata: { name: 'odd', ownerReferences: [owned(a)] },
    spec: {},
  })
  await client.delete(configMaps, a.metadata)
  await env.advance(60_000)
  assert.equal(store.list(namespaces).length, 1)
  stop.abort()
})

test('nothing is asked and nothing waits when nothing changes', async () => {
  const { env, transport, map, stop } = await collecting()
  const a = await map('a')
  for (let i = 0; i < 50; i++) await map(`b${i}`, [owned(a)])
  await env.advance(5000)
  const before = transport.requests.length
  await env.advance(3_600_000)
  assert.equal(transport.requests.length, before)
  assert.equal(env.nextTimer(), undefined)
  stop.abort()
})

test('pods of a replication controller are given their grace', async () => {
  const { env, client, store, stop } = await collecting()
  const spec = { containers: [{ name: 'main', image: 'web:1' }] }
  const rc = await client.create(replicationControllers, {
    metadata: { namespace: 'shop', name: 'web' },
    spec: {
      selector: { app: 'web' },
      template: { metadata: { labels: { app: 'web' } }, spec },
    },
  })
  const pod = await client.create(pods, {
    metadata: { namespace: 'shop', name: 'web-0', ownerReferences: [owned(rc)] },
    spec,
  })
  await client.bind(pod, 'n1')
  await env.advance(1000)
  await client.delete(replicationControllers, rc.metadata)
  await env.advance(1000)
  assert.equal(store.get(pods, pod.metadata)?.metadata.deletionGracePeriodSeconds, 30)
  assert.equal(store.list(deployments).length, 0)
  stop.abort()
})

const thing = (uid: string, more: object = {}): KubeObject => ({
  metadata: { name: uid, uid, resourceVersion: '1', creationTimestamp: '', ...more },
})
const reference = (uid: string): OwnerReference => ({ apiVersion: 'v1', kind: 'X', name: uid, uid })

test('what cannot be told of an owner changes nothing', () => {
  const states: Record<string, OwnerState> = { a: 'absent', b: 'unknown' }
  const object = thing('c', { ownerReferences: [reference('a'), reference('b')] })
  assert.deepEqual(
    judge(object, ({ uid }) => states[uid] ?? 'unknown', []),
    { type: 'keep' },
  )
})

test('what is going already is left alone', () => {
  const object = thing('c', {
    ownerReferences: [reference('a')],
    deletionTimestamp: '2026-01-01T00:00:00Z',
  })
  assert.deepEqual(
    judge(object, () => 'absent', []),
    { type: 'keep' },
  )
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { configMaps, namespaces, pods, secrets } from '#api'
import { virtualEnv } from '#base'
import { createClient, createInformers } from '#client'
import { memoryTransport } from '#client/testing'
import { StatusError } from '#machinery'
import { namespaceController } from './index.ts'
import { withReport } from './report.ts'

async function running(broken: readonly string[] = []) {
  const env = virtualEnv()
  const failing = new Set(broken)
  const transport = memoryTransport({
    clock: env.clock,
    before: ({ method, path }) => {
      if (method === 'DELETE' && failing.has(path.split('/').at(-1) ?? ''))
        throw new StatusError('InternalError', 'the disk is full')
    },
  })
  const client = createClient(transport)
  const stop = new AbortController()
  const informers = createInformers(client, env, stop.signal)
  namespaceController.start({ client, informers, env, signal: stop.signal })
  await client.create(namespaces, {
    metadata: { name: 'shop' },
    spec: { finalizers: ['kubernetes'] },
  })
  await client.create(configMaps, { metadata: { namespace: 'shop', name: 'a' } })
  await client.create(configMaps, { metadata: { namespace: 'other', name: 'a' } })
  await client.create(secrets, { metadata: { namespace: 'shop', name: 's' } })
  await env.advance(1000)
  const phase = () => transport.store.get(namespaces, { name: 'shop' })?.status?.phase
  const conditions = () =>
    Object.fromEntries(
      (transport.store.get(namespaces, { name: 'shop' })?.status?.conditions ?? []).map((each) => [
        each.type,
        each,
      ]),
    )
  return { env, client, transport, store: transport.store, stop, phase, conditions, failing }
}

const podSpec = { containers: [{ name: 'main', image: 'web:1' }] }

test('a deleted namespace takes all that is in it along, and nothing else', async () => {
  const { env, client, store, stop } = await running()
  await client.delete(namespaces, { name: 'shop' })
  await env.advance(1000)
  assert.equal(store.get(namespaces, { name: 'shop' }), undefined)
  assert.equal(store.list(configMaps, 'shop').length, 0)
  assert.equal(store.list(secrets, 'shop').length, 0)
  assert.equal(store.list(configMaps, 'other').length, 1)
  stop.abort()
})

test('while a pod is held by a finalizer, all else stays and the namespace says why', async () => {
  const { env, client, store, stop, phase, conditions } = await running()
  const pod = await client.create(pods, {
    metadata: { namespace: 'shop', name: 'web', finalizers: ['x.dev/slow'] },
    spec: podSpec,
  })
  await env.advance(1000)
  await client.delete(namespaces, { name: 'shop' })
  await env.advance(20_000)
  assert.equal(phase(), 'Terminating')
  assert.equal(store.list(configMaps, 'shop').length, 1)
  assert.equal(conditions()['NamespaceDeletionContentFailure']?.status, 'False')
  assert.equal(
    conditions()['NamespaceContentRemaining']?.message,
    'Some resources are remaining: pods has 1 resource instances',
  )
  assert.equal(
    conditions()['NamespaceFinalizersRemaining']?.message,
    'Some content in the namespace has finalizers remaining: x.dev/slow in 1 resource instances',
  )
  await client.patch(pods, pod.metadata, 'merge', { metadata: { finalizers: [] } })
  await env.advance(100)
  assert.equal(store.get(namespaces, { name: 'shop' }), undefined)
  stop.abort()
})

test('pods have their grace, and the namespace goes as soon as the last has ended', async () => {
  const { env, client, store, stop } = await running()
  const pod = await client.create(pods, {
    metadata: { namespace: 'shop', name: 'web' },
    spec: podSpec,
  })
  await client.bind(pod, 'n1')
  await client.delete(namespaces, { name: 'shop' })
  await env.advance(20_000)
  assert.equal(store.list(pods, 'shop').length, 1)
  await client.delete(pods, pod.metadata, { gracePeriodSeconds: 0 })
  await env.advance(100)
  assert.equal(store.get(namespaces, { name: 'shop' }), undefined)
  stop.abort()
})

test('what cannot be deleted is told, and tried again', async () => {
  const { env, client, store, stop, conditions, failing } = await running(['secrets'])
  await client.delete(namespaces, { name: 'shop' })
  await env.advance(5000)
  assert.match(
    conditions()['NamespaceDeletionContentFailure']?.message ?? '',
    /^Failed to delete all resource types, 1 remaining: unexpected error deleting v1, Resource=secrets: the disk is full$/,
  )
  failing.clear()
  await env.advance(20_000)
  assert.equal(store.get(namespaces, { name: 'shop' }), undefined)
  stop.abort()
})

test('another finalizer of the namespace is left to its owner', async () => {
  const { env, client, store, stop } = await running()
  await client.create(namespaces, {
    metadata: { name: 'kept', finalizers: ['x.dev/mine'] },
    spec: { finalizers: ['kubernetes'] },
  })
  await client.delete(namespaces, { name: 'kept' })
  await env.advance(20_000)
  assert.deepEqual(store.get(namespaces, { name: 'kept' })?.spec?.finalizers ?? [], [])
  assert.ok(store.get(namespaces, { name: 'kept' }))
  stop.abort()
})

test('a report that says the same again is no change', () => {
  const report = { undiscovered: [], failures: [], remaining: [] }
  const at = new Date('2026-01-01T00:00:00Z')
  const namespace = {
    metadata: { name: 'a', uid: 'u', resourceVersion: '1', creationTimestamp: '' },
    spec: {},
  }
  const told = withReport(namespace, report, at)
  assert.equal(told?.status?.conditions?.length, 5)
  assert.equal(withReport(told, report, new Date(at.getTime() + 5000)), undefined)
})

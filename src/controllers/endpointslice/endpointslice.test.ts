import assert from 'node:assert/strict'
import { test } from 'node:test'
import { endpoints, endpointSlices, pods, services, type Pod, type Service } from '#api'
import type { Draft } from '#machinery'
import { endpointSliceMirroringController } from '../endpointslice-mirroring/index.ts'
import { endpointsController } from '../endpoints/index.ts'
import { world, type World, type WorldOptions } from '../testing/world.ts'
import { endpointSliceController } from './index.ts'

const running = (options?: WorldOptions) =>
  world([endpointSliceController, endpointsController, endpointSliceMirroringController], options)
const key = { namespace: 'shop', name: 'web' }
const service = (spec: Partial<Service['spec']> = {}): Draft<Service> => ({
  metadata: key,
  spec: {
    selector: { app: 'web' },
    clusterIP: '10.96.0.10',
    clusterIPs: ['10.96.0.10'],
    ipFamilies: ['IPv4'],
    ipFamilyPolicy: 'SingleStack',
    ports: [{ name: 'http', port: 80, targetPort: 8080 }],
    ...spec,
  },
})
const pod = (name: string, more: Partial<Pod['spec']> = {}): Draft<Pod> => ({
  metadata: { namespace: 'shop', name, labels: { app: 'web' } },
  spec: { containers: [{ name: 'main', image: 'web:1' }], ...more },
})
const slices = ({ store }: World) => store.list(endpointSlices)
const ready = (w: World): readonly string[] =>
  slices(w)
    .flatMap((slice) => slice.endpoints ?? [])
    .filter(({ conditions }) => conditions?.ready === true)
    .map(({ targetRef }) => targetRef?.name ?? '')
    .toSorted((a, b) => (a < b ? -1 : 1))
const addressesOf = ({ store }: World) =>
  (store.get(endpoints, key)?.subsets ?? []).flatMap((subset) =>
    (subset.addresses ?? []).map(({ targetRef }) => targetRef?.name),
  )

test('ready pods are behind their service, with port, node and reference', async () => {
  const w = await running()
  await w.client.create(services, service())
  await w.rest()
  // Also a service that selects nothing has its slice and its endpoints.
  assert.equal(slices(w).length, 1)
  assert.ok(w.store.get(endpoints, key))
  await w.client.create(pods, pod('a'))
  await w.rest()
  const [slice] = slices(w)
  const [endpoint] = slice?.endpoints ?? []
  assert.deepEqual(endpoint?.conditions, { ready: true, serving: true, terminating: false })
  assert.equal(endpoint?.nodeName, 'n1')
  assert.deepEqual(
    slice?.ports?.map(({ name, port, protocol }) => [name, port, protocol]),
    [['http', 8080, 'TCP']],
  )
  assert.equal(slice?.metadata.labels?.['kubernetes.io/service-name'], 'web')
  assert.equal(
    slice?.metadata.labels?.['endpointslice.kubernetes.io/managed-by'],
    'endpointslice-controller.k8s.io',
  )
  assert.deepEqual(addressesOf(w), ['a'])
  w.stop()
})

test('a pod on its way out serves and is not ready; when gone it is gone', async () => {
  const w = await running({ stopMs: 10_000 })
  await w.client.create(services, service())
  await w.client.create(pods, pod('a'))
  await w.rest()
  await w.client.delete(pods, { namespace: 'shop', name: 'a' })
  await w.env.advance(100)
  assert.deepEqual(slices(w)[0]?.endpoints?.[0]?.conditions, {
    ready: false,
    serving: true,
    terminating: true,
  })
  assert.deepEqual(addressesOf(w), [])
  await w.env.advance(12_000)
  assert.deepEqual(slices(w)[0]?.endpoints ?? [], [])
  w.stop()
})

test('no slice has more than a hundred, and one change touches one slice', async () => {
  const w = await running()
  await w.client.create(services, service())
  for (let i = 0; i < 250; i++) await w.client.create(pods, pod(`p${i}`))
  await w.rest()
  assert.deepEqual(
    slices(w).map((slice) => slice.endpoints?.length),
    [100, 100, 50],
  )
  assert.equal(new Set(ready(w)).size, 250)
  let writes = 0
  w.store.onEvent(({ resource }) => {
    if (resource.resource === 'endpointslices') writes++
  })
  await w.client.delete(pods, { namespace: 'shop', name: 'p7' }, { gracePeriodSeconds: 0 })
  await w.rest()
  assert.equal(writes, 1)
  w.stop()
})

test('labels decide: of pods and of the selector', async () => {
  const w = await running()
  await w.client.create(services, service())
  await w.client.create(pods, pod('a'))
  await w.client.create(pods, pod('b'))
  await w.rest()
  assert.deepEqual(ready(w), ['a', 'b'])
  await w.client.patch(pods, { namespace: 'shop', name: 'a' }, 'merge', {
    metadata: { labels: { app: 'other' } },
  })
  await w.rest()
  assert.deepEqual(ready(w), ['b'])
  await w.client.patch(services, key, 'merge', { spec: { selector: { app: 'other' } } })
  await w.rest()
  assert.deepEqual(ready(w), ['a'])
  assert.deepEqual(addressesOf(w), ['a'])
  w.stop()
})

test('pods with a name of their own behind a headless service are found by it', async () => {
  const w = await running()
  await w.client.create(services, service({ clusterIP: 'None', clusterIPs: ['None'] }))
  await w.client.create(pods, pod('a', { hostname: 'db-0', subdomain: 'web' }))
  await w.rest()
  const [slice] = slices(w)
  assert.equal(slice?.endpoints?.[0]?.hostname, 'db-0')
  assert.equal(slice?.metadata.labels?.['service.kubernetes.io/headless'], '')
  w.stop()
})

test('a named port is looked up in each pod', async () => {
  const w = await running()
  await w.client.create(services, service({ ports: [{ name: 'x', port: 80, targetPort: 'http' }] }))
  const named = (containerPort: number) => ({
    containers: [{ name: 'main', image: 'i', ports: [{ name: 'http', containerPort }] }],
  })
  await w.client.create(pods, pod('a', named(1000)))
  await w.client.create(pods, pod('b', named(2000)))
  await w.rest()
  assert.deepEqual(
    slices(w)
      .map((slice) => slice.ports?.[0]?.port)
      .toSorted((a = 0, b = 0) => a - b),
    [1000, 2000],
  )
  assert.equal(w.store.get(endpoints, key)?.subsets?.length, 2)
  w.stop()
})

test('a slice that somebody else made stays as it is', async () => {
  const w = await running()
  await w.client.create(services, service())
  await w.client.create(endpointSlices, {
    metadata: {
      namespace: 'shop',
      name: 'mine',
      labels: { 'kubernetes.io/service-name': 'web' },
    },
    addressType: 'IPv4',
    endpoints: [{ addresses: ['192.0.2.1'] }],
    ports: [],
  })
  await w.rest()
  assert.deepEqual(
    w.store
      .get(endpointSlices, { namespace: 'shop', name: 'mine' })
      ?.endpoints?.map(({ addresses }) => addresses),
    [['192.0.2.1']],
  )
  w.stop()
})

test('endpoints written by hand are shown as slices, follow changes, and go with them', async () => {
  const w = await running()
  const { selector: _, ...spec } = service().spec
  await w.client.create(services, { metadata: key, spec })
  const made = await w.client.create(endpoints, {
    metadata: key,
    subsets: [{ addresses: [{ ip: '192.0.2.1' }], ports: [{ name: 'http', port: 80 }] }],
  })
  await w.rest()
  assert.deepEqual(
    slices(w).map((slice) => slice.endpoints?.[0]?.addresses),
    [['192.0.2.1']],
  )
  assert.equal(
    slices(w)[0]?.metadata.labels?.['endpointslice.kubernetes.io/managed-by'],
    'endpointslicemirroring-controller.k8s.io',
  )
  await w.client.update(endpoints, {
    ...made,
    subsets: [{ addresses: [{ ip: '192.0.2.2' }], ports: [{ name: 'http', port: 80 }] }],
  })
  await w.rest()
  assert.deepEqual(
    slices(w).map((slice) => slice.endpoints?.[0]?.addresses),
    [['192.0.2.2']],
  )
  await w.client.delete(endpoints, key)
  await w.rest()
  assert.equal(slices(w).length, 0)
  w.stop()
})

test('settled services ask nothing, and nothing waits', async () => {
  const w = await running()
  await w.client.create(services, service())
  await w.client.create(pods, pod('a'))
  await w.rest()
  const before = w.transport.requests.length
  await w.env.advance(3_600_000)
  assert.equal(w.transport.requests.length, before)
  assert.equal(w.env.nextTimer(), undefined)
  w.stop()
})

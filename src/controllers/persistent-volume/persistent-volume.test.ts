import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  events,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  storageClasses,
  type PersistentVolume,
  type PersistentVolumeClaim,
} from '#api'
import type { Draft } from '#machinery'
import { ephemeralVolumeController } from '../ephemeral-volume/index.ts'
import { world, type World } from '../testing/world.ts'
import { protectionControllers } from '../volume-protection/index.ts'
import { claimBindingController, volumePhaseController } from './index.ts'

const running = () =>
  world([claimBindingController, volumePhaseController, ephemeralVolumeController])
const volume = (
  name: string,
  storage: string,
  more: Partial<NonNullable<PersistentVolume['spec']>> = {},
  labels: Record<string, string> = {},
): Draft<PersistentVolume> => ({
  metadata: { name, labels },
  spec: {
    capacity: { storage },
    accessModes: ['ReadWriteOnce'],
    hostPath: { path: `/data/${name}` },
    persistentVolumeReclaimPolicy: 'Retain',
    ...more,
  },
})
const claim = (
  name: string,
  storage = '1Gi',
  more: Partial<PersistentVolumeClaim['spec']> = {},
): Draft<PersistentVolumeClaim> => ({
  metadata: { namespace: 'shop', name },
  spec: {
    accessModes: ['ReadWriteOnce'],
    resources: { requests: { storage } },
    storageClassName: '',
    ...more,
  },
})
const claimNamed = ({ store }: World, name: string) =>
  store.get(persistentVolumeClaims, { namespace: 'shop', name })
const volumeNamed = ({ store }: World, name: string) => store.get(persistentVolumes, { name })
const reasons = ({ store }: World) => store.list(events).map(({ reason }) => reason)

test('a claim that asks for a volume by name gets it only when it fits', async () => {
  const w = await running()
  await w.client.create(persistentVolumes, volume('small', '1Gi'))
  await w.client.create(persistentVolumeClaims, claim('data', '5Gi', { volumeName: 'small' }))
  await w.rest()
  assert.equal(claimNamed(w, 'data')?.status?.phase, 'Pending')
  assert.equal(volumeNamed(w, 'small')?.spec?.claimRef, undefined)
  await w.client.create(persistentVolumeClaims, claim('fits', '1Gi', { volumeName: 'small' }))
  await w.rest()
  assert.equal(claimNamed(w, 'fits')?.status?.phase, 'Bound')
  await w.client.create(persistentVolumeClaims, claim('late', '1Gi', { volumeName: 'small' }))
  await w.rest()
  assert.equal(claimNamed(w, 'late')?.status?.phase, 'Pending')
  const told = w.store.list(events).map(({ reason, message }) => `${reason}: ${message}`)
  assert.ok(
    told.includes(
      'VolumeMismatch: Cannot bind to requested volume "small": requested PV is too small',
    ),
  )
  assert.ok(told.includes('FailedBinding: volume "small" already bound to a different claim.'))
  w.stop()
})

test('a claim takes the smallest volume that will do, and both are bound', async () => {
  const w = await running()
  await w.client.create(persistentVolumes, volume('big', '10Gi'))
  await w.client.create(persistentVolumes, volume('fit', '2Gi'))
  await w.client.create(persistentVolumes, volume('small', '500Mi'))
  await w.client.create(persistentVolumeClaims, claim('data'))
  await w.rest()
  const bound = claimNamed(w, 'data')
  assert.equal(bound?.spec.volumeName, 'fit')
  assert.equal(bound?.status?.phase, 'Bound')
  assert.deepEqual(bound?.status?.capacity, { storage: '2Gi' })
  assert.equal(bound?.metadata.annotations?.['pv.kubernetes.io/bind-completed'], 'yes')
  assert.equal(volumeNamed(w, 'fit')?.status?.phase, 'Bound')
  assert.equal(volumeNamed(w, 'fit')?.spec?.claimRef?.name, 'data')
  assert.equal(volumeNamed(w, 'big')?.status?.phase, 'Available')
  w.stop()
})

test('a claim that finds nothing says so, and is bound when a volume comes', async () => {
  const w = await running()
  await w.client.create(
    persistentVolumeClaims,
    claim('data', '1Gi', { selector: { matchLabels: { disk: 'ssd' } } }),
  )
  await w.client.create(persistentVolumes, volume('other', '1Gi'))
  await w.rest()
  assert.equal(claimNamed(w, 'data')?.status?.phase, 'Pending')
  assert.ok(reasons(w).includes('FailedBinding'))
  await w.client.create(persistentVolumes, volume('ssd', '1Gi', {}, { disk: 'ssd' }))
  await w.rest()
  assert.equal(claimNamed(w, 'data')?.spec.volumeName, 'ssd')
  w.stop()
})

test('two claims never share a volume, however late they see each other', async () => {
  const w = await world([claimBindingController, volumePhaseController], { watchDelayMs: 200 })
  await w.client.create(persistentVolumes, volume('a', '1Gi'))
  await w.client.create(persistentVolumes, volume('b', '1Gi'))
  await Promise.all(
    ['x', 'y', 'z'].map((name) => w.client.create(persistentVolumeClaims, claim(name))),
  )
  await w.rest(20_000)
  const taken = ['x', 'y', 'z'].flatMap((name) => claimNamed(w, name)?.spec.volumeName ?? [])
  assert.deepEqual(
    taken.toSorted((a, b) => (a < b ? -1 : 1)),
    ['a', 'b'],
  )
  w.stop()
})

test('a volume whose claim goes is released and kept, or deleted', async () => {
  const w = await running()
  await w.client.create(persistentVolumes, volume('kept', '1Gi'))
  await w.client.create(
    persistentVolumes,
    volume('gone', '5Gi', { persistentVolumeReclaimPolicy: 'Delete' }),
  )
  await w.client.create(persistentVolumeClaims, claim('a', '1Gi'))
  await w.client.create(persistentVolumeClaims, claim('b', '5Gi'))
  await w.rest()
  for (const name of ['a', 'b'])
    await w.client.patch(persistentVolumeClaims, { namespace: 'shop', name }, 'merge', {
      metadata: { finalizers: [] },
    })
  await w.client.delete(persistentVolumeClaims, { namespace: 'shop', name: 'a' })
  await w.client.delete(persistentVolumeClaims, { namespace: 'shop', name: 'b' })
  await w.rest()
  assert.equal(volumeNamed(w, 'kept')?.status?.phase, 'Released')
  assert.equal(
    volumeNamed(w, 'gone')?.metadata.deletionTimestamp ?? volumeNamed(w, 'gone'),
    undefined,
  )
  w.stop()
})

test('a volume that is to be recycled fails, and says why', async () => {
  const w = await running()
  const recycled = volume('old', '1Gi', { persistentVolumeReclaimPolicy: 'Recycle' })
  await w.client.create(persistentVolumes, recycled)
  await w.client.create(persistentVolumeClaims, claim('a'))
  await w.rest()
  await w.client.delete(persistentVolumeClaims, { namespace: 'shop', name: 'a' })
  await w.rest()
  assert.equal(volumeNamed(w, 'old')?.status?.phase, 'Failed')
  const told = w.store.list(events).filter(({ reason }) => reason === 'VolumeFailedRecycle')
  assert.deepEqual(
    told.map(({ type, message }) => [type, message]),
    [['Warning', 'No recycler plugin found for the volume!']],
  )
  w.stop()
})

test('a bound volume that is deleted stays until its claim has gone, and then goes', async () => {
  const w = await world([claimBindingController, volumePhaseController, ...protectionControllers])
  for (const persistentVolumeReclaimPolicy of ['Retain', 'Delete'] as const) {
    const name = persistentVolumeReclaimPolicy.toLowerCase()
    await w.client.create(persistentVolumes, {
      ...volume(name, '1Gi', { persistentVolumeReclaimPolicy }),
      metadata: { name, finalizers: ['kubernetes.io/pv-protection'] },
    })
    await w.client.create(persistentVolumeClaims, claim(name, '1Gi', { volumeName: name }))
    await w.rest()
    assert.equal(volumeNamed(w, name)?.status?.phase, 'Bound')
    await w.client.delete(persistentVolumes, { name })
    await w.rest()
    assert.equal(volumeNamed(w, name)?.status?.phase, 'Bound')
    await w.client.delete(persistentVolumeClaims, { namespace: 'shop', name })
    await w.rest()
    assert.equal(volumeNamed(w, name), undefined)
  }
  w.stop()
})

test('a claim that lost its volume says so', async () => {
  const w = await running()
  await w.client.create(persistentVolumes, volume('a', '1Gi'))
  await w.client.create(persistentVolumeClaims, claim('data'))
  await w.rest()
  await w.client.delete(persistentVolumes, { name: 'a' })
  await w.rest()
  assert.equal(claimNamed(w, 'data')?.status?.phase, 'Lost')
  assert.ok(reasons(w).includes('ClaimLost'))
  w.stop()
})

test('a volume reserved for a claim by name waits for it', async () => {
  const w = await running()
  await w.client.create(
    persistentVolumes,
    volume('mine', '10Gi', { claimRef: { namespace: 'shop', name: 'data' } }),
  )
  await w.client.create(persistentVolumes, volume('small', '1Gi'))
  await w.client.create(persistentVolumeClaims, claim('other', '10Gi'))
  await w.client.create(persistentVolumeClaims, claim('data'))
  await w.rest()
  assert.equal(claimNamed(w, 'data')?.spec.volumeName, 'mine')
  assert.equal(claimNamed(w, 'other')?.status?.phase, 'Pending')
  w.stop()
})

test('a class that waits binds when a node was chosen; others are left to their provisioner', async () => {
  const w = await running()
  await w.client.create(storageClasses, {
    metadata: { name: 'late' },
    provisioner: 'kubernetes.io/no-provisioner',
    volumeBindingMode: 'WaitForFirstConsumer',
  })
  await w.client.create(storageClasses, {
    metadata: { name: 'cloud' },
    provisioner: 'disk.example.com',
  })
  const local = {
    nodeAffinity: {
      required: {
        nodeSelectorTerms: [
          {
            matchExpressions: [
              { key: 'kubernetes.io/hostname', operator: 'In' as const, values: ['n1'] },
            ],
          },
        ],
      },
    },
    storageClassName: 'late',
  }
  await w.client.create(persistentVolumes, volume('l', '1Gi', local))
  await w.client.create(persistentVolumeClaims, claim('a', '1Gi', { storageClassName: 'late' }))
  await w.client.create(persistentVolumeClaims, claim('b', '1Gi', { storageClassName: 'cloud' }))
  await w.rest()
  assert.equal(claimNamed(w, 'a')?.status?.phase, 'Pending')
  assert.equal(
    claimNamed(w, 'b')?.metadata.annotations?.['volume.kubernetes.io/storage-provisioner'],
    'disk.example.com',
  )
  await w.client.patch(persistentVolumeClaims, { namespace: 'shop', name: 'a' }, 'merge', {
    metadata: { annotations: { 'volume.kubernetes.io/selected-node': 'n1' } },
  })
  await w.rest()
  assert.equal(claimNamed(w, 'a')?.spec.volumeName, 'l')
  w.stop()
})

test('a volume that lives with its pod has a claim that the pod owns', async () => {
  const w = await running()
  const pod = await w.client.create(pods, {
    metadata: { namespace: 'shop', name: 'web' },
    spec: {
      containers: [{ name: 'main', image: 'i' }],
      volumes: [{ name: 'scratch', ephemeral: { volumeClaimTemplate: { spec: claim('x').spec } } }],
    },
  })
  await w.rest()
  assert.equal(claimNamed(w, 'web-scratch')?.metadata.ownerReferences?.[0]?.uid, pod.metadata.uid)
  w.stop()
})

test('settled claims ask nothing, and nothing waits', async () => {
  const w = await running()
  await w.client.create(persistentVolumes, volume('a', '1Gi'))
  await w.client.create(persistentVolumeClaims, claim('data'))
  await w.client.create(persistentVolumeClaims, claim('more'))
  await w.rest()
  const before = w.transport.requests.length
  await w.env.advance(3_600_000)
  assert.equal(w.transport.requests.length, before)
  assert.equal(w.env.nextTimer(), undefined)
  w.stop()
})

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { PersistentVolume, PersistentVolumeClaim, StorageClass } from '#api'
import { HOST, info, node, noVolumes, pod, reason, setting } from './fixtures.ts'
import { defaultPlugins, type PluginContext } from './plugins/index.ts'

describe('volumes', () => {
  const withClaim = info('a', {
    spec: { volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data' } }] },
  })
  const storageClass = (volumeBindingMode: string, provisioner = 'example.com/disks') =>
    ({ metadata: { name: 'c' }, provisioner, volumeBindingMode }) as StorageClass
  const cluster = (
    claim?: object,
    volume?: object,
    mode: 'Immediate' | 'WaitForFirstConsumer' = 'Immediate',
    placed = [] as ReturnType<typeof pod>[],
  ) => {
    const context: PluginContext = {
      ...noVolumes,
      volumes: {
        ...noVolumes.volumes,
        claim: () => claim as PersistentVolumeClaim | undefined,
        volume: () => volume as PersistentVolume | undefined,
        storageClass: () => storageClass(mode),
      },
    }
    return setting([node('n1'), node('n2')], placed, { plugins: defaultPlugins(context) })
  }
  const bound = {
    metadata: { name: 'data', annotations: { 'pv.kubernetes.io/bind-completed': 'yes' } },
    spec: { volumeName: 'pv' },
  }

  test('a claim that is not there, or not bound, is waited for', () => {
    assert.equal(
      reason(cluster(), withClaim),
      '0/2 nodes are available: persistentvolumeclaim "data" not found.',
    )
    const unbound = { metadata: { name: 'data' }, spec: {} }
    assert.equal(
      reason(cluster(unbound), withClaim),
      '0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.',
    )
    assert.notEqual(
      cluster(unbound, undefined, 'WaitForFirstConsumer').choose(withClaim),
      undefined,
    )
  })

  test('a pod goes where its volume is', () => {
    const volume = {
      metadata: { name: 'pv' },
      spec: {
        nodeAffinity: {
          required: {
            nodeSelectorTerms: [
              { matchExpressions: [{ key: HOST, operator: 'In', values: ['n2'] }] },
            ],
          },
        },
      },
    }
    assert.equal(cluster(bound, volume).choose(withClaim), 'n2')
    assert.equal(cluster(bound).choose(withClaim), undefined)
  })

  test('a claim for one pod is not given to a second', () => {
    const exclusive = { ...bound, spec: { ...bound.spec, accessModes: ['ReadWriteOncePod'] } }
    const user = pod('user', { on: 'n1', spec: withClaim.pod.spec })
    assert.equal(
      reason(
        cluster(exclusive, { metadata: {} }, 'Immediate', [
          { ...user, spec: { ...user.spec, nodeName: 'n1' } },
        ]),
        withClaim,
      ),
      '0/2 nodes are available: 2 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode.',
    )
  })
})

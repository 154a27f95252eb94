import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { PersistentVolume, PersistentVolumeClaim, StorageClass } from '#api'
import { info, node, noVolumes, setting } from '../fixtures.ts'
import type { PluginContext } from './index.ts'
import { defaultPlugins } from './index.ts'
import { planVolumes } from './volume-plan.ts'

const HOST = 'kubernetes.io/hostname'
const LOCAL = {
  metadata: { name: 'local' },
  provisioner: 'kubernetes.io/no-provisioner',
  volumeBindingMode: 'WaitForFirstConsumer',
} as StorageClass
const CLOUD = {
  metadata: { name: 'cloud' },
  provisioner: 'example.com/disks',
  volumeBindingMode: 'WaitForFirstConsumer',
  allowedTopologies: [{ matchLabelExpressions: [{ key: HOST, values: ['n2', 'n3'] }] }],
} as unknown as StorageClass
const classOf = (name: string) => ({ local: LOCAL, cloud: CLOUD })[name]

/** A volume on a node's own disk. */
const disk = (name: string, on: string, storage = '1Gi', claimRef?: object) =>
  ({
    metadata: { name, uid: `uid-${name}`, resourceVersion: '1' },
    spec: {
      storageClassName: 'local',
      capacity: { storage },
      accessModes: ['ReadWriteOnce'],
      nodeAffinity: {
        required: {
          nodeSelectorTerms: [{ matchExpressions: [{ key: HOST, operator: 'In', values: [on] }] }],
        },
      },
      ...(claimRef === undefined ? {} : { claimRef }),
    },
    status: { phase: 'Available' },
  }) as unknown as PersistentVolume
const claim = (
  name: string,
  { storage = '1Gi', storageClassName = 'local', annotations = {} } = {},
) =>
  ({
    metadata: { name, namespace: 'shop', uid: `uid-${name}`, resourceVersion: '1', annotations },
    spec: {
      storageClassName,
      accessModes: ['ReadWriteOnce'],
      resources: { requests: { storage } },
    },
  }) as unknown as PersistentVolumeClaim

const plan = (
  claims: readonly PersistentVolumeClaim[],
  on: string,
  volumes: readonly PersistentVolume[] = [],
) => {
  const found = planVolumes(claims, node(on), { volumes, classOf })
  return (
    found && {
      found: found.found.map((pair) => [pair.claim.metadata.name, pair.volume.metadata.name]),
      made: found.made.map(({ metadata }) => metadata.name),
    }
  )
}

test('a claim takes the smallest volume of the node that will do', () => {
  const disks = [disk('big', 'n1', '9Gi'), disk('small', 'n1', '2Gi'), disk('there', 'n2')]
  assert.deepEqual(plan([claim('a')], 'n1', disks), { found: [['a', 'small']], made: [] })
  assert.deepEqual(plan([claim('a')], 'n2', disks), { found: [['a', 'there']], made: [] })
  assert.equal(plan([claim('a')], 'n3', disks), undefined)
  // Two claims of one pod: the smaller one does not take what the larger one needs.
  const both = [claim('large', { storage: '5Gi' }), claim('little')]
  assert.deepEqual(plan(both, 'n1', disks), {
    found: [
      ['little', 'small'],
      ['large', 'big'],
    ],
    made: [],
  })
  assert.equal(plan(both, 'n1', disks.slice(1)), undefined)
})

test('a volume that is reserved for a claim is the only one for it', () => {
  const reserved = disk('mine', 'n2', '1Gi', { namespace: 'shop', name: 'a' })
  const disks = [disk('free', 'n1'), reserved, disk('free2', 'n2')]
  assert.deepEqual(plan([claim('a')], 'n2', disks), { found: [['a', 'mine']], made: [] })
  assert.equal(plan([claim('a')], 'n1', disks), undefined)
})

test('a volume is made where the class allows it', () => {
  const wanted = claim('a', { storageClassName: 'cloud' })
  assert.deepEqual(plan([wanted], 'n2'), { found: [], made: ['a'] })
  assert.equal(plan([wanted], 'n1'), undefined)
  const chosen = claim('b', {
    storageClassName: 'cloud',
    annotations: { 'volume.kubernetes.io/selected-node': 'n3' },
  })
  assert.deepEqual(plan([chosen], 'n3'), { found: [], made: ['b'] })
  assert.equal(plan([chosen], 'n2'), undefined)
})

test('a pod goes where a volume is left for it, and two pods do not take the same', () => {
  const claims = new Map(['a', 'b'].map((name) => [name, claim(name)]))
  const context: PluginContext = {
    ...noVolumes,
    volumes: {
      ...noVolumes.volumes,
      claim: (_namespace, name) => claims.get(name),
      all: () => [disk('d2', 'n2')],
      storageClass: classOf,
    },
  }
  const cluster = setting([node('n1'), node('n2')], [], { plugins: defaultPlugins(context) })
  const using = (name: string) =>
    info(name, {
      spec: { volumes: [{ name: 'v', persistentVolumeClaim: { claimName: name } }] },
    })
  const first = using('a')
  assert.equal(cluster.choose(first), 'n2')
  const on = cluster.snapshot.node('n2')
  assert.ok(on)
  assert.equal(cluster.framework.reserve(first, on).code, 'success')
  const second = cluster.decide(using('b'))
  assert.equal(second.node, undefined)
  assert.deepEqual(
    [...(second.node === undefined ? second.diagnosis.nodes.values() : [])].map(
      ({ reasons }) => reasons,
    ),
    [
      ["node(s) didn't find available persistent volumes to bind"],
      ["node(s) didn't find available persistent volumes to bind"],
    ],
  )
  cluster.framework.unreserve(first, on)
  assert.equal(cluster.choose(using('b')), 'n2')
})

test('a pod stays in the zones of its volume, where nodes have zones', () => {
  const zoned = (label: string, value: string) => {
    const bound = { 'pv.kubernetes.io/bind-completed': 'yes' }
    const data = claim('a', { annotations: bound })
    const context: PluginContext = {
      ...noVolumes,
      volumes: {
        ...noVolumes.volumes,
        claim: () => ({ ...data, spec: { ...data.spec, volumeName: 'disk' } }),
        volume: () =>
          ({
            metadata: { name: 'disk', labels: { [label]: value } },
          }) as unknown as PersistentVolume,
      },
    }
    const inZone = (name: string, zone: string) =>
      node(name, { labels: { 'topology.kubernetes.io/zone': zone } })
    const cluster = setting([inZone('n1', 'a'), inZone('n2', 'b')], [], {
      plugins: defaultPlugins(context),
    })
    const spec = { volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 'a' } }] }
    return { decision: cluster.decide(info('a', { spec })), cluster }
  }
  assert.equal(zoned('topology.kubernetes.io/zone', 'b').decision.node?.name, 'n2')
  assert.equal(zoned('topology.kubernetes.io/zone', 'b__c').decision.node?.name, 'n2')
  assert.equal(zoned('failure-domain.beta.kubernetes.io/zone', 'b').decision.node?.name, 'n2')
  const { decision } = zoned('topology.kubernetes.io/zone', 'c')
  assert.equal(decision.node, undefined)
  assert.deepEqual(decision.node === undefined && decision.diagnosis.nodes.get('n1')?.reasons, [
    'node(s) had no available volume zone',
  ])
  // Elsewhere nobody can say.
  assert.ok(zoned('example.com/zone', 'c').decision.node)
})

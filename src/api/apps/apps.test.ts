import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { JsonObject } from '#machinery'
import { trying } from '../definitions.testing.ts'

type Part = Record<string, unknown>

const deployments = trying('apps', 'v1', 'deployments')
const daemonSets = trying('apps', 'v1', 'daemonsets')
const statefulSets = trying('apps', 'v1', 'statefulsets')
const replicaSets = trying('apps', 'v1', 'replicasets')

const web = { app: 'web' }
const template = (over: Part = {}): Part => ({
  metadata: { labels: web },
  spec: { containers: [{ name: 'app', image: 'nginx:1' }] },
  ...over,
})
const workload = (spec: Part = {}, over: Part = {}): JsonObject => ({
  spec: { selector: { matchLabels: web }, template: template(), ...spec },
  ...over,
})

test('a deployment rolls by quarters unless it says otherwise', () => {
  const { spec } = deployments.defaulted(workload()) as { spec: Part }
  assert.deepEqual(
    [
      spec['replicas'],
      spec['strategy'],
      spec['revisionHistoryLimit'],
      spec['progressDeadlineSeconds'],
    ],
    [
      1,
      { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '25%', maxSurge: '25%' } },
      10,
      600,
    ],
  )
})

test('a workload needs a selector that finds its own pods', () => {
  assert.deepEqual(deployments.errors({ spec: { template: template() } }), [
    'spec.selector: Required value',
    'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`',
  ])
  assert.deepEqual(daemonSets.errors({ spec: { template: template({ metadata: {} }) } }), [
    'spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`',
  ])
  assert.deepEqual(deployments.errors(workload({ selector: {} })), [
    'spec.selector: Invalid value: {}: empty selector is invalid for deployment',
  ])
  for (const kind of [deployments, daemonSets, statefulSets, replicaSets]) {
    assert.deepEqual(kind.errors(workload({ selector: { matchLabels: { app: 'db' } } })), [
      'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`',
    ])
    assert.deepEqual(kind.errors(workload()), [])
  }
})

test('pods of a workload run for ever', () => {
  const spec = { containers: [{ name: 'a', image: 'b' }], restartPolicy: 'Never' }
  assert.deepEqual(deployments.errors(workload({ template: template({ spec }) })), [
    'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
  ])
})

test('a rolling update must be able to move', () => {
  const strategy = { rollingUpdate: { maxSurge: 0, maxUnavailable: '0%' } }
  assert.deepEqual(deployments.errors(workload({ strategy })), [
    'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": may not be 0 when `maxSurge` is 0',
  ])
  assert.deepEqual(
    deployments.errors(
      workload({ strategy: { type: 'Recreate', rollingUpdate: { maxSurge: 1 } } }),
    ),
    [
      "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
    ],
  )
  assert.deepEqual(
    deployments.errors(workload({ strategy: { rollingUpdate: { maxUnavailable: '120%' } } })),
    [
      'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "120%": must not be greater than 100%',
    ],
  )
  assert.deepEqual(
    daemonSets.errors(workload({ updateStrategy: { rollingUpdate: { maxSurge: 1 } } })),
    [
      'spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero',
    ],
  )
})

test('a strategy that is not known is shown whole', () => {
  assert.deepEqual(deployments.errors(workload({ strategy: { type: 'Slow' } })), [
    'spec.strategy: Unsupported value: {"Type":"Slow","RollingUpdate":null}: supported values: "Recreate", "RollingUpdate"',
  ])
  const updateStrategy = { type: 'Slow', rollingUpdate: { maxUnavailable: '10%' } }
  assert.deepEqual(daemonSets.errors(workload({ updateStrategy })), [
    'spec.updateStrategy: Unsupported value: {"Type":"Slow","RollingUpdate":{"MaxUnavailable":"10%","MaxSurge":0}}: supported values: "RollingUpdate", "OnDelete"',
  ])
  assert.deepEqual(
    statefulSets.errors(
      workload({ podManagementPolicy: 'Slow', updateStrategy: { type: 'Slow' } }),
    ),
    [
      "spec.podManagementPolicy: Invalid value: \"Slow\": must be 'OrderedReady' or 'Parallel'",
      `spec.updateStrategy: Invalid value: {"Type":"Slow","RollingUpdate":null}: must be 'RollingUpdate' or 'OnDelete'`,
    ],
  )
})

test('a selector is chosen once', () => {
  const other = workload({
    selector: { matchLabels: { ...web, tier: 'front' } },
    template: template({ metadata: { labels: { ...web, tier: 'front' } } }),
  })
  assert.deepEqual(deployments.updateErrors(other, workload()), [
    'spec.selector: Invalid value: {"matchLabels":{"app":"web","tier":"front"}}: field is immutable',
  ])
})

test('a stateful set changes in a few ways only', () => {
  assert.deepEqual(statefulSets.updateErrors(workload({ replicas: 5 }), workload()), [])
  assert.deepEqual(statefulSets.updateErrors(workload({ serviceName: 'other' }), workload()), [
    "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
  ])
})

test('containers of a stateful set mount what its claims give them', () => {
  const spec = {
    containers: [
      { name: 'db', image: 'db:1', volumeMounts: [{ name: 'data', mountPath: '/var/lib/db' }] },
    ],
  }
  const claim = {
    metadata: { name: 'data' },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
  }
  const set = (volumeClaimTemplates: readonly object[], volumes: readonly object[] = []) =>
    workload({ template: template({ spec: { ...spec, volumes } }), volumeClaimTemplates })
  assert.deepEqual(statefulSets.errors(set([claim])), [])
  // What the claim gives takes the place of a volume of its name.
  assert.deepEqual(statefulSets.errors(set([claim], [{ name: 'data', emptyDir: {} }])), [])
  assert.deepEqual(statefulSets.errors(set([{ ...claim, metadata: { name: 'other' } }])), [
    'spec.template.spec.containers[0].volumeMounts[0].name: Not found: "data"',
  ])
})

test('a stateful set keeps its claims unless it says otherwise', () => {
  const claim = { metadata: { name: 'data' }, spec: { accessModes: ['ReadWriteOnce'] } }
  const { spec } = statefulSets.defaulted(workload({ volumeClaimTemplates: [claim] })) as {
    spec: Part
  }
  assert.deepEqual(
    [
      spec['podManagementPolicy'],
      spec['updateStrategy'],
      spec['persistentVolumeClaimRetentionPolicy'],
    ],
    [
      'OrderedReady',
      { type: 'RollingUpdate', rollingUpdate: { partition: 0 } },
      { whenDeleted: 'Retain', whenScaled: 'Retain' },
    ],
  )
  const [made] = spec['volumeClaimTemplates'] as Part[]
  assert.deepEqual(
    [made?.['kind'], made?.['status'], (made?.['spec'] as Part | undefined)?.['volumeMode']],
    ['PersistentVolumeClaim', { phase: 'Pending' }, 'Filesystem'],
  )
})

test('a daemon set counts the changes of its template', () => {
  const key = 'deprecated.daemonset.template.generation'
  // Its writer comes to own the annotation, as upstream.
  const { metadata } = daemonSets.defaulted(workload())
  assert.deepEqual((metadata as Part)['annotations'], { [key]: '0' })
  const old = daemonSets.created(workload())
  assert.deepEqual((old['metadata'] as Part)['annotations'], { [key]: '1' })
  const again = daemonSets.updated(workload({ minReadySeconds: 1 }), old)
  assert.deepEqual((again['metadata'] as Part)['annotations'], { [key]: '1' })
  const spec = { containers: [{ name: 'app', image: 'nginx:2' }] }
  const changed = daemonSets.updated(workload({ template: template({ spec }) }), old)
  assert.deepEqual((changed['metadata'] as Part)['annotations'], { [key]: '2' })
})

test('status is cleared on create and kept on update', () => {
  const status = { replicas: 3, readyReplicas: 3 }
  assert.deepEqual(replicaSets.created(workload({}, { status }))['status'], { replicas: 0 })
  assert.deepEqual(
    replicaSets.updated(workload({}, { status: { replicas: 9 } }), workload({}, { status }))[
      'status'
    ],
    status,
  )
  const byStatus = replicaSets.updated(
    workload({ replicas: 7 }, { status }),
    workload({ replicas: 2 }),
    'status',
  )
  assert.equal((byStatus['spec'] as Part)['replicas'], 2)
  assert.deepEqual(byStatus['status'], status)
})

test('the tables count what is ready', () => {
  const status = { readyReplicas: 1, updatedReplicas: 2, availableReplicas: 1 }
  const row = deployments.row(workload({ replicas: 3 }, { status }))
  assert.deepEqual(row, {
    Name: 'x',
    Ready: '1/3',
    'Up-to-date': 2,
    Available: 1,
    Age: '<unknown>',
    Containers: 'app',
    Images: 'nginx:1',
    Selector: 'app=web',
  })
})

test('deployments, replica sets and stateful sets can be scaled', () => {
  for (const { definition } of [deployments, replicaSets, statefulSets]) {
    assert.equal(definition.scale?.specReplicas, '.spec.replicas')
    assert.ok(definition.hasGeneration)
  }
})

/** Tests whose whole matter is one resource, with every verb and every kind of patch. */
import type { Json } from '../api.ts'
import { mirror } from '../mirror.ts'
import { everyOperation, type Change, type Resource } from '../resource.ts'
import { servedVersion } from '../support.ts'

/** What is left to change where the spec is immutable. */
export function labelled(key: string): Change {
  return {
    update: (object) => ({
      ...object,
      metadata: {
        ...object['metadata'],
        labels: { ...object['metadata'].labels, [key]: 'test' },
      },
    }),
    merge: { metadata: { labels: { [key]: 'test' } } },
    operations: [{ op: 'add', path: `/metadata/labels/${key}`, value: 'test' }],
  }
}

/** Fields of the status, written each by itself in a JSON patch. */
export function statusOf(status: Json): Change {
  return {
    update: (object) => ({ ...object, status: { ...object['status'], ...status } }),
    merge: { status },
    operations: Object.entries(status).map(([key, value]) => ({
      op: 'add',
      path: `/status/${key}`,
      value,
    })),
  }
}

const DRA = (kind: string): string =>
  `[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ${kind} [Conformance]`
const ofDevices = { groupVersion: 'resource.k8s.io/v1' } as const
const devices = {
  requests: [{ name: 'req-0', exactly: { deviceClassName: 'my-class' } }],
}
const selectors = [{ cel: { expression: 'device.driver == "dra.example.com"' } }]

const table: readonly (readonly [string, Resource])[] = [
  [
    DRA('DeviceClass'),
    {
      ...ofDevices,
      resource: 'deviceclasses',
      kind: 'DeviceClass',
      namespaced: false,
      body: { spec: {} },
      spec: {
        update: (object) => ({ ...object, spec: { selectors } }),
        merge: { spec: { selectors } },
        operations: [{ op: 'add', path: '/spec/selectors', value: selectors }],
      },
    },
  ],
  [
    DRA('ResourceClaim'),
    {
      ...ofDevices,
      resource: 'resourceclaims',
      kind: 'ResourceClaim',
      namespaced: true,
      body: { spec: { devices }, status: {} },
      spec: labelled('test.resource.example.com'),
      status: statusOf({
        allocation: {
          devices: {
            results: [
              {
                request: 'req-0',
                driver: 'dra.example.com',
                pool: 'some-pool',
                device: 'some-device',
              },
            ],
          },
        },
      }),
    },
  ],
  [
    DRA('ResourceClaimTemplate'),
    {
      ...ofDevices,
      resource: 'resourceclaimtemplates',
      kind: 'ResourceClaimTemplate',
      namespaced: true,
      body: { spec: { metadata: {}, spec: { devices } } },
      spec: labelled('test.resource.example.com'),
    },
  ],
  [
    DRA('ResourceSlice'),
    {
      ...ofDevices,
      resource: 'resourceslices',
      kind: 'ResourceSlice',
      namespaced: false,
      body: {
        spec: {
          driver: 'dra.example.com',
          nodeName: 'some-node',
          pool: { name: 'some-pool', generation: 0, resourceSliceCount: 1 },
        },
      },
      spec: {
        update: (object) => ({
          ...object,
          spec: { ...object['spec'], devices: [{ name: 'some-device' }] },
        }),
        merge: { spec: { devices: [{ name: 'some-device' }] } },
        operations: [{ op: 'add', path: '/spec/devices', value: [{ name: 'some-device' }] }],
      },
    },
  ],
  [
    '[sig-api-machinery] StorageVersionMigration CRUD Tests storagemigration.k8s.io/v1 StorageVersionMigration [Conformance]',
    {
      groupVersion: 'storagemigration.k8s.io/v1',
      resource: 'storageversionmigrations',
      kind: 'StorageVersionMigration',
      namespaced: false,
      body: { spec: { resource: { group: '', resource: 'foo' } }, status: {} },
      spec: labelled('test.storagemigration.example.com'),
      status: statusOf({
        conditions: [
          {
            type: 'TestCondition',
            status: 'True',
            reason: 'TestReason',
            message: 'TestMessage',
            lastTransitionTime: '2026-01-01T00:00:00Z',
          },
        ],
      }),
    },
  ],
]

for (const [name, what] of table) mirror(name, (fixture) => everyOperation(fixture, what))

mirror(DRA('DeviceTaintRule'), async (fixture) => {
  const groupVersion = await servedVersion(fixture, 'resource.k8s.io', 'devicetaintrules')
  await everyOperation(fixture, {
    groupVersion,
    resource: 'devicetaintrules',
    kind: 'DeviceTaintRule',
    namespaced: false,
    body: {
      spec: {
        deviceSelector: { driver: `${fixture.namespace}.example.com` },
        taint: { key: 'example.com/taint', value: 'tainted', effect: 'NoSchedule' },
      },
      status: {},
    },
    spec: labelled('test.resource.example.com'),
    status: statusOf({
      conditions: [
        {
          type: 'EvictionInProgress',
          status: 'False',
          reason: 'E2E',
          message: 'said by a test',
          lastTransitionTime: '2026-01-01T00:00:00Z',
        },
      ],
    }),
  })
})

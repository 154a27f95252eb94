/** Tests whose whole matter is that a resource takes every operation. */
import type { Json } from '../api.ts'
import { mirror } from '../mirror.ts'
import { operate, type Operated } from '../operations.ts'

const condition = {
  type: 'StatusUpdate',
  status: 'True',
  reason: 'E2E',
  message: 'Set by a test',
  lastTransitionTime: '2026-01-01T00:00:00Z',
}
const lookAtCondition = (status: Json): unknown =>
  status['conditions']?.some((c: Json) => c['type'] === 'StatusUpdate' && c['reason'] === 'E2E')
const container = { name: 'c', image: 'registry.k8s.io/pause:3.10.1' }

const table: readonly (readonly [string, Operated])[] = [
  [
    '[sig-api-machinery] API priority and fairness should support FlowSchema API operations [Conformance]',
    {
      groupVersion: 'flowcontrol.apiserver.k8s.io/v1',
      resource: 'flowschemas',
      kind: 'FlowSchema',
      namespaced: false,
      body: {
        spec: {
          matchingPrecedence: 10_000,
          priorityLevelConfiguration: { name: 'global-default' },
          distinguisherMethod: { type: 'ByUser' },
          rules: [
            {
              subjects: [{ kind: 'User', user: { name: 'example-e2e-non-existent-user' } }],
              nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
            },
          ],
        },
      },
      update: (object) => ({ ...object, spec: { ...object['spec'], matchingPrecedence: 9999 } }),
      status: {
        value: { conditions: [condition] },
        look: lookAtCondition,
        expected: true,
        keepsMetadata: false,
      },
    },
  ],
  [
    '[sig-api-machinery] API priority and fairness should support PriorityLevelConfiguration API operations [Conformance]',
    {
      groupVersion: 'flowcontrol.apiserver.k8s.io/v1',
      resource: 'prioritylevelconfigurations',
      kind: 'PriorityLevelConfiguration',
      namespaced: false,
      body: {
        spec: {
          type: 'Limited',
          limited: { nominalConcurrencyShares: 2, limitResponse: { type: 'Reject' } },
        },
      },
      update: (object) => ({
        ...object,
        spec: {
          ...object['spec'],
          limited: { ...object['spec'].limited, nominalConcurrencyShares: 4 },
        },
      }),
      status: {
        value: { conditions: [condition] },
        look: lookAtCondition,
        expected: true,
        keepsMetadata: false,
      },
    },
  ],
  [
    '[sig-apps] CronJob should support CronJob API operations [Conformance]',
    {
      groupVersion: 'batch/v1',
      resource: 'cronjobs',
      kind: 'CronJob',
      namespaced: true,
      body: {
        spec: {
          schedule: '1 1 1 1 *',
          concurrencyPolicy: 'Allow',
          suspend: true,
          jobTemplate: {
            spec: { template: { spec: { restartPolicy: 'OnFailure', containers: [container] } } },
          },
        },
      },
      update: (object) => ({ ...object, spec: { ...object['spec'], schedule: '2 2 2 2 *' } }),
      status: {
        value: { lastScheduleTime: '2026-01-01T00:00:00Z' },
        look: (status) => status['lastScheduleTime'],
        expected: '2026-01-01T00:00:00Z',
      },
    },
  ],
  [
    '[sig-network] EndpointSlice should support creating EndpointSlice API operations [Conformance]',
    {
      groupVersion: 'discovery.k8s.io/v1',
      resource: 'endpointslices',
      kind: 'EndpointSlice',
      namespaced: true,
      body: {
        addressType: 'IPv4',
        endpoints: [{ addresses: ['1.2.3.4'], conditions: { ready: true } }],
        ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
      },
      update: (object) => ({
        ...object,
        endpoints: [{ addresses: ['1.2.3.5'], conditions: { ready: true } }],
      }),
    },
  ],
  [
    '[sig-network] Ingress API should support creating Ingress API operations [Conformance]',
    {
      groupVersion: 'networking.k8s.io/v1',
      resource: 'ingresses',
      kind: 'Ingress',
      namespaced: true,
      body: {
        spec: {
          defaultBackend: { service: { name: 'default-backend', port: { number: 80 } } },
          rules: [
            {
              host: 'foo.bar.com',
              http: {
                paths: [
                  {
                    path: '/',
                    pathType: 'ImplementationSpecific',
                    backend: { service: { name: 'test-backend', port: { number: 8080 } } },
                  },
                ],
              },
            },
          ],
        },
      },
      status: {
        value: { loadBalancer: { ingress: [{ ip: '169.1.1.1' }] } },
        look: (status) => status['loadBalancer'].ingress[0].ip,
        expected: '169.1.1.1',
      },
    },
  ],
  [
    '[sig-network] IngressClass API should support creating IngressClass API operations [Conformance]',
    {
      groupVersion: 'networking.k8s.io/v1',
      resource: 'ingressclasses',
      kind: 'IngressClass',
      namespaced: false,
      body: { spec: { controller: 'example.com/controller' } },
    },
  ],
  [
    '[sig-node] RuntimeClass should support RuntimeClasses API operations [Conformance]',
    {
      groupVersion: 'node.k8s.io/v1',
      resource: 'runtimeclasses',
      kind: 'RuntimeClass',
      namespaced: false,
      body: { handler: 'test-handler' },
    },
  ],
  [
    '[sig-storage] CSIStorageCapacity should support CSIStorageCapacities API operations [Conformance]',
    {
      groupVersion: 'storage.k8s.io/v1',
      resource: 'csistoragecapacities',
      kind: 'CSIStorageCapacity',
      namespaced: true,
      body: { storageClassName: 'class', capacity: '1Gi' },
    },
  ],
  [
    '[sig-storage] CSIInlineVolumes should run through the lifecycle of a CSIDriver [Conformance]',
    {
      groupVersion: 'storage.k8s.io/v1',
      resource: 'csidrivers',
      kind: 'CSIDriver',
      namespaced: false,
      body: { spec: { attachRequired: false, volumeLifecycleModes: ['Ephemeral'] } },
    },
  ],
  [
    '[sig-storage] StorageClasses CSI Conformance should run through the lifecycle of a StorageClass [Conformance]',
    {
      groupVersion: 'storage.k8s.io/v1',
      resource: 'storageclasses',
      kind: 'StorageClass',
      namespaced: false,
      body: { provisioner: 'e2e-fake-provisioner' },
    },
  ],
  [
    '[sig-storage] VolumeAttributesClass [FeatureGate:VolumeAttributesClass] should run through the lifecycle of a VolumeAttributesClass [Conformance]',
    {
      groupVersion: 'storage.k8s.io/v1',
      resource: 'volumeattributesclasses',
      kind: 'VolumeAttributesClass',
      namespaced: false,
      body: { driverName: 'e2e-fake-driver', parameters: { iops: '100' } },
    },
  ],
  [
    '[sig-storage] VolumeAttachment Conformance should run through the lifecycle of a VolumeAttachment [Conformance]',
    {
      groupVersion: 'storage.k8s.io/v1',
      resource: 'volumeattachments',
      kind: 'VolumeAttachment',
      namespaced: false,
      body: {
        spec: {
          attacher: 'e2e-test.example.com',
          nodeName: 'no-such-node',
          source: { persistentVolumeName: 'no-such-volume' },
        },
      },
    },
  ],
  [
    '[sig-storage] CSINodes CSI Conformance should run through the lifecycle of a csinode [Conformance]',
    {
      groupVersion: 'storage.k8s.io/v1',
      resource: 'csinodes',
      kind: 'CSINode',
      namespaced: false,
      body: { spec: { drivers: null } },
    },
  ],
  [
    '[sig-scheduling] SchedulerPreemption PriorityClass endpoints verify PriorityClass endpoints can be operated with different HTTP methods [Conformance] [Serial]',
    {
      groupVersion: 'scheduling.k8s.io/v1',
      resource: 'priorityclasses',
      kind: 'PriorityClass',
      namespaced: false,
      body: { value: 1000, description: 'of a test' },
    },
  ],
  [
    '[sig-node] PodTemplates should delete a collection of pod templates [Conformance]',
    {
      groupVersion: 'v1',
      resource: 'podtemplates',
      kind: 'PodTemplate',
      namespaced: true,
      body: { template: { spec: { containers: [container] } } },
    },
  ],
  [
    '[sig-node] PodTemplates should replace a pod template [Conformance]',
    {
      groupVersion: 'v1',
      resource: 'podtemplates',
      kind: 'PodTemplate',
      namespaced: true,
      body: { template: { spec: { containers: [container] } } },
      update: (object) => ({
        ...object,
        template: { ...object['template'], metadata: { labels: { replaced: 'true' } } },
      }),
    },
  ],
  [
    '[sig-network] Services should delete a collection of services [Conformance]',
    {
      groupVersion: 'v1',
      resource: 'services',
      kind: 'Service',
      namespaced: true,
      body: { spec: { ports: [{ name: 'http', port: 80, targetPort: 80 }] } },
    },
  ],
  [
    '[sig-network] Services should complete a service status lifecycle [Conformance]',
    {
      groupVersion: 'v1',
      resource: 'services',
      kind: 'Service',
      namespaced: true,
      body: { spec: { type: 'LoadBalancer', ports: [{ name: 'http', port: 80, targetPort: 80 }] } },
      status: {
        value: { conditions: [condition], loadBalancer: { ingress: [{ ip: '203.0.113.1' }] } },
        look: (status) => [lookAtCondition(status), status['loadBalancer'].ingress[0].ip],
        expected: [true, '203.0.113.1'],
      },
    },
  ],
  [
    '[sig-network] Endpoints should test the lifecycle of an Endpoint [Conformance]',
    {
      groupVersion: 'v1',
      resource: 'endpoints',
      kind: 'Endpoints',
      namespaced: true,
      body: {
        subsets: [
          {
            addresses: [{ ip: '10.0.0.24' }],
            ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
          },
        ],
      },
      update: (object) => ({
        ...object,
        subsets: [
          {
            addresses: [{ ip: '10.0.0.25' }],
            ports: [{ name: 'http-test', port: 8080, protocol: 'TCP' }],
          },
        ],
      }),
    },
  ],
]

for (const [name, what] of table) mirror(name, (fixture) => operate(fixture, what))

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { definitions } from '../../catalog.ts'
import { podTemplateWarnings, podWarnings } from './warnings.ts'
import type { Pod, PodSpec } from '../../types.gen.ts'

const pod = (spec: object, metadata: object = {}): Pod =>
  ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', ...metadata },
    spec: { containers: [{ name: 'c', image: 'i' }], ...spec },
  }) as unknown as Pod

const warned = (spec: object, metadata: object = {}): readonly string[] =>
  podWarnings(pod(spec, metadata), undefined)

for (const { what, spec, metadata, warnings } of [
  {
    what: 'labels of nodes that have new names',
    spec: {
      nodeSelector: { 'beta.kubernetes.io/os': 'linux', zone: 'a' },
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [
              { matchExpressions: [{ key: 'beta.kubernetes.io/arch', operator: 'Exists' }] },
            ],
          },
        },
      },
    },
    warnings: [
      'spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead',
      'spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].key: beta.kubernetes.io/arch is deprecated since v1.14; use "kubernetes.io/arch" instead',
    ],
  },
  {
    what: 'terms without a selector, which match nothing',
    spec: {
      topologySpreadConstraints: [
        {
          maxSkew: 1,
          topologyKey: 'failure-domain.beta.kubernetes.io/zone',
          whenUnsatisfiable: 'DoNotSchedule',
        },
      ],
      affinity: {
        podAntiAffinity: {
          preferredDuringSchedulingIgnoredDuringExecution: [
            { weight: 1, podAffinityTerm: { topologyKey: 'zone' } },
          ],
        },
      },
    },
    warnings: [
      'spec.topologySpreadConstraints[0].topologyKey: failure-domain.beta.kubernetes.io/zone is deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
      'spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod',
      'spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.labelSelector: a null labelSelector results in matching no pod',
    ],
  },
  {
    what: 'doubles in lists',
    spec: {
      hostAliases: [{ ip: '10.0.0.1' }, { ip: '10.0.0.1' }],
      imagePullSecrets: [{ name: 'a' }, { name: 'a' }, {}],
    },
    warnings: [
      'spec.hostAliases[1].ip: duplicate ip "10.0.0.1"',
      'spec.imagePullSecrets[1].name: duplicate name "a"',
      'spec.imagePullSecrets[2].name: invalid empty name ""',
    ],
  },
  {
    what: 'ports that several containers have',
    spec: {
      containers: [
        { name: 'a', ports: [{ name: 'web', containerPort: 80 }] },
        { name: 'b', ports: [{ name: 'web', containerPort: 80, hostPort: 8080 }] },
      ],
    },
    warnings: [
      'spec.containers[1].ports[0].name: duplicate port name "web" with spec.containers[0].ports[0].name, services and probes that select ports by name will use spec.containers[0].ports[0].name',
      'spec.containers[1].ports[0]: overlapping port definition with spec.containers[0].ports[0]',
    ],
  },
  {
    what: 'variables that hide others, unless they build on them',
    spec: {
      containers: [
        {
          name: 'a',
          env: [
            { name: 'X', value: '1' },
            { name: 'X', value: '$(X)2' },
            { name: 'X', value: '$(X)' },
          ],
          resources: { limits: { memory: '1500m' } },
        },
      ],
    },
    warnings: [
      'spec.containers[0].resources.limits[memory]: fractional byte value "1500m" is invalid, must be an integer',
      'spec.containers[0].env[2]: hides previous definition of "X", which may be dropped when using apply',
    ],
  },
  {
    what: 'volumes that are no more, and files in the place of a token',
    spec: {
      volumes: [
        { name: 'c', cephfs: { monitors: ['a'] } },
        {
          name: 'p',
          projected: {
            sources: [
              { serviceAccountToken: { path: 'token' } },
              { configMap: { name: 'm', items: [{ key: 'k', path: 'token' }] } },
            ],
          },
        },
      ],
    },
    warnings: [
      'spec.volumes[0].cephfs: deprecated in v1.28, non-functional in v1.31+',
      'spec.volumes[1].projected.sources.configMap[0]: has duplicated path with ServiceAccountToken "token"',
    ],
  },
  {
    what: 'annotations that do nothing',
    spec: {},
    metadata: {
      annotations: {
        'seccomp.security.alpha.kubernetes.io/pod': 'runtime/default',
        'security.alpha.kubernetes.io/sysctls': 'a=b',
      },
    },
    warnings: [
      'metadata.annotations[security.alpha.kubernetes.io/sysctls]: non-functional in v1.11+; use the "sysctls" field instead',
      'metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: non-functional in v1.27+; use the "seccompProfile" field instead',
    ],
  },
])
  test(`a pod is warned of ${what}`, () => {
    assert.deepEqual(warned(spec, metadata), warnings)
  })

test('a name with dots is no good host name', () => {
  assert.deepEqual(warned({}, { name: 'a.b' }), [
    "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]",
  ])
})

test('an AppArmor annotation is told of in templates', () => {
  const annotations = { 'container.apparmor.security.beta.kubernetes.io/c': 'unconfined' }
  const { spec } = pod({})
  assert.deepEqual(warned({}, { annotations }), [])
  assert.deepEqual(
    podTemplateWarnings({ metadata: { annotations } as never, spec: spec as PodSpec }),
    [
      'spec.template.metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: deprecated since v1.30; use the "appArmorProfile" field instead',
    ],
  )
})

test('pods that change are not commented, and workloads only when their spec is new', () => {
  const before = pod({ hostAliases: [{ ip: '10.0.0.1' }, { ip: '10.0.0.1' }] })
  assert.deepEqual(podWarnings(before, before), [])
  const deployments = definitions.find(
    ({ facts }) => facts.resource === 'deployments' && facts.version === 'v1',
  )
  assert.ok(deployments)
  const web = {
    metadata: { name: 'web', generation: 1 },
    spec: { template: { spec: { containers: [], hostAliases: before.spec?.hostAliases } } },
  }
  const first = deployments.warnings(web, undefined)
  assert.deepEqual(first, ['spec.template.spec.hostAliases[1].ip: duplicate ip "10.0.0.1"'])
  assert.deepEqual(deployments.warnings(web, web as never), [])
  const next = { ...web, metadata: { name: 'web', generation: 2 } }
  assert.deepEqual(deployments.warnings(next, web as never), first)
})

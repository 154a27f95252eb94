import assert from 'node:assert/strict'
import { test } from 'node:test'
import { container, pod, pods, wrong, wrongIn, type Part } from './pod.testing.ts'

test('a pod needs containers, with names and images', () => {
  assert.deepEqual(wrong({ containers: [] }), ['spec.containers: Required value'])
  assert.deepEqual(wrong({ containers: [{}] }), [
    'spec.containers[0].name: Required value',
    'spec.containers[0].image: Required value',
  ])
  assert.deepEqual(wrong({ containers: [container(), container()] }), [
    'spec.containers[1].name: Duplicate value: "app"',
  ])
  assert.deepEqual(wrongIn({ name: 'App' }), [
    "spec.containers[0].name: Invalid value: \"App\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
  ])
})

test('closed sets of values are told with what is in them', () => {
  assert.deepEqual(wrong({ restartPolicy: 'Sometimes' }), [
    'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"',
  ])
  assert.deepEqual(wrongIn({ imagePullPolicy: 'Maybe' }), [
    'spec.containers[0].imagePullPolicy: Unsupported value: "Maybe": supported values: "Always", "IfNotPresent", "Never"',
  ])
})

test('mounts name a volume of the pod, each place once', () => {
  assert.deepEqual(wrongIn({ volumeMounts: [{ name: 'data', mountPath: '/d' }] }), [
    'spec.containers[0].volumeMounts[0].name: Not found: "data"',
  ])
  const volumes = [{ name: 'data', emptyDir: {} }]
  const mounts = [
    { name: 'data', mountPath: '/d' },
    { name: 'data', mountPath: '/d', subPath: '../x' },
  ]
  assert.deepEqual(wrong({ volumes, containers: [container({ volumeMounts: mounts })] }), [
    'spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/d": must be unique',
    // Upstream does not say which of the mounts it is.
    'spec.containers[0].volumeMounts.subPath: Invalid value: "../x": must not contain \'..\'',
  ])
})

test('a mount needs a path, whatever is in it, and none that a device has', () => {
  const volumes = [{ name: 'data', persistentVolumeClaim: { claimName: 'data' } }]
  const judged = (parts: Part) => wrong({ volumes, containers: [container(parts)] })
  assert.deepEqual(judged({ volumeMounts: [{ name: 'data', mountPath: 'c:\\data' }] }), [])
  for (const mount of [{ name: 'data' }, { name: 'data', mountPath: '' }]) {
    assert.deepEqual(judged({ volumeMounts: [mount] }), [
      'spec.containers[0].volumeMounts[0].mountPath: Required value',
    ])
  }
  const both = {
    volumeMounts: [{ name: 'data', mountPath: '/d' }],
    volumeDevices: [{ name: 'data', devicePath: '/d' }],
  }
  assert.deepEqual(judged(both), [
    'spec.containers[0].volumeMounts[0].name: Invalid value: "data": must not already exist in volumeDevices',
    'spec.containers[0].volumeMounts[0].mountPath: Invalid value: "/d": must not already exist as a path in volumeDevices',
    'spec.containers[0].volumeDevices[0].name: Invalid value: "data": must not already exist in volumeMounts',
    'spec.containers[0].volumeDevices[0].devicePath: Invalid value: "/d": must not already exist as a path in volumeMounts',
  ])
  assert.deepEqual(
    judged({ volumeDevices: [{ name: 'data', devicePath: '/dev/../x' }, { name: '' }] }),
    [
      'spec.containers[0].volumeDevices[0].devicePath: Invalid value: "/dev/../x": can not contain backsteps (\'..\')',
      'spec.containers[0].volumeDevices[1].name: Required value',
      'spec.containers[0].volumeDevices[1].name: Not found: ""',
      'spec.containers[0].volumeDevices[1].devicePath: Required value',
    ],
  )
})

test('a mount that is read-only all the way down is not propagated', () => {
  const volumes = [{ name: 'data', emptyDir: {} }]
  const mount = {
    name: 'data',
    mountPath: '/d',
    readOnly: true,
    recursiveReadOnly: 'Enabled',
    mountPropagation: 'HostToContainer',
  }
  assert.deepEqual(wrong({ volumes, containers: [container({ volumeMounts: [mount] })] }), [
    'spec.containers[0].volumeMounts.recursiveReadOnly: Forbidden: may only be specified when mountPropagation is None or not specified',
  ])
})

test('a port of the host is taken once among the containers, and once within each init container', () => {
  const ports = [{ containerPort: 80, hostPort: 8080 }]
  const sidecar = container({ name: 'side', restartPolicy: 'Always', ports })
  assert.deepEqual(wrong({ initContainers: [sidecar], containers: [container({ ports })] }), [])
  assert.deepEqual(
    wrong({
      initContainers: [container({ name: 'first' }), { ...sidecar, ports: [...ports, ...ports] }],
      containers: [container({ ports }), container({ name: 'b', ports })],
    }),
    [
      'spec.initContainers[1].ports[1].hostPort: Duplicate value: "TCP//8080"',
      'spec.containers[1].ports[0].hostPort: Duplicate value: "TCP//8080"',
    ],
  )
})

test('a volume has one source', () => {
  assert.deepEqual(
    wrong({ volumes: [{ name: 'a', emptyDir: {}, hostPath: { path: '/x' } }, { name: 'a' }] }),
    [
      'spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type',
      'spec.volumes[1].name: Duplicate value: "a"',
    ],
  )
})

test('requests fit under limits, and are not negative', () => {
  const resources = { requests: { memory: '64Mi', cpu: '-1' }, limits: { memory: '32Mi' } }
  assert.deepEqual(wrongIn({ resources }), [
    'spec.containers[0].resources.requests[cpu]: Invalid value: "-1": must be greater than or equal to 0',
    'spec.containers[0].resources.requests: Invalid value: "64Mi": must be less than or equal to memory limit of 32Mi',
  ])
  assert.deepEqual(wrongIn({ resources: { limits: { gold: '1' } } }).slice(0, 2), [
    'spec.containers[0].resources.limits[gold]: Invalid value: "gold": must be a standard resource type or fully qualified',
    'spec.containers[0].resources.limits[gold]: Invalid value: "gold": must be a standard resource for containers',
  ])
})

test('ports have room, and names of their own', () => {
  assert.deepEqual(
    wrongIn({
      ports: [{ containerPort: 80, name: 'web' }, { containerPort: 70000, name: 'web' }, {}],
    }),
    [
      'spec.containers[0].ports[1].name: Duplicate value: "web"',
      'spec.containers[0].ports[1].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive',
      'spec.containers[0].ports[2].containerPort: Required value',
    ],
  )
})

test('a probe asks in one way', () => {
  assert.deepEqual(wrongIn({ readinessProbe: {} }), [
    'spec.containers[0].readinessProbe: Required value: must specify a handler type',
  ])
  assert.deepEqual(
    wrongIn({
      livenessProbe: { exec: { command: ['x'] }, tcpSocket: { port: 0 }, successThreshold: 2 },
    }),
    [
      'spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type',
      'spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1',
    ],
  )
})

test('environment variables say where their value comes from, once', () => {
  const ref = { fieldRef: { fieldPath: 'status.phase' } }
  assert.deepEqual(
    wrongIn({ env: [{}, { name: 'A', value: 'x', valueFrom: {} }, { name: 'B', valueFrom: ref }] }),
    [
      'spec.containers[0].env[0].name: Required value',
      'spec.containers[0].env[1].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`',
      'spec.containers[0].env[2].valueFrom.fieldRef.fieldPath: Invalid value: "status.phase": error converting fieldPath: field label not supported: status.phase',
    ],
  )
})

test('tolerations, spreading and affinity are checked', () => {
  assert.deepEqual(wrong({ tolerations: [{ operator: 'Equal' }] }), [
    'spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, which means "match all values and all keys"',
  ])
  assert.deepEqual(
    wrong({
      topologySpreadConstraints: [
        { maxSkew: 0, topologyKey: 'zone', whenUnsatisfiable: 'DoNotSchedule' },
      ],
    }),
    ['spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero'],
  )
  const required = 'requiredDuringSchedulingIgnoredDuringExecution'
  const nodeAffinity = {
    [required]: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'a', operator: 'In' }] }] },
  }
  assert.deepEqual(wrong({ affinity: { nodeAffinity } }), [
    `spec.affinity.nodeAffinity.${required}.nodeSelectorTerms[0].matchExpressions[0].values: Required value: must be specified when \`operator\` is 'In' or 'NotIn'`,
  ])
})

test('init containers come first and have no probes', () => {
  assert.deepEqual(
    wrong({ initContainers: [container({ readinessProbe: { exec: { command: ['x'] } } })] }),
    [
      'spec.initContainers[0].name: Duplicate value: "app"',
      'spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always',
    ],
  )
})

test('a good pod of many parts has nothing wrong', () => {
  const spec = {
    initContainers: [container({ name: 'proxy', restartPolicy: 'Always' })],
    containers: [
      container({
        env: [
          { name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
          { name: 'TIER', valueFrom: { fieldRef: { fieldPath: "metadata.labels['tier']" } } },
          {
            name: 'CPU',
            valueFrom: { resourceFieldRef: { resource: 'limits.cpu', divisor: '1m' } },
          },
          { name: 'S', valueFrom: { secretKeyRef: { name: 's', key: 'k' } } },
        ],
        envFrom: [{ configMapRef: { name: 'c' } }],
        ports: [{ name: 'http', containerPort: 8080 }],
        lifecycle: { preStop: { sleep: { seconds: 5 } } },
        startupProbe: { grpc: { port: 9000 } },
        volumeMounts: [{ name: 'data', mountPath: '/data', subPath: 'a/b' }],
        securityContext: { runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } },
      }),
    ],
    volumes: [
      {
        name: 'data',
        ephemeral: {
          volumeClaimTemplate: {
            spec: {
              accessModes: ['ReadWriteOnce'],
              resources: { requests: { storage: '1Gi' } },
            },
          },
        },
      },
    ],
    tolerations: [{ key: 'a', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 5 }],
    dnsPolicy: 'None',
    dnsConfig: { nameservers: ['10.0.0.1'], searches: ['a.b'] },
    hostAliases: [{ ip: '127.0.0.1', hostnames: ['foo.local'] }],
  }
  assert.deepEqual(wrong(spec), [])
})

test('a variable that hides another one is warned of', () => {
  const env = [
    { name: 'A', value: '1' },
    { name: 'A', value: '2' },
  ]
  const object = pods.defaulted(pod({ containers: [container({ env })] }))
  assert.deepEqual(pods.definition.warnings(object, undefined), [
    'spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply',
  ])
})

for (const { what, spec, problems } of [
  {
    what: 'a Windows pod with what only Linux has',
    spec: {
      os: { name: 'windows' },
      hostPID: true,
      securityContext: { runAsUser: 1 },
      containers: [container({ securityContext: { capabilities: { drop: ['ALL'] } } })],
    },
    problems: [
      'spec.securityContext.runAsUser: Forbidden: cannot be set for a windows pod',
      'spec.hostPID: Forbidden: cannot be set for a windows pod',
      'spec.containers[0].securityContext.capabilities: Forbidden: cannot be set for a windows pod',
    ],
  },
  {
    what: 'a Linux pod with what only Windows has',
    spec: {
      os: { name: 'linux' },
      securityContext: { windowsOptions: {} },
      containers: [container()],
    },
    problems: [
      'spec.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod',
    ],
  },
  {
    what: 'a stop signal for no known system',
    spec: { containers: [container({ lifecycle: { stopSignal: 'SIGUSR1' } })] },
    problems: [
      'spec.containers[0].lifecycle.stopSignal: Forbidden: may not be set for containers with empty `spec.os.name`',
    ],
  },
  {
    what: 'old kinds of volumes without what they need',
    spec: {
      containers: [container()],
      volumes: [
        { name: 'f', flocker: {} },
        { name: 'c', fc: { targetWWNs: ['a'] } },
        { name: 'i', iscsi: { targetPortal: 'p', iqn: 'none', lun: 256 } },
        { name: 's', storageos: {} },
        // Of a secret that is not named nothing is said.
        { name: 'o', scaleIO: { gateway: 'g', system: 's', volumeName: 'v' } },
      ],
    },
    problems: [
      'spec.volumes[0].flocker: Required value: one of datasetName and datasetUUID is required',
      'spec.volumes[1].fc.lun: Required value: lun is required if targetWWNs is specified',
      'spec.volumes[2].iscsi.iqn: Invalid value: "none": must be valid format',
      'spec.volumes[2].iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive',
      'spec.volumes[3].storageos.volumeName: Required value',
    ],
  },
])
  test(`refused: ${what}`, () => {
    assert.deepEqual(wrong(spec), problems)
  })

test('search domains may have underscores, pull secrets no name, and hosts the same address twice', () => {
  const lenient = pod({
    containers: [container()],
    dnsConfig: { searches: ['_sip.a_b.example.com.', '.'] },
    imagePullSecrets: [{}],
    hostAliases: [{ ip: '10.0.0.1' }, { ip: '10.0.0.1' }],
  })
  assert.deepEqual(pods.errors(lenient), [])
})

test('a label that a node must have can be one', () => {
  const spec = {
    containers: [container()],
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [
            { matchExpressions: [{ key: 'a', operator: 'In', values: ['ok', '-bad'] }] },
          ],
        },
      },
    },
  }
  const [problem = '', more] = wrong(spec)
  assert.match(
    problem,
    /nodeSelectorTerms\[0\]\.matchExpressions\[0\]\.values\[1\]: Invalid value: "-bad": a valid label must be/,
  )
  assert.equal(more, undefined)
})

test('the name that a pod has for itself is one that a kernel takes, and nobody else sets', () => {
  assert.deepEqual(wrong({ hostnameOverride: 'db.example.com', hostname: 'db' }), [])
  const at = 'spec.hostnameOverride'
  assert.match(String(wrong({ hostnameOverride: 'DB' })), /RFC 1123 subdomain/)
  assert.deepEqual(wrong({ hostnameOverride: `${'a.'.repeat(32)}a` }), [
    `${at}: Too long: may not be more than 64 bytes`,
  ])
  assert.deepEqual(wrong({ hostnameOverride: 'db', hostNetwork: true, setHostnameAsFQDN: true }), [
    `${at}: Forbidden: may not be specified when setHostnameAsFQDN is true`,
    `${at}: Forbidden: may not be specified when hostNetwork is true`,
  ])
})

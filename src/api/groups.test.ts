import assert from 'node:assert/strict'
import { test } from 'node:test'
import { contextOf, refusal, trying } from './definitions.testing.ts'

type Part = Record<string, unknown>

test('an ingress leads somewhere, by a path of a known kind', () => {
  const ingresses = trying('networking.k8s.io', 'v1', 'ingresses')
  const backend = { service: { name: 'web', port: { number: 80 } } }
  const rule = (path: Part) => ({ spec: { rules: [{ host: 'a.b', http: { paths: [path] } }] } })
  assert.deepEqual(ingresses.errors(rule({ path: '/', pathType: 'Prefix', backend })), [])
  assert.deepEqual(ingresses.errors({ spec: {} }), [
    'spec: Invalid value: null: either `defaultBackend` or `rules` must be specified',
  ])
  assert.deepEqual(ingresses.errors(rule({ path: 'x', pathType: 'Exact', backend: {} })), [
    'spec.rules[0].http.paths[0].path: Invalid value: "x": must be an absolute path',
    'spec.rules[0].http.paths[0].backend: Invalid value: "": resource or service backend is required',
  ])
  assert.deepEqual(ingresses.errors(rule({ path: '/', backend })), [
    'spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified',
  ])
  const both = {
    metadata: { annotations: { 'kubernetes.io/ingress.class': 'a' } },
    spec: { ingressClassName: 'a', defaultBackend: backend },
  }
  assert.match(
    refusal(() => ingresses.created(both)),
    /can not be set when the class field is also set/,
  )
})

test('a network policy is about what comes in, unless it says more', () => {
  const policies = trying('networking.k8s.io', 'v1', 'networkpolicies')
  const typesOf = (spec: Part) => (policies.defaulted({ spec })['spec'] as Part)['policyTypes']
  assert.deepEqual(typesOf({}), ['Ingress'])
  assert.deepEqual(typesOf({ egress: [{}] }), ['Ingress', 'Egress'])
  const from = [{}, { ipBlock: { cidr: '10.0.0.0/8', except: ['11.0.0.0/16', '10.1.0.0/16'] } }]
  assert.deepEqual(policies.errors({ spec: { ingress: [{ from }] } }), [
    'spec.ingress[0].from[0]: Required value: must specify a peer',
    'spec.ingress[0].from[1].ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`',
  ])
})

test('a binding keeps its role', () => {
  const bindings = trying('rbac.authorization.k8s.io', 'v1', 'rolebindings')
  const binding = (name: string) => ({
    roleRef: { kind: 'Role', name },
    subjects: [
      { kind: 'User', name: 'jane' },
      { kind: 'ServiceAccount', name: 'robot', namespace: 'shop' },
    ],
  })
  const made = bindings.defaulted(binding('a'))
  const group = 'rbac.authorization.k8s.io'
  assert.deepEqual(made['roleRef'], { apiGroup: group, kind: 'Role', name: 'a' })
  assert.deepEqual(
    (made['subjects'] as Part[]).map((each) => each['apiGroup']),
    [group, undefined],
  )
  assert.deepEqual(bindings.errors(binding('a')), [])
  assert.deepEqual(bindings.updateErrors(binding('b'), binding('a')), [
    `roleRef: Invalid value: {"APIGroup":"${group}","Kind":"Role","Name":"b"}: cannot change roleRef`,
  ])
  const group0 = { kind: 'Group0', name: 'x' }
  assert.deepEqual(bindings.errors({ roleRef: { kind: 'Job', name: 'a' }, subjects: [group0] }), [
    'roleRef.kind: Unsupported value: "Job": supported values: "Role", "ClusterRole"',
    'subjects[0].kind: Unsupported value: "Group0": supported values: "ServiceAccount", "User", "Group"',
  ])
  const row = bindings.row(binding('a'))
  assert.deepEqual(
    [row['Role'], row['Users'], row['ServiceAccounts']],
    ['Role/a', 'jane', 'shop/robot'],
  )
})

test('a rule names verbs, and resources or paths', () => {
  const roles = trying('rbac.authorization.k8s.io', 'v1', 'roles')
  assert.deepEqual(roles.errors({ rules: [{ apiGroups: [''], resources: ['pods'] }] }), [
    'rules[0].verbs: Required value: verbs must contain at least one value',
  ])
  assert.deepEqual(roles.errors({ rules: [{ verbs: ['get'], nonResourceURLs: ['/x'] }] }), [
    'rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs',
  ])
})

test('the older autoscaler is the newer one with less to say', () => {
  const old = trying('autoscaling', 'v1', 'horizontalpodautoscalers')
  const scaleTargetRef = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' }
  const object = old.defaulted({
    spec: { scaleTargetRef, maxReplicas: 5, targetCPUUtilizationPercentage: 70 },
  })
  const stored = old.definition.convert?.toStorage(structuredClone(object)) as { spec: Part }
  assert.deepEqual(stored.spec, {
    scaleTargetRef,
    minReplicas: 1,
    maxReplicas: 5,
    metrics: [
      {
        type: 'Resource',
        resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 70 } },
      },
    ],
  })
  const row = old.row(object)
  assert.deepEqual([row['Reference'], row['Targets']], ['Deployment/web', 'cpu: <unknown>/70%'])
  // What says nothing aims at what the newer one aims at, and what has other measures at those.
  const plain = old.defaulted({ spec: { scaleTargetRef, maxReplicas: 5 } }) as { spec: Part }
  assert.equal(plain.spec['targetCPUUtilizationPercentage'], 80)
  const now = trying('autoscaling', 'v2', 'horizontalpodautoscalers')
  assert.deepEqual(now.errors({ spec: { scaleTargetRef, maxReplicas: 0, minReplicas: 2 } }), [
    'spec.maxReplicas: Required value: must be set and greater than 0',
    'spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`',
  ])
})

test('metrics that v1 has no field for travel with it', () => {
  const old = trying('autoscaling', 'v1', 'horizontalpodautoscalers')
  const stored = {
    apiVersion: 'autoscaling/v2',
    kind: 'HorizontalPodAutoscaler',
    metadata: { name: 'x' },
    spec: {
      scaleTargetRef: { kind: 'Deployment', name: 'web' },
      maxReplicas: 3,
      metrics: [
        {
          type: 'Pods',
          pods: { metric: { name: 'hits' }, target: { type: 'AverageValue', averageValue: '5' } },
        },
      ],
    },
    status: { currentReplicas: 1, desiredReplicas: 1 },
  }
  const shown = old.definition.convert?.fromStorage(stored as never) as { metadata: Part }
  assert.deepEqual(shown.metadata['annotations'], {
    'autoscaling.alpha.kubernetes.io/metrics':
      '[{"type":"Pods","pods":{"metricName":"hits","targetAverageValue":"5"}}]',
  })
  assert.deepEqual(old.definition.convert?.toStorage(shown as never), stored)
  const again = old.defaulted(structuredClone(shown)) as { spec: Part }
  assert.equal(again.spec['targetCPUUtilizationPercentage'], undefined)
})

test('a lease, a budget and a priority keep their bounds', () => {
  assert.deepEqual(
    trying('coordination.k8s.io', 'v1', 'leases').errors({ spec: { leaseDurationSeconds: 0 } }),
    ['spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0'],
  )
  assert.match(
    trying('policy', 'v1', 'poddisruptionbudgets').errors({
      spec: { minAvailable: 1, maxUnavailable: 1 },
    })[0] ?? '',
    /minAvailable and maxUnavailable cannot be both set/,
  )
  const priorities = trying('scheduling.k8s.io', 'v1', 'priorityclasses')
  assert.deepEqual(priorities.errors({ value: 2_000_000_000 }), [
    'value: Forbidden: maximum allowed value of a user defined priority is 1000000000',
  ])
  assert.deepEqual(priorities.updateErrors({ value: 2 }, { value: 1 }), [
    'value: Forbidden: may not be changed in an update.',
  ])
})

test('an endpoint slice holds addresses of one kind', () => {
  const slices = trying('discovery.k8s.io', 'v1', 'endpointslices')
  const slice = {
    addressType: 'IPv4',
    endpoints: [{ addresses: ['10.0.0.1'] }],
    ports: [{ port: 80 }],
  }
  assert.deepEqual(slices.errors(slice), [])
  assert.deepEqual(slices.defaulted(slice)['ports'], [{ port: 80, name: '', protocol: 'TCP' }])
  assert.deepEqual(slices.errors({ ...slice, endpoints: [{ addresses: ['fd00::1'] }, {}] }), [
    'endpoints[0].addresses: Invalid value: "fd00::1": must be an IPv4 address',
    'endpoints[1].addresses: Required value: must contain at least 1 address',
  ])
  assert.deepEqual(slices.updateErrors({ ...slice, addressType: 'IPv6' }, slice), [
    'addressType: Invalid value: "IPv6": field is immutable',
  ])
})

test('what a runtime class costs is refused as limits are', () => {
  const classes = trying('node.k8s.io', 'v1', 'runtimeclasses')
  assert.deepEqual(
    classes.errors({ handler: 'a', overhead: { podFixed: { frobs: '1', memory: '-1' } } }),
    [
      'overhead.limits[frobs]: Invalid value: "frobs": must be a standard resource type or fully qualified',
      'overhead.limits[frobs]: Invalid value: "frobs": must be a standard resource for containers',
      'overhead.limits[memory]: Invalid value: "-1": must be greater than or equal to 0',
    ],
  )
})

test('a storage class is made once', () => {
  const classes = trying('storage.k8s.io', 'v1', 'storageclasses')
  const made = { provisioner: 'a.b/c' }
  assert.deepEqual(classes.updateErrors({ ...made, reclaimPolicy: 'Retain' }, made), [
    'reclaimPolicy: Invalid value: "Retain": field is immutable',
  ])
  assert.deepEqual(classes.errors({ ...made, reclaimPolicy: 'Keep' }), [
    'reclaimPolicy: Unsupported value: "Keep": supported values: "Delete", "Retain"',
  ])
  const annotations = { 'storageclass.kubernetes.io/is-default-class': 'true' }
  assert.equal(classes.row({ ...made, metadata: { annotations } })['Name'], 'x (default)')
})

test('a certificate request is signed with the name of who asks', () => {
  const requests = trying('certificates.k8s.io', 'v1', 'certificatesigningrequests')
  const request = Buffer.from('-----BEGIN CERTIFICATE REQUEST-----\n').toString('base64')
  const spec = { request, signerName: 'example.com/web', usages: ['client auth'], username: 'root' }
  const made = requests.created({ spec }) as { spec: Part }
  assert.equal(made.spec['username'], 'jane')
  assert.deepEqual(made.spec['groups'], ['system:authenticated'])
  assert.deepEqual(requests.errors({ spec }), [])
  const approved = { conditions: [{ type: 'Approved', status: 'True' }] }
  const bySigner = requests.updated(
    { spec, status: { ...approved, certificate: 'Y2VydA==' } },
    { spec },
    'status',
  ) as { status: Part }
  assert.deepEqual(bySigner.status, { certificate: 'Y2VydA==' })
  const byApprover = requests.updated({ spec, status: approved }, { spec }, 'approval')
  assert.equal(requests.row(byApprover)['Condition'], 'Approved')
  assert.equal(contextOf().user.name, 'jane')
})

test('a definition of a kind has its other names filled in', () => {
  const definitions = trying('apiextensions.k8s.io', 'v1', 'customresourcedefinitions')
  const version = {
    name: 'v1',
    served: true,
    storage: true,
    schema: { openAPIV3Schema: { type: 'object' } },
  }
  const spec = {
    group: 'example.com',
    scope: 'Namespaced',
    names: { plural: 'things', kind: 'Thing' },
    versions: [version],
  }
  const metadata = { name: 'things.example.com' }
  const made = definitions.defaulted({ metadata, spec }) as { spec: Part }
  assert.deepEqual(made.spec['names'], {
    plural: 'things',
    kind: 'Thing',
    singular: 'thing',
    listKind: 'ThingList',
  })
  assert.deepEqual(made.spec['conversion'], { strategy: 'None' })
})

test('an older claim of devices is the newer one written flat', () => {
  const claims = trying('resource.k8s.io', 'v1beta1', 'resourceclaims')
  const made = claims.defaulted({
    spec: { devices: { requests: [{ name: 'gpu', deviceClassName: 'gpu.example.com' }] } },
  })
  const requests = [
    { name: 'gpu', deviceClassName: 'gpu.example.com', allocationMode: 'ExactCount', count: 1 },
  ]
  assert.deepEqual((made['spec'] as { devices: Part }).devices['requests'], requests)
  const stored = claims.definition.convert?.toStorage(structuredClone(made)) as { spec: Part }
  const { name: _, ...exactly } = requests[0] ?? {}
  assert.deepEqual(stored.spec, { devices: { requests: [{ name: 'gpu', exactly }] } })
})

test('an ingress names secrets and objects that can be there', () => {
  const problems = trying('networking.k8s.io', 'v1', 'ingresses').errors({
    spec: {
      defaultBackend: { resource: { kind: 'a/b', name: '' } },
      tls: [{ secretName: 'no name' }],
    },
  })

  assert.match(problems.join(), /spec\.defaultBackend\.resource\.name: Required value/)
  assert.match(
    problems.join(),
    /spec\.tls\[0\]\.secretName: Invalid value: "no name": a lowercase RFC 1123/,
  )
})

test('a metric has one target, and names that fit into a path', () => {
  const problems = trying('autoscaling', 'v2', 'horizontalpodautoscalers').errors({
    spec: {
      maxReplicas: 2,
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'a/b' },
      metrics: [
        {
          type: 'External',
          external: {
            metric: { name: 'c/d' },
            target: { type: 'Value', value: '1', averageValue: '1' },
          },
        },
      ],
    },
  })
  assert.deepEqual(problems, [
    'spec.scaleTargetRef.name: Invalid value: "a/b": may not contain \'/\'',
    'spec.metrics[0].external.metric.name: Invalid value: "c/d": may not contain \'/\'',
    'spec.metrics[0].external.target.value: Forbidden: may not set both a target value for metric and a per-pod target',
  ])
})

for (const { of, object, problems } of [
  {
    of: ['resource.k8s.io', 'v1', 'resourceclaims'],
    object: {
      spec: {
        devices: {
          requests: [{ name: 'r', exactly: { deviceClassName: 'c', selectors: [{}] } }],
          constraints: [{ matchAttribute: 'size' }],
          config: [{ requests: ['other'], opaque: { driver: 'a.b' } }],
        },
      },
    },
    problems: [
      'spec.devices.requests[0].exactly.selectors[0].cel: Required value',
      'spec.devices.constraints[0].matchAttribute: Invalid value: "size": must include a domain',
      'spec.devices.config[0].requests[0]: Invalid value: "other": must be the name of a request in the claim or the name of a request and a subrequest separated by \'/\'',
      'spec.devices.config[0].opaque.parameters: Required value',
    ],
  },
  {
    of: ['networking.k8s.io', 'v1', 'ipaddresses'],
    object: { spec: { parentRef: { resource: 'a/b', name: '' } } },
    problems: [
      'spec.parentRef.resource: Invalid value: "a/b": may not contain \'/\'',
      'spec.parentRef.name: Required value',
    ],
  },
  {
    of: ['networking.k8s.io', 'v1', 'servicecidrs'],
    object: { spec: { cidrs: ['10.1.0.1/16'] } },
    problems: [
      'spec.cidrs[0]: Invalid value: "10.1.0.1/16": must not have bits set beyond the prefix length',
    ],
  },
  {
    of: ['storage.k8s.io', 'v1', 'storageclasses'],
    object: { provisioner: 'a.b/c', reclaimPolicy: 'Recycle' },
    problems: ['reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"'],
  },
  {
    of: ['', 'v1', 'endpoints'],
    object: { subsets: [{ ports: [{ port: 80 }] }] },
    problems: ['subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`'],
  },
] as const)
  test(`refused of ${of[2]}: ${problems[0]}`, () => {
    const [group, version, resource] = of
    const kind = trying(group, version, resource)
    assert.deepEqual(kind.errors(kind.created(object as never)), problems)
  })

test('a question about access has selectors that can be read', () => {
  const reviews = trying('authorization.k8s.io', 'v1', 'selfsubjectaccessreviews')
  const asked = (more: object) =>
    reviews.errors({ spec: { resourceAttributes: { verb: 'list', resource: 'pods', ...more } } })
  assert.deepEqual(asked({ fieldSelector: { rawSelector: 'a=b' } }), [])
  assert.deepEqual(
    asked({ fieldSelector: {}, labelSelector: { requirements: [{ key: '', operator: 'In' }] } }),
    [
      'spec.resourceAttributes.fieldSelector.requirements: Required value: when spec.resourceAttributes.fieldSelector is specified, requirements or rawSelector is required',
      "spec.resourceAttributes.labelSelector.requirements[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
      'spec.resourceAttributes.labelSelector.requirements[0].key: Required value: must be specified',
    ],
  )
})

test('what was decided about a certificate request stays, and is said once', () => {
  const requests = trying('certificates.k8s.io', 'v1', 'certificatesigningrequests')
  const spec = { request: 'LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0=', signerName: 'a.b/c' }
  const approved = { type: 'Approved', status: 'True' }
  const request = (...conditions: readonly object[]) => ({ spec, status: { conditions } })
  assert.deepEqual(requests.updateErrors(request(), request(approved), 'approval'), [
    'status.conditions: Forbidden: updates may not remove a condition of type "Approved"',
  ])
  assert.deepEqual(requests.updateErrors(request(approved), request(), 'approval'), [])
  assert.ok(
    requests
      .errors(request(approved, approved) as never)
      .includes('status.conditions[1].type: Duplicate value: "Approved"'),
  )
})

test('rules of a flow schema say what requests can be', () => {
  const problems = trying('flowcontrol.apiserver.k8s.io', 'v1', 'flowschemas').errors({
    spec: {
      priorityLevelConfiguration: { name: 'global-default' },
      rules: [
        {
          subjects: [{ kind: 'User', user: { name: 'a' }, group: { name: 'b' } }],
          resourceRules: [
            { verbs: ['*', 'get'], apiGroups: ['*'], resources: ['*'], namespaces: ['A_'] },
          ],
          nonResourceRules: [{ verbs: ['list'], nonResourceURLs: ['x', '/a*b', '/ok/*'] }],
        },
      ],
    },
  })
  assert.equal(
    problems[0],
    "spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'",
  )
  assert.equal(
    problems[1],
    `spec.rules[0].resourceRules[0].verbs: Invalid value: ["*","get"]: if '*' is present, must not specify other verbs`,
  )
  assert.match(
    problems[2] ?? '',
    /namespaces\[0\]: Invalid value: "A_": a lowercase RFC 1123 label/,
  )
  assert.match(problems[3] ?? '', /nonResourceRules\[0\]\.verbs: Unsupported value: \["list"\]/)
  assert.deepEqual(problems.slice(4), [
    'spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: "x": must start with slash',
    'spec.rules[0].nonResourceRules[0].nonResourceURLs[1]: Invalid value: "/a*b": wildcard can only do suffix matching',
  ])
})

test('attachments and drivers are of nodes that can be', () => {
  const attached = trying('storage.k8s.io', 'v1', 'volumeattachments').errors({
    spec: { attacher: 'a.b', nodeName: 'no name', source: { persistentVolumeName: 'v' } },
  })
  assert.equal(attached.length, 1)
  assert.match(attached[0] ?? '', /^spec\.nodeName: Invalid value: "no name": a lowercase RFC 1123/)
  const nodeID = 'x'.repeat(257)
  // A driver is named as a provisioner is: with a prefix, or without.
  const attributes = trying('storage.k8s.io', 'v1', 'volumeattributesclasses')
  const parameters = { iops: '10' }
  assert.deepEqual(attributes.errors({ driverName: 'example.com/driver', parameters }), [])
  const drivers = trying('storage.k8s.io', 'v1', 'csinodes').errors({
    spec: { drivers: [{ name: 'a.b', nodeID }] },
  })
  assert.deepEqual(drivers, [
    `spec.drivers[0].nodeID: Invalid value: "${nodeID}": must be 256 characters or less`,
  ])
})

test('what is stored of the core group can be migrated, though its name is empty', () => {
  const migrations = trying('storagemigration.k8s.io', 'v1', 'storageversionmigrations')
  assert.deepEqual(migrations.errors({ spec: { resource: { group: '', resource: 'pods' } } }), [])
  assert.deepEqual(migrations.errors({ spec: { resource: { group: 'apps', resource: '' } } }), [
    'spec.resource.resource: Required value',
  ])
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { JsonObject } from '#machinery'
import { trying } from '../definitions.testing.ts'

type Part = Record<string, unknown>

const services = trying('', 'v1', 'services')
const service = (spec: Part = {}, over: Part = {}): JsonObject => ({
  spec: { selector: { app: 'web' }, ports: [{ port: 80 }], ...spec },
  ...over,
})

test('a service is inside the cluster, and its ports lead where they say', () => {
  assert.deepEqual(services.defaulted(service())['spec'], {
    selector: { app: 'web' },
    ports: [{ port: 80, protocol: 'TCP', targetPort: 80 }],
    sessionAffinity: 'None',
    type: 'ClusterIP',
    internalTrafficPolicy: 'Cluster',
  })
  const balanced = services.defaulted(service({ type: 'LoadBalancer' }))['spec'] as Part
  assert.equal(balanced['externalTrafficPolicy'], 'Cluster')
  assert.equal(balanced['allocateLoadBalancerNodePorts'], true)
  assert.deepEqual(services.defaulted(service())['status'], { loadBalancer: {} })
})

test('ports of a service have numbers, and names when there are several', () => {
  assert.deepEqual(services.errors(service({ ports: [] })), ['spec.ports: Required value'])
  assert.deepEqual(services.errors(service({ ports: [], clusterIP: 'None' })), [])
  assert.deepEqual(services.errors(service({ ports: [{ port: 80 }, { port: 80, name: 'b' }] })), [
    'spec.ports[0].name: Required value',
    'spec.ports[1]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,"TargetPort":0,"NodePort":0}',
  ])
  assert.deepEqual(services.errors(service({ ports: [{ port: 0 }] })).slice(0, 1), [
    'spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive',
  ])
})

test('a service that is a name elsewhere has no addresses, nor families of them', () => {
  const spec = { type: 'ExternalName', externalName: 'example.com' }
  assert.deepEqual(services.errors({ spec }), [])
  assert.deepEqual(
    services.errors({ spec: { ...spec, ipFamilies: ['IPv4'], ipFamilyPolicy: 'SingleStack' } }),
    [
      'spec.ipFamilies: Forbidden: may not be set for ExternalName services',
      'spec.ipFamilyPolicy: Forbidden: may not be set for ExternalName services',
    ],
  )
})

test('each type of service has fields of its own', () => {
  assert.deepEqual(services.errors({ spec: { type: 'ExternalName' } }), [
    'spec.externalName: Required value',
  ])
  assert.deepEqual(services.errors(service({ ports: [{ port: 80, nodePort: 30000 }] })), [
    "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
  ])
  const headless = services.created(service({ type: 'NodePort', clusterIP: 'None' }))
  assert.deepEqual(
    services.definition.validate(headless).map(({ field, detail }) => `${field}: ${detail}`),
    [`spec.clusterIPs[0]: Invalid value: "None": may not be set to 'None' for NodePort services`],
  )
  assert.deepEqual(services.errors(service({ type: 'Other' })).slice(0, 1), [
    'spec.type: Unsupported value: "Other": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"',
  ])
})

test('a service keeps the addresses and ports that it was given', () => {
  const given = { clusterIP: '10.0.0.9', clusterIPs: ['10.0.0.9'], ipFamilies: ['IPv4'] }
  const old = service({ ...given, type: 'NodePort', ports: [{ port: 80, nodePort: 30123 }] })
  const now = services.updated(service({ type: 'NodePort' }), old)['spec'] as Part
  assert.equal(now['clusterIP'], '10.0.0.9')
  assert.deepEqual(now['ports'], [{ port: 80, protocol: 'TCP', targetPort: 80, nodePort: 30123 }])
  // A port is known by its name, whatever becomes of its number and protocol.
  const named = (ports: readonly Part[]): unknown =>
    (services.updated(service({ type: 'NodePort', ports }), old)['spec'] as Part)['ports']
  assert.deepEqual(named([{ port: 81, protocol: 'UDP', targetPort: 9 }]), [
    { port: 81, protocol: 'UDP', targetPort: 9, nodePort: 30123 },
  ])
  assert.deepEqual(named([{ name: 'http', port: 80, protocol: 'TCP', targetPort: 80 }]), [
    { name: 'http', port: 80, protocol: 'TCP', targetPort: 80 },
  ])
  const inside = services.updated(service({ ports: [{ port: 80, nodePort: 30123 }] }), old)[
    'spec'
  ] as Part
  assert.deepEqual(inside['ports'], [{ port: 80, protocol: 'TCP', targetPort: 80 }])
  assert.deepEqual(services.updateErrors(service({ clusterIP: '10.0.0.8' }), service(given)), [
    'spec.clusterIPs[0]: Invalid value: ["10.0.0.8"]: may not change once set',
  ])
})

test('the table of services says where they are', () => {
  const row = services.row(
    service(
      { type: 'LoadBalancer', clusterIPs: ['10.0.0.9'], ports: [{ port: 80, nodePort: 30123 }] },
      { status: { loadBalancer: { ingress: [{ ip: '1.2.3.4' }] } } },
    ),
  )
  assert.deepEqual(
    [row['Type'], row['Cluster-IP'], row['External-IP'], row['Port(s)'], row['Selector']],
    ['LoadBalancer', '10.0.0.9', '1.2.3.4', '80:30123/TCP', 'app=web'],
  )
  assert.equal(services.row(service({ type: 'LoadBalancer' }))['External-IP'], '<pending>')
  assert.equal(services.row(service({ clusterIP: 'None' }))['Cluster-IP'], 'None')
})

const configMaps = trying('', 'v1', 'configmaps')
const secrets = trying('', 'v1', 'secrets')

test('keys of a config map are names of files', () => {
  assert.deepEqual(configMaps.errors({ data: { 'a b': 'x' } }), [
    "data[a b]: Invalid value: \"a b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
  ])
  assert.deepEqual(configMaps.errors({ data: { big: 'x'.repeat(1024 * 1024 + 1) } }), [
    '[]: Too long: may not be more than 1048576 bytes',
  ])
})

test('a sealed config map stays as it is', () => {
  const old = { immutable: true, data: { a: '1' } }
  assert.deepEqual(configMaps.updateErrors({ data: { a: '2' } }, old), [
    'immutable: Forbidden: field is immutable when `immutable` is set',
    'data: Forbidden: field is immutable when `immutable` is set',
  ])
  assert.deepEqual(configMaps.updateErrors(old, old), [])
})

test('text given for a secret ends up as bytes', () => {
  const secret = secrets.defaulted({ stringData: { a: 'hällo' }, data: { b: 'Yg==' } })
  assert.deepEqual(secret['data'], { b: 'Yg==', a: Buffer.from('hällo').toString('base64') })
  assert.equal(secret['stringData'], undefined)
  assert.equal(secret['type'], 'Opaque')
})

test('secrets of known types have their keys', () => {
  assert.deepEqual(secrets.errors({ type: 'kubernetes.io/tls', data: { 'tls.crt': '' } }), [
    'data[tls.key]: Required value',
  ])
  assert.deepEqual(
    secrets.errors({
      type: 'kubernetes.io/dockerconfigjson',
      stringData: { '.dockerconfigjson': '{' },
    }).length,
    1,
  )
  assert.deepEqual(secrets.updateErrors({ type: 'a' }, { type: 'b' }), [
    'type: Invalid value: "a": field is immutable',
  ])
})

test('a namespace is active, labelled with its name, and waits for its finalizer', () => {
  const namespaces = trying('', 'v1', 'namespaces')
  const created = namespaces.created({ status: { phase: 'Terminating' } })
  assert.deepEqual(created['spec'], { finalizers: ['kubernetes'] })
  assert.deepEqual(created['status'], { phase: 'Active' })
  assert.deepEqual((created['metadata'] as Part)['labels'], { 'kubernetes.io/metadata.name': 'x' })
  const finalized = namespaces.updated(
    { spec: {}, status: { phase: 'Active' } },
    { spec: { finalizers: ['kubernetes'] }, status: { phase: 'Terminating' } },
    'finalize',
  )
  assert.deepEqual(finalized['spec'], {})
  assert.deepEqual(finalized['status'], { phase: 'Terminating' })
})

const nodes = trying('', 'v1', 'nodes')

test('a node brings its status along when it registers', () => {
  const status = { capacity: { cpu: '2' } }
  const created = nodes.created({ status }) as { status: Part }
  assert.deepEqual(created.status['capacity'], { cpu: '2' })
  assert.deepEqual(created.status['allocatable'], { cpu: '2' })
})

test('the table of nodes says whether they are ready, and for what', () => {
  const row = nodes.row({
    metadata: {
      labels: { 'node-role.kubernetes.io/control-plane': '', 'kubernetes.io/role': 'edge' },
    },
    spec: { unschedulable: true },
    status: {
      conditions: [{ type: 'Ready', status: 'True' }],
      nodeInfo: { kubeletVersion: 'v1.36.0' },
      addresses: [{ type: 'InternalIP', address: '10.1.1.1' }],
    },
  })
  assert.deepEqual(
    [row['Status'], row['Roles'], row['Version'], row['Internal-IP'], row['External-IP']],
    ['Ready,SchedulingDisabled', 'control-plane,edge', 'v1.36.0', '10.1.1.1', '<none>'],
  )
})

test('taints are unique by key and effect', () => {
  const taint = { key: 'a', effect: 'NoSchedule' }
  assert.deepEqual(nodes.errors({ spec: { taints: [taint, taint] } }), [
    'metadata.taints[1]: Duplicate value: {"Key":"a","Value":"","Effect":"NoSchedule","TimeAdded":null}: taints must be unique by key and effect pair',
  ])
})

const claims = trying('', 'v1', 'persistentvolumeclaims')
const claim = (spec: Part = {}, over: Part = {}): JsonObject => ({
  spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, ...spec },
  ...over,
})

test('a claim says how much and how', () => {
  assert.deepEqual(claims.errors(claim()), [])
  // Whoever limits a claim below what it asks for gets what there is.
  const limited = { resources: { requests: { storage: '2M' }, limits: { storage: '1M' } } }
  assert.deepEqual(claims.errors(claim(limited)), [])
  assert.deepEqual(claims.errors({ spec: {} }), [
    'spec.accessModes: Required value: at least 1 access mode is required',
    'spec.resources[storage]: Required value',
  ])
  assert.deepEqual(claims.created(claim())['status'], { phase: 'Pending' })
})

test('a mode of access is one of four', () => {
  assert.deepEqual(claims.errors(claim({ accessModes: ['ReadWriteOnce', 'ReadWriteTwice'] })), [
    'spec.accessModes: Unsupported value: "ReadWriteTwice": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"',
  ])
})

test('a claim stays what it was, and may grow once it is bound', () => {
  const bound = { status: { phase: 'Bound', capacity: { storage: '1Gi' } } }
  const larger = { resources: { requests: { storage: '2Gi' } } }
  assert.deepEqual(claims.updateErrors(claim(larger, bound), claim({}, bound)), [])
  assert.deepEqual(claims.updateErrors(claim({ volumeName: 'v' }), claim()), [])
  assert.match(
    claims.updateErrors(claim({ accessModes: ['ReadWriteMany'] }), claim())[0] ?? '',
    /^spec: Forbidden: spec is immutable after creation except resources\.requests and volumeAttributesClassName for bound claims/,
  )
  assert.deepEqual(
    claims.updateErrors(
      claim({}, bound),
      claim(larger, { status: { ...bound.status, capacity: { storage: '2Gi' } } }),
    ),
    ['spec.resources.requests.storage: Forbidden: field can not be less than status.capacity'],
  )
})

test('a volume has a size, a way in and one source', () => {
  const volumes = trying('', 'v1', 'persistentvolumes')
  assert.deepEqual(volumes.errors({ spec: {} }), [
    'spec.accessModes: Required value',
    'spec.capacity: Required value',
    'spec.capacity: Unsupported value: null: supported values: "storage"',
    'spec: Required value: must specify a volume type',
  ])
  const spec = {
    accessModes: ['ReadWriteOnce'],
    capacity: { storage: '1Gi' },
    hostPath: { path: '/data' },
    claimRef: { namespace: 'shop', name: 'data' },
  }
  assert.deepEqual(volumes.errors({ spec }), [])
  const row = volumes.row({ spec, status: { phase: 'Bound' } })
  assert.deepEqual(
    [row['Capacity'], row['Access Modes'], row['Reclaim Policy'], row['Claim']],
    ['1Gi', 'RWO', 'Retain', 'shop/data'],
  )
  const [moved = ''] = volumes.updateErrors(
    { spec: { ...spec, hostPath: { path: '/other' } } },
    { spec },
  )
  assert.match(
    moved,
    /^spec\.persistentvolumesource: Forbidden: spec\.persistentvolumesource is immutable after creation\n@@ -2,7 \+2,7 @@\n/,
  )
  assert.match(moved, /\n- {2}"Path": "\/data",\n\+ {2}"Path": "\/other",\n/)
})

test('endpoints are packed by their ports', () => {
  const endpoints = trying('', 'v1', 'endpoints')
  const port = { port: 80 }
  const created = endpoints.created({
    subsets: [
      { addresses: [{ ip: '10.0.0.2' }], ports: [port] },
      { addresses: [{ ip: '10.0.0.1' }], notReadyAddresses: [{ ip: '10.0.0.3' }], ports: [port] },
    ],
  })
  assert.deepEqual(created['subsets'], [
    {
      addresses: [{ ip: '10.0.0.1' }, { ip: '10.0.0.2' }],
      notReadyAddresses: [{ ip: '10.0.0.3' }],
      ports: [{ port: 80, protocol: 'TCP' }],
    },
  ])
  assert.deepEqual(endpoints.errors({ subsets: [{ addresses: [{ ip: '127.0.0.1' }] }] }), [
    'subsets[0].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
  ])
})

test('an event is the same one in both groups', () => {
  const events = trying('events.k8s.io', 'v1', 'events')
  const event = events.defaulted({
    metadata: { namespace: 'shop' },
    regarding: { kind: 'Pod', namespace: 'shop', name: 'web' },
    note: 'Started',
    reason: 'Started',
    reportingController: 'kubelet',
    reportingInstance: 'n1',
    action: 'Start',
    type: 'Normal',
    eventTime: '2026-01-02T03:04:00.000000Z',
  })
  assert.deepEqual(events.definition.validate(event), [])
  const stored = events.definition.convert?.toStorage(structuredClone(event)) as Part
  assert.equal(stored['apiVersion'], 'v1')
  assert.equal(stored['message'], 'Started')
  assert.deepEqual(stored['involvedObject'], { kind: 'Pod', namespace: 'shop', name: 'web' })
  assert.equal(events.definition.storagePrefix, trying('', 'v1', 'events').definition.storagePrefix)
  const row = events.row(event)
  assert.deepEqual(
    [row['Last Seen'], row['Object'], row['Message'], row['Count']],
    ['5s', 'pod/web', 'Started', '1'],
  )
})

test('limits of containers are completed from the most and the least', () => {
  const ranges = trying('', 'v1', 'limitranges')
  const { spec } = ranges.defaulted({
    spec: { limits: [{ type: 'Container', max: { cpu: '2' }, min: { memory: '1Mi' } }] },
  }) as { spec: { limits: Part[] } }
  assert.deepEqual(spec.limits[0], {
    type: 'Container',
    max: { cpu: '2' },
    min: { memory: '1Mi' },
    default: { cpu: '2' },
    defaultRequest: { cpu: '2', memory: '1Mi' },
  })
  assert.deepEqual(
    ranges.errors({ spec: { limits: [{ type: 'Pod', max: { cpu: '1' }, min: { cpu: '2' } }] } }),
    ['spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1'],
  )
})

test('a single pod range that is changed is a change of the ranges', () => {
  const nodes = trying('', 'v1', 'nodes')
  const { spec } = nodes.defaulted({
    spec: { podCIDR: '10.9.0.0/24', podCIDRs: ['10.8.0.0/24'] },
  }) as { spec: { podCIDRs: readonly string[] } }
  assert.deepEqual(spec.podCIDRs, ['10.9.0.0/24'])
})

test('a quota of a scope counts what the scope selects, and nothing else', () => {
  const quotas = trying('', 'v1', 'resourcequotas')
  const errors = (spec: object) => quotas.errors({ spec })
  assert.deepEqual(errors({ hard: { pods: '1' }, scopes: ['BestEffort'] }), [])
  assert.deepEqual(errors({ hard: { cpu: '1', pods: '1' }, scopes: ['BestEffort'] }), [
    'spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource',
  ])
  assert.deepEqual(
    errors({ hard: { cpu: '1', 'count/jobs.batch': '2' }, scopes: ['Terminating'] }),
    [],
  )
  assert.deepEqual(errors({ hard: { pods: '1' }, scopes: ['Nope'] }), [
    'spec.scopes: Invalid value: ["Nope"]: unsupported scope',
  ])
  assert.deepEqual(
    errors({ hard: { frobs: '1', 'example.com/frobs': '1', 'hugepages-2Mi': '1' } }),
    [
      'spec.hard[frobs]: Invalid value: "frobs": must be a standard resource type or fully qualified',
      'spec.hard[frobs]: Invalid value: "frobs": must be a standard resource for quota',
    ],
  )
})

test('the scopes that a quota selects are judged each, by the path of all', () => {
  const quotas = trying('', 'v1', 'resourcequotas')
  const errors = (matchExpressions: readonly object[], hard: object = { pods: '1' }) =>
    quotas.errors({ spec: { hard, scopeSelector: { matchExpressions } } })
  const at = 'spec.scopeSelector.matchExpressions'
  assert.deepEqual(errors([{ scopeName: 'PriorityClass', operator: 'Exists' }]), [])
  assert.deepEqual(errors([{ scopeName: 'Nope', operator: 'Exists' }]), [
    `${at}.scopeName: Invalid value: "Nope": unsupported scope`,
  ])
  assert.deepEqual(errors([{ scopeName: 'PriorityClass', operator: 'Near' }]), [
    `${at}.operator: Invalid value: "Near": not a valid selector operator`,
  ])
  assert.deepEqual(errors([{ scopeName: 'BestEffort', operator: 'Exists' }], { cpu: '1' }), [
    `${at}: Invalid value: {"MatchExpressions":[{"ScopeName":"BestEffort","Operator":"Exists","Values":null}]}: unsupported scope applied to resource`,
  ])
  assert.deepEqual(
    errors([
      { scopeName: 'Terminating', operator: 'Exists' },
      { scopeName: 'NotTerminating', operator: 'Exists' },
    ]),
    [`${at}: Invalid value: null: conflicting scopes`],
  )
})

test('a quota tells what is used of what', () => {
  const quotas = trying('', 'v1', 'resourcequotas')
  const row = quotas.row({
    status: { hard: { pods: '10', 'limits.cpu': '4' }, used: { pods: '3', 'limits.cpu': '1' } },
  })
  assert.deepEqual([row['Request'], row['Limit']], ['pods: 3/10', 'limits.cpu: 1/4'])
})

test('addresses that others might read otherwise are told of', () => {
  const services = trying('', 'v1', 'services')
  const { warnings } = services.definition
  const object = services.defaulted({
    spec: {
      type: 'LoadBalancer',
      externalIPs: ['2001:DB8::1', '10.0.0.1'],
      loadBalancerSourceRanges: ['10.0.0.1/8', '2001:DB8::/32', '010.0.0.0/8'],
    },
  })
  assert.deepEqual(warnings(object, undefined), [
    'spec.externalIPs[0]: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format ("2001:db8::1")',
    'spec.externalIPs is deprecated and may no longer be implemented in some clusters',
    'spec.loadBalancerSourceRanges[0]: CIDR value "10.0.0.1/8" is ambiguous in this context (should be "10.0.0.0/8" or "10.0.0.1/32"?)',
    'spec.loadBalancerSourceRanges[1]: IPv6 CIDR value "2001:DB8::/32" should be in RFC 5952 canonical format ("2001:db8::/32")',
    'spec.loadBalancerSourceRanges[2]: non-standard CIDR value "010.0.0.0/8" is invalid: use "10.0.0.0/8"',
  ])
})

test('so are the ranges of network policies, by the rule that has them', () => {
  const policies = trying('networking.k8s.io', 'v1', 'networkpolicies')
  const ipBlock = { cidr: '010.0.0.0/8', except: ['10.1.0.1/16'] }
  const object = policies.defaulted({
    spec: {
      podSelector: {},
      ingress: [
        {},
        { from: [{ podSelector: {} }, { ipBlock: { cidr: '10.0.0.0/8' } }, { ipBlock }] },
      ],
      egress: [{ to: [{ ipBlock: { cidr: '2001:DB8::/32' } }] }],
    },
  })
  assert.deepEqual(policies.definition.warnings(object, undefined), [
    'spec.ingress[1].from[2].ipBlock.cidr: non-standard CIDR value "010.0.0.0/8" is invalid: use "10.0.0.0/8"',
    'spec.ingress[1].from[2].ipBlock.except[0]: CIDR value "10.1.0.1/16" is ambiguous in this context (should be "10.1.0.0/16" or "10.1.0.1/32"?)',
    'spec.egress[0].to[0].ipBlock.cidr: IPv6 CIDR value "2001:DB8::/32" should be in RFC 5952 canonical format ("2001:db8::/32")',
  ])
})

for (const { resource, spec, problems } of [
  {
    resource: 'services',
    spec: {
      type: 'LoadBalancer',
      ports: [{ port: 80 }],
      loadBalancerClass: 'mine',
      trafficDistribution: 'Near',
    },
    problems: [
      'spec.trafficDistribution: Unsupported value: "Near": supported values: "PreferClose", "PreferSameZone", "PreferSameNode"',
    ],
  },
  {
    resource: 'persistentvolumeclaims',
    spec: {
      accessModes: ['ReadWriteOnce'],
      resources: { requests: { storage: '1Gi' } },
      dataSource: { kind: 'PersistentVolumeClaim', name: 'a' },
      dataSourceRef: { kind: 'PersistentVolumeClaim', name: 'b' },
    },
    problems: ['spec: Invalid value: {}: must match dataSourceRef'],
  },
  {
    resource: 'limitranges',
    spec: {
      limits: [
        { type: 'Crate', max: { cpu: '1' } },
        {
          type: 'Container',
          min: { cpu: '1' },
          max: { cpu: '2' },
          maxLimitRequestRatio: { cpu: '3' },
        },
      ],
    },
    problems: [
      'spec.limits[0].type: Invalid value: "Crate": must be a standard limit type or fully qualified',
      'spec.limits[1].maxLimitRequestRatio[cpu]: Invalid value: "3": ratio 3 is greater than max/min = 2.000000',
    ],
  },
  {
    resource: 'limitranges',
    spec: {
      limits: [
        {
          type: 'Container',
          default: { 'example.com/gpu': '2' },
          defaultRequest: { 'example.com/gpu': '1' },
        },
      ],
    },
    problems: [
      'spec.limits[0].defaultRequest[example.com/gpu]: Invalid value: "1": default value 2 must equal to defaultRequest value 1 in example.com/gpu',
    ],
  },
])
  test(`refused of ${resource}: ${problems[0] ?? ''}`, () => {
    assert.deepEqual(trying('', 'v1', resource).errors({ spec }), problems)
  })

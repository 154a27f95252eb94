import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { virtualEnv } from '#base'
import {
  limitRanges,
  namespaces,
  nodes,
  pods,
  priorityClasses,
  resourceQuotas,
  runtimeClasses,
  serviceAccounts,
  storageClasses,
} from '#api'
import type { Transport } from '#client'
import { conflict, type JsonObject, type RequestUser, type StatusError } from '#machinery'
import type { Authorizer } from '../access.ts'
import type { AdmissionPlugin, AdmissionRequest } from '../admission.ts'
import { testReader, type TestReader } from '../auth/reader.testing.ts'
import type { ServerInside } from '../inside.ts'
import { builtInAdmission } from './index.ts'
import { violations } from './pod-security/violations.ts'

const allowAll: Authorizer = { authorize: async () => ({ verdict: 'allow', reason: '' }) }
const allowNone: Authorizer = { authorize: async () => ({ verdict: 'noOpinion', reason: '' }) }

interface World {
  readonly read: TestReader
  readonly plugins: readonly AdmissionPlugin[]
  readonly writes: JsonObject[]
}

function world({
  authorizer = allowAll,
  fail = () => false,
}: { authorizer?: Authorizer; fail?: () => boolean } = {}): World {
  const read = testReader()
  read.put(namespaces, { metadata: { name: 'shop' }, status: { phase: 'Active' } })
  read.put(serviceAccounts, { metadata: { name: 'default', namespace: 'shop' } })
  const writes: JsonObject[] = []
  const transport: Transport = {
    async request({ method, body }) {
      await new Promise((resolve) => setImmediate(resolve))
      if (method === 'GET') return read.get(resourceQuotas, 'shop', 'q')
      const quota = body as { metadata: { name: string; resourceVersion: string } }
      const found = read.get(resourceQuotas, 'shop', quota.metadata.name)
      if (fail() || found?.metadata.resourceVersion !== quota.metadata.resourceVersion)
        throw conflict({ group: '', resource: 'resourcequotas' }, 'q', 'stale')
      writes.push(body as JsonObject)
      return read.put(resourceQuotas, body)
    },
    watch: () => Promise.reject(new Error('not asked for')),
  }
  const inside = {
    read,
    transport: () => transport,
    definitions: () => [],
    definitionOf: () => undefined,
  } as unknown as ServerInside
  const plugins = builtInAdmission(inside, { env: virtualEnv(), authorizer })
  return { read, plugins, writes }
}

interface Asked {
  readonly resource?: string
  readonly operation?: AdmissionRequest['operation']
  readonly subresource?: string
  readonly user?: RequestUser
  readonly old?: object
  readonly namespace?: string
  readonly warnings?: string[]
  readonly dryRun?: boolean
  readonly annotations?: Record<string, string>
}

async function admit(
  { plugins }: World,
  object: object,
  { resource = 'pods', operation = 'CREATE', warnings = [], ...rest }: Asked = {},
): Promise<JsonObject> {
  const dot = resource.indexOf('.')
  const facts = {
    group: dot < 0 ? '' : resource.slice(dot + 1),
    version: 'v1',
    resource: dot < 0 ? resource : resource.slice(0, dot),
    namespaced: !['namespaces', 'nodes', 'priorityclasses', 'certificatesigningrequests'].includes(
      dot < 0 ? resource : resource.slice(0, dot),
    ),
  }
  const copy = structuredClone(object) as JsonObject
  const request: AdmissionRequest = {
    operation,
    definition: { facts } as AdmissionRequest['definition'],
    subresource: rest.subresource ?? '',
    namespace: facts.namespaced ? (rest.namespace ?? 'shop') : '',
    name: (copy['metadata'] as { name?: string } | undefined)?.name ?? '',
    user: rest.user ?? { name: 'jane', groups: [] },
    dryRun: rest.dryRun ?? false,
    ...(operation === 'DELETE' ? {} : { object: copy }),
    ...(rest.old === undefined ? {} : { old: rest.old as NonNullable<AdmissionRequest['old']> }),
    warn: (text) => warnings.push(text),
    signal: new AbortController().signal,
    annotate: (key, value) => void (rest.annotations && (rest.annotations[key] = value)),
    replace: () => undefined,
    rounds: { isSecond: false, again: false },
  }
  const handling = plugins.filter((plugin) => plugin.handles(request))
  for (const plugin of handling) await plugin.mutate?.(request)
  for (const plugin of handling) await plugin.validate?.(request)
  return copy
}

const pod = (spec: object = {}, metadata: object = {}) => ({
  metadata: { name: 'web', ...metadata },
  spec: { containers: [{ name: 'c', image: 'i' }], ...spec },
})
const message = (text: string | RegExp) => (error: StatusError) => {
  if (typeof text === 'string') assert.equal(error.message, text)
  else assert.match(error.message, text)
  return true
}

test('a pod gets its account, token volume, tolerations and priority', async () => {
  const { spec } = (await admit(world(), pod())) as unknown as {
    spec: {
      serviceAccountName: string
      volumes: { name: string; projected: { sources: object[]; defaultMode: number } }[]
      containers: { volumeMounts: object[] }[]
      tolerations: object[]
      priority: number
      preemptionPolicy: string
    }
  }
  assert.equal(spec.serviceAccountName, 'default')
  assert.match(spec.volumes[0]!.name, /^kube-api-access-[b-df-hj-np-tv-z2-9]{5}$/)
  assert.equal(spec.volumes[0]!.projected.defaultMode, 420)
  assert.deepEqual(spec.containers[0]!.volumeMounts, [
    {
      name: spec.volumes[0]!.name,
      readOnly: true,
      mountPath: '/var/run/secrets/kubernetes.io/serviceaccount',
    },
  ])
  assert.deepEqual(
    spec.tolerations,
    ['not-ready', 'unreachable'].map((trouble) => ({
      key: `node.kubernetes.io/${trouble}`,
      operator: 'Exists',
      effect: 'NoExecute',
      tolerationSeconds: 300,
    })),
  )
  assert.deepEqual([spec.priority, spec.preemptionPolicy], [0, 'PreemptLowerPriority'])
})

test('a pod or its account may do without the token', async () => {
  const made = world()
  const volumes = async (spec: object) =>
    ((await admit(made, pod(spec))) as { spec: { volumes?: object[] } }).spec.volumes
  assert.equal(await volumes({ automountServiceAccountToken: false }), undefined)
  made.read.put(serviceAccounts, {
    metadata: { name: 'quiet', namespace: 'shop' },
    automountServiceAccountToken: false,
  })
  assert.equal(await volumes({ serviceAccountName: 'quiet' }), undefined)
  assert.equal(
    (await volumes({ serviceAccountName: 'quiet', automountServiceAccountToken: true }))?.length,
    1,
  )
})

test('a missing service account is named', async () => {
  await assert.rejects(
    admit(world(), pod({ serviceAccountName: 'ghost' })),
    message(
      'pods "web" is forbidden: error looking up service account shop/ghost: serviceaccount "ghost" not found',
    ),
  )
})

test('nothing comes into a namespace that is missing or going', async () => {
  const made = world()
  await assert.rejects(
    admit(made, pod(), { namespace: 'nowhere' }),
    message('namespaces "nowhere" not found'),
  )
  made.read.put(namespaces, { metadata: { name: 'shop' }, status: { phase: 'Terminating' } })
  await assert.rejects(admit(made, pod()), (error: StatusError) => {
    assert.equal(
      error.message,
      'pods "web" is forbidden: unable to create new content in namespace shop because it is being terminated',
    )
    assert.equal(error.code, 403)
    assert.equal(error.status.details?.causes?.[0]?.reason, 'NamespaceTerminating')
    return true
  })
  await assert.rejects(
    admit(
      made,
      { metadata: { name: 'kube-system' } },
      { resource: 'namespaces', operation: 'DELETE' },
    ),
    message('namespaces "kube-system" is forbidden: this namespace may not be deleted'),
  )
})

test('priority comes from the class, and may not be made up', async () => {
  const made = world()
  made.read.put(priorityClasses, {
    metadata: { name: 'high' },
    value: 1000,
    preemptionPolicy: 'Never',
  })
  const { spec } = (await admit(made, pod({ priorityClassName: 'high' }))) as {
    spec: { priority: number; preemptionPolicy: string }
  }
  assert.deepEqual([spec.priority, spec.preemptionPolicy], [1000, 'Never'])
  await assert.rejects(
    admit(made, pod({ priorityClassName: 'none' })),
    message('pods "web" is forbidden: no PriorityClass with name none was found'),
  )
  await assert.rejects(
    admit(made, pod({ priority: 5 })),
    message(/integer value of priority \(5\)/),
  )
  const system = (await admit(made, pod({ priorityClassName: 'system-node-critical' }))) as {
    spec: { priority: number }
  }
  assert.equal(system.spec.priority, 2_000_001_000)
})

test('a runtime class gives overhead and a place', async () => {
  const made = world()
  made.read.put(runtimeClasses, {
    metadata: { name: 'vm' },
    handler: 'vm',
    overhead: { podFixed: { cpu: '250m' } },
    scheduling: { nodeSelector: { vm: 'yes' }, tolerations: [{ key: 'vm', operator: 'Exists' }] },
  })
  const { spec } = (await admit(made, pod({ runtimeClassName: 'vm' }))) as {
    spec: { overhead: object; nodeSelector: object; tolerations: object[] }
  }
  assert.deepEqual(spec.overhead, { cpu: '250m' })
  assert.deepEqual(spec.nodeSelector, { vm: 'yes' })
  assert.equal(spec.tolerations.length, 3)
  await assert.rejects(
    admit(made, pod({ runtimeClassName: 'no' })),
    message('pods "web" is forbidden: pod rejected: RuntimeClass "no" not found'),
  )
  await assert.rejects(
    admit(made, pod({ runtimeClassName: 'vm', nodeSelector: { vm: 'no' } })),
    message(/conflict: runtimeClass/),
  )
})

test('restricted refuses an ordinary pod in the words that people search for', async () => {
  const made = world()
  made.read.put(namespaces, {
    metadata: { name: 'shop', labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
  })
  await assert.rejects(
    admit(made, pod()),
    message(
      'pods "web" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")',
    ),
  )
  await admit(
    made,
    pod({
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [
        {
          name: 'c',
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
        },
      ],
    }),
  )
})

test('baseline names each thing that reaches the host', () => {
  const text = violations({ level: 'baseline', version: 'latest' }, {}, {
    hostNetwork: true,
    hostPID: true,
    containers: [
      {
        name: 'a',
        image: 'i',
        ports: [{ containerPort: 1, hostPort: 9100 }],
        securityContext: { privileged: true, capabilities: { add: ['SYS_ADMIN', 'NET_ADMIN'] } },
      },
      { name: 'b', image: 'i', ports: [{ containerPort: 1, hostPort: 80 }] },
    ],
    volumes: [{ name: 'proc', hostPath: { path: '/proc' } }],
    securityContext: { sysctls: [{ name: 'kernel.msgmax', value: '1' }] },
  } as never)
  assert.equal(
    text,
    'non-default capabilities (container "a" must not include "NET_ADMIN", "SYS_ADMIN" in securityContext.capabilities.add), host namespaces (hostNetwork=true, hostPID=true), hostPath volumes (volume "proc"), hostPort (containers "a", "b" use hostPorts 80, 9100), privileged (container "a" must not set securityContext.privileged=true), forbidden sysctls (kernel.msgmax)',
  )
})

test('profiles of before 1.19 are named by annotations, and quoted as they are', () => {
  const pod = (name: string, annotations: Record<string, string>, minor: number) =>
    violations({ level: 'baseline', version: `v1.${minor}` }, { annotations }, {
      containers: [{ name }],
    } as never)
  const seccomp = { 'container.seccomp.security.alpha.kubernetes.io/a': 'unconfined' }
  assert.equal(
    pod('a', seccomp, 18),
    'seccompProfile (forbidden annotation container.seccomp.security.alpha.kubernetes.io/a="unconfined")',
  )
  assert.equal(pod('b', seccomp, 18), '')
  assert.equal(pod('a', seccomp, 19), '')
  assert.equal(
    pod('a', { 'container.apparmor.security.beta.kubernetes.io/a': 'unconfined' }, 30),
    'forbidden AppArmor profile (annotation must not set AppArmor profile type to "container.apparmor.security.beta.kubernetes.io/a="unconfined"")',
  )
})

test('an unmasked proc in a user namespace is good for the baseline from 1.35 on, never for restricted', () => {
  const found = (level: 'baseline' | 'restricted', minor: number) =>
    violations({ level, version: `v1.${minor}` }, {}, {
      hostUsers: false,
      containers: [{ name: 'a', securityContext: { procMount: 'Unmasked' } }],
    } as never)
  assert.match(found('baseline', 34), /procMount/)
  assert.equal(found('baseline', 35), '')
  const text = found('restricted', 35)
  assert.ok(text.indexOf('procMount') > text.indexOf('capabilities'), text)
})

test('warn level warns on workloads, and raising a namespace names the pods that would not pass', async () => {
  const made = world()
  const labels = { 'pod-security.kubernetes.io/warn': 'baseline' }
  made.read.put(namespaces, { metadata: { name: 'shop', labels } })
  const warnings: string[] = []
  const template = { spec: { hostNetwork: true, containers: [{ name: 'c' }] } }
  await admit(
    made,
    { metadata: { name: 'd' }, spec: { template } },
    { resource: 'deployments.apps', warnings },
  )
  assert.deepEqual(warnings, [
    'would violate PodSecurity "baseline:latest": host namespaces (hostNetwork=true)',
  ])
  made.read.put(namespaces, {
    metadata: { name: 'shop', labels: { 'pod-security.kubernetes.io/enforce': 'baseline' } },
  })
  await admit(
    made,
    { metadata: { name: 'd' }, spec: { template } },
    { resource: 'deployments.apps', warnings },
  )
  assert.equal(warnings.length, 2)
  for (const name of ['x', 'y'])
    made.read.put(pods, {
      metadata: { name, namespace: 'shop' },
      spec: { hostNetwork: true, containers: [] },
    })
  const raised: string[] = []
  await admit(
    made,
    { metadata: { name: 'shop', labels: { 'pod-security.kubernetes.io/enforce': 'baseline' } } },
    {
      resource: 'namespaces',
      operation: 'UPDATE',
      old: { metadata: { name: 'shop' } },
      warnings: raised,
    },
  )
  assert.deepEqual(raised, [
    'existing pods in namespace "shop" violate the new PodSecurity enforce level "baseline:latest"',
    'x (and 1 other pod): host namespaces',
  ])
  await assert.rejects(
    admit(
      made,
      { metadata: { name: 'n', labels: { 'pod-security.kubernetes.io/enforce': 'strict' } } },
      { resource: 'namespaces' },
    ),
    message(/must be one of privileged, baseline, restricted/),
  )
})

test('limit ranges fill in and refuse', async () => {
  const made = world()
  made.read.put(limitRanges, {
    metadata: { name: 'l', namespace: 'shop' },
    spec: {
      limits: [
        {
          type: 'Container',
          default: { cpu: '500m' },
          defaultRequest: { cpu: '100m' },
          min: { cpu: '50m' },
          max: { cpu: '1' },
          maxLimitRequestRatio: { cpu: '10' },
        },
      ],
    },
  })
  const made1 = (await admit(made, pod())) as {
    metadata: { annotations: Record<string, string> }
    spec: { containers: { resources: object }[] }
  }
  assert.deepEqual(made1.spec.containers[0]!.resources, {
    requests: { cpu: '100m' },
    limits: { cpu: '500m' },
  })
  assert.equal(
    made1.metadata.annotations['kubernetes.io/limit-ranger'],
    'LimitRanger plugin set: cpu request for container c; cpu limit for container c',
  )
  const asking = (requests: string, limits: string) =>
    admit(
      made,
      pod({
        containers: [
          { name: 'c', resources: { requests: { cpu: requests }, limits: { cpu: limits } } },
        ],
      }),
    )
  await assert.rejects(
    asking('1', '2'),
    message('pods "web" is forbidden: maximum cpu usage per Container is 1, but limit is 2'),
  )
  await assert.rejects(
    asking('20m', '1'),
    message(
      'pods "web" is forbidden: [minimum cpu usage per Container is 50m, but request is 20m, cpu max limit to request ratio per Container is 10, but provided ratio is 50.000000]',
    ),
  )
})

const quota = (hard: Record<string, string>, used: Record<string, string>, spec: object = {}) => ({
  metadata: { name: 'q', namespace: 'shop' },
  spec: { hard, ...spec },
  status: { hard, used },
})

test('a full quota refuses with what was asked, used and allowed', async () => {
  const made = world()
  made.read.put(
    resourceQuotas,
    quota({ pods: '2', 'requests.cpu': '1' }, { pods: '1', 'requests.cpu': '900m' }),
  )
  const asking = (cpu: string) =>
    admit(made, pod({ containers: [{ name: 'c', resources: { requests: { cpu } } }] }))
  await assert.rejects(
    asking('200m'),
    message(
      'pods "web" is forbidden: exceeded quota: q, requested: requests.cpu=200m, used: requests.cpu=900m, limited: requests.cpu=1',
    ),
  )
  await assert.rejects(
    admit(made, pod()),
    message('pods "web" is forbidden: failed quota: q: must specify requests.cpu for: c'),
  )
  await asking('100m')
  assert.deepEqual(made.read.get(resourceQuotas, 'shop', 'q')?.status?.used, {
    pods: '2',
    'requests.cpu': '1',
  })
  await assert.rejects(
    asking('1m'),
    message(/exceeded quota: q, requested: pods=1,requests.cpu=1m/),
  )
})

test('many at once never take more than there is, and share writes', async () => {
  let fails = 2
  const made = world({ fail: () => fails-- > 0 })
  made.read.put(resourceQuotas, quota({ 'count/configmaps': '7' }, { 'count/configmaps': '0' }))
  const results = await Promise.allSettled(
    Array.from({ length: 20 }, (_, i) =>
      admit(made, { metadata: { name: `c${i}` } }, { resource: 'configmaps' }),
    ),
  )
  assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 7)
  assert.equal(made.read.get(resourceQuotas, 'shop', 'q')?.status?.used?.['count/configmaps'], '7')
  assert.ok(made.writes.length < 7, String(made.writes.length))
})

test('whom one quota refuses, the others do not count', async () => {
  const made = world()
  made.read.put(resourceQuotas, quota({ pods: '10' }, { pods: '0' }))
  const small = quota({ pods: '1' }, { pods: '0' }, { scopes: ['BestEffort'] })
  made.read.put(resourceQuotas, { ...small, metadata: { name: 'small', namespace: 'shop' } })
  await admit(made, pod())
  for (let i = 0; i < 3; i++)
    await assert.rejects(admit(made, pod()), message(/exceeded quota: small/))
  assert.deepEqual(made.read.get(resourceQuotas, 'shop', 'q')?.status?.used, { pods: '1' })
})

test('a dry run is judged but not counted, and scopes choose what counts', async () => {
  const made = world()
  made.read.put(resourceQuotas, quota({ pods: '1' }, { pods: '0' }, { scopes: ['BestEffort'] }))
  await admit(made, pod(), { dryRun: true })
  assert.equal(made.writes.length, 0)
  await admit(made, pod({ containers: [{ name: 'c', resources: { requests: { cpu: '1' } } }] }))
  assert.equal(made.writes.length, 0)
  await admit(made, pod())
  await assert.rejects(admit(made, pod()), message(/exceeded quota/))
})

test('a quota whose usage is not known yet lets nothing in', async () => {
  const made = world()
  made.read.put(resourceQuotas, {
    metadata: { name: 'q', namespace: 'shop' },
    spec: { hard: { pods: '1' } },
  })
  await assert.rejects(
    admit(made, pod()),
    message('pods "web" is forbidden: status unknown for quota: q, resources: pods'),
  )
})

test('defaults of the cluster are filled in', async () => {
  const made = world()
  made.read.put(storageClasses, {
    metadata: {
      name: 'fast',
      annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' },
    },
  })
  const claim = (await admit(
    made,
    { metadata: { name: 'd' }, spec: {} },
    { resource: 'persistentvolumeclaims' },
  )) as {
    metadata: { finalizers: string[] }
    spec: { storageClassName: string }
  }
  assert.equal(claim.spec.storageClassName, 'fast')
  assert.deepEqual(claim.metadata.finalizers, ['kubernetes.io/pvc-protection'])
  const node = (await admit(made, { metadata: { name: 'n1' } }, { resource: 'nodes' })) as {
    spec: { taints: object[] }
  }
  assert.deepEqual(node.spec.taints, [
    { key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' },
  ])
})

test('a node changes only itself and its pods', async () => {
  const made = world()
  const user: RequestUser = { name: 'system:node:n1', groups: ['system:nodes'] }
  await admit(
    made,
    { metadata: { name: 'n1', labels: { 'kubernetes.io/os': 'linux', tier: 'a' } } },
    { resource: 'nodes', user },
  )
  await assert.rejects(
    admit(made, { metadata: { name: 'n2' } }, { resource: 'nodes', user }),
    message('nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2"'),
  )
  await assert.rejects(
    admit(
      made,
      { metadata: { name: 'n1', labels: { 'node-restriction.kubernetes.io/x': 'y' } } },
      { resource: 'nodes', user },
    ),
    message(/not allowed to set the following labels: node-restriction.kubernetes.io\/x/),
  )
  await assert.rejects(admit(made, pod(), { user }), message(/can only create mirror pods/))
  await admit(
    made,
    pod({ nodeName: 'n1' }, { annotations: { 'kubernetes.io/config.mirror': 'x' } }),
    { user },
  )
  const old = { metadata: { name: 'web', namespace: 'shop' }, spec: { nodeName: 'n2' } }
  await assert.rejects(
    admit(made, pod(), { user, operation: 'DELETE', old }),
    message(/can only delete pods with spec.nodeName set to itself/),
  )
  const eviction = { metadata: { name: 'gone', namespace: 'shop' } }
  await assert.rejects(
    admit(made, eviction, { user, subresource: 'eviction' }),
    message('pods "gone" not found'),
  )
})

test('approving certificates needs the right for the signer', async () => {
  const made = world({ authorizer: allowNone })
  const old = { metadata: { name: 'c' }, spec: { signerName: 'example.com/x' } }
  await assert.rejects(
    admit(made, old, {
      resource: 'certificatesigningrequests.certificates.k8s.io',
      operation: 'UPDATE',
      subresource: 'approval',
      old,
    }),
    message(
      'certificatesigningrequests.certificates.k8s.io "c" is forbidden: user not permitted to approve requests with signerName "example.com/x"',
    ),
  )
})

test('what passes restricted passes baseline, at every version', () => {
  const context = fc.record(
    {
      privileged: fc.boolean(),
      allowPrivilegeEscalation: fc.boolean(),
      runAsNonRoot: fc.boolean(),
      runAsUser: fc.nat(1),
      procMount: fc.constantFrom('Default', 'Unmasked'),
      capabilities: fc.record(
        {
          add: fc.array(fc.constantFrom('NET_BIND_SERVICE', 'CHOWN', 'SYS_ADMIN'), {
            maxLength: 2,
          }),
          drop: fc.array(fc.constantFrom('ALL', 'CHOWN'), { maxLength: 2 }),
        },
        { requiredKeys: [] },
      ),
      seccompProfile: fc.record({
        type: fc.constantFrom('RuntimeDefault', 'Unconfined', 'Localhost'),
      }),
    },
    { requiredKeys: [] },
  )
  fc.assert(
    fc.property(
      fc.record({
        hostNetwork: fc.boolean(),
        hostUsers: fc.boolean(),
        securityContext: context,
        inner: context,
      }),
      fc.constantFrom('latest', 'v1.20', 'v1.24', 'v1.30', 'v1.34'),
      ({ inner, ...spec }, version) => {
        const whole = { ...spec, containers: [{ name: 'c', securityContext: inner }] } as never
        if (violations({ level: 'restricted', version }, {}, whole) === '')
          assert.equal(violations({ level: 'baseline', version }, {}, whole), '')
      },
    ),
    { numRuns: 2000 },
  )
})

test('a pod takes over the zone and the region of the node it is put on', async () => {
  const w = world()
  const zone = 'topology.kubernetes.io/zone'
  w.read.put(nodes, { metadata: { name: 'n1', labels: { [zone]: 'a', other: 'x' } } })
  const bound = await admit(
    w,
    { metadata: { name: 'web', labels: { app: 'web' } }, target: { kind: 'Node', name: 'n1' } },
    { subresource: 'binding' },
  )
  assert.deepEqual((bound['metadata'] as JsonObject)['labels'], { app: 'web', [zone]: 'a' })
  const placed = await admit(w, pod({ nodeName: 'n1' }))
  assert.deepEqual((placed['metadata'] as JsonObject)['labels'], { [zone]: 'a' })
  const free = await admit(w, pod())
  assert.equal((free['metadata'] as JsonObject)['labels'], undefined)
})

test('what the audit level would refuse is noted for the auditor', async () => {
  const w = world()
  w.read.put(namespaces, {
    metadata: { name: 'shop', labels: { 'pod-security.kubernetes.io/audit': 'baseline' } },
    status: { phase: 'Active' },
  })
  const annotations: Record<string, string> = {}
  await admit(w, pod({ hostNetwork: true }), { annotations })
  assert.deepEqual(annotations, {
    'pod-security.kubernetes.io/enforce-policy': 'privileged:latest',
    'pod-security.kubernetes.io/audit-violations':
      'would violate PodSecurity "baseline:latest": host namespaces (hostNetwork=true)',
  })
})

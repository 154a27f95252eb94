import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  namespaces,
  nodes,
  priorityClasses,
  runtimeClasses,
  serviceAccounts,
  storageClasses,
} from '#api'
import { type JsonObject, type RequestUser, type StatusError } from '#machinery'
import { admit, allowNone, message, pod, world } from './admission.testing.ts'

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

test('a pod that is made at once with its namespace waits a little for the account of the namespace', async () => {
  const made = world()
  made.read.put(namespaces, { metadata: { name: 'new' }, status: { phase: 'Active' } })
  const early = admit(made, pod(), { namespace: 'new' })
  await made.env.advance(150)
  made.read.put(serviceAccounts, { metadata: { name: 'default', namespace: 'new' } })
  await made.env.advance(250)
  assert.equal(
    ((await early)['spec'] as { serviceAccountName: string }).serviceAccountName,
    'default',
  )
  made.read.put(namespaces, { metadata: { name: 'bare' }, status: { phase: 'Active' } })
  const never = assert.rejects(
    admit(made, pod(), { namespace: 'bare' }),
    message(/error looking up service account bare\/default: serviceaccount "default" not found/),
  )
  await made.env.advance(2000)
  await never
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

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { namespaces, pods } from '#api'
import { violations } from './pod-security/violations.ts'
import { admit, message, pod, world } from './admission.testing.ts'

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

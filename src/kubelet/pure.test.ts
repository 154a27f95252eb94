import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Pod, PodStatus } from '#api'
import { admit } from './admission.ts'
import { CRASH_BACKOFF, nextDelay } from './backoff.ts'
import { readIds } from './cri/events.ts'
import { exitCodeOf } from '#client'
import { StatusError } from '#machinery'
import { duration, normalized } from './images.ts'
import { parseCgroupMounts } from './node/machine.ts'
import { podCgroup, podCgroupSettings } from './pod/cgroups.ts'
import { afterRestart, crashWaitMs } from './pod/crash.ts'
import { dnsConfigOf, hostnameOf, hostsFile, parseResolvConf } from './pod/network-files.ts'
import { oomScoreAdjustment, qosClassOf } from './pod/qos.ts'
import { podRequests } from './pod/resources.ts'
import { containerSecurity, forbiddenSysctl, nonRootProblem } from './pod/security.ts'
import { credentialsFor } from './pull-secrets.ts'
import { same, statusPatch } from './status-writer.ts'
import { pod } from './testing/pods.ts'

const MINUTE = 60_000

test('the first end is followed at once, the next ones after 10 s doubling to 5 min', () => {
  let state: ReturnType<typeof afterRestart> | undefined
  let now = 0
  const waits: number[] = []
  for (let round = 0; round < 8; round++) {
    const ended = now
    const wait = crashWaitMs(state, ended, now, CRASH_BACKOFF)
    waits.push(wait / 1000)
    now += wait
    state = afterRestart(state, ended, now, CRASH_BACKOFF)
  }
  assert.deepEqual(waits, [0, 10, 20, 40, 80, 160, 300, 300])
})

test('ten calm minutes are forgiven', () => {
  const state = { delayMs: 300_000, endedMs: 0, restartedMs: 0 }
  assert.equal(crashWaitMs(state, 11 * MINUTE, 11 * MINUTE, CRASH_BACKOFF), 0)
  assert.equal(nextDelay({ delayMs: 300_000, sinceMs: 0 }, 16 * MINUTE, CRASH_BACKOFF), 10_000)
})

for (const [ms, text] of [
  [350, '350ms'],
  [1200, '1.2s'],
  [10_000, '10s'],
  [80_000, '1m20s'],
  [300_000, '5m0s'],
] as const) {
  test(`${ms} milliseconds are written ${text}`, () => assert.equal(duration(ms), text))
}

test('images without a tag are latest', () => {
  assert.equal(normalized('busybox'), 'busybox:latest')
  assert.equal(normalized('host:5000/a/b'), 'host:5000/a/b:latest')
  assert.equal(normalized('a@sha256:1'), 'a@sha256:1')
})

test('quality classes follow requests and limits', () => {
  const of = (resources: object) => qosClassOf(pod({ containers: [{ name: 'app', resources }] }))
  const both = { cpu: '1', memory: '1Gi' }
  assert.equal(of({}), 'BestEffort')
  assert.equal(of({ requests: { cpu: '1' } }), 'Burstable')
  assert.equal(of({ limits: both }), 'Guaranteed')
  assert.equal(of({ limits: both, requests: { cpu: '500m', memory: '1Gi' } }), 'Burstable')
})

test('the more memory a burstable container asked for, the later it is killed', () => {
  const burstable = pod({ containers: [{ name: 'app', resources: { requests: { cpu: '1' } } }] })
  const score = (memory: string) => oomScoreAdjustment(burstable, memory, 8 * 2 ** 30)
  assert.ok(score('1Gi') > score('4Gi'))
  assert.ok(score('1Gi') < 1000 && score('8Gi') >= 3)
  assert.equal(oomScoreAdjustment(pod(), undefined, 1), 1000)
})

test('a pod asks for the larger of its start and its steady state, and sidecars count in both', () => {
  const cpu = (value: string) => ({ image: 'i', resources: { requests: { cpu: value } } })
  const target = pod({
    initContainers: [
      { name: 'proxy', restartPolicy: 'Always', ...cpu('100m') },
      { name: 'setup', ...cpu('1') },
    ],
    containers: [{ name: 'app', ...cpu('500m') }],
    overhead: { cpu: '50m' },
  })
  assert.ok(Math.abs((podRequests(target)['cpu'] ?? 0) - 1.15) < 1e-9)
})

test('a pod has its cgroup in the tree of its class, bounded by the sum of its limits', () => {
  const bounded = pod({
    containers: [{ name: 'app', resources: { limits: { cpu: '500m', memory: '64Mi' } } }],
  })
  assert.equal(podCgroup(bounded), '/kubepods/poduid-1')
  assert.equal(podCgroup(pod()), '/kubepods/besteffort/poduid-1')
  const settings = podCgroupSettings(bounded, 'v2', undefined)
  assert.deepEqual(
    settings.map(({ file, value }) => `${file}=${value}`),
    ['cpu.weight=20', 'cpu.max=50000 100000', 'memory.max=67108864'],
  )
})

test('hierarchies are found: version 1 where it is mounted, version 2 where it is alone', () => {
  const v1 = '30 25 0:26 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct'
  const v2 = '31 25 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw'
  assert.equal(parseCgroupMounts(`${v1}\n${v2}`).cgroups, 'v1')
  assert.equal(parseCgroupMounts(v2).cgroupRoots['memory'], '/sys/fs/cgroup/unified')
  assert.equal(parseCgroupMounts('').cgroups, undefined)
})

const host = { servers: ['1.1.1.1'], searches: ['lan'], options: ['rotate'] }
const dnsFacts = { clusterDns: ['10.96.0.10'], clusterDomain: 'cluster.local', host }

test('names are asked of the cluster, or of whom the policy says', () => {
  assert.deepEqual(dnsConfigOf(pod(), dnsFacts), {
    servers: ['10.96.0.10'],
    searches: ['shop.svc.cluster.local', 'svc.cluster.local', 'cluster.local', 'lan'],
    options: ['ndots:5'],
  })
  assert.deepEqual(dnsConfigOf(pod({ dnsPolicy: 'Default' }), dnsFacts), host)
  assert.deepEqual(dnsConfigOf(pod({ hostNetwork: true }), dnsFacts), host)
  const custom = pod({
    dnsPolicy: 'None',
    dnsConfig: { nameservers: ['9.9.9.9'], options: [{ name: 'ndots', value: '2' }] },
  })
  assert.deepEqual(dnsConfigOf(custom, dnsFacts), {
    servers: ['9.9.9.9'],
    searches: [],
    options: ['ndots:2'],
  })
})

test('resolv.conf is read as the resolver does', () => {
  const text = 'nameserver 1.1.1.1\n# x\nsearch a. b\noptions ndots:1\n'
  assert.deepEqual(parseResolvConf(text), {
    servers: ['1.1.1.1'],
    searches: ['a', 'b'],
    options: ['ndots:1'],
  })
})

test('host names: the own one, cut to fit, with the domain of a subdomain', () => {
  const long = pod({ metadata: { name: `${'a'.repeat(62)}-bcd` } })
  assert.equal(hostnameOf(long, 'cluster.local').hostname, 'a'.repeat(62))
  const sub = pod({ hostname: 'h', subdomain: 's', setHostnameAsFQDN: true })
  assert.equal(hostnameOf(sub, 'cluster.local').hostname, 'h.s.shop.svc.cluster.local')
})

test('the hosts file begins with the line that people look for', () => {
  const text = hostsFile(pod(), { podIps: ['10.0.0.5'], hostname: 'web', domain: '' })
  assert.ok(text.startsWith('# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n'))
  assert.ok(text.endsWith('10.0.0.5\tweb\n'))
})

const facts = { seccompRoot: '/seccomp', apparmor: false }

test('no new privileges only when they are denied, and a privileged container keeps all', () => {
  const of = (securityContext: object) =>
    containerSecurity(pod(), { name: 'app', securityContext }, { username: '' }, facts, undefined)
  assert.equal(of({ allowPrivilegeEscalation: false }).noNewPrivs, true)
  assert.equal(of({}).noNewPrivs, false)
  assert.equal(of({}).seccomp.profileType, 'Unconfined')
  assert.equal(
    of({ seccompProfile: { type: 'RuntimeDefault' } }).seccomp.profileType,
    'RuntimeDefault',
  )
  assert.deepEqual(of({ privileged: true }).maskedPaths, [])
})

test('a container that must not be root is refused when it would be', () => {
  const strict = pod({ securityContext: { runAsNonRoot: true } })
  const problem = (image: object, container = { name: 'app' }) =>
    nonRootProblem(strict, container, { username: '', ...image }, 'p')
  assert.match(problem({}) ?? '', /image will run as root/)
  assert.match(problem({ username: 'web' }) ?? '', /non-numeric user \(web\)/)
  assert.equal(problem({ uid: 1000 }), undefined)
})

test('sysctls are safe ones, or those that the node allows', () => {
  const target = (name: string) => pod({ securityContext: { sysctls: [{ name, value: '1' }] } })
  assert.equal(forbiddenSysctl(target('kernel.shm_rmid_forced'), []), undefined)
  assert.equal(forbiddenSysctl(target('kernel.msgmax'), []), 'kernel.msgmax')
  assert.equal(forbiddenSysctl(target('kernel/msgmax'), ['kernel.msg*']), undefined)
})

test('a pod may take the same host port on another address or protocol', () => {
  const port = (hostIP: string, protocol: 'TCP' | 'UDP') =>
    pod({
      containers: [{ name: 'app', ports: [{ containerPort: 80, hostPort: 80, hostIP, protocol }] }],
    })
  const rejected = (mine: Pod, theirs: Pod) =>
    admit(mine, { others: [theirs], node: undefined, allowedSysctls: [], userNamespaces: false })
  assert.equal(rejected(port('127.0.0.1', 'TCP'), port('127.0.0.2', 'TCP')), undefined)
  assert.equal(rejected(port('127.0.0.1', 'TCP'), port('127.0.0.1', 'UDP')), undefined)
  assert.equal(rejected(port('', 'TCP'), port('127.0.0.1', 'TCP'))?.reason, 'NodePorts')
})

test('credentials are for the registry and the path that they name', () => {
  const secret = (auths: object) => ({
    metadata: { name: 's', uid: 'u', resourceVersion: '1', creationTimestamp: '' },
    type: 'kubernetes.io/dockerconfigjson',
    data: { '.dockerconfigjson': Buffer.from(JSON.stringify({ auths })).toString('base64') },
  })
  const auth = Buffer.from('me:word').toString('base64')
  const all = [
    secret({ 'https://index.docker.io/v1/': { auth } }),
    secret({ 'reg.io/team': { username: 'team', password: 'p' }, '*.reg.io': { auth } }),
  ]
  const users = (image: string) => credentialsFor(image, all).map(({ username }) => username)
  assert.deepEqual(users('busybox:1'), ['me'])
  assert.deepEqual(users('reg.io/team/app:1'), ['team'])
  assert.deepEqual(users('reg.io/other/app'), [])
  assert.deepEqual(users('a.reg.io/x'), ['me'])
})

test('an event of a runtime names container and process', () => {
  const field = (number: number, text: string) =>
    Buffer.concat([Buffer.from([(number << 3) | 2, text.length]), Buffer.from(text)])
  const both = Buffer.concat([field(1, 'c1'), field(2, 'exec-7'), Buffer.from([0x18, 5])])
  assert.deepEqual(readIds(both), { containerId: 'c1', id: 'exec-7' })
})

test('the end of a session is a success, an exit code, or a failure', () => {
  assert.equal(exitCodeOf(''), 0)
  assert.equal(exitCodeOf('{"status":"Success"}'), 0)
  const failed = { status: 'Failure', details: { causes: [{ reason: 'ExitCode', message: '7' }] } }
  assert.equal(exitCodeOf(JSON.stringify(failed)), 7)
  assert.throws(
    () => exitCodeOf('{"status":"Failure","message":"gone","reason":"InternalError","code":500}'),
    (error) => error instanceof StatusError && error.code === 500 && error.message === 'gone',
  )
})

const anyStatus: fc.Arbitrary<PodStatus> = fc.record(
  {
    phase: fc.constantFrom('Pending' as const, 'Running' as const),
    podIP: fc.constantFrom('10.0.0.1', '10.0.0.2'),
    reason: fc.constantFrom('A', 'B'),
    conditions: fc.uniqueArray(
      fc.record(
        {
          type: fc.constantFrom('Ready', 'Initialized'),
          status: fc.constantFrom('True', 'False'),
          reason: fc.constant('R'),
        },
        { requiredKeys: ['type', 'status'] },
      ),
      { selector: ({ type }) => type },
    ),
  },
  { requiredKeys: [] },
)

test('a patch exists exactly when two statuses differ, and leads from one to the other', () => {
  fc.assert(
    fc.property(anyStatus, anyStatus, (from, to) => {
      const patch = statusPatch(from, to)
      for (const key of ['phase', 'podIP', 'reason'] as const) {
        const changed = patch !== undefined && key in patch
        assert.equal(changed, from[key] !== to[key])
        if (changed) assert.equal(patch[key], to[key] ?? null)
      }
      for (const condition of to.conditions ?? []) {
        const old = from.conditions?.find(({ type }) => type === condition.type)
        const sent = (patch?.['conditions'] as { type: string }[] | undefined)?.find(
          ({ type }) => type === condition.type,
        )
        assert.equal(sent === undefined, same(old, condition))
      }
    }),
  )
})

test('a lost address is taken out of the list that merges', () => {
  const patch = statusPatch({ podIPs: [{ ip: 'a' }] }, { podIPs: [{ ip: 'b' }] })
  assert.deepEqual(patch, { podIPs: [{ ip: 'b' }, { $patch: 'delete', ip: 'a' }] })
})

/** [sig-node] How containers start, run as whom, and end. */
import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import {
  agnhost,
  createPod,
  execIn,
  finished,
  logsOf,
  outputsOf,
  podNow,
  podOf,
  prints,
  printed,
  running,
  shell,
  statusOf,
} from '../containers.ts'
import { mirror, type Fixture } from '../mirror.ts'
import { BUSYBOX } from '../support.ts'

const CONFORMANCE = '[Conformance] [NodeConformance]'
const containers = (text: string): string => `[sig-node] Containers should ${text} ${CONFORMANCE}`

mirror(containers('use the image defaults if command and args are blank'), async (fixture) => {
  const pod = podOf(fixture, { ...agnhost([]), args: undefined })
  const { metadata } = (await createPod(fixture, pod)) as { metadata: Json }
  await running(fixture, metadata['name'])
  assert.match(await printed(fixture, metadata['name'], 'agnhost-container', 'Paused'), /Paused/)
})
mirror(
  containers("be able to override the image's default arguments (container cmd)"),
  async (fixture) => {
    await prints(
      fixture,
      podOf(fixture, agnhost(['entrypoint-tester', 'override', 'arguments'])),
      '[/agnhost entrypoint-tester override arguments]',
    )
  },
)
mirror(
  containers("be able to override the image's default command (container entrypoint)"),
  async (fixture) => {
    const pod = podOf(fixture, {
      ...agnhost([]),
      args: undefined,
      command: ['/agnhost', 'entrypoint-tester'],
    })
    await prints(fixture, pod, '[/agnhost entrypoint-tester]')
  },
)
mirror(
  containers("be able to override the image's default command and arguments"),
  async (fixture) => {
    const pod = podOf(fixture, {
      ...agnhost(['override', 'arguments']),
      command: ['/agnhost', 'entrypoint-tester'],
    })
    await prints(fixture, pod, '[/agnhost entrypoint-tester override arguments]')
  },
)

const blackbox = (text: string): string =>
  `[sig-node] Container Runtime blackbox test on terminated container should report termination message ${text} ${CONFORMANCE}`

const terminated = (text: string, container: Json, phase: string, message: string): void =>
  mirror(blackbox(text), async (fixture) => {
    const pod = podOf(fixture, { ...container, name: 'termination-message-container' })
    const created = await createPod(fixture, pod)
    const done = await finished(fixture, created['metadata'].name)
    assert.equal(done['status'].phase, phase)
    const state = statusOf(done, 'termination-message-container')?.['state'].terminated
    assert.equal(state.message ?? '', message)
  })

terminated(
  'if TerminationMessagePath is set as non-root user and at a non-default path',
  shell('/bin/echo -n DONE > /dev/termination-custom-log', {
    terminationMessagePath: '/dev/termination-custom-log',
    securityContext: { runAsUser: 1000 },
  }),
  'Succeeded',
  'DONE',
)
terminated(
  'from log output if TerminationMessagePolicy FallbackToLogsOnError is set',
  shell('/bin/echo -n DONE; /bin/false', {
    terminationMessagePath: '/dev/termination-log',
    terminationMessagePolicy: 'FallbackToLogsOnError',
  }),
  'Failed',
  'DONE',
)
terminated(
  'as empty when pod succeeds and TerminationMessagePolicy FallbackToLogsOnError is set',
  shell('/bin/echo -n DONE; /bin/true', {
    terminationMessagePath: '/dev/termination-log',
    terminationMessagePolicy: 'FallbackToLogsOnError',
  }),
  'Succeeded',
  '',
)
terminated(
  'from file when pod succeeds and TerminationMessagePolicy FallbackToLogsOnError is set',
  shell('/bin/echo -n OK > /dev/termination-log; /bin/echo DONE; /bin/true', {
    terminationMessagePath: '/dev/termination-log',
    terminationMessagePolicy: 'FallbackToLogsOnError',
  }),
  'Succeeded',
  'OK',
)

mirror(
  `[sig-node] Container Runtime blackbox test when starting a container that exits should run with the expected status ${CONFORMANCE}`,
  async (fixture) => {
    const restarts = { volumeMounts: [{ name: 'restart-count', mountPath: '/restart-count' }] }
    // The first run fails, and each later one ends as said: the file remembers how often that was.
    const line = `
f=/restart-count/restartCount
count=$(echo 'hello' >> $f ; wc -l $f | awk {'print $1'})
if [ $count -eq 1 ]; then exit 1; fi
if [ $count -eq 2 ]; then exit 0; fi
while true; do sleep 1; done`
    for (const [policy, phase, restartCount, ready] of [
      ['Always', 'Running', 2, true],
      ['OnFailure', 'Succeeded', 1, false],
      ['Never', 'Failed', 0, false],
    ] as const) {
      const pod = podOf(fixture, shell(line, { name: 'terminate', ...restarts }), {
        spec: {
          restartPolicy: policy,
          volumes: [{ name: 'restart-count', emptyDir: { medium: 'Memory' } }],
        },
      })
      const { metadata } = (await createPod(fixture, pod)) as { metadata: Json }
      const at = await fixture.until(
        `restarts under ${policy}`,
        async () => {
          const now = await podNow(fixture, metadata['name'])
          const status = statusOf(now, 'terminate')
          return (
            now['status'].phase === phase &&
            status?.['restartCount'] === restartCount &&
            (!ready || status['ready'] === true) &&
            now
          )
        },
        180_000,
      )
      const status = statusOf(at, 'terminate')
      assert.equal(status?.['ready'], ready)
      assert.ok(status?.['state'][policy === 'Always' ? 'running' : 'terminated'])
      await fixture.api.delete(fixture.ns(`pods/${metadata['name']}`), undefined, {
        gracePeriodSeconds: 0,
      })
    }
  },
)

const kubelet = (text: string): string => `[sig-node] Kubelet when scheduling ${text}`
mirror(
  `${kubelet('a busybox command in a pod should print the output to logs')} ${CONFORMANCE}`,
  async (fixture) => {
    await prints(fixture, podOf(fixture, shell("echo 'Hello World' ; sleep 1")), 'Hello World\n')
  },
)
mirror(
  `${kubelet('a busybox command that always fails in a pod should have an terminated reason')} ${CONFORMANCE}`,
  async (fixture) => {
    const pod = podOf(
      fixture,
      { name: 'bin-false', image: BUSYBOX, command: ['/bin/false'] },
      { spec: { restartPolicy: 'Always' } },
    )
    const { metadata } = (await createPod(fixture, pod)) as { metadata: Json }
    await fixture.until('a reason', async () => {
      const state = statusOf(await podNow(fixture, metadata['name']), 'bin-false')
      const ended = state?.['state'].terminated ?? state?.['lastState'].terminated
      return ended?.exitCode !== undefined && ended.exitCode !== 0 && ended.reason !== ''
    })
  },
)
mirror(
  `${kubelet('a busybox command that always fails in a pod should be possible to delete')} ${CONFORMANCE}`,
  async (fixture) => {
    const { api, ns } = fixture
    const pod = podOf(
      fixture,
      { name: 'bin-false', image: BUSYBOX, command: ['/bin/false'] },
      { spec: { restartPolicy: 'Always' } },
    )
    const { metadata } = (await createPod(fixture, pod)) as { metadata: Json }
    await api.delete(ns(`pods/${metadata['name']}`))
    await fixture.until(
      'it is gone',
      async () => (await api.call('GET', ns(`pods/${metadata['name']}`))).status === 404,
    )
  },
)
mirror(
  `${kubelet('an agnhost Pod with hostAliases should write entries to /etc/hosts')} ${CONFORMANCE}`,
  async (fixture) => {
    const pod = podOf(fixture, agnhost(['etc-hosts']), {
      spec: { hostAliases: [{ ip: '123.45.67.89', hostnames: ['foo', 'bar'] }] },
    })
    await prints(fixture, pod, '# Entries added by HostAliases.', '123.45.67.89\tfoo\tbar')
  },
)
mirror(
  `${kubelet('a read only busybox container should not write to root filesystem')} [LinuxOnly] ${CONFORMANCE}`,
  async (fixture) => {
    const pod = podOf(
      fixture,
      shell('echo test > /file; sleep 240', { securityContext: { readOnlyRootFilesystem: true } }),
    )
    const { metadata } = (await createPod(fixture, pod)) as { metadata: Json }
    await printed(fixture, metadata['name'], 'test-container', '/file: Read-only file system')
  },
)

mirror(
  `[sig-node] KubeletManagedEtcHosts should test kubelet managed /etc/hosts file ${CONFORMANCE}`,
  async (fixture) => {
    const busy = (name: string, more: Json = {}): Json => shell('sleep 900', { name, ...more })
    const own = {
      volumeMounts: [{ name: 'host-etc-hosts', mountPath: '/etc/hosts' }],
    }
    const volumes = [{ name: 'host-etc-hosts', hostPath: { path: '/etc/hosts', type: 'File' } }]
    const pod = podOf(fixture, [busy('busybox-1'), busy('busybox-2'), busy('busybox-3', own)], {
      spec: { volumes },
    })
    const host = podOf(fixture, [busy('busybox-1'), busy('busybox-2')], {
      spec: { hostNetwork: true },
    })
    for (const each of [pod, host]) await createPod(fixture, each)
    for (const each of [pod, host]) await running(fixture, each['metadata'].name)
    const hosts = (of: Json, container: string): Promise<string> =>
      execIn(fixture, of['metadata'].name, ['cat', '/etc/hosts'], container)
    const MARK = '# Kubernetes-managed hosts file'
    for (const container of ['busybox-1', 'busybox-2'])
      assert.ok((await hosts(pod, container)).startsWith(MARK))
    assert.ok(!(await hosts(pod, 'busybox-3')).includes(`${MARK}.`))
    for (const container of ['busybox-1', 'busybox-2'])
      assert.ok(!(await hosts(host, container)).startsWith(`${MARK}.`))
  },
)

const init = (text: string): string => `[sig-node] InitContainer should ${text} ${CONFORMANCE}`
const initialized = (pod: Json): string | undefined =>
  pod['status'].conditions?.find(({ type }: Json) => type === 'Initialized')?.status
const initContainers = (...commands: readonly string[]): readonly Json[] =>
  commands.map((command, i) => ({
    name: `init${i + 1}`,
    image: BUSYBOX,
    command: [`/bin/${command}`],
  }))

mirror(init('invoke init containers on a RestartNever pod'), async (fixture) => {
  const pod = podOf(
    fixture,
    { name: 'run1', image: BUSYBOX, command: ['/bin/true'] },
    { spec: { initContainers: initContainers('true', 'true') } },
  )
  const { metadata } = (await createPod(fixture, pod)) as { metadata: Json }
  const done = await finished(fixture, metadata['name'])
  assert.equal(done['status'].phase, 'Succeeded')
  assert.equal(initialized(done), 'True')
  assert.equal(done['status'].initContainerStatuses.length, 2)
  for (const { ready, state } of done['status'].initContainerStatuses) {
    assert.ok(ready)
    assert.equal(state.terminated.exitCode, 0)
  }
})
mirror(init('invoke init containers on a RestartAlways pod'), async (fixture) => {
  const pod = podOf(fixture, agnhost(['pause'], { name: 'run1' }), {
    spec: { restartPolicy: 'Always', initContainers: initContainers('true', 'true') },
  })
  const { metadata } = (await createPod(fixture, pod)) as { metadata: Json }
  const now = await running(fixture, metadata['name'])
  assert.equal(initialized(now), 'True')
  for (const { ready, state } of now['status'].initContainerStatuses) {
    assert.ok(ready)
    assert.equal(state.terminated.exitCode, 0)
  }
})
mirror(
  init('not start app containers if init containers fail on a RestartAlways pod'),
  async (fixture) => {
    const pod = podOf(fixture, agnhost(['pause'], { name: 'run1' }), {
      spec: { restartPolicy: 'Always', initContainers: initContainers('false', 'true') },
    })
    const { metadata } = (await createPod(fixture, pod)) as { metadata: Json }
    const now = await fixture.until(
      'the first init container has been started three times',
      async () => {
        const found = await podNow(fixture, metadata['name'])
        const [first, second] = found['status'].initContainerStatuses ?? []
        if (second !== undefined) assert.equal(second.state.waiting?.reason, 'PodInitializing')
        const [app] = found['status'].containerStatuses ?? []
        if (app !== undefined) assert.equal(app.state.waiting?.reason, 'PodInitializing')
        return first?.restartCount >= 3 && found
      },
      180_000,
    )
    assert.equal(now['status'].phase, 'Pending')
    assert.equal(initialized(now), 'False')
  },
)
mirror(
  init('not start app containers and fail the pod if init containers fail on a RestartNever pod'),
  async (fixture) => {
    const pod = podOf(fixture, shell('true', { name: 'run1' }), {
      spec: { initContainers: initContainers('true', 'false') },
    })
    const { metadata } = (await createPod(fixture, pod)) as { metadata: Json }
    const done = await finished(fixture, metadata['name'])
    assert.equal(done['status'].phase, 'Failed')
    assert.equal(initialized(done), 'False')
    const [first, second] = done['status'].initContainerStatuses
    assert.equal(first.state.terminated.exitCode, 0)
    assert.notEqual(second.state.terminated.exitCode, 0)
    const [app] = done['status'].containerStatuses
    assert.equal(app.state.waiting.reason, 'PodInitializing')
  },
)

const security = (text: string): string => `[sig-node] Security Context ${text}`
const LINUX = '[LinuxOnly] [Conformance]'
const idOf = 'id -u; id -g'
for (const [title, pod] of [
  [
    'should support pod.Spec.SecurityContext.RunAsUser And pod.Spec.SecurityContext.RunAsGroup',
    (fixture: Fixture) =>
      podOf(fixture, shell('id'), {
        spec: { securityContext: { runAsUser: 1001, runAsGroup: 2002 } },
      }),
  ],
  [
    'should support container.SecurityContext.RunAsUser And container.SecurityContext.RunAsGroup',
    (fixture: Fixture) =>
      podOf(fixture, shell('id', { securityContext: { runAsUser: 1001, runAsGroup: 2002 } }), {
        spec: { securityContext: { runAsUser: 999, runAsGroup: 999 } },
      }),
  ],
] as const)
  mirror(`${security(title)} ${LINUX}`, async (fixture) => {
    await prints(fixture, pod(fixture), 'uid=1001', 'gid=2002')
  })
mirror(
  `${security('When creating a container with runAsUser should run the container with uid 65534')} [LinuxOnly] ${CONFORMANCE}`,
  async (fixture) => {
    await prints(
      fixture,
      podOf(fixture, shell(idOf, { securityContext: { runAsUser: 65534 } })),
      '65534',
    )
  },
)
mirror(
  `${security('When creating a pod with readOnlyRootFilesystem should run the container with writable rootfs when readOnlyRootFilesystem=false')} ${CONFORMANCE}`,
  async (fixture) => {
    const pod = podOf(
      fixture,
      shell('touch checkfile', { securityContext: { readOnlyRootFilesystem: false } }),
    )
    await outputsOf(fixture, pod)
  },
)
mirror(
  `${security('When creating a pod with privileged should run the container as unprivileged when false')} [LinuxOnly] ${CONFORMANCE}`,
  async (fixture) => {
    const pod = podOf(
      fixture,
      shell('ip link add dummy0 type dummy || true', { securityContext: { privileged: false } }),
    )
    await prints(fixture, pod, 'Operation not permitted')
  },
)
mirror(
  `${security('when creating containers with AllowPrivilegeEscalation should not allow privilege escalation when false')} [LinuxOnly] ${CONFORMANCE}`,
  async (fixture) => {
    const pod = podOf(
      fixture,
      shell('cat /proc/self/status', {
        securityContext: { allowPrivilegeEscalation: false, runAsUser: 1000 },
      }),
    )
    await prints(fixture, pod, /NoNewPrivs:\s+1/)
  },
)

const probing = (text: string): string =>
  `[sig-node] Probing container should ${text} ${CONFORMANCE}`
const health = {
  exec: { command: ['cat', '/tmp/health'] },
  initialDelaySeconds: 15,
  timeoutSeconds: 5,
  failureThreshold: 1,
}
mirror(probing('be restarted with a exec "cat /tmp/health" liveness probe'), async (fixture) => {
  const line = 'echo ok >/tmp/health; sleep 10; rm -rf /tmp/health; sleep 600'
  const pod = podOf(fixture, shell(line, { livenessProbe: health }), {
    spec: { restartPolicy: 'Always' },
  })
  const { metadata } = (await createPod(fixture, pod)) as { metadata: Json }
  await running(fixture, metadata['name'])
  await fixture.until(
    'it is restarted',
    async () =>
      statusOf(await podNow(fixture, metadata['name']), 'test-container')?.['restartCount'] >= 1,
    120_000,
  )
})
mirror(
  probing('*not* be restarted with a exec "cat /tmp/health" liveness probe'),
  async (fixture) => {
    const pod = podOf(
      fixture,
      shell('echo ok >/tmp/health; sleep 600', {
        livenessProbe: {
          ...health,
          ...(fixture.profile === 'stock' ? {} : { initialDelaySeconds: 1, periodSeconds: 1 }),
        },
      }),
      { spec: { restartPolicy: 'Always' } },
    )
    const { metadata } = (await createPod(fixture, pod)) as { metadata: Json }
    await running(fixture, metadata['name'])
    const forMs = fixture.profile === 'stock' ? 240_000 : 15_000
    const end = performance.now() + forMs
    await fixture.until(
      'the time is over',
      async () => {
        const status = statusOf(await podNow(fixture, metadata['name']), 'test-container')
        assert.equal(status?.['restartCount'], 0)
        return performance.now() > end
      },
      forMs + 30_000,
    )
  },
)

mirror(
  `[sig-node] Sysctls [LinuxOnly] should support sysctls [Environment:NotInUserNS] ${CONFORMANCE}`,
  async (fixture) => {
    const pod = podOf(fixture, shell('cat /proc/sys/kernel/shm_rmid_forced'), {
      spec: { securityContext: { sysctls: [{ name: 'kernel.shm_rmid_forced', value: '1' }] } },
    })
    assert.equal((await prints(fixture, pod)).trim(), '1')
  },
)

mirror(
  '[sig-network] DNS should support configurable pod DNS nameservers [Conformance]',
  async (fixture) => {
    const pod = podOf(fixture, agnhost(['pause']), {
      spec: {
        dnsPolicy: 'None',
        dnsConfig: { nameservers: ['1.1.1.1'], searches: ['resolv.conf.local'] },
      },
    })
    const { metadata } = (await createPod(fixture, pod)) as { metadata: Json }
    await running(fixture, metadata['name'])
    assert.equal(
      (await execIn(fixture, metadata['name'], ['/agnhost', 'dns-suffix'])).trim(),
      'resolv.conf.local',
    )
    assert.equal(
      (await execIn(fixture, metadata['name'], ['/agnhost', 'dns-server-list'])).trim(),
      '1.1.1.1',
    )
  },
)

mirror(
  '[sig-cli] Kubectl logs logs should be able to retrieve and filter logs [Conformance]',
  async (fixture) => {
    const pod = podOf(
      fixture,
      agnhost(['logs-generator', '--log-lines-total', '100', '--run-duration', '20s']),
    )
    const { metadata } = (await createPod(fixture, pod)) as { metadata: Json }
    const name = String(metadata['name'])
    await printed(fixture, name, 'agnhost-container', '/api/v1/namespaces')
    const lines = (text: string): readonly string[] => text.trimEnd().split('\n')
    assert.equal(lines(await logsOf(fixture, name, { tailLines: 1 })).length, 1)
    assert.equal((await logsOf(fixture, name, { limitBytes: 1 })).length, 1)
    const [stamped = ''] = lines(await logsOf(fixture, name, { tailLines: 1, timestamps: true }))
    assert.ok(!Number.isNaN(Date.parse(stamped.split(' ')[0] ?? '')), stamped)
    await fixture.until(
      'five seconds of logs',
      async () => lines(await logsOf(fixture, name)).length > 40,
    )
    const recent = lines(await logsOf(fixture, name, { sinceSeconds: 1 })).length
    const older = lines(await logsOf(fixture, name, { sinceSeconds: 86_400 })).length
    assert.ok(recent < older, `${recent} of ${older}`)
  },
)

for (const [kind, source] of [
  ['secret', (name: string): Json => ({ secret: { secretName: name } })],
  ['configmap', (name: string): Json => ({ configMap: { name } })],
  [
    'configmap pod with mountPath of existing file',
    (name: string): Json => ({ configMap: { name } }),
  ],
  [
    'downward',
    (): Json => ({
      downwardAPI: {
        items: [{ path: 'downward/podname', fieldRef: { fieldPath: 'metadata.name' } }],
      },
    }),
  ],
  [
    'projected',
    (name: string): Json => ({
      projected: {
        sources: [
          {
            configMap: { name, items: [{ key: 'configmap-key', path: 'projected/configmap-key' }] },
          },
        ],
      },
    }),
  ],
] as const)
  mirror(
    `[sig-storage] Subpath Atomic writer volumes should support subpaths with ${kind.includes('pod') ? kind : `${kind} pod`} [Conformance]`,
    async (fixture) => {
      const { api, ns } = fixture
      const name = fixture.unique('subpath')
      await api.post(ns('configmaps'), {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name },
        data: { 'configmap-key': 'configmap-value' },
      })
      await api.post(ns('secrets'), {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name },
        data: { 'secret-key': Buffer.from('secret-value').toString('base64') },
      })
      const [subPath, value] =
        kind === 'secret'
          ? ['secret-key', 'secret-value']
          : kind === 'downward'
            ? ['downward/podname', name]
            : kind === 'projected'
              ? ['projected/configmap-key', 'configmap-value']
              : ['configmap-key', 'configmap-value']
      const mountPath = kind.endsWith('existing file') ? '/etc/resolv.conf' : '/test-volume'
      const pod = podOf(
        fixture,
        agnhost(['mounttest', `--file_content_in_loop=${mountPath}`], {
          volumeMounts: [{ name: 'v', mountPath, subPath }],
        }),
        { metadata: { name }, spec: { volumes: [{ name: 'v', ...source(name) }] } },
      )
      await prints(fixture, pod, `content of file "${mountPath}": ${value}`)
    },
  )

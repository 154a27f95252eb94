/** `/metrics` and `/metrics/probes`: what the kubelet knows of itself, of volumes, and of its probes. */
import type { KubeletCore } from '../core.ts'
import type { VolumeUse } from '../measure/pod-disk.ts'
import { KUBELET_VERSION } from '../node/status.ts'
import { isTerminal } from '../pod/containers.ts'
import { readySandbox } from '../pod/pod-runtime.ts'
import { type Family, pageOf } from './samples.ts'

/** What it has now; what it has counted stands before it. */
export async function ownMetrics(core: KubeletCore): Promise<string> {
  const states = new Map<string, number>([
    ['created', 0],
    ['running', 0],
    ['exited', 0],
  ])
  const agents = [...core.agents.values()]
  for (const { runtime } of agents)
    for (const { state } of runtime.containers) states.set(state, (states.get(state) ?? 0) + 1)
  const running = agents.filter(({ runtime }) => readySandbox(runtime) !== undefined).length
  const active = agents.filter(({ pod, phase }) => !isTerminal(pod) && phase !== 'terminated')
  const gauge = (name: string, help: string, samples: Family['samples']): Family => ({
    name: `kubelet_${name}`,
    type: 'gauge',
    help,
    samples,
  })
  const fixed = { static: '' }
  const [, major = '', minor = ''] = /^v(\d+)\.(\d+)/.exec(KUBELET_VERSION) ?? []
  return pageOf([
    {
      name: 'kubernetes_build_info',
      type: 'gauge',
      help: 'What this program is; always 1.',
      samples: [
        {
          labels: {
            build_date: '',
            compiler: '',
            git_commit: '',
            git_tree_state: '',
            git_version: KUBELET_VERSION,
            go_version: '',
            major,
            minor,
            platform: `${core.machine.operatingSystem}/${core.machine.architecture}`,
          },
          value: 1,
        },
      ],
    },
    gauge('node_name', "The node's name. The count is always 1.", [
      { labels: { node: core.config.nodeName }, value: 1 },
    ]),
    gauge('running_pods', 'Number of pods that have a running pod sandbox', [{ value: running }]),
    gauge(
      'running_containers',
      'Number of containers currently running',
      [...states].map(([state, value]) => ({ labels: { container_state: state }, value })),
    ),
    gauge('desired_pods', 'The number of pods the kubelet is being instructed to run.', [
      { labels: fixed, value: agents.length },
    ]),
    gauge('active_pods', 'The number of pods the kubelet considers active.', [
      { labels: fixed, value: active.length },
    ]),
    ...(await volumeMetrics(core)),
  ])
}

async function volumeMetrics(core: KubeletCore): Promise<readonly Family[]> {
  if (core.runtime.simulated) return []
  const disks = await core.disks.measure([...core.agents.values()])
  const claims = new Map<string, VolumeUse>()
  for (const { volumes } of disks.values())
    for (const volume of volumes)
      if (volume.claim !== undefined)
        claims.set(`${volume.claim.namespace}/${volume.claim.name}`, volume)
  const of = (name: string, help: string, value: (volume: VolumeUse) => number): Family => ({
    name: `kubelet_volume_stats_${name}`,
    type: 'gauge',
    help,
    samples: [...claims.values()].map((volume) => ({
      labels: {
        namespace: volume.claim?.namespace ?? '',
        persistentvolumeclaim: volume.claim?.name ?? '',
      },
      value: value(volume),
    })),
  })
  return [
    of(
      'available_bytes',
      'Number of available bytes in the volume',
      ({ fileSystem }) => fileSystem.freeBytes,
    ),
    of(
      'capacity_bytes',
      'Capacity in bytes of the volume',
      ({ fileSystem }) => fileSystem.totalBytes,
    ),
    of('inodes', 'Maximum number of inodes in the volume', ({ fileSystem }) => fileSystem.inodes),
    of(
      'inodes_free',
      'Number of free inodes in the volume',
      ({ fileSystem }) => fileSystem.freeInodes,
    ),
    of('inodes_used', 'Number of used inodes in the volume', ({ inodes }) => inodes),
    of('used_bytes', 'Number of used bytes in the volume', ({ bytes }) => bytes),
  ]
}

const PROBE_TYPES = { liveness: 'Liveness', readiness: 'Readiness', startup: 'Startup' } as const

export const probeMetrics = (core: KubeletCore): string =>
  pageOf([
    {
      name: 'prober_probe_total',
      type: 'counter',
      help: 'Cumulative number of a liveness, readiness or startup probe for a container by result.',
      samples: [...core.agents.values()].flatMap(({ pod, uid, prober }) =>
        [...prober.counts].map(({ kind, container, result, times }) => ({
          labels: {
            container,
            namespace: pod.metadata.namespace ?? '',
            pod: pod.metadata.name,
            pod_uid: uid,
            probe_type: PROBE_TYPES[kind],
            result,
          },
          value: times,
        })),
      ),
    },
  ])

/** It answers: that is all there is to say of its health. */
export const HEALTH_CHECKS = ['ping', 'log', 'syncloop'] as const

/** `/metrics/slis` (KEP-3466) */
export function healthMetrics({ metrics }: KubeletCore): string {
  const checks = [...metrics.healthChecks()]
  return pageOf([
    {
      name: 'kubernetes_healthcheck',
      type: 'gauge',
      help: '[STABLE] This metric records the result of a single healthcheck.',
      samples: checks.map(([name]) => ({ labels: { name, type: 'healthz' }, value: 1 })),
    },
    {
      name: 'kubernetes_healthchecks_total',
      type: 'counter',
      help: '[STABLE] This metric records the results of all healthcheck.',
      samples: checks.map(([name, value]) => ({
        labels: { name, status: 'success', type: 'healthz' },
        value,
      })),
    },
  ])
}

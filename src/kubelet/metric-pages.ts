/** The kubelet's pages of numbers, in Prometheus' text format. */
import type { KubeletCore } from './core.ts'
import { runningContainers } from './pod/pod-runtime.ts'
import { byPod, nodeUse, sum } from './usage.ts'

/** What metrics-server reads. */
export async function resourceMetrics(core: KubeletCore): Promise<string> {
  const use = await nodeUse(core)
  const nowMs = core.env.clock.now().getTime()
  const cpu: string[] = []
  const memory: string[] = []
  const started: string[] = []
  const podCpu: string[] = []
  const podMemory: string[] = []
  const stats = byPod(await core.runtime.listContainerStats())
  for (const { uid, pod, runtime } of core.agents.values()) {
    const list = stats.get(uid)
    if (list === undefined) continue
    const where = `namespace="${pod.metadata.namespace ?? ''}",pod="${pod.metadata.name}"`
    for (const entry of list) {
      const labels = `{container="${entry.name}",${where}}`
      const seconds = (entry.cpu?.usageCoreNanoSeconds ?? 0) / 1e9
      cpu.push(
        `container_cpu_usage_seconds_total${labels} ${seconds} ${entry.cpu?.time.getTime() ?? nowMs}`,
      )
      memory.push(
        `container_memory_working_set_bytes${labels} ${entry.memory?.workingSetBytes ?? 0} ${entry.memory?.time.getTime() ?? nowMs}`,
      )
      const at = runtime.containers.find(({ id }) => id === entry.id)?.startedAt
      if (at !== undefined) {
        started.push(`container_start_time_seconds${labels} ${at.getTime() / 1000}`)
      }
    }
    podCpu.push(
      `pod_cpu_usage_seconds_total{${where}} ${sum(list, (entry) => entry.cpu?.usageCoreNanoSeconds) / 1e9} ${nowMs}`,
    )
    podMemory.push(
      `pod_memory_working_set_bytes{${where}} ${sum(list, (entry) => entry.memory?.workingSetBytes)} ${nowMs}`,
    )
  }
  return [
    ...metric(
      'container_cpu_usage_seconds_total',
      'counter',
      'Cumulative cpu time consumed by the container in core-seconds',
      cpu,
    ),
    ...metric(
      'container_memory_working_set_bytes',
      'gauge',
      'Current working set of the container in bytes',
      memory,
    ),
    ...metric(
      'container_start_time_seconds',
      'gauge',
      'Start time of the container since unix epoch in seconds',
      started,
    ),
    ...metric(
      'node_cpu_usage_seconds_total',
      'counter',
      'Cumulative cpu time consumed by the node in core-seconds',
      [`node_cpu_usage_seconds_total ${use.cpuNanoSeconds / 1e9} ${nowMs}`],
    ),
    ...metric(
      'node_memory_working_set_bytes',
      'gauge',
      'Current working set of the node in bytes',
      [`node_memory_working_set_bytes ${use.memoryBytes} ${nowMs}`],
    ),
    ...metric(
      'pod_cpu_usage_seconds_total',
      'counter',
      'Cumulative cpu time consumed by the pod in core-seconds',
      podCpu,
    ),
    ...metric(
      'pod_memory_working_set_bytes',
      'gauge',
      'Current working set of the pod in bytes',
      podMemory,
    ),
    ...metric(
      'resource_scrape_error',
      'gauge',
      '1 if there was an error while getting container metrics, 0 otherwise',
      ['resource_scrape_error 0'],
    ),
    '',
  ].join('\n')
}

const metric = (
  name: string,
  type: string,
  help: string,
  samples: readonly string[],
): readonly string[] => [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...samples]

/** What it has now; what it has counted stands before it. */
export function ownMetrics(core: KubeletCore): string {
  const states = new Map<string, number>([
    ['created', 0],
    ['running', 0],
    ['exited', 0],
  ])
  let running = 0
  for (const { runtime } of core.agents.values()) {
    if (runningContainers(runtime).length > 0) running++
    for (const { state } of runtime.containers) states.set(state, (states.get(state) ?? 0) + 1)
  }
  return [
    ...metric('kubelet_node_name', 'gauge', "The node's name. The count is always 1.", [
      `kubelet_node_name{node="${core.config.nodeName}"} 1`,
    ]),
    ...metric('kubelet_running_pods', 'gauge', 'Number of pods that have a running pod sandbox', [
      `kubelet_running_pods ${running}`,
    ]),
    ...metric(
      'kubelet_running_containers',
      'gauge',
      'Number of containers currently running',
      [...states].map(
        ([state, count]) => `kubelet_running_containers{container_state="${state}"} ${count}`,
      ),
    ),
    '',
  ].join('\n')
}

const PROBE_TYPES = { liveness: 'Liveness', readiness: 'Readiness', startup: 'Startup' } as const

/** A value of a label as the format wants it. */
const quoted = (value: string): string => JSON.stringify(value.replaceAll(/[\n\r]/g, ' '))

/** `/metrics/probes` */
export function probeMetrics(core: KubeletCore): string {
  const samples: string[] = []
  for (const { pod, uid, prober } of core.agents.values()) {
    const { name, namespace = '' } = pod.metadata
    for (const { kind, container, result, times } of prober.counts)
      samples.push(
        `prober_probe_total{container=${quoted(container)},namespace=${quoted(namespace)},pod=${quoted(name)},pod_uid=${quoted(uid)},probe_type="${PROBE_TYPES[kind]}",result="${result}"} ${times}`,
      )
  }
  const help =
    'Cumulative number of a liveness, readiness or startup probe for a container by result.'
  return [...metric('prober_probe_total', 'counter', help, samples), ''].join('\n')
}

/** What cAdvisor says of containers and of the machine, as far as the runtime knows it. */
export async function containerMetrics(core: KubeletCore): Promise<string> {
  const stats = byPod(await core.runtime.listContainerStats())
  const cpu: string[] = []
  const used: string[] = []
  const workingSet: string[] = []
  const disk: string[] = []
  const started: string[] = []
  for (const { uid, pod, runtime } of core.agents.values())
    for (const entry of stats.get(uid) ?? []) {
      const found = runtime.containers.find(({ id }) => id === entry.id)
      const image =
        pod.status?.containerStatuses?.find(({ name }) => name === entry.name)?.image ?? ''
      const about = Object.entries({
        container: entry.name,
        id: entry.id,
        image,
        name: entry.id,
        namespace: pod.metadata.namespace ?? '',
        pod: pod.metadata.name,
      }).map(([label, value]) => `${label}=${quoted(value)}`)
      const labels = `{${about.join(',')}}`
      const memory = entry.memory?.workingSetBytes ?? 0
      const seconds = (entry.cpu?.usageCoreNanoSeconds ?? 0) / 1e9
      cpu.push(
        `container_cpu_usage_seconds_total{${[...about, 'cpu="total"'].join(',')}} ${seconds}`,
      )
      used.push(`container_memory_usage_bytes${labels} ${memory}`)
      workingSet.push(`container_memory_working_set_bytes${labels} ${memory}`)
      if (entry.writableLayer !== undefined)
        disk.push(`container_fs_usage_bytes${labels} ${entry.writableLayer.usedBytes}`)
      const at = found?.startedAt
      if (at !== undefined)
        started.push(`container_start_time_seconds${labels} ${at.getTime() / 1000}`)
    }
  const { machine } = core
  return [
    ...metric(
      'container_cpu_usage_seconds_total',
      'counter',
      'Cumulative cpu time consumed in seconds.',
      cpu,
    ),
    ...metric(
      'container_memory_usage_bytes',
      'gauge',
      'Current memory usage in bytes, including all memory regardless of when it was accessed',
      used,
    ),
    ...metric(
      'container_memory_working_set_bytes',
      'gauge',
      'Current working set in bytes.',
      workingSet,
    ),
    ...metric(
      'container_fs_usage_bytes',
      'gauge',
      'Number of bytes that are consumed by the container on this filesystem.',
      disk,
    ),
    ...metric(
      'container_start_time_seconds',
      'gauge',
      'Start time of the container since unix epoch in seconds.',
      started,
    ),
    ...metric('machine_cpu_cores', 'gauge', 'Number of logical CPU cores.', [
      `machine_cpu_cores ${machine.cores}`,
    ]),
    ...metric('machine_memory_bytes', 'gauge', 'Amount of memory installed on the machine.', [
      `machine_memory_bytes ${machine.memoryBytes}`,
    ]),
    '',
  ].join('\n')
}

/** The kubelet's own pages, as `nodes/NAME/proxy` reaches them. */
import type { KubeletCore } from './kubelet.ts'
import { runningContainers } from './pod/pod-runtime.ts'
import { timestamp } from './pod/status.ts'
import { type ContainerStats, LABEL } from './runtime.ts'
import { kibibytes } from './node/machine.ts'

interface Page {
  readonly status: number
  readonly contentType: string
  readonly body: Uint8Array
}

const text = (body: string, contentType = 'text/plain; charset=utf-8', status = 200): Page => ({
  status,
  contentType,
  body: Buffer.from(body),
})
const json = (value: unknown): Page => text(JSON.stringify(value), 'application/json')
const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

export async function page(
  core: KubeletCore,
  path: string,
  query: string,
): Promise<Page | undefined> {
  switch (path.replace(/\/+$/, '') || '/') {
    case '/healthz':
    case '/healthz/ping':
    case '/healthz/syncloop':
      return text('ok')
    case '/pods':
    case '/runningpods':
      return json({
        kind: 'PodList',
        apiVersion: 'v1',
        metadata: {},
        items: [...core.agents.values()]
          .filter(
            ({ runtime }) => !path.startsWith('/running') || runningContainers(runtime).length > 0,
          )
          .map(({ pod }) => pod),
      })
    case '/configz':
      return json({ kubeletconfig: configOf(core) })
    case '/stats/summary':
      return json(await summary(core, new URLSearchParams(query)))
    case '/metrics/resource':
      return text(await resourceMetrics(core), METRICS_TYPE)
    case '/metrics':
      return text(ownMetrics(core), METRICS_TYPE)
    default:
      return undefined
  }
}

function configOf({ config }: KubeletCore): unknown {
  return {
    kind: 'KubeletConfiguration',
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    clusterDNS: config.clusterDns,
    clusterDomain: config.clusterDomain,
    maxPods: config.maxPods,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: config.cgroupRoot,
    systemReserved: config.reserved,
    containerLogMaxSize: '10Mi',
    containerLogMaxFiles: 5,
    nodeStatusUpdateFrequency: '10s',
    nodeStatusReportFrequency: '5m0s',
    nodeLeaseDurationSeconds: 40,
    allowedUnsafeSysctls: config.allowedSysctls,
  }
}

interface NodeUse {
  readonly cpuNanoSeconds: number
  readonly memoryBytes: number
}

/** From the machine: busy time of all cores, and memory that is not to be had. */
async function nodeUse({ env, runtime }: KubeletCore): Promise<NodeUse> {
  if (runtime.simulated) return { cpuNanoSeconds: 0, memoryBytes: 0 }
  const [stat, meminfo] = await Promise.all([
    env.fs.readText('/proc/stat').catch(() => ''),
    env.fs.readText('/proc/meminfo').catch(() => ''),
  ])
  const ticks = (/^cpu\s+(.*)$/m.exec(stat)?.[1] ?? '').split(' ').map(Number)
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = ticks
  const busy = user + nice + system + irq + softirq + steal
  return {
    // A hundred ticks a second.
    cpuNanoSeconds: busy * 10_000_000,
    memoryBytes: (kibibytes(meminfo, 'MemTotal') - kibibytes(meminfo, 'MemAvailable')) * 1024,
  }
}

function byPod(stats: readonly ContainerStats[]): ReadonlyMap<string, readonly ContainerStats[]> {
  const found = new Map<string, ContainerStats[]>()
  for (const entry of stats) {
    const uid = entry.labels[LABEL.podUid] ?? ''
    const list = found.get(uid) ?? []
    list.push(entry)
    found.set(uid, list)
  }
  return found
}

async function summary(core: KubeletCore, query: URLSearchParams): Promise<unknown> {
  const now = timestamp(core.env.clock.now())
  const use = await nodeUse(core)
  const stats = byPod(await core.runtime.listContainerStats())
  const cpuOf = (nanoSeconds: number) => ({ time: now, usageCoreNanoSeconds: nanoSeconds })
  const memoryOf = (bytes: number) => ({ time: now, usageBytes: bytes, workingSetBytes: bytes })
  const onlyCpuAndMemory = query.get('only_cpu_and_memory') === 'true'
  const disk =
    core.runtime.simulated || onlyCpuAndMemory
      ? undefined
      : await core.env.fs.usage(core.config.rootDir)
  return {
    node: {
      nodeName: core.config.nodeName,
      startTime: now,
      cpu: cpuOf(use.cpuNanoSeconds),
      memory: {
        ...memoryOf(use.memoryBytes),
        availableBytes: core.machine.memoryBytes - use.memoryBytes,
      },
      ...(disk === undefined
        ? {}
        : {
            fs: {
              time: now,
              availableBytes: disk.freeBytes,
              capacityBytes: disk.totalBytes,
              usedBytes: disk.totalBytes - disk.freeBytes,
              inodes: disk.inodes,
              inodesFree: disk.freeInodes,
              inodesUsed: disk.inodes - disk.freeInodes,
            },
          }),
    },
    pods: [...core.agents.values()]
      .filter(({ uid }) => stats.has(uid))
      .map(({ uid, pod }) => {
        const containers = stats.get(uid) ?? []
        return {
          podRef: { name: pod.metadata.name, namespace: pod.metadata.namespace, uid },
          startTime: pod.status?.startTime ?? now,
          containers: containers.map(({ name, cpu, memory, writableLayer }) => ({
            name,
            startTime: pod.status?.startTime ?? now,
            cpu: cpuOf(cpu?.usageCoreNanoSeconds ?? 0),
            memory: memoryOf(memory?.workingSetBytes ?? 0),
            ...(writableLayer === undefined
              ? {}
              : {
                  rootfs: {
                    time: now,
                    usedBytes: writableLayer.usedBytes,
                    inodesUsed: writableLayer.inodesUsed,
                  },
                }),
          })),
          cpu: cpuOf(sum(containers, ({ cpu }) => cpu?.usageCoreNanoSeconds)),
          memory: memoryOf(sum(containers, ({ memory }) => memory?.workingSetBytes)),
        }
      }),
  }
}

const sum = (
  stats: readonly ContainerStats[],
  value: (stats: ContainerStats) => number | undefined,
): number => stats.reduce((total, entry) => total + (value(entry) ?? 0), 0)

/** What metrics-server reads. */
async function resourceMetrics(core: KubeletCore): Promise<string> {
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

function ownMetrics(core: KubeletCore): string {
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

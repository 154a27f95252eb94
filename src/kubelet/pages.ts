/** The kubelet's own pages, as `nodes/NAME/proxy` reaches them. */
import type { KubeletCore } from './core.ts'
import { runningContainers } from './pod/pod-runtime.ts'
import { timestamp } from './pod/status.ts'
import { containerMetrics, ownMetrics, probeMetrics, resourceMetrics } from './metric-pages.ts'
import { byPod, nodeUse, sum } from './usage.ts'

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
      return text(`${await core.metrics.page.text()}\n${ownMetrics(core)}`, METRICS_TYPE)
    case '/metrics/probes':
      return text(probeMetrics(core), METRICS_TYPE)
    case '/metrics/cadvisor':
      return text(await containerMetrics(core), METRICS_TYPE)
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

/** `/metrics/cadvisor`: what dashboards draw of containers, pods, and the machine. */
import type { KubeletCore } from '../core.ts'
import type { CgroupUse } from '../measure/cgroups.ts'
import type { InterfaceUse } from '../measure/network.ts'
import { nodeUse } from '../measure/node.ts'
import { cpuSecondsOf, measurePods, memoryUsageOf, workingSetOf } from '../measure/pods.ts'
import { type Family, type Sample, pageOf } from './samples.ts'

/** What numbers are about: a container, the sandbox or the whole of a pod, or the machine. */
interface Subject {
  readonly labels: Readonly<Record<string, string>>
  readonly cpuSeconds?: number
  readonly usageBytes?: number
  readonly workingSetBytes?: number
  readonly use?: CgroupUse | undefined
  readonly startedAt?: Date | undefined
  readonly diskBytes?: number | undefined
  readonly diskInodes?: number | undefined
  readonly network?: readonly InterfaceUse[]
}

const nobody = { container: '', id: '/', image: '', name: '', namespace: '', pod: '' }

async function subjectsOf(core: KubeletCore): Promise<readonly Subject[]> {
  const [pods, node] = await Promise.all([measurePods(core), nodeUse(core)])
  const machine: Subject = {
    labels: nobody,
    cpuSeconds: node.cpuSeconds,
    usageBytes: node.memoryBytes,
    workingSetBytes: node.memoryBytes,
    startedAt: node.bootedAt,
    network: node.interfaces,
  }
  const ofPods = pods.flatMap((pod): readonly Subject[] => {
    const { metadata, status } = pod.agent.pod
    const within = { namespace: metadata.namespace ?? '', pod: metadata.name }
    const whole: Subject[] =
      pod.use === undefined
        ? []
        : [
            {
              labels: { ...nobody, id: pod.cgroup, ...within },
              cpuSeconds: pod.use.cpuSeconds,
              usageBytes: pod.use.memory.usageBytes,
              workingSetBytes: pod.use.memory.workingSetBytes,
              use: pod.use,
            },
          ]
    const sandbox: Subject[] =
      pod.sandbox === undefined || pod.network.length === 0
        ? []
        : [
            {
              labels: { ...nobody, id: pod.sandbox.cgroup, name: pod.sandbox.id, ...within },
              network: pod.network,
            },
          ]
    const statuses = [
      ...(status?.containerStatuses ?? []),
      ...(status?.initContainerStatuses ?? []),
      ...(status?.ephemeralContainerStatuses ?? []),
    ]
    const containers = pod.containers.map((each): Subject => {
      const image = statuses.find(({ name }) => name === each.name)?.image
      return {
        labels: {
          container: each.name,
          id: each.cgroup,
          image: image ?? each.container?.image ?? '',
          name: each.id,
          ...within,
        },
        cpuSeconds: cpuSecondsOf(each),
        usageBytes: memoryUsageOf(each),
        workingSetBytes: workingSetOf(each),
        use: each.use,
        startedAt: each.container?.startedAt,
        diskBytes: each.stats.writableLayer?.usedBytes,
        diskInodes: each.stats.writableLayer?.inodesUsed,
      }
    })
    return [...whole, ...sandbox, ...containers]
  })
  return [machine, ...ofPods]
}

export async function containerMetrics(core: KubeletCore): Promise<string> {
  const subjects = await subjectsOf(core)
  const of = (
    type: Family['type'],
    name: string,
    help: string,
    value: (subject: Subject) => number | undefined,
    more: Readonly<Record<string, string>> = {},
  ): Family => ({
    name,
    type,
    help,
    samples: subjects.flatMap((subject): Sample[] => {
      const found = value(subject)
      return found === undefined ? [] : [{ labels: { ...subject.labels, ...more }, value: found }]
    }),
  })
  const counter = (
    name: string,
    help: string,
    value: (subject: Subject) => number | undefined,
    more?: Readonly<Record<string, string>>,
  ): Family => of('counter', `container_${name}`, help, value, more)
  const gauge = (
    name: string,
    help: string,
    value: (subject: Subject) => number | undefined,
    more?: Readonly<Record<string, string>>,
  ): Family => of('gauge', `container_${name}`, help, value, more)
  const traffic = (name: string, help: string, value: (use: InterfaceUse) => number): Family => ({
    name: `container_network_${name}_total`,
    type: 'counter',
    help: `Cumulative count of ${help}`,
    samples: subjects.flatMap(({ labels, network = [] }) =>
      network.map((use) => ({ labels: { ...labels, interface: use.name }, value: value(use) })),
    ),
  })
  const nowSeconds = Math.floor(core.env.clock.now().getTime() / 1000)
  const { machine } = core
  const ids = {
    boot_id: machine.bootId,
    machine_id: machine.machineId,
    system_uuid: machine.systemUuid,
  }
  const ofMachine = (name: string, help: string, value: number): Family => ({
    name: `machine_${name}`,
    type: 'gauge',
    help,
    samples: [{ labels: ids, value }],
  })
  return pageOf([
    {
      name: 'cadvisor_version_info',
      type: 'gauge',
      help: 'What the node is; always 1.',
      samples: [
        {
          labels: {
            cadvisorRevision: '',
            cadvisorVersion: '',
            dockerVersion: '',
            kernelVersion: machine.kernelVersion,
            osVersion: machine.osImage,
          },
          value: 1,
        },
      ],
    },
    counter(
      'cpu_cfs_periods_total',
      'Number of elapsed enforcement period intervals.',
      ({ use }) => use?.throttling?.periods,
    ),
    counter(
      'cpu_cfs_throttled_periods_total',
      'Number of throttled period intervals.',
      ({ use }) => use?.throttling?.throttledPeriods,
    ),
    counter(
      'cpu_cfs_throttled_seconds_total',
      'Total time duration the container has been throttled.',
      ({ use }) => use?.throttling?.throttledSeconds,
    ),
    counter(
      'cpu_system_seconds_total',
      'Cumulative system cpu time consumed in seconds.',
      ({ use }) => use?.systemSeconds,
    ),
    counter(
      'cpu_usage_seconds_total',
      'Cumulative cpu time consumed in seconds.',
      ({ cpuSeconds }) => cpuSeconds,
      { cpu: 'total' },
    ),
    counter(
      'cpu_user_seconds_total',
      'Cumulative user cpu time consumed in seconds.',
      ({ use }) => use?.userSeconds,
    ),
    gauge('fs_inodes_total', 'Number of Inodes', ({ diskInodes }) => diskInodes, { device: '' }),
    gauge(
      'fs_usage_bytes',
      'Number of bytes that are consumed by the container on this filesystem.',
      ({ diskBytes }) => diskBytes,
      { device: '' },
    ),
    gauge('last_seen', 'Last time a container was seen by the exporter', () => nowSeconds),
    gauge(
      'memory_cache',
      'Number of bytes of page cache memory.',
      ({ use }) => use?.memory.cacheBytes,
    ),
    counter(
      'memory_failcnt',
      'Number of memory usage hits limits',
      ({ use }) => use?.memory.failures,
    ),
    counter(
      'memory_failures_total',
      'Cumulative count of memory allocation failures.',
      ({ use }) => use?.memory.majorPageFaults,
      { failure_type: 'pgmajfault', scope: 'hierarchy' },
    ),
    gauge(
      'memory_mapped_file',
      'Size of memory mapped files in bytes.',
      ({ use }) => use?.memory.mappedBytes,
    ),
    gauge(
      'memory_max_usage_bytes',
      'Maximum memory usage recorded in bytes',
      ({ use }) => use?.memory.maxBytes,
    ),
    gauge('memory_rss', 'Size of RSS in bytes.', ({ use }) => use?.memory.rssBytes),
    gauge('memory_swap', 'Container swap usage in bytes.', ({ use }) => use?.memory.swapBytes),
    gauge(
      'memory_usage_bytes',
      'Current memory usage in bytes, including all memory regardless of when it was accessed',
      ({ usageBytes }) => usageBytes,
    ),
    gauge(
      'memory_working_set_bytes',
      'Current working set in bytes.',
      ({ workingSetBytes }) => workingSetBytes,
    ),
    traffic('receive_bytes', 'bytes received', ({ received }) => received.bytes),
    traffic(
      'receive_errors',
      'errors encountered while receiving',
      ({ received }) => received.errors,
    ),
    traffic(
      'receive_packets_dropped',
      'packets dropped while receiving',
      ({ received }) => received.dropped,
    ),
    traffic('receive_packets', 'packets received', ({ received }) => received.packets),
    traffic('transmit_bytes', 'bytes transmitted', ({ sent }) => sent.bytes),
    traffic('transmit_errors', 'errors encountered while transmitting', ({ sent }) => sent.errors),
    traffic(
      'transmit_packets_dropped',
      'packets dropped while transmitting',
      ({ sent }) => sent.dropped,
    ),
    traffic('transmit_packets', 'packets transmitted', ({ sent }) => sent.packets),
    counter(
      'oom_events_total',
      'Count of out of memory events observed for the container',
      ({ use }) => use?.oomKills,
    ),
    ...(['cpu', 'io', 'memory'] as const).flatMap((what) => [
      counter(
        `pressure_${what}_stalled_seconds_total`,
        `Total time duration no tasks in the container could make progress due to ${what} congestion.`,
        ({ use }) => use?.stalls?.[what]?.full.seconds,
      ),
      counter(
        `pressure_${what}_waiting_seconds_total`,
        `Total time duration tasks in the container have waited due to ${what} congestion.`,
        ({ use }) => use?.stalls?.[what]?.some.seconds,
      ),
    ]),
    gauge('processes', 'Number of processes running inside the container.', ({ use, labels }) =>
      labels['container'] === '' ? undefined : use?.processes.length,
    ),
    gauge(
      'scrape_error',
      '1 if there was an error while getting container metrics, 0 otherwise',
      ({ labels }) => (labels === nobody ? 0 : undefined),
    ),
    gauge('spec_cpu_period', 'CPU period of the container.', ({ use }) => use?.limits.cpuPeriod),
    gauge('spec_cpu_quota', 'CPU quota of the container.', ({ use }) => use?.limits.cpuQuota),
    gauge('spec_cpu_shares', 'CPU share of the container.', ({ use }) => use?.limits.cpuShares),
    gauge(
      'spec_memory_limit_bytes',
      'Memory limit for the container.',
      ({ use }) => use && (use.limits.memoryBytes ?? 0),
    ),
    gauge(
      'start_time_seconds',
      'Start time of the container since unix epoch in seconds.',
      ({ startedAt }) => (startedAt === undefined ? undefined : startedAt.getTime() / 1000),
    ),
    gauge('threads', 'Number of threads running inside the container', ({ use }) => use?.threads),
    ofMachine('cpu_cores', 'Number of logical CPU cores.', machine.cores),
    ofMachine('memory_bytes', 'Amount of memory installed on the machine.', machine.memoryBytes),
    ofMachine('swap_bytes', 'Amount of swap memory available on the machine.', machine.swapBytes),
    {
      name: 'machine_scrape_error',
      type: 'gauge',
      help: '1 if there was an error while getting machine metrics, 0 otherwise.',
      samples: [{ value: 0 }],
    },
  ])
}

/** `/metrics/resource`: what metrics-server reads. */
import type { KubeletCore } from '../core.ts'
import { nodeUse } from '../measure/node.ts'
import {
  cpuSecondsOf,
  measurePods,
  podCpuSecondsOf,
  podWorkingSetOf,
  total,
  workingSetOf,
} from '../measure/pods.ts'
import { type Family, type Sample, pageOf } from './samples.ts'

export async function resourceMetrics(core: KubeletCore): Promise<string> {
  const [use, measured] = await Promise.all([
    nodeUse(core),
    measurePods(core).catch(() => undefined),
  ])
  const pods = measured ?? []
  const failed = [{ value: measured === undefined ? 1 : 0 }]
  const nowMs = core.env.clock.now().getTime()
  const about = ({ metadata }: (typeof pods)[number]['agent']['pod']) => ({
    namespace: metadata.namespace ?? '',
    pod: metadata.name,
  })
  const containers = pods.flatMap((pod) =>
    pod.containers.map((container) => ({
      ...container,
      labels: { container: container.name, ...about(pod.agent.pod) },
    })),
  )
  const counter = (name: string, help: string, samples: readonly Sample[]): Family => ({
    name,
    type: 'counter',
    help: `[STABLE] ${help}`,
    samples,
  })
  const gauge = (name: string, help: string, samples: readonly Sample[]): Family => ({
    ...counter(name, help, samples),
    type: 'gauge',
  })
  const ofNode = (value: number): readonly Sample[] => [{ value, timeMs: nowMs }]
  const ofPods = (value: (pod: (typeof pods)[number]) => number): readonly Sample[] =>
    pods.map((pod) => ({ labels: about(pod.agent.pod), value: value(pod), timeMs: nowMs }))
  const ofContainers = (value: (each: (typeof containers)[number]) => number): readonly Sample[] =>
    containers.map((each) => ({ labels: each.labels, value: value(each), timeMs: nowMs }))
  return pageOf([
    counter(
      'container_cpu_usage_seconds_total',
      'Cumulative cpu time consumed by the container in core-seconds',
      ofContainers(cpuSecondsOf),
    ),
    gauge(
      'container_memory_working_set_bytes',
      'Current working set of the container in bytes',
      ofContainers(workingSetOf),
    ),
    gauge(
      'container_start_time_seconds',
      'Start time of the container since unix epoch in seconds',
      containers.flatMap(({ labels, container }) =>
        container?.startedAt === undefined
          ? []
          : [{ labels, value: container.startedAt.getTime() / 1000 }],
      ),
    ),
    gauge(
      'container_swap_usage_bytes',
      'Current amount of the container swap usage in bytes. Reported only on non-windows systems',
      ofContainers(({ use: of }) => of?.memory.swapBytes ?? 0),
    ),
    counter(
      'node_cpu_usage_seconds_total',
      'Cumulative cpu time consumed by the node in core-seconds',
      ofNode(use.cpuSeconds),
    ),
    gauge(
      'node_memory_working_set_bytes',
      'Current working set of the node in bytes',
      ofNode(use.memoryBytes),
    ),
    gauge(
      'node_swap_usage_bytes',
      'Current swap usage of the node in bytes. Reported only on non-windows systems',
      ofNode(use.swapBytes),
    ),
    counter(
      'pod_cpu_usage_seconds_total',
      'Cumulative cpu time consumed by the pod in core-seconds',
      ofPods(podCpuSecondsOf),
    ),
    gauge(
      'pod_memory_working_set_bytes',
      'Current working set of the pod in bytes',
      ofPods(podWorkingSetOf),
    ),
    gauge(
      'pod_swap_usage_bytes',
      'Current amount of the pod swap usage in bytes. Reported only on non-windows systems',
      ofPods((pod) =>
        pod.use === undefined
          ? total(pod.containers, ({ use: of }) => of?.memory.swapBytes ?? 0)
          : pod.use.memory.swapBytes,
      ),
    ),
    gauge(
      'resource_scrape_error',
      '1 if there was an error while getting container metrics, 0 otherwise',
      failed,
    ),
    gauge(
      'scrape_error',
      '(Deprecated since 1.29.0) 1 if there was an error while getting container metrics, 0 otherwise',
      failed,
    ),
  ])
}

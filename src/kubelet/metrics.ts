/** What one kubelet counts of itself, under upstream's names. Each kubelet has a page of its own. */
import { createMetrics, exponential, type Clock, type Metrics } from '#base'
import { RuntimeError, type Runtime } from './runtime.ts'

export interface KubeletMetrics {
  readonly page: Metrics
  /** From when the kubelet first saw a pod until it ran. */
  podStarted(seconds: number): void
  /** One round of a pod's worker that did something. */
  podSynced(seconds: number): void
  containerStarted(kind: string): void
  /** Somebody asked how it is. */
  healthChecked(name: string): void
  healthChecks(): ReadonlyMap<string, number>
  /** Of what the node ran short. */
  podEvicted(signal: string): void
}

const START_BUCKETS = [
  0.5, 1, 2, 3, 4, 5, 6, 8, 10, 20, 30, 45, 60, 120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800,
  2700, 3600,
]
const WORK_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

export function kubeletMetrics(): KubeletMetrics {
  const page = createMetrics()
  const histogram = (
    name: string,
    help: string,
    buckets: readonly number[],
    labels: readonly string[] = [],
  ) => page.histogram({ name: `kubelet_${name}`, help, buckets, labels })
  const counter = (name: string, help: string, labels: readonly string[] = []) =>
    page.counter({ name: `kubelet_${name}`, help, labels })
  const starts = histogram(
    'pod_start_duration_seconds',
    'Time from when a pod was first seen until it ran.',
    START_BUCKETS,
  )
  const rounds = histogram(
    'pod_worker_duration_seconds',
    'Time of a round that did something for a pod.',
    WORK_BUCKETS,
    ['operation_type'],
  )
  const pods = counter('started_pods_total', 'Pods that came to run.')
  const containers = counter('started_containers_total', 'Containers that were started.', [
    'container_type',
  ])
  const evictions = counter('evictions', 'Cumulative number of pod evictions by eviction signal', [
    'eviction_signal',
  ])
  const checks = new Map<string, number>()
  return {
    page,
    podStarted(seconds) {
      starts.with().observe(seconds)
      pods.with().add()
    },
    podSynced: (seconds) => rounds.with('sync').observe(seconds),
    containerStarted: (kind) => containers.with(kind).add(),
    healthChecked: (name) => void checks.set(name, (checks.get(name) ?? 0) + 1),
    healthChecks: () => checks,
    podEvicted: (signal) => evictions.with(signal).add(),
  }
}

/** Names of the runtime's calls as upstream counts them. */
const OPERATIONS: Readonly<Partial<Record<keyof Runtime, string>>> = {
  version: 'version',
  status: 'status',
  runPodSandbox: 'run_podsandbox',
  stopPodSandbox: 'stop_podsandbox',
  removePodSandbox: 'remove_podsandbox',
  podSandboxStatus: 'podsandbox_status',
  listPodSandboxes: 'list_podsandbox',
  createContainer: 'create_container',
  startContainer: 'start_container',
  stopContainer: 'stop_container',
  removeContainer: 'remove_container',
  listContainers: 'list_containers',
  containerStatus: 'container_status',
  updateContainerResources: 'update_container',
  reopenContainerLog: 'reopen_container_log',
  listContainerStats: 'list_container_stats',
  execSync: 'exec_sync',
  exec: 'exec',
  attach: 'attach',
  portForward: 'port_forward',
  listImages: 'list_images',
  imageStatus: 'image_status',
  pullImage: 'pull_image',
  removeImage: 'remove_image',
  imageFileSystem: 'image_fs_info',
}

type Call = (...given: readonly unknown[]) => Promise<unknown>

/** The runtime, with each call counted and timed. */
export function countedRuntime(
  runtime: Runtime,
  { page }: Pick<KubeletMetrics, 'page'>,
  clock: Pick<Clock, 'monotonic'>,
): Runtime {
  const labels = ['operation_type']
  const totals = page.counter({
    name: 'kubelet_runtime_operations_total',
    help: 'Calls of the container runtime.',
    labels,
  })
  const errors = page.counter({
    name: 'kubelet_runtime_operations_errors_total',
    help: 'Calls that the container runtime refused.',
    labels,
  })
  const durations = page.histogram({
    name: 'kubelet_runtime_operations_duration_seconds',
    help: 'Time that the container runtime took.',
    labels,
    buckets: exponential(0.005, 2.5, 14),
  })
  const counted = (call: Call, operation: string): Call => {
    const total = totals.with(operation)
    return async (...given) => {
      const started = clock.monotonic()
      total.add()
      try {
        return await call.apply(runtime, [...given])
      } catch (error) {
        // Who asks for what is gone hears so: that is an answer.
        if (!(error instanceof RuntimeError && error.code === 'notFound'))
          errors.with(operation).add()
        throw error
      } finally {
        durations.with(operation).observe((clock.monotonic() - started) / 1000)
      }
    }
  }
  const made = new Map<PropertyKey, unknown>()
  return new Proxy(runtime, {
    get(target, name) {
      if (made.has(name)) return made.get(name)
      const value: unknown = Reflect.get(target, name, target)
      if (typeof value !== 'function') return value
      const operation = OPERATIONS[name as keyof Runtime]
      const call: unknown =
        operation === undefined ? (value as Call).bind(target) : counted(value as Call, operation)
      made.set(name, call)
      return call
    },
  })
}

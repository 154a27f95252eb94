/** Requests and limits as the kernel's cgroups take them, and as a status shows them. */
import type { ContainerStatus, Pod, ResourceRequirements } from '#api'
import { amountOf, bytesOf, milliOf } from '../amounts.ts'
import type { LinuxResources } from '../runtime.ts'
import { type AnyContainer, isSidecar } from './containers.ts'
import { oomScoreAdjustment } from './qos.ts'

const PERIOD_MICROSECONDS = 100_000
const MIN_SHARES = 2
const MAX_SHARES = 262_144
const MIN_QUOTA_MICROSECONDS = 1000

/** A core is 1024 shares. */
export const cpuShares = (milli: number): number =>
  milli === 0
    ? MIN_SHARES
    : Math.min(MAX_SHARES, Math.max(MIN_SHARES, Math.floor((milli * 1024) / 1000)))

/** Microseconds in each period of 100 ms. */
export const cpuQuota = (milli: number): number =>
  Math.max(MIN_QUOTA_MICROSECONDS, Math.floor((milli * PERIOD_MICROSECONDS) / 1000))

export function linuxResources(
  pod: Pod,
  { resources = {} }: AnyContainer,
  node: { readonly memoryBytes: number; readonly minOomScoreAdj: number },
): LinuxResources {
  const { requests = {}, limits = {} } = resources
  const cpuLimit = milliOf(limits['cpu'])
  const memoryLimit = bytesOf(limits['memory'])
  const oomScoreAdj = oomScoreAdjustment(pod, requests['memory'], node.memoryBytes)
  const hugepageLimits = Object.entries(limits)
    .filter(([name]) => name.startsWith('hugepages-'))
    .map(([name, limit]) => ({
      pageSize: name.slice('hugepages-'.length).replace(/i$/, 'B'),
      limit: bytesOf(limit),
    }))
  return {
    cpuPeriod: PERIOD_MICROSECONDS,
    cpuShares: cpuShares(milliOf(requests['cpu'] ?? limits['cpu'])),
    ...(cpuLimit > 0 ? { cpuQuota: cpuQuota(cpuLimit) } : {}),
    ...(memoryLimit > 0 ? { memoryLimitInBytes: memoryLimit } : {}),
    oomScoreAdj: Math.max(oomScoreAdj, node.minOomScoreAdj),
    ...(hugepageLimits.length > 0 ? { hugepageLimits } : {}),
  }
}

type Totals = Readonly<Record<string, number>>

/** What the scheduler counts a pod as: the larger of its steady state and each step of its start, and overhead. */
export function podRequests(pod: Pod): Totals {
  return totalsOf(pod, ({ requests = {}, limits = {} }) => ({ ...limits, ...requests }))
}

/** Undefined for a resource that some container leaves without a limit. */
export function podLimit(pod: Pod, name: 'cpu' | 'memory'): number | undefined {
  const own = pod.spec.resources?.limits?.[name]
  if (own !== undefined) return amountOf(own)
  const running = [
    ...pod.spec.containers,
    ...(pod.spec.initContainers ?? []).filter((container) => isSidecar(container, 'init')),
  ]
  if (running.some(({ resources }) => resources?.limits?.[name] === undefined)) return undefined
  return totalsOf(pod, ({ limits = {} }) => limits)[name]
}

function totalsOf(
  { spec }: Pod,
  pick: (resources: ResourceRequirements) => Readonly<Record<string, string>>,
): Totals {
  const steady: Record<string, number> = {}
  let start: Record<string, number> = {}
  const sidecars: Record<string, number> = {}
  for (const { resources = {} } of spec.containers) add(steady, pick(resources))
  for (const container of spec.initContainers ?? []) {
    const own = pick(container.resources ?? {})
    if (isSidecar(container, 'init')) {
      add(sidecars, own)
      add(steady, own)
      start = larger(start, sidecars)
    } else {
      const step: Record<string, number> = { ...sidecars }
      add(step, own)
      start = larger(start, step)
    }
  }
  const total = larger(steady, start)
  for (const [name, quantity] of Object.entries(pick(spec.resources ?? {}))) {
    total[name] = amountOf(quantity)
  }
  add(total, spec.overhead ?? {})
  return total
}

function add(sum: Record<string, number>, more: Readonly<Record<string, string>>): void {
  for (const [name, quantity] of Object.entries(more)) {
    sum[name] = (sum[name] ?? 0) + amountOf(quantity)
  }
}

function larger(a: Totals, b: Totals): Record<string, number> {
  const result: Record<string, number> = { ...a }
  for (const [name, value] of Object.entries(b)) {
    result[name] = Math.max(result[name] ?? 0, value)
  }
  return result
}

/** `allocatedResources` and `resources` of a container's status: what it has been given, and what it runs with. */
export function resourcesInUse(
  { resources }: AnyContainer,
  actual: ResourceRequirements | undefined,
): Pick<ContainerStatus, 'allocatedResources' | 'resources'> {
  if (resources === undefined) return {}
  const { requests: allocated } = resources
  const { requests, limits } = actual ?? resources
  return {
    ...(allocated === undefined ? {} : { allocatedResources: allocated }),
    resources: {
      ...(limits === undefined ? {} : { limits }),
      ...(requests === undefined ? {} : { requests }),
    },
  }
}

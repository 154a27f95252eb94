/** Amounts of resources, and what a pod asks for. */
import type { Container, Pod } from '#api'
import { milliValue, quantityValue } from '#machinery'

/** Milli-units of cpu, bytes, and whole numbers of everything else. Absent is zero. */
export type Resources = Readonly<Record<string, number>>
type Quantities = { readonly [key: string]: string | number }

export const CPU = 'cpu'
export const MEMORY = 'memory'
export const PODS = 'pods'

/** What a container that asks for nothing counts as when nodes are compared: 0.1 cores and 200 MiB. */
const DEFAULT_MILLI_CPU = 100
const DEFAULT_MEMORY = 200 * 1024 * 1024

const MEMO = { milli: new Map<string, number>(), whole: new Map<string, number>() }
const MAX_MEMO = 10_000

/** Rounded up, as the scheduler counts: a thousandth of a core, or one of anything else. */
function amountOf(resource: string, quantity: string): number {
  const isCpu = resource === CPU
  const memo = isCpu ? MEMO.milli : MEMO.whole
  let amount = memo.get(quantity)
  if (amount !== undefined) return amount
  amount = isCpu ? milliValue(quantity) : quantityValue(quantity)
  if (memo.size >= MAX_MEMO) memo.clear()
  memo.set(quantity, amount)
  return amount
}

export function amountsOf(quantities: Quantities | undefined): Record<string, number> {
  const amounts: Record<string, number> = {}
  for (const name in quantities) amounts[name] = amountOf(name, String(quantities[name]))
  return amounts
}

export function addTo(total: Record<string, number>, more: Resources): void {
  for (const name in more) total[name] = (total[name] ?? 0) + (more[name] as number)
}
export function subtractFrom(total: Record<string, number>, less: Resources): void {
  for (const name in less) total[name] = (total[name] ?? 0) - (less[name] as number)
}
function raiseTo(total: Record<string, number>, other: Resources): void {
  for (const name in other) total[name] = Math.max(total[name] ?? 0, other[name] as number)
}

/**
 * The most that the pod needs at one time: all containers together with the sidecars, or one init
 * container with the sidecars started before it; and the overhead of its runtime class.
 */
export const podRequests = (pod: Pod): Record<string, number> => requests(pod, (asked) => asked)

/** The same with a minimum for each container, so that pods that ask for nothing spread too. */
export const podRequestsForScoring = (pod: Pod): Record<string, number> =>
  requests(pod, (asked) => ({
    ...asked,
    [CPU]: asked[CPU] ?? DEFAULT_MILLI_CPU,
    [MEMORY]: asked[MEMORY] ?? DEFAULT_MEMORY,
  }))

function requests({ spec, status }: Pod, withDefaults: (asked: Resources) => Resources) {
  const running = new Map(
    [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])].map(
      (container) => [container.name, container] as const,
    ),
  )
  const requestsOf = ({ name, resources }: Container): Resources => {
    const asked = amountsOf(resources?.requests)
    // While a resize is under way the larger of what is wanted and what is given counts.
    const given = running.get(name)
    if (given?.allocatedResources) raiseTo(asked, amountsOf(given.allocatedResources))
    if (given?.resources?.requests) raiseTo(asked, amountsOf(given.resources.requests))
    return withDefaults(asked)
  }
  const total: Record<string, number> = {}
  for (const container of spec.containers) addTo(total, requestsOf(container))
  const sidecars: Record<string, number> = {}
  const whileStarting: Record<string, number> = {}
  for (const container of spec.initContainers ?? []) {
    const asked = requestsOf(container)
    if (container.restartPolicy === 'Always') {
      addTo(sidecars, asked)
      addTo(total, asked)
      raiseTo(whileStarting, sidecars)
    } else {
      const together = { ...sidecars }
      addTo(together, asked)
      raiseTo(whileStarting, together)
    }
  }
  raiseTo(total, whileStarting)
  // A pod may ask as a whole (KEP-2837); then its containers share that.
  Object.assign(total, amountsOf(spec.resources?.requests))
  addTo(total, amountsOf(spec.overhead))
  return total
}

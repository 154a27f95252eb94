/** How much a pod asks for as a whole (KEP-753, KEP-2837). */
import type { Container, PodSpec } from '#api'
import { addResources, compareQuantities, type ResourceList } from '#machinery'
import { amounts } from './words.ts'

type Which = 'requests' | 'limits'

const of = (container: Container, which: Which): ResourceList =>
  amounts(container.resources?.[which])

/** Per resource, the larger. */
function larger(a: ResourceList, b: ResourceList): ResourceList {
  const most: Record<string, string> = { ...a }
  for (const [name, amount] of Object.entries(b)) {
    const known = most[name]
    if (known === undefined || compareQuantities(amount, known) > 0) most[name] = amount
  }
  return most
}

/**
 * Containers run together, and with the sidecars; each init container runs alone with the sidecars before it. The pod needs
 * the most that is needed at any time, and its overhead. What is stated for the pod as a whole counts instead.
 */
export function podTotal(spec: PodSpec, which: Which): ResourceList {
  let together = (spec.containers ?? []).reduce<ResourceList>(
    (sum, container) => addResources(sum, of(container, which)),
    {},
  )
  let sidecars: ResourceList = {}
  let starting: ResourceList = {}
  for (const container of spec.initContainers ?? []) {
    const own = of(container, which)
    if (container.restartPolicy === 'Always') {
      together = addResources(together, own)
      sidecars = addResources(sidecars, own)
      starting = larger(starting, sidecars)
    } else starting = larger(starting, addResources(sidecars, own))
  }
  const total = { ...larger(together, starting), ...amounts(spec.resources?.[which]) }
  const overhead = amounts(spec.overhead)
  if (which === 'requests') return addResources(total, overhead)
  // Overhead raises limits that exist, and makes none.
  return addResources(
    total,
    Object.fromEntries(Object.entries(overhead).filter(([name]) => name in total)),
  )
}

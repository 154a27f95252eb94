/**
 * What a pod's containers have been given, beside what its spec asks for: the two differ while a resize waits for room
 * or is under way. Pure.
 */
import type { Container, Pod, ResourceRequirements } from '#api'
import { amountOf } from '../amounts.ts'
import { type AnyContainer, allContainers } from './containers.ts'

/** By container name. */
export type Allocation = ReadonlyMap<string, ResourceRequirements>

/** Only these are changed while a container runs. */
const RESIZABLE = ['cpu', 'memory'] as const
const SIDES = ['requests', 'limits'] as const

/** As the spec asks. */
export const askedFor = (pod: Pod): Allocation =>
  new Map(resizable(pod).map(({ name, resources = {} }) => [name, resources]))

/** As an earlier kubelet wrote it into the status; what it did not write is as the spec asks. */
export function publishedAllocation(pod: Pod): Allocation {
  const { containerStatuses = [], initContainerStatuses = [] } = pod.status ?? {}
  const statuses = new Map(
    [...containerStatuses, ...initContainerStatuses].map((status) => [status.name, status]),
  )
  return new Map(
    resizable(pod).map(({ name, resources = {} }) => {
      const status = statuses.get(name)
      if (status?.resources === undefined) return [name, resources]
      const { allocatedResources: requests = status.resources.requests } = status
      const { limits } = status.resources
      return [
        name,
        {
          ...resources,
          ...(requests === undefined ? {} : { requests }),
          ...(limits === undefined ? {} : { limits }),
        },
      ]
    }),
  )
}

/** The pod as if its spec asked for what it has been given. */
export function withAllocation(pod: Pod, allocation: Allocation): Pod {
  const given = <T extends Container>(containers: readonly T[]): readonly T[] =>
    containers.map((container) => {
      const resources = allocation.get(container.name)
      return resources === undefined || sameResources(resources, container.resources)
        ? container
        : { ...container, resources }
    })
  const { containers, initContainers } = pod.spec
  const regular = given(containers)
  const init = initContainers === undefined ? undefined : given(initContainers)
  const same =
    regular.every((container, i) => container === containers[i]) &&
    (init ?? []).every((container, i) => container === initContainers?.[i])
  if (same) return pod
  return {
    ...pod,
    spec: {
      ...pod.spec,
      containers: regular,
      ...(init === undefined ? {} : { initContainers: init }),
    },
  }
}

/** Of each container the larger of both: a pod's bounds while its containers go from one to the other. */
export const largerOf = (a: Allocation, b: Allocation): Allocation =>
  new Map([...b].map(([name, resources]) => [name, larger(resources, a.get(name) ?? resources)]))

function larger(a: ResourceRequirements, b: ResourceRequirements): ResourceRequirements {
  const side = (which: (typeof SIDES)[number]): Readonly<Record<string, string>> => {
    const [x = {}, y = {}] = [a[which], b[which]]
    const most: Record<string, string> = { ...x }
    for (const [name, quantity] of Object.entries(y)) {
      const other = x[name]
      if (other === undefined || amountOf(quantity) > amountOf(other)) most[name] = quantity
    }
    // Without a limit is more than any.
    if (which === 'limits')
      for (const name of RESIZABLE) if (!(name in x) || !(name in y)) delete most[name]
    return most
  }
  return { ...a, requests: side('requests'), limits: side('limits') }
}

/** The resources of which the two say different amounts. */
export const changedResources = (
  a: ResourceRequirements = {},
  b: ResourceRequirements = {},
): readonly (typeof RESIZABLE)[number][] =>
  RESIZABLE.filter((name) =>
    SIDES.some((side) => {
      const [x, y] = [a[side]?.[name], b[side]?.[name]]
      return x === undefined || y === undefined ? x !== y : amountOf(x) !== amountOf(y)
    }),
  )

const sameResources = (a?: ResourceRequirements, b?: ResourceRequirements): boolean =>
  a === b || changedResources(a, b).length === 0

export const sameAllocation = (a: Allocation, b: Allocation): boolean =>
  a.size === b.size && [...a].every(([name, resources]) => sameResources(resources, b.get(name)))

/** Whether a change of these means that the container is made anew. */
export const needsRestart = (
  { resizePolicy = [] }: AnyContainer,
  changed: readonly string[],
): boolean =>
  resizePolicy.some(
    ({ resourceName, restartPolicy }) =>
      restartPolicy === 'RestartContainer' && changed.includes(resourceName),
  )

const resizable = (pod: Pod): readonly AnyContainer[] =>
  [...allContainers(pod)].filter(([, kind]) => kind !== 'ephemeral').map(([container]) => container)

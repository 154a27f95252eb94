/** Why a pod was evicted, in Kubernetes' own words: people and programs know them. */
import type { Pod } from '#api'
import { bytesOf } from '../amounts.ts'
import type { PodUse } from './rank.ts'
import type { Pressure, Shortage } from './signals.ts'

const UNITS = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'] as const

/** A whole number of the largest unit that leaves no rest: `100Mi`, `52428801`. */
export function binary(amount: number): string {
  let value = Math.floor(amount)
  let unit = 0
  while (value !== 0 && value % 1024 === 0 && unit < UNITS.length - 1) {
    value /= 1024
    unit++
  }
  return `${value}${UNITS[unit]}`
}

export interface EvictionWords {
  readonly message: string
  readonly annotations: Readonly<Record<string, string>>
}

export function shortageWords(
  pod: Pod,
  { resource, threshold, available }: Shortage,
  use: PodUse | undefined,
): EvictionWords {
  const greedy = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].flatMap(
    ({ name, resources = {} }) => {
      if (resource !== 'memory' && resource !== 'ephemeral-storage') return []
      const found = use?.containers.get(name)
      if (found === undefined) return []
      const used = resource === 'memory' ? found.memoryBytes : found.diskBytes
      const request = resources.requests?.[resource]
      return used > bytesOf(request) ? [{ name, used: binary(used), request: request ?? '0' }] : []
    },
  )
  const containers = greedy.map(
    ({ name, used, request }) =>
      `Container ${name} was using ${used}, request is ${request}, has larger consumption of ${resource}. `,
  )
  return {
    message: `The node was low on resource: ${resource}. Threshold quantity: ${binary(threshold)}, available: ${binary(available)}. ${containers.join('')}`,
    annotations: {
      offending_containers: greedy.map(({ name }) => name).join(','),
      offending_containers_usage: greedy.map(({ used }) => used).join(','),
      starved_resource: resource,
    },
  }
}

export const conditionWords = (pressures: readonly Pressure[]): string =>
  `The node had condition: [${pressures.join(' ')}]. `

/** Why the pod breaks a limit of its own on disks; undefined when it keeps them all. */
export function brokenLimit({ spec }: Pod, use: PodUse): string | undefined {
  for (const { name, emptyDir } of spec.volumes ?? []) {
    const limit = emptyDir?.sizeLimit
    const bytes = bytesOf(limit)
    if (bytes > 0 && (use.volumes.get(name) ?? 0) > bytes)
      return `Usage of EmptyDir volume ${JSON.stringify(name)} exceeds the limit ${JSON.stringify(limit)}. `
  }
  const limitOf = (resources: (typeof spec.containers)[number]['resources']): string | undefined =>
    resources?.limits?.['ephemeral-storage']
  const limits = spec.containers.flatMap(({ resources }) => limitOf(resources) ?? [])
  const total = limits.reduce((sum, limit) => sum + bytesOf(limit), 0)
  if (total > 0 && (use.diskBytes ?? 0) > total)
    return `Pod ephemeral local storage usage exceeds the total limit of containers ${binary(total)}. `
  for (const { name, resources } of spec.containers) {
    const limit = limitOf(resources)
    if (limit !== undefined && (use.containers.get(name)?.diskBytes ?? 0) > bytesOf(limit))
      return `Container ${name} exceeded its local ephemeral storage limit ${JSON.stringify(limit)}. `
  }
  return undefined
}

/** Whether there is anything that it could break. */
export const hasDiskLimits = ({ spec }: Pod): boolean =>
  (spec.volumes ?? []).some(({ emptyDir }) => emptyDir?.sizeLimit !== undefined) ||
  spec.containers.some(({ resources }) => resources?.limits?.['ephemeral-storage'] !== undefined)

import {
  limitRanges,
  type Container,
  type LimitRange,
  type LimitRangeItem,
  type PersistentVolumeClaim,
  type Pod,
} from '#api'
import { compareQuantities, parseQuantity, type ResourceList } from '#machinery'
import type { AdmissionPlugin, AdmissionRequest } from '../admission.ts'
import { podTotal } from './pod-resources.ts'
import {
  amounts,
  isAbout,
  objectOf,
  refuse,
  together,
  type AdmissionLookups,
  type Mutable,
  NO_SOURCES,
} from './words.ts'

const ANNOTATION = 'kubernetes.io/limit-ranger'

/** What a namespace's LimitRanges give to containers that say nothing, and allow to those that say something. */
export const limitRanger = (read: AdmissionLookups): AdmissionPlugin => ({
  name: 'LimitRanger',
  handles: (request) =>
    isAbout(request, 'pods', ['CREATE']) ||
    isAbout(request, 'pods', ['UPDATE'], 'resize') ||
    isAbout(request, 'persistentvolumeclaims', ['CREATE', 'UPDATE']),
  mutate(request) {
    if (!isAbout(request, 'pods', ['CREATE'])) return
    for (const range of read.list(limitRanges, request.namespace))
      giveDefaults(objectOf<Pod>(request), range)
  },
  sources: ({ namespace }) =>
    read.list(limitRanges, namespace).length === 0 ? NO_SOURCES : undefined,
  validate(request) {
    for (const range of read.list(limitRanges, request.namespace)) {
      const problems = (range.spec?.limits ?? []).flatMap((item) => check(request, item))
      if (problems.length > 0) throw refuse(request, together(problems))
    }
  },
})

function giveDefaults(pod: Mutable<Pod>, range: LimitRange): void {
  const items = (range.spec?.limits ?? []).filter(({ type }) => type === 'Container')
  const merged = (pick: (item: LimitRangeItem) => unknown): ResourceList =>
    items.reduce<ResourceList>((all, item) => ({ ...all, ...amounts(pick(item)) }), {})
  const limits = merged((item) => item.default)
  const requests = merged((item) => item.defaultRequest)
  const notes: string[] = []
  const fill = (container: Mutable<Container>, kind: string): void => {
    const missing = (wanted: ResourceList, has: unknown): ResourceList =>
      Object.fromEntries(Object.entries(wanted).filter(([name]) => !(name in amounts(has))))
    const addedRequests = missing(requests, container.resources?.requests)
    const addedLimits = missing(limits, container.resources?.limits)
    for (const [which, added] of [
      ['requests', addedRequests],
      ['limits', addedLimits],
    ] as const) {
      if (Object.keys(added).length === 0) continue
      const resources = {
        ...container.resources,
        [which]: { ...container.resources?.[which], ...added },
      }
      container.resources = resources as NonNullable<typeof container.resources>
      notes.push(
        `${Object.keys(added).toSorted().join(', ')} ${which.slice(0, -1)} for ${kind} ${container.name}`,
      )
    }
  }
  for (const container of pod.spec?.containers ?? []) fill(container, 'container')
  for (const container of pod.spec?.initContainers ?? []) fill(container, 'init container')
  if (notes.length > 0)
    pod.metadata.annotations = {
      ...pod.metadata.annotations,
      [ANNOTATION]: `LimitRanger plugin set: ${notes.join('; ')}`,
    }
}

function check(request: AdmissionRequest, item: LimitRangeItem): readonly string[] {
  if (request.definition.facts.resource === 'pods') {
    const { spec } = objectOf<Pod>(request) as unknown as Pod
    if (spec === undefined) return []
    if (item.type === 'Container')
      return [...(spec.containers ?? []), ...(spec.initContainers ?? [])].flatMap(({ resources }) =>
        checkRange('Container', item, amounts(resources?.requests), amounts(resources?.limits)),
      )
    if (item.type === 'Pod')
      return checkRange('Pod', item, podTotal(spec, 'requests'), podTotal(spec, 'limits'))
    return []
  }
  if (item.type !== 'PersistentVolumeClaim') return []
  const claim = objectOf<PersistentVolumeClaim>(request)
  const requests = amounts(claim.spec?.resources?.requests)
  return [
    ...each(item.min, (name, least) => minimum('PersistentVolumeClaim', name, least, requests, {})),
    ...each(item.max, (name, most) => {
      const text = `maximum ${name} usage per PersistentVolumeClaim is ${most}`
      const asked = requests[name]
      if (asked === undefined) return `${text}.  No request is specified`
      return compareQuantities(asked, most) > 0 ? `${text}, but request is ${asked}` : undefined
    }),
  ]
}

const checkRange = (
  type: string,
  item: LimitRangeItem,
  requests: ResourceList,
  limits: ResourceList,
): readonly string[] => [
  ...each(item.min, (name, least) => minimum(type, name, least, requests, limits)),
  ...each(item.max, (name, most) => maximum(type, name, most, requests, limits)),
  ...each(item.maxLimitRequestRatio, (name, most) => ratio(type, name, most, requests, limits)),
]

const each = (
  list: unknown,
  test: (name: string, amount: string) => string | undefined,
): readonly string[] =>
  Object.entries(amounts(list))
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, amount]) => test(name, amount))
    .filter((text) => text !== undefined)

function minimum(
  type: string,
  name: string,
  least: string,
  requests: ResourceList,
  limits: ResourceList,
): string | undefined {
  const text = `minimum ${name} usage per ${type} is ${least}`
  const [request, limit] = [requests[name], limits[name]]
  if (request === undefined) return `${text}.  No request is specified`
  if (compareQuantities(request, least) < 0) return `${text}, but request is ${request}`
  if (limit !== undefined && compareQuantities(limit, least) < 0)
    return `${text}, but limit is ${limit}`
  return undefined
}

function maximum(
  type: string,
  name: string,
  most: string,
  requests: ResourceList,
  limits: ResourceList,
): string | undefined {
  const text = `maximum ${name} usage per ${type} is ${most}`
  const [request, limit] = [requests[name], limits[name]]
  if (limit === undefined) return `${text}.  No limit is specified`
  if (compareQuantities(limit, most) > 0) return `${text}, but limit is ${limit}`
  if (request !== undefined && compareQuantities(request, most) > 0)
    return `${text}, but request is ${request}`
  return undefined
}

function ratio(
  type: string,
  name: string,
  most: string,
  requests: ResourceList,
  limits: ResourceList,
): string | undefined {
  const value = (text: string | undefined): number =>
    Number(parseQuantity(text ?? '0')?.nanos ?? 0n)
  const text = `${name} max limit to request ratio per ${type} is ${most}`
  const [request, limit] = [value(requests[name]), value(limits[name])]
  if (request === 0) return `${text}, but no request is specified or request is 0`
  if (limit === 0) return `${text}, but no limit is specified or limit is 0`
  const provided = limit / request
  return provided > value(most) / 1e9
    ? `${text}, but provided ratio is ${provided.toFixed(6)}`
    : undefined
}

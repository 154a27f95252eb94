/** The addresses behind a Service, cut into slices of at most a hundred (KEP-752). */
import type { Endpoint, EndpointSlice, Pod, Service } from '#api'
import { endpointSlices, services } from '#api'
import { type Draft } from '#machinery'
import {
  controllerReference,
  create,
  isTerminating,
  nothing,
  remove,
  sameJson,
  update,
  type Action,
  type Decision,
} from '../framework/index.ts'
import { endpointOf, includes, portsFor, type SlicePort } from './endpoint.ts'
import { hasEndpoints } from './selection.ts'

export interface Observed {
  readonly service: Service
  readonly pods: readonly Pod[]
  /** Those this controller manages for the Service. */
  readonly slices: readonly EndpointSlice[]
  readonly zoneOf: (nodeName: string) => string | undefined
}

export const MANAGED_BY = 'endpointslice.kubernetes.io/managed-by'
export const MANAGER = 'endpointslice-controller.k8s.io'
export const SERVICE_NAME = 'kubernetes.io/service-name'
const HEADLESS = 'service.kubernetes.io/headless'
const TRIGGER_TIME = 'endpoints.kubernetes.io/last-change-trigger-time'
const MAX_ENDPOINTS = 100
/** Labels of a Service that its slices do not take over. */
const NOT_COPIED = new Set([
  SERVICE_NAME,
  MANAGED_BY,
  HEADLESS,
  'endpoints.kubernetes.io/over-capacity',
])

export function decide({ service, pods, slices, zoneOf }: Observed): Decision {
  const { spec } = service
  if (!hasEndpoints(service)) return nothing
  const families = (spec.ipFamilies ?? ['IPv4']).map((family) =>
    family === 'IPv6' ? 'IPv6' : 'IPv4',
  )
  const labels = labelsOf(service)
  const actions: Action[] = []
  for (const slice of slices)
    if (!families.includes(slice.addressType as 'IPv4')) actions.push(remove(endpointSlices, slice))
  for (const family of families) {
    const groups = group(service, pods, family, zoneOf)
    const present = slices.filter((slice) => slice.addressType === family && !isTerminating(slice))
    actions.push(...reconcile(service, family, groups, present, labels))
  }
  return { actions }
}

interface Group {
  readonly ports: readonly SlicePort[]
  readonly endpoints: readonly Endpoint[]
}

/** Pods whose named ports have the same numbers share slices. */
function group(
  service: Service,
  pods: readonly Pod[],
  family: 'IPv4' | 'IPv6',
  zoneOf: Observed['zoneOf'],
): ReadonlyMap<string, Group> {
  const groups = new Map<string, { ports: readonly SlicePort[]; endpoints: Endpoint[] }>()
  for (const pod of pods) {
    if (!includes(service, pod)) continue
    const endpoint = endpointOf(service, pod, family, zoneOf)
    if (endpoint === undefined) continue
    const ports = portsFor(service, pod)
    const key = JSON.stringify(ports)
    const known = groups.get(key)
    if (known === undefined) groups.set(key, { ports, endpoints: [endpoint] })
    else known.endpoints.push(endpoint)
  }
  // A Service without pods has one slice that says so.
  if (groups.size === 0) groups.set('[]', { ports: [], endpoints: [] })
  return groups
}

const idOf = (endpoint: Endpoint): string =>
  `${endpoint.targetRef?.uid ?? ''}/${endpoint.addresses[0] ?? ''}`

function reconcile(
  service: Service,
  family: 'IPv4' | 'IPv6',
  groups: ReadonlyMap<string, Group>,
  present: readonly EndpointSlice[],
  labels: Readonly<Record<string, string>>,
): readonly Action[] {
  const actions: Action[] = []
  const left = new Set(present)
  for (const { ports, endpoints } of groups.values()) {
    const own = [...left].filter((slice) => sameJson(slice.ports ?? [], ports))
    for (const slice of own) left.delete(slice)
    const wanted = new Map(endpoints.map((endpoint) => [idOf(endpoint), endpoint]))
    const kept: { slice: EndpointSlice; endpoints: Endpoint[] }[] = []
    // Endpoints stay in the slice they are in, so that one change touches one slice.
    for (const slice of own) {
      const stay: Endpoint[] = []
      for (const endpoint of slice.endpoints ?? []) {
        const id = idOf(endpoint)
        const now = wanted.get(id)
        if (now === undefined) continue
        wanted.delete(id)
        stay.push(now)
      }
      kept.push({ slice, endpoints: stay })
    }
    const added = [...wanted.values()]
    for (const { endpoints: into } of kept)
      while (added.length > 0 && into.length < MAX_ENDPOINTS) into.push(added.shift() as Endpoint)
    let filled = 0
    for (const { slice, endpoints: now } of kept) {
      const last = kept.length - 1
      if (
        now.length === 0 &&
        (filled > 0 ||
          added.length > 0 ||
          kept
            .slice(kept.findIndex((k) => k.slice === slice) + 1)
            .some((k) => k.endpoints.length > 0)) &&
        last >= 0
      ) {
        actions.push(remove(endpointSlices, slice))
        continue
      }
      filled++
      if (!sameJson(slice.endpoints ?? [], now) || !sameJson(slice.metadata.labels ?? {}, labels)) {
        actions.push(
          update(endpointSlices, {
            ...slice,
            metadata: withTrigger(service, { ...slice.metadata, labels }),
            endpoints: now,
            ports: ports as never,
          }),
        )
      }
    }
    while (added.length > 0 || filled === 0) {
      actions.push(
        create(
          endpointSlices,
          draft(service, family, ports, added.splice(0, MAX_ENDPOINTS), labels),
        ),
      )
      filled++
    }
  }
  for (const slice of left) actions.push(remove(endpointSlices, slice))
  return actions
}

function withTrigger(_: Service, metadata: EndpointSlice['metadata']): EndpointSlice['metadata'] {
  const annotations = metadata.annotations
  if (annotations?.[TRIGGER_TIME] === undefined) return metadata
  const { [TRIGGER_TIME]: _gone, ...rest } = annotations
  return { ...metadata, annotations: rest }
}

function draft(
  service: Service,
  family: 'IPv4' | 'IPv6',
  ports: readonly SlicePort[],
  endpoints: readonly Endpoint[],
  labels: Readonly<Record<string, string>>,
): Draft<EndpointSlice> {
  return {
    metadata: {
      generateName: `${service.metadata.name}-`,
      namespace: service.metadata.namespace ?? '',
      labels,
      ownerReferences: [controllerReference(services, service)],
    },
    addressType: family,
    endpoints,
    ports: ports as never,
  }
}

function labelsOf({ metadata, spec }: Service): Readonly<Record<string, string>> {
  const copied = Object.fromEntries(
    Object.entries(metadata.labels ?? {}).filter(([name]) => !NOT_COPIED.has(name)),
  )
  return {
    ...copied,
    [SERVICE_NAME]: metadata.name,
    [MANAGED_BY]: MANAGER,
    ...(spec.clusterIP === 'None' ? { [HEADLESS]: '' } : {}),
  }
}

/** Shows Endpoints that people wrote by hand as slices too, for whoever reads only slices. */
import {
  endpoints as endpointsResource,
  endpointSlices,
  services,
  type Endpoint,
  type EndpointAddress,
  type Endpoints,
  type EndpointSlice,
  type EndpointSubset,
  type Service,
} from '#api'
import { keyOf, type Draft } from '#machinery'
import {
  controllerReference,
  create,
  defineController,
  isTerminating,
  remove,
  sameJson,
  update,
  watching,
  type Action,
  type Decision,
} from '../framework/index.ts'

export interface Observed {
  readonly endpoints: Endpoints | undefined
  readonly service: Service | undefined
  /** Those this controller keeps for them. */
  readonly slices: readonly EndpointSlice[]
}

const SERVICE_NAME = 'kubernetes.io/service-name'
const MANAGED_BY = 'endpointslice.kubernetes.io/managed-by'
const MIRROR = 'endpointslicemirroring-controller.k8s.io'
const SKIP = 'endpointslice.kubernetes.io/skip-mirror'
const LEADER = 'control-plane.alpha.kubernetes.io/leader'
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration'
/** Of one subset. */
const MAX_ADDRESSES = 1000

/** Those of Services with a selector have slices of their own. */
function isMirrored({ endpoints, service }: Observed): boolean {
  if (endpoints === undefined || isTerminating(endpoints) || service === undefined) return false
  const { labels, annotations } = endpoints.metadata
  return (
    labels?.[SKIP] !== 'true' &&
    annotations?.[LEADER] === undefined &&
    Object.keys(service.spec.selector ?? {}).length === 0
  )
}

export function decide(observed: Observed): Decision {
  const { endpoints, slices } = observed
  const alive = slices.filter((slice) => !isTerminating(slice))
  if (endpoints === undefined || !isMirrored(observed))
    return { actions: alive.map((slice) => remove(endpointSlices, slice)) }
  const wanted = (endpoints.subsets ?? []).flatMap((subset) => mirrored(endpoints, subset))
  const actions: Action[] = []
  const left = [...alive]
  for (const draft of wanted) {
    const at = left.findIndex(
      (slice) =>
        slice.addressType === draft.addressType && sameJson(slice.ports ?? [], draft.ports ?? []),
    )
    const [known] = at < 0 ? [] : left.splice(at, 1)
    if (known === undefined) actions.push(create(endpointSlices, draft))
    else if (
      !sameJson(known.endpoints ?? [], draft.endpoints ?? []) ||
      !sameJson(known.metadata.labels ?? {}, draft.metadata.labels ?? {}) ||
      !sameJson(known.metadata.annotations ?? {}, draft.metadata.annotations ?? {})
    )
      actions.push(
        update(endpointSlices, {
          ...known,
          metadata: {
            ...known.metadata,
            labels: draft.metadata.labels ?? {},
            annotations: draft.metadata.annotations ?? {},
          },
          endpoints: draft.endpoints ?? [],
        }),
      )
  }
  return { actions: [...actions, ...left.map((slice) => remove(endpointSlices, slice))] }
}

function mirrored(endpoints: Endpoints, subset: EndpointSubset): readonly Draft<EndpointSlice>[] {
  const { name, namespace = '', labels, annotations } = endpoints.metadata
  const { [LAST_APPLIED]: _, ...kept } = annotations ?? {}
  const all = [
    ...(subset.addresses ?? []).map((address) => ({ address, ready: true })),
    ...(subset.notReadyAddresses ?? []).map((address) => ({ address, ready: false })),
  ].slice(0, MAX_ADDRESSES)
  return (['IPv4', 'IPv6'] as const).flatMap((addressType) => {
    const own = all.filter(({ address }) => address.ip.includes(':') === (addressType === 'IPv6'))
    if (own.length === 0) return []
    return [
      {
        metadata: {
          generateName: `${name}-`,
          namespace,
          labels: { ...labels, [SERVICE_NAME]: name, [MANAGED_BY]: MIRROR },
          annotations: kept,
          ownerReferences: [controllerReference(endpointsResource, endpoints)],
        },
        addressType,
        endpoints: own.map(({ address, ready }) => endpointOf(address, ready)),
        ports: (subset.ports ?? []).map(({ name: port = '', protocol = 'TCP', ...rest }) => ({
          ...rest,
          name: port,
          protocol,
        })),
      },
    ]
  })
}

const endpointOf = (
  { ip, hostname, nodeName, targetRef }: EndpointAddress,
  ready: boolean,
): Endpoint => ({
  addresses: [ip],
  conditions: { ready },
  ...(hostname ? { hostname } : {}),
  ...(nodeName ? { nodeName } : {}),
  ...(targetRef === undefined ? {} : { targetRef }),
})

export const endpointSliceMirroringController = defineController<Observed>({
  name: 'endpointslice-mirroring',
  component: 'endpoint-slice-mirroring-controller',
  for: endpointsResource,
  watches: [
    watching<Service>(services, (service, old) =>
      old !== undefined && sameJson(service.spec.selector, old.spec.selector)
        ? []
        : [keyOf(service)],
    ),
    watching<EndpointSlice>(endpointSlices, ({ metadata }) =>
      metadata.labels?.[MANAGED_BY] === MIRROR
        ? [`${metadata.namespace}/${metadata.labels[SERVICE_NAME]}`]
        : [],
    ),
  ],
  indexes: [
    {
      ref: endpointSlices,
      name: 'mirrored',
      values: ({ metadata }: EndpointSlice) =>
        metadata.labels?.[MANAGED_BY] === MIRROR
          ? [`${metadata.namespace}/${metadata.labels[SERVICE_NAME]}`]
          : [],
    },
  ],
  observe: (cache, key) => ({
    endpoints: cache.get(endpointsResource, key),
    service: cache.get(services, key),
    slices: cache.by(endpointSlices, 'mirrored', key),
  }),
  decide,
})

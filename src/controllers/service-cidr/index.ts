import {
  ipAddresses,
  serviceCIDRs,
  services,
  type IPAddress,
  type Service,
  type ServiceCIDR,
} from '#api'
import { timestamp, rangeContains, type Draft } from '#machinery'
import {
  create,
  defineController,
  isTerminating,
  nothing,
  patch,
  remove,
  updateStatus,
  watching,
  type Decision,
} from '../framework/index.ts'

const FINALIZER = 'networking.k8s.io/service-cidr-finalizer'
const MANAGED_BY = 'ipaddress.kubernetes.io/managed-by'
const FAMILY = 'ipaddress.kubernetes.io/ip-family'
const ALLOCATOR = 'ipallocator.k8s.io'

export interface ObservedRange {
  readonly range: ServiceCIDR
  /** An address of a Service lies in it, and in no other range. */
  readonly isUsed: boolean
}

/** A range is ready while it exists; one that is being deleted waits for the last address in it. */
export function decideRange({ range, isUsed }: ObservedRange, now: Date): Decision {
  const { finalizers = [], resourceVersion } = range.metadata
  const withFinalizers = (list: readonly string[]): Decision => ({
    actions: [patch(serviceCIDRs, range, { metadata: { resourceVersion, finalizers: [...list] } })],
  })
  if (isTerminating(range)) {
    if (isUsed) return ready(range, now, 'False')
    return finalizers.includes(FINALIZER)
      ? withFinalizers(finalizers.filter((name) => name !== FINALIZER))
      : nothing
  }
  if (!finalizers.includes(FINALIZER)) return withFinalizers([...finalizers, FINALIZER])
  return ready(range, now, 'True')
}

function ready(range: ServiceCIDR, now: Date, status: 'True' | 'False'): Decision {
  const conditions = range.status?.conditions ?? []
  if (conditions.some((each) => each.type === 'Ready' && each.status === status)) return nothing
  const condition = {
    type: 'Ready',
    status,
    reason: status === 'True' ? '' : 'Terminating',
    message:
      status === 'True'
        ? 'Kubernetes Service CIDR is ready'
        : 'There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR',
    lastTransitionTime: timestamp(now),
  }
  return {
    actions: updateStatus(serviceCIDRs, range, {
      conditions: [...conditions.filter(({ type }) => type !== 'Ready'), condition],
    }),
  }
}

const holds = ({ spec }: ServiceCIDR, address: string): boolean =>
  (spec.cidrs ?? []).some((cidr) => rangeContains(cidr, address))

/** Says that ranges of Service addresses are ready, and keeps those that are in use. */
export const serviceCidrController = defineController<ObservedRange>({
  name: 'service-cidr',
  for: serviceCIDRs,
  watches: [
    watching<IPAddress>(ipAddresses, ({ metadata }, _, cache) =>
      cache
        .list(serviceCIDRs)
        .filter((range) => isTerminating(range) && holds(range, metadata.name))
        .map((range) => range.metadata.name),
    ),
  ],
  observe(cache, key) {
    const range = cache.get(serviceCIDRs, key)
    if (range === undefined) return undefined
    const others = cache
      .list(serviceCIDRs)
      .filter((each) => each.metadata.name !== key && !isTerminating(each))
    const isUsed =
      isTerminating(range) &&
      cache
        .list(ipAddresses)
        .some(
          ({ metadata: { name } }) =>
            holds(range, name) && !others.some((other) => holds(other, name)),
        )
    return { range, isUsed }
  },
  decide: decideRange,
})

export interface ObservedService {
  readonly namespace: string
  readonly name: string
  readonly service: Service | undefined
  /** Made by us for this Service, now or once. */
  readonly addresses: readonly IPAddress[]
}

/** A Service has an IPAddress for each of its addresses, and no other. */
export function decideAddresses({
  namespace,
  name,
  service,
  addresses,
}: ObservedService): Decision {
  const wanted = (service?.spec?.clusterIPs ?? []).filter((ip) => ip !== '' && ip !== 'None')
  const known = new Set(addresses.map(({ metadata }) => metadata.name))
  return {
    actions: [
      ...addresses
        .filter(({ metadata }) => !wanted.includes(metadata.name))
        .map((address) => remove(ipAddresses, address)),
      ...wanted
        .filter((ip) => !known.has(ip))
        .map((ip) => create(ipAddresses, addressOf(ip, namespace, name))),
    ],
  }
}

const addressOf = (ip: string, namespace: string, name: string): Draft<IPAddress> => ({
  metadata: {
    name: ip,
    labels: { [FAMILY]: ip.includes(':') ? 'IPv6' : 'IPv4', [MANAGED_BY]: ALLOCATOR },
  },
  spec: { parentRef: { resource: 'services', namespace, name } },
})

const serviceOf = ({ metadata, spec }: IPAddress): readonly string[] => {
  const { resource, group, namespace, name } = spec.parentRef
  return metadata.labels?.[MANAGED_BY] === ALLOCATOR &&
    resource === 'services' &&
    (group ?? '') === ''
    ? [`${namespace}/${name}`]
    : []
}

/** Shows the addresses of Services as objects. */
export const ipAddressController = defineController<ObservedService>({
  name: 'ip-address',
  for: services,
  watches: [watching<IPAddress>(ipAddresses, serviceOf)],
  indexes: [{ ref: ipAddresses, name: 'service', values: serviceOf }],
  observe(cache, key) {
    const [namespace = '', name = ''] = key.split('/')
    return {
      namespace,
      name,
      service: cache.get(services, key),
      addresses: cache.by(ipAddresses, 'service', key),
    }
  },
  decide: decideAddresses,
})

/** What follows from the type of a service, and from how it is reached. */
import type { ServiceSpec } from '../../types.gen.ts'

export const HEADLESS = 'None'

export const isHeadless = ({ clusterIP, clusterIPs }: ServiceSpec): boolean =>
  clusterIP === HEADLESS || clusterIPs?.[0] === HEADLESS
/** Whether the type gives the service an address inside the cluster. */
export const needsClusterIP = ({ type }: ServiceSpec): boolean => type !== 'ExternalName'
/** Whether the type opens a port on every node. */
export const needsNodePort = ({ type, allocateLoadBalancerNodePorts }: ServiceSpec): boolean =>
  type === 'NodePort' || (type === 'LoadBalancer' && allocateLoadBalancerNodePorts !== false)
export const needsHealthPort = ({ type, externalTrafficPolicy }: ServiceSpec): boolean =>
  type === 'LoadBalancer' && externalTrafficPolicy === 'Local'
export const isExternal = ({ type, externalIPs = [] }: ServiceSpec): boolean =>
  type === 'LoadBalancer' || type === 'NodePort' || (type === 'ClusterIP' && externalIPs.length > 0)

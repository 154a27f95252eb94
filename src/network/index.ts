export { followInformer, type Change, type Follow } from './follow.ts'
export {
  DEFAULT_BRIDGE,
  DEFAULT_POD_TABLE,
  removePodNetwork,
  setUpPodNetwork,
  type PodNetwork,
  type PodNetworkOptions,
} from './cni.ts'
export {
  chooseNodeSubnet,
  plugIntoNodeNetwork,
  readRoutes,
  removeNodeNetwork,
  setUpNodeNetwork,
  type NodeNetworkOptions,
} from './node-network.ts'
export {
  DEFAULT_SERVICE_TABLE,
  removeServiceRules,
  startServiceProxy,
  type ServiceProxy,
  type ServiceProxyOptions,
} from './proxy/service-proxy.ts'
export { answerHealth, type ProxyHealthOptions } from './proxy/health/index.ts'
export { keepAgreement, PROXY_ANNOTATION, type Agreement } from './proxy/agreement.ts'
export { firstFree, occupied } from './occupied.ts'
export { keepRoutes, removeRoutes, type RoutesOptions } from './routes.ts'
export { publishDns, type DnsPublication } from './dns/publish.ts'
export { startDns, type Dns, type DnsOptions } from './dns/server.ts'

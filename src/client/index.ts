export type * from './transport.ts'
export type * from './node-api.ts'
export { resourcePath, type Target } from './paths.ts'
export {
  createClient,
  type CallOptions,
  type Client,
  type DeleteOptions,
  type ListOptions,
  type ListResult,
  type PatchType,
  type WatchOptions,
} from './client.ts'
export { createInformers, type ChangeHandler, type Informer, type Informers } from './informers.ts'
export type { Lister } from './cache.ts'
export type { Selection } from './reflector.ts'
export { clientCounts } from './metrics.ts'
export { discover, type Discovered, type Discovery } from './discovery.ts'
export { lead, type Election } from './leader-election.ts'
export { createWorkQueue, type WorkQueue } from './work-queue.ts'
export { createEventRecorder, type EventRecorder } from './event-recorder.ts'
export { httpTransport, type HttpTransport, type HttpTransportOptions } from './http/transport.ts'
export { parseKubeconfig, type Connection } from './kubeconfig.ts'
export { readUnverified } from './http/unverified.ts'
export { kubeletApi } from './http/kubelet.ts'
export { dialKubelet, type KubeletAddress } from './http/dial.ts'
export { logOptions, queryFlag } from './log-options.ts'
export { spdyAt } from './http/upgrade.ts'
export * from './streams/index.ts'

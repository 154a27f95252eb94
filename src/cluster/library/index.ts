/** What `import … from 'navarch'` gives: a cluster, its client's words, and every kind by name. */
export { createCluster, type Cluster, type CreateClusterOptions } from './create-cluster.ts'
export type { Doorway, ListenAt } from './listen.ts'
/** Each resource by its name, and the types of its objects: `deployments`, `Deployment`. */
export * from '#api'
export {
  createClient,
  createInformers,
  type CallOptions,
  type Client,
  type DeleteOptions,
  type Informer,
  type Informers,
  type ListOptions,
  type ListResult,
  type PatchType,
  type Transport,
  type WatchOptions,
} from '#client'
export {
  isStatus,
  StatusError,
  type Draft,
  type KubeObject,
  type ObjectKey,
  type RequestUser,
  type ResourceRef,
  type StatusReason,
  type WatchEvent,
} from '#machinery'
/** Time that moves only when told: `createCluster({ env: virtualEnv() })`. */
export { virtualEnv, type Env, type VirtualEnv, type VirtualEnvOptions } from '#base'
export { createMemoryStorage, type Storage } from '#storage'
export { KUBERNETES_VERSION, NAVARCH_VERSION } from '../version.ts'

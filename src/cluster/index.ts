export * from './options.ts'
export { serve, type RunningCluster } from './serve.ts'
export { forgetRetiredKeys, retiredKeys, rotateServiceAccountKey } from '#apiserver'
export { purge } from './purge.ts'
export { leaveCluster } from './leave.ts'
export { MAX_NODES, type MachineNode } from './machine-nodes/index.ts'
export {
  LEASH_VARIABLE,
  openReporter,
  readReports,
  REPORT_VARIABLE,
  type Report,
} from './report.ts'
export type { BuildRequest, ClusterImages } from './images.ts'
export { checkEndpoint } from './tracing/index.ts'
export { KUBERNETES_VERSION, NAVARCH_VERSION } from './version.ts'
export { authorityHash, joinNode, type JoinOptions } from './join.ts'

export * from './runtime.ts'
export * from './cri/index.ts'
export * from './containerd/index.ts'
export { SIMULATION, simulatedRuntime, type SimulatedOptions } from './simulated/index.ts'
export { startKubelet, type Kubelet, type KubeletOptions, type KubeletSettings } from './kubelet.ts'
export type { KubeletConfig } from './kubelet-config.ts'
export { readMachine, simulatedMachine, type Machine } from './node/machine.ts'
export { HEALTHZ_PORT, serveHealthz } from './server/healthz.ts'
export {
  checkSoft,
  parseGracePeriods,
  parseNodeLabels,
  parseTaints,
  parseThresholds,
  SettingError,
} from './node-settings.ts'
export type { SoftThresholds } from './eviction/signals.ts'
export type { DiskMarks } from './garbage/images.ts'
export { DEFAULT_THRESHOLDS, type Thresholds } from './eviction/signals.ts'
export { KUBELET_VERSION } from './node/status.ts'
export { KUBELET_PORT, serveNode, type NodeServer, type NodeServerOptions } from './server/index.ts'
export { CONTAINER_LINKS, makeLogFolder, removePodLogs } from './pod-logs.ts'
export { reviewedAccess } from './server/access.ts'

/** `/configz`: the kubelet's settings in the form of its configuration file. */
import type { KubeletCore } from '../core.ts'

export function configOf({ config }: KubeletCore): unknown {
  const { thresholds } = config
  const percent = (part: number): string => `${Math.round(part * 100)}%`
  return {
    enableServer: config.port !== undefined,
    ...(config.port === undefined ? {} : { port: config.port }),
    syncFrequency: '1m0s',
    authentication: {
      x509: {},
      webhook: { enabled: true, cacheTTL: '2m0s' },
      anonymous: { enabled: false },
    },
    authorization: {
      mode: 'Webhook',
      webhook: { cacheAuthorizedTTL: '5m0s', cacheUnauthorizedTTL: '30s' },
    },
    clusterDNS: config.clusterDns,
    clusterDomain: config.clusterDomain,
    nodeStatusUpdateFrequency: '10s',
    nodeStatusReportFrequency: '5m0s',
    nodeLeaseDurationSeconds: 40,
    volumeStatsAggPeriod: '1m0s',
    cgroupRoot: config.cgroupRoot,
    cgroupsPerQOS: true,
    cgroupDriver: 'cgroupfs',
    cpuManagerPolicy: 'none',
    memoryManagerPolicy: 'None',
    topologyManagerPolicy: 'none',
    topologyManagerScope: 'container',
    runtimeRequestTimeout: '2m0s',
    hairpinMode: 'promiscuous-bridge',
    maxPods: config.maxPods,
    podPidsLimit: config.podPidsLimit ?? -1,
    resolvConf: '/etc/resolv.conf',
    cpuCFSQuota: true,
    cpuCFSQuotaPeriod: '100ms',
    serializeImagePulls: false,
    maxParallelImagePulls: config.maxParallelPulls,
    evictionHard: {
      'memory.available': `${thresholds.memoryAvailableBytes / 2 ** 20}Mi`,
      'nodefs.available': percent(thresholds.diskAvailable),
      'nodefs.inodesFree': percent(thresholds.inodesFree),
    },
    enableControllerAttachDetach: true,
    makeIPTablesUtilChains: false,
    failSwapOn: false,
    memorySwap: {},
    containerLogMaxSize: '10Mi',
    containerLogMaxFiles: 5,
    configMapAndSecretChangeDetectionStrategy: 'Watch',
    systemReserved: config.reserved,
    enforceNodeAllocatable: ['none'],
    allowedUnsafeSysctls: config.allowedSysctls,
    enableDebuggingHandlers: true,
    enableSystemLogHandler: true,
    enableSystemLogQuery: false,
    registerNode: true,
    localStorageCapacityIsolation: true,
    seccompDefault: false,
  }
}

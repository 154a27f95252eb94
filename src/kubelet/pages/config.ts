/** `/configz`: the kubelet's settings in the form of its configuration file. */
import type { KubeletCore } from '../core.ts'
import { binary } from '../eviction/messages.ts'
import type { Thresholds } from '../eviction/signals.ts'

const thresholdTexts = (thresholds: Thresholds): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(thresholds).map(([signal, { part, most }]) => [
      signal,
      Number.isFinite(part) ? `${Number((part * 100).toFixed(6))}%` : binary(most),
    ]),
  )

export function configOf({ config }: KubeletCore): unknown {
  const { softThresholds: soft } = config
  return {
    enableServer: config.port !== undefined,
    ...(config.port === undefined ? {} : { port: config.port }),
    ...(config.staticPodPath === undefined ? {} : { staticPodPath: config.staticPodPath }),
    podLogsDir: config.logRoot,
    fileCheckFrequency: '20s',
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
    evictionHard: thresholdTexts(config.thresholds),
    ...(Object.keys(soft.thresholds).length === 0
      ? {}
      : {
          evictionSoft: thresholdTexts(soft.thresholds),
          evictionSoftGracePeriod: Object.fromEntries(
            Object.entries(soft.afterMs).map(([signal, ms]) => [signal, `${ms / 1000}s`]),
          ),
          evictionMaxPodGracePeriod: soft.maxGraceSeconds,
        }),
    evictionPressureTransitionPeriod: '5m0s',
    imageMinimumGCAge: '2m0s',
    imageMaximumGCAge: '0s',
    imageGCHighThresholdPercent: config.imageMarks.highPercent,
    imageGCLowThresholdPercent: config.imageMarks.lowPercent,
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

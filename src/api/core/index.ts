/** The core group, v1. */
import { serviceAccounts } from './accounts.ts'
import { componentStatuses } from './component-status.ts'
import { configMaps, secrets } from './config.ts'
import { endpoints } from './endpoints.ts'
import { events, newEvents } from './event.ts'
import { namespaces } from './namespace.ts'
import { nodes } from './node.ts'
import { pods, podTemplates } from './pod/index.ts'
import { limitRanges } from './limit-range.ts'
import { resourceQuotas } from './quota.ts'
import { replicationControllers } from './replication-controller.ts'
import { services } from './service/index.ts'
import { persistentVolumeClaims } from './volumes/claim.ts'
import { persistentVolumes } from './volumes/volume.ts'

export const core = [
  componentStatuses,
  configMaps,
  endpoints,
  events,
  newEvents,
  limitRanges,
  namespaces,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  podTemplates,
  replicationControllers,
  resourceQuotas,
  secrets,
  serviceAccounts,
  services,
]

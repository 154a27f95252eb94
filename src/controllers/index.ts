/** All controllers, and what starts them. */
import type { Client } from '#client'
import type { RequestUser } from '#machinery'
import { cronJobController } from './cronjob/index.ts'
import { daemonSetController } from './daemonset/index.ts'
import { certificatesController, type CertificateAuthority } from './certificates/index.ts'
import { deploymentController } from './deployment/index.ts'
import { disruptionController } from './disruption/index.ts'
import { endpointsController } from './endpoints/index.ts'
import { endpointSliceMirroringController } from './endpointslice-mirroring/index.ts'
import { endpointSliceController } from './endpointslice/index.ts'

import { ephemeralVolumeController } from './ephemeral-volume/index.ts'
import type { Controller, ControllerContext } from './framework/index.ts'
import { garbageCollector } from './garbage-collector/index.ts'
import { identityOf } from './identities.ts'
import { jobController, jobPodFinalizerController } from './job/index.ts'
import { namespaceController } from './namespace/index.ts'
import { nodeIpamController } from './node-ipam/index.ts'
import { nodeLifecycleController } from './node-lifecycle/index.ts'
import { claimBindingController, volumePhaseController } from './persistent-volume/index.ts'
import { podAutoscalerController } from './podautoscaler/index.ts'
import { podGcController } from './pod-gc/index.ts'
import { replicationControllerController } from './replicationcontroller/index.ts'
import { replicaSetController } from './replicaset/index.ts'
import { resourceQuotaController, type QuotaRules } from './resource-quota/index.ts'
import { rootCaController } from './root-ca/index.ts'
import { ipAddressController, serviceCidrController } from './service-cidr/index.ts'
import { serviceAccountController } from './serviceaccount/index.ts'
import { statefulSetController } from './statefulset/index.ts'
import { storageVersionMigrator } from './storage-version-migrator/index.ts'
import { taintEvictionController } from './taint-eviction/index.ts'
import { tokenSecretController, type TokenSecretSettings } from './token-secrets/index.ts'
import { ttlAfterFinishedController } from './ttl-after-finished/index.ts'
import { protectionControllers } from './volume-protection/index.ts'

/** What the controllers are told of the cluster. */
export interface ControllerSettings {
  /** PEM of the cluster's authority, published in every namespace. */
  readonly rootCertificate: string
  /** Signs the tokens of Secrets; without it such Secrets stay empty. */
  readonly signToken?: TokenSecretSettings['sign']
  /** The range of all pods: every node gets a part. */
  readonly podCidr: string
  /** Signs certificate requests; without it they wait for somebody else. */
  readonly certificates?: CertificateAuthority
  /** The rules by which admission counts; without them nobody recounts. */
  readonly quota?: QuotaRules
}

/** All controllers of a cluster, not started yet. */
export const controllersOf = ({
  rootCertificate,
  podCidr,
  certificates,
  quota,
  signToken,
}: ControllerSettings): readonly Controller[] => [
  namespaceController,
  serviceAccountController,
  rootCaController(rootCertificate),
  replicaSetController,
  replicationControllerController,
  deploymentController,
  daemonSetController(),
  statefulSetController,
  jobController,
  jobPodFinalizerController,
  cronJobController,
  ttlAfterFinishedController,
  endpointSliceController,
  endpointsController,
  endpointSliceMirroringController,
  serviceCidrController,
  ipAddressController,
  disruptionController,
  podAutoscalerController,
  nodeIpamController(podCidr),
  podGcController,
  nodeLifecycleController(),
  taintEvictionController(),
  claimBindingController,
  volumePhaseController,
  ephemeralVolumeController,
  storageVersionMigrator,
  ...protectionControllers,
  ...(certificates === undefined ? [] : [certificatesController(certificates)]),
  ...(signToken === undefined ? [] : [tokenSecretController({ rootCertificate, sign: signToken })]),
  ...(quota === undefined ? [] : [resourceQuotaController(quota)]),
  // Last: it keeps only the metadata of what nobody else follows.
  garbageCollector,
]

/** They run until the signal aborts, each with an identity and the rights of its own. */
export function startControllers(
  {
    clientFor,
    ...context
  }: Omit<ControllerContext, 'client'> & {
    readonly clientFor: (user: RequestUser) => Client
  },
  settings: ControllerSettings,
): void {
  for (const controller of controllersOf(settings))
    controller.start({ ...context, client: clientFor(identityOf(controller.name)) })
}

/** What all pods of one kubelet share. */
import type { Env } from '#base'
import type { Pod, Service } from '#api'
import type { Client, EventRecorder } from '#client'
import type { NoRoom, Rejection } from './admission.ts'
import type { PodCertificates } from './certificates/index.ts'
import type { Images } from './images.ts'
import type { KubeletConfig } from './kubelet-config.ts'
import type { KubeletMetrics } from './metrics.ts'
import type { Machine } from './node/machine.ts'
import type { DownwardFacts } from './pod/downward.ts'
import type { DnsFacts } from './pod/network-files.ts'
import type { SecurityFacts } from './pod/security.ts'
import type { PodLogs } from './pod-logs.ts'
import type { Runtime, RuntimeVersion } from './runtime.ts'
import type { Sources } from './sources.ts'
import type { StatusWriter } from './status-writer.ts'
import type { Tokens } from './tokens.ts'
import type { PodVolumesOptions } from './volumes/pod-volumes.ts'

/** What a kubelet is made from. */
export interface KubeletParts {
  readonly client: Client
  readonly runtime: Runtime
  readonly runtimeVersion: RuntimeVersion
  readonly env: Env
  readonly events: EventRecorder
  readonly config: KubeletConfig
  readonly machine: Machine
  readonly metrics: KubeletMetrics
  readonly podLogs: PodLogs
}

/** What all pods of one kubelet share. */
export interface KubeletContext extends KubeletParts {
  readonly security: SecurityFacts
  readonly dns: DnsFacts
  readonly images: Images
  readonly sources: Sources
  readonly tokens: Tokens
  readonly certificates: PodCertificates
  readonly statuses: StatusWriter
  readonly volumeOptions: PodVolumesOptions
  /** Services of the cluster, once they are known. */
  services(): Promise<readonly Service[]>
  allocatable(): Readonly<Record<string, string>>
  downward(pod: Pod): DownwardFacts
  admit(pod: Pod): Promise<Rejection | undefined>
  /** Why the pod cannot have what it asks for now: never on this node, or not yet. */
  room(pod: Pod): Promise<NoRoom | undefined>
  /** The handler that the pod's runtime class names; throws when there is none such. */
  runtimeHandler(pod: Pod): Promise<string>
}

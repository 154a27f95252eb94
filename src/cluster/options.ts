/** What a cluster can be asked to be, and what it says of itself. */
import type { Enabled } from '#api'
import type { AccessOptions, AdmissionSettings, AuditOptions } from '#apiserver'
import type { LogLevel } from '#base'
import type { KubeletSettings } from '#kubelet'
import type { TracingOptions } from './tracing/index.ts'

/** What runs containers: containerd, or nothing but a model of it. */
export type RuntimeKind = 'containerd' | 'simulated'

/** What `navarch up` was asked for, with all defaults filled in. */
export interface ServeOptions {
  /** All that must survive: store, certificates, images. */
  readonly dataDir: string
  /** Sockets and pid files; empty after a reboot. */
  readonly runDir: string
  /** Address the API listens on. */
  readonly host: string
  /** Port of the API; 0 takes a free one. */
  readonly port: number
  readonly nodeName: string
  /** `auto` takes containerd where it can work, and says why not elsewhere. */
  readonly runtime: RuntimeKind | 'auto'
  readonly podCidr: string
  readonly serviceCidr: string
  readonly clusterDomain: string
  /** `docker.io=http://127.0.0.1:5000`, or a URL that mirrors all registries. */
  readonly registryMirrors: readonly string[]
  readonly logLevel: LogLevel
  /** How lines of the log are written. Default text. */
  readonly logFormat?: 'text' | 'json'
  /** Whether this machine is a node too. Default true. */
  readonly withNode?: boolean
  /** The address other machines reach this one by. Default: its first. */
  readonly nodeIp?: string
  readonly api?: ApiSettings
  /** A folder of manifests of pods that the machine's node runs by itself. */
  readonly podManifestPath?: string
  /** Where the logs of pods lie. Default: `/var/log/pods`, or the data folder where that cannot be written. */
  readonly podLogsDir?: string
  /** What the kubelets of this machine are told. */
  readonly kubelet?: NodeSettings
  /** How many nodes this machine is. Default: as many as the last time, and one at first. */
  readonly nodes?: number
  /** Needed for more than one node with real containers. */
  readonly agent?: AgentProgram
}

/** What kubelets are told by their flags. */
export interface NodeSettings extends Pick<
  KubeletSettings,
  'maxPods' | 'labels' | 'taints' | 'thresholds' | 'softThresholds' | 'imageMarks'
> {
  /** On 127.0.0.1; 0 for none. Default: 10248, when that is free. */
  readonly healthzPort?: number | undefined
  /** The same as flags, for the agents of further nodes. */
  readonly flags: readonly string[]
}

/** Kinds of addresses that nodes have. */
export const ADDRESS_TYPES = [
  'Hostname',
  'InternalDNS',
  'InternalIP',
  'ExternalDNS',
  'ExternalIP',
] as const
/** A sort of address in the status of a node (core/v1 NodeAddressType). */
export type AddressType = (typeof ADDRESS_TYPES)[number]

/** How the API server reaches kubelets. */
export interface KubeletAccess {
  /** Which of a node's addresses is taken: the first kind that it has. */
  readonly addressTypes?: readonly AddressType[]
  /** Authorities (PEM) that sign the certificates of kubelets that are not ours; default: theirs are not verified. */
  readonly authorityFile?: string
}

/** What the API server can be told by its flags. */
export interface ApiSettings {
  /** An EncryptionConfiguration. Default: `encryption.yaml` in the data folder, made with a fresh key for Secrets. */
  readonly encryptionFile?: string
  /** Default: nobody writes down who did what. */
  readonly audit?: AuditOptions
  /** Default: what a stock cluster serves, the stable versions. */
  readonly serves?: Enabled
  /** Who else is known and allowed. Default: certificates, service accounts, bootstrap tokens; roles. */
  readonly access?: AccessOptions
  /** Which admission plugins run. Default: those of a stock cluster. */
  readonly admission?: AdmissionSettings
  /** How kubelets are reached. */
  readonly kubelets?: KubeletAccess
  /** Default: nobody collects traces. */
  readonly tracing?: TracingOptions | { readonly file: string }
}

/** How this program is started as the agent of another node on this machine. */
export interface AgentProgram {
  readonly command: readonly [string, ...string[]]
  /** The run folder that it will have with a data folder. */
  runDirOf(dataDir: string): string
}

/** Reported while a cluster starts. */
export interface Progress {
  readonly phase: 'store' | 'certificates' | 'api' | 'runtime' | 'controllers' | 'network' | 'node'
  readonly state: 'begun' | 'done'
  readonly detail?: string
}

/** A part of a running cluster. */
export interface ComponentStatus {
  readonly name: string
  readonly healthy: boolean
  readonly detail: string
}

/** What `navarch status` shows. */
export interface ClusterStatus {
  readonly version: string
  readonly kubernetes: string
  readonly pid: number
  readonly startedAt: string
  readonly server: string
  readonly dataDir: string
  readonly kubeconfig: string
  readonly runtime: string
  readonly components: readonly ComponentStatus[]
  readonly nodes: readonly {
    readonly name: string
    readonly ready: boolean
    readonly address: string
    /** For nodes that this machine is beside its first one. */
    readonly here?: {
      readonly running: boolean
      /** Its agent. */
      readonly process?: number
      /** Its first process: when that is killed, all of the node is. */
      readonly init?: number
    }
  }[]
  readonly pods: { readonly running: number; readonly total: number }
  /** Resident memory of the control plane, of its node's container runtime, and of other nodes' agents here, bytes. */
  readonly memory: {
    readonly controlPlane: number
    readonly runtime: number
    readonly agents: number
  }
}

/** Something on this machine is not as it must be; the advice says what to do about it. */
export class ClusterError extends Error {
  readonly advice: readonly string[]
  constructor(message: string, ...advice: readonly string[]) {
    super(message)
    this.name = 'ClusterError'
    this.advice = advice
  }
}

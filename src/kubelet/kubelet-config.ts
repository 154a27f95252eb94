/** How a kubelet may be set up. */
import type { Node, Pod } from '#api'
import type { SoftThresholds, Thresholds } from './eviction/signals.ts'
import type { DiskMarks } from './garbage/images.ts'

/** How a kubelet behaves, with every default in place (kubelet.config.k8s.io KubeletConfiguration). */
export interface KubeletConfig {
  readonly nodeName: string
  /** Volumes and small files of pods: `/var/lib/kubelet`. */
  readonly rootDir: string
  /** Containers' logs: `/var/log/pods`. */
  readonly logRoot: string
  /** Where they lay before: of pods that are older. */
  readonly formerLogRoot: string | undefined
  /** Links to them for collectors; undefined for none. */
  readonly logLinks: string | undefined
  /** Addresses of the cluster's DNS; none: pods use the node's. */
  readonly clusterDns: readonly string[]
  readonly clusterDomain: string
  readonly nodeIps: readonly string[]
  readonly podCidrs: readonly string[]
  readonly labels: Readonly<Record<string, string>>
  /** Put on the Node. */
  readonly annotations: Readonly<Record<string, string>>
  readonly taints: NonNullable<Node['spec']>['taints']
  /** Set aside for the system: `{ cpu: '200m', memory: '256Mi', 'ephemeral-storage': '1Gi' }`. */
  readonly reserved: Readonly<Record<string, string>>
  readonly maxPods: number
  /** Cgroup that pods are put below. */
  readonly cgroupRoot: string
  readonly podPidsLimit: number | undefined
  /** Beyond the safe ones: names, or prefixes that end in `*`. */
  readonly allowedSysctls: readonly string[]
  readonly thresholds: Thresholds
  readonly softThresholds: SoftThresholds
  /** From when on images are removed from a full disk, and until when. */
  readonly imageMarks: DiskMarks
  readonly maxParallelPulls: number
  /** Where the kubelet's own API is served, when it is. */
  readonly port: number | undefined
  /** A folder of manifests of pods that run here whatever the API says. */
  readonly staticPodPath: string | undefined
  /** Registers as unschedulable. */
  readonly unschedulable: boolean
  /** Shows the files of an image of the runtime in a folder, for runtimes that cannot mount images into containers. */
  readonly mountImage: ((image: string, folder: string) => Promise<void>) | undefined
  /** Nobody sends the pod anything new: awaited before it is told to stop. */
  readonly drained: ((pod: Pod, signal: AbortSignal) => Promise<void>) | undefined
}

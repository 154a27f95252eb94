/** The node agent: runs what is bound to this node, and tells the API what became of it. */
import type { Env } from '#base'
import type { Node } from '#api'
import type { Client, Informers, NodeApi } from '#client'
import type { KubeletConfig } from './kubelet-config.ts'
import { KubeletCore } from './core.ts'
import { DEFAULT_MARKS } from './garbage/images.ts'
import { nodeApi } from './node-api.ts'
import { type Machine, readMachine, simulatedMachine } from './node/machine.ts'
import { DEFAULT_THRESHOLDS, NO_SOFT_THRESHOLDS } from './eviction/signals.ts'
import type { Readings } from './eviction/readings.ts'
import { runningContainers } from './pod/pod-runtime.ts'
import type { Runtime } from './runtime.ts'

/** The node's name, and what differs from the defaults. */
export type KubeletSettings = Pick<KubeletConfig, 'nodeName'> &
  Partial<{ readonly [Key in keyof KubeletConfig]: KubeletConfig[Key] | undefined }>

/** What a kubelet works with. */
export interface KubeletOptions {
  readonly client: Client
  readonly runtime: Runtime
  readonly env: Env
  readonly config: KubeletSettings
  /** Read from Linux when absent; made up for a simulated runtime. */
  readonly machine?: Machine
  /** What the node has left, and what its pods use; the machine's own numbers when absent. */
  readonly readings?: Readings
  /** Caches that are kept anyway in this process: the services are read from there. */
  readonly informers?: Informers
}

/** A node's agent that runs. */
export interface Kubelet {
  /** What the API server asks of this node. */
  readonly nodeApi: NodeApi
  /** The node is registered and Ready, and its pods are being looked after. */
  readonly ready: Promise<void>
  /** Resolves after the signal has aborted and all that was under way has come to rest. Containers stay. */
  readonly stopped: Promise<void>
  readonly node: () => Node | undefined
  readonly podsRunning: () => number
}

/** Everything goes on until the signal aborts; containers outlive it. */
export async function startKubelet(
  {
    client,
    runtime,
    env: outerEnv,
    config: settings,
    machine: given,
    readings,
    informers,
  }: KubeletOptions,
  signal: AbortSignal,
): Promise<Kubelet> {
  const env: Env = { ...outerEnv, log: outerEnv.log.for('kubelet') }
  const config = withDefaults(settings)
  const machine = given ?? (runtime.simulated ? simulatedMachine() : await readMachine(env))
  if (!runtime.simulated) await env.fs.makeFolder(config.rootDir, { mode: 0o750 })
  const core = new KubeletCore(
    { client, runtime, env, config, machine, readings, informers },
    signal,
  )
  const ready = core.start()
  ready.catch((error: unknown) => {
    if (!signal.aborted) env.log.error('The kubelet cannot start', { error: error as Error })
  })
  return {
    nodeApi: nodeApi(core),
    ready,
    stopped: core.stopped,
    node: () => core.nodeAgent?.node,
    podsRunning: () =>
      [...core.agents.values()].filter(({ runtime: held }) => runningContainers(held).length > 0)
        .length,
  }
}

function withDefaults(settings: KubeletSettings): KubeletConfig {
  const rootDir = settings.rootDir ?? '/var/lib/kubelet'
  return {
    nodeName: settings.nodeName,
    rootDir,
    logRoot: settings.logRoot ?? '/var/log/pods',
    formerLogRoot: settings.formerLogRoot,
    logLinks: settings.logLinks,
    clusterDns: settings.clusterDns ?? [],
    clusterDomain: settings.clusterDomain ?? 'cluster.local',
    nodeIps: settings.nodeIps ?? ['127.0.0.1'],
    podCidrs: settings.podCidrs ?? [],
    labels: settings.labels ?? {},
    annotations: settings.annotations ?? {},
    taints: settings.taints ?? [],
    reserved: settings.reserved ?? {},
    maxPods: settings.maxPods ?? 110,
    cgroupRoot: settings.cgroupRoot ?? '/kubepods',
    podPidsLimit: settings.podPidsLimit,
    allowedSysctls: settings.allowedSysctls ?? [],
    thresholds: settings.thresholds ?? DEFAULT_THRESHOLDS,
    softThresholds: settings.softThresholds ?? NO_SOFT_THRESHOLDS,
    imageMarks: settings.imageMarks ?? DEFAULT_MARKS,
    maxParallelPulls: settings.maxParallelPulls ?? 4,
    port: settings.port,
    staticPodPath: settings.staticPodPath,
    unschedulable: settings.unschedulable ?? false,
    mountImage: settings.mountImage,
    drained: settings.drained,
  }
}

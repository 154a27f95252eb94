/** The node agent: runs what is bound to this node, and tells the API what became of it. */
import { join } from 'node:path'
import type { Env } from '#base'
import { type Node, type Pod, type Service, nodes, pods, runtimeClasses, services } from '#api'
import {
  type Client,
  type Informer,
  type Informers,
  type NodeApi,
  createEventRecorder,
  createInformers,
} from '#client'
import { isStatus, keyOf } from '#machinery'
import { admit, roomFor } from './admission.ts'
import type { KubeletConfig, KubeletContext } from './context.ts'
import { PodCertificates } from './certificates/index.ts'
import { Images, mountsImages } from './images.ts'
import { type Machine, readMachine, simulatedMachine } from './node/machine.ts'
import { countedRuntime, kubeletMetrics } from './metrics.ts'
import { NodeAgent } from './node/node-agent.ts'
import { DEFAULT_THRESHOLDS, allocatableOf } from './node/status.ts'
import { nodeApi } from './node-api.ts'
import { OrphanCollector } from './orphans.ts'
import { PodAgent } from './agent/pod-agent.ts'
import { namespaceOf, uidOf } from './pod/containers.ts'
import { type PodRuntime, runningContainers } from './pod/pod-runtime.ts'
import { credentialsFor } from './pull-secrets.ts'
import { followRuntime, readRuntime } from './runtime-view.ts'
import type { Runtime } from './runtime.ts'
import { Sources } from './sources.ts'
import { StatusWriter } from './status-writer.ts'
import { Tokens } from './tokens.ts'
import { linuxVolumeHost, noVolumeHost } from './volumes/host.ts'
import { VolumeError } from './volumes/payload.ts'
import { volumeSources } from './volumes/sources.ts'

export type KubeletSettings = Pick<KubeletConfig, 'nodeName'> &
  Partial<{ readonly [Key in keyof KubeletConfig]: KubeletConfig[Key] | undefined }>

export interface KubeletOptions {
  readonly client: Client
  readonly runtime: Runtime
  readonly env: Env
  readonly config: KubeletSettings
  /** Read from Linux when absent; made up for a simulated runtime. */
  readonly machine?: Machine
  /** Caches that are kept anyway in this process: the services are read from there. */
  readonly informers?: Informers
}

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
  { client, runtime, env: outerEnv, config: settings, machine: given, informers }: KubeletOptions,
  signal: AbortSignal,
): Promise<Kubelet> {
  const env: Env = { ...outerEnv, log: outerEnv.log.for('kubelet') }
  const config = withDefaults(settings)
  const machine = given ?? (runtime.simulated ? simulatedMachine() : await readMachine(env))
  if (!runtime.simulated) await env.fs.makeFolder(config.rootDir, { mode: 0o750 })
  const core = new KubeletCore({ client, runtime, env, config, machine, informers }, signal)
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
    clusterDns: settings.clusterDns ?? [],
    clusterDomain: settings.clusterDomain ?? 'cluster.local',
    nodeIps: settings.nodeIps ?? ['127.0.0.1'],
    podCidrs: settings.podCidrs ?? [],
    labels: settings.labels ?? {},
    taints: settings.taints ?? [],
    reserved: settings.reserved ?? {},
    maxPods: settings.maxPods ?? 110,
    cgroupRoot: settings.cgroupRoot ?? '/kubepods',
    podPidsLimit: settings.podPidsLimit,
    allowedSysctls: settings.allowedSysctls ?? [],
    thresholds: settings.thresholds ?? DEFAULT_THRESHOLDS,
    maxParallelPulls: settings.maxParallelPulls ?? 4,
    port: settings.port,
    unschedulable: settings.unschedulable ?? false,
    mountImage: settings.mountImage,
    drained: settings.drained,
  }
}

/** Simulated nodes have a disk of this size. */
const SIMULATED_DISK_BYTES = 100 * 2 ** 30

export class KubeletCore {
  readonly agents = new Map<string, PodAgent>()
  readonly env: Env
  readonly runtime: Runtime
  readonly metrics = kubeletMetrics()
  readonly config: KubeletConfig
  readonly machine: Machine
  readonly stopped: Promise<void>
  nodeAgent: NodeAgent | undefined
  #context: KubeletContext | undefined
  readonly #client: Client
  readonly #signal: AbortSignal
  readonly #owners = new Map<string, PodAgent>()
  readonly #releasing = new Set<string>()
  readonly #tasks = new Set<Promise<unknown>>()
  #diskTotalBytes = SIMULATED_DISK_BYTES
  #initial: ReadonlyMap<string, PodRuntime> = new Map()
  #pods: Informer<Pod> | undefined

  readonly #shared: Informers | undefined

  constructor(
    {
      client,
      runtime,
      env,
      config,
      machine,
      informers,
    }: Pick<KubeletOptions, 'client' | 'runtime' | 'env'> & {
      readonly config: KubeletConfig
      readonly machine: Machine
      readonly informers: Informers | undefined
    },
    signal: AbortSignal,
  ) {
    this.#client = client
    this.#shared = informers
    this.runtime = countedRuntime(runtime, this.metrics, env.clock)
    this.env = env
    this.config = config
    this.machine = machine
    this.#signal = signal
    this.stopped = new Promise((resolve) => {
      const stop = () => void this.#stop().then(resolve)
      if (signal.aborted) stop()
      else signal.addEventListener('abort', stop, { once: true })
    })
  }

  async start(): Promise<void> {
    const { env, runtime, config, machine } = this
    const signal = this.#signal
    const runtimeVersion = await this.#whenRuntimeAnswers()
    if (!runtime.simulated) {
      this.#diskTotalBytes = (await env.fs.usage(config.rootDir)).totalBytes
    }
    const events = createEventRecorder(this.#client, env, {
      component: 'kubelet',
      host: config.nodeName,
    })
    const agent = new NodeAgent({
      ...config,
      client: this.#client,
      runtime,
      env,
      events,
      machine,
      runtimeVersion,
      diskTotalBytes: this.#diskTotalBytes,
    })
    this.nodeAgent = agent
    const informers = createInformers(this.#client, env, signal)
    const selection = { fieldSelector: `spec.nodeName=${config.nodeName}` }
    const podInformer = informers.informer(pods, selection)
    const nodeInformer = informers.informer(nodes, {
      fieldSelector: `metadata.name=${config.nodeName}`,
    })
    const serviceInformer = (this.#shared ?? informers).informer(services)
    this.#pods = podInformer
    this.#context = this.#makeContext(runtimeVersion, events, serviceInformer)
    // The runtime is read while the node registers and the pods arrive.
    const [initial] = await Promise.all([
      readRuntime(runtime),
      agent.register(signal),
      podInformer.synced,
      serviceInformer.synced,
    ])
    this.#initial = initial
    podInformer.onChange((current, old) => this.#podChanged(current, old))
    agent.follow(nodeInformer)
    this.#track(agent.run(signal))
    this.#track(followRuntime(this, signal))
    const orphans = new OrphanCollector(this)
    this.#track(orphans.collect(initial))
    this.#initial = new Map()
  }

  get context(): KubeletContext {
    if (this.#context === undefined) throw new Error('The kubelet has not started yet')
    return this.#context
  }

  /** Which pod a container or sandbox belongs to. */
  ownerOf(id: string): PodAgent | undefined {
    return this.#owners.get(id)
  }

  /** As the API has it; undefined when the name is another pod's now. */
  findPod(namespace: string, name: string, uid?: string): PodAgent | undefined {
    for (const agent of this.agents.values()) {
      const { metadata } = agent.pod
      if (metadata.name !== name || metadata.namespace !== namespace) continue
      if (uid === undefined || uid === agent.uid) return agent
    }
    return undefined
  }

  async #whenRuntimeAnswers() {
    const { env, runtime } = this
    for (let wait = 20; ; wait = Math.min(wait * 2, 2000)) {
      this.#signal.throwIfAborted()
      try {
        return await runtime.version()
      } catch (error) {
        env.log.debug('The container runtime does not answer yet', { error: error as Error })
        await env.clock.sleep(wait, this.#signal)
      }
    }
  }

  #podChanged(current: Pod | undefined, old: Pod | undefined): void {
    if (old !== undefined && (current === undefined || uidOf(current) !== uidOf(old))) {
      this.agents.get(uidOf(old))?.removed(old)
    }
    if (current === undefined) return
    const uid = uidOf(current)
    const known = this.agents.get(uid)
    if (known !== undefined) {
      this.context.sources.use(current)
      known.update(current)
      return
    }
    const agent = new PodAgent({
      pod: current,
      runtime: this.#initial.get(uid),
      context: this.context,
      keeper: {
        own: (id, owner) => void this.#owners.set(id, owner),
        disown: (id) => void this.#owners.delete(id),
        release: (released) => this.#track(this.#release(released)),
      },
      kubeletSignal: this.#signal,
    })
    this.agents.set(uid, agent)
    this.context.sources.use(current)
    agent.update(current)
  }

  #makeContext(
    runtimeVersion: KubeletContext['runtimeVersion'],
    events: KubeletContext['events'],
    serviceInformer: Informer<Service>,
  ): KubeletContext {
    const { env, runtime, config, machine } = this
    const client = this.#client
    const signal = this.#signal
    const sources = new Sources({
      client,
      env,
      signal,
      onChange: (uids) => {
        for (const uid of uids) this.agents.get(uid)?.sourcesChanged()
      },
    })
    const tokens = new Tokens(client, env, (uid) => this.agents.get(uid)?.sourcesChanged())
    const certificates = new PodCertificates({
      client,
      env,
      signal,
      node: () => ({ name: config.nodeName, uid: this.nodeAgent?.node?.metadata.uid ?? '' }),
      onChange: (uid) => this.agents.get(uid)?.sourcesChanged(),
    })
    const stopRenewals = () => {
      tokens.stop()
      certificates.stop()
    }
    signal.addEventListener('abort', stopRenewals, { once: true })
    const images = new Images({
      runtime,
      env,
      parallel: config.maxParallelPulls,
      onPulled: () => this.#track(this.nodeAgent?.refreshImages() ?? Promise.resolve()),
      auth: async (pod, image) => {
        const names = (pod.spec.imagePullSecrets ?? []).map(({ name = '' }) => name)
        const found = await Promise.all(names.map((name) => sources.secret(namespaceOf(pod), name)))
        return credentialsFor(
          image,
          found.filter((secret) => secret !== undefined),
        )
      },
    })
    const downward: KubeletContext['downward'] = (pod) => ({
      nodeName: config.nodeName,
      nodeIps: config.nodeIps,
      podIps: this.agents.get(uidOf(pod))?.podIps ?? [],
      allocatable: this.#allocatable(),
    })
    return {
      client,
      runtime,
      runtimeVersion,
      env,
      events,
      config,
      machine,
      metrics: this.metrics,
      security: { seccompRoot: join(config.rootDir, 'seccomp'), apparmor: machine.apparmor },
      dns: {
        clusterDns: config.clusterDns,
        clusterDomain: config.clusterDomain,
        host: machine.resolvConf,
      },
      images,
      sources,
      tokens,
      certificates,
      statuses: new StatusWriter(client, env, signal),
      volumeOptions: {
        podsFolder: join(config.rootDir, 'pods'),
        host: runtime.simulated ? noVolumeHost : linuxVolumeHost(env),
        sources: volumeSources(client, { objects: sources, tokens, certificates }),
        env,
        imageVolume: async (pod, image, policy, stop) => {
          const found = await images.forVolume(pod, image, policy, stop)
          if (mountsImages(runtimeVersion)) return { image: found }
          const { mountImage } = config
          if (mountImage !== undefined) return { mount: (folder) => mountImage(found, folder) }
          throw new VolumeError(
            `image volumes need containerd 2.1 or newer, and this node has ${runtimeVersion.name} ${runtimeVersion.version}`,
          )
        },
        facts: downward,
        nodeMemoryBytes: machine.memoryBytes,
        nodeLabels: () => this.nodeAgent?.node?.metadata.labels ?? {},
      },
      services: async () => {
        await serviceInformer.synced
        return serviceInformer.list()
      },
      allocatable: () => this.#allocatable(),
      downward,
      admit: async (pod) => {
        const ask = (node: Node | undefined) =>
          admit(pod, {
            others: this.#others(pod),
            node,
            allowedSysctls: config.allowedSysctls,
            userNamespaces: runtime.simulated,
          })
        const rejection = ask(this.nodeAgent?.node)
        if (rejection === undefined) return undefined
        // The scheduler may have seen newer labels and amounts than the last heartbeat brought.
        const node = await client
          .getOptional(nodes, { name: config.nodeName })
          .catch(() => undefined)
        return node === undefined ? rejection : ask(node)
      },
      room: async (pod) => roomFor(pod, { others: this.#others(pod), node: this.nodeAgent?.node }),
      runtimeHandler: async (pod) => {
        const name = pod.spec.runtimeClassName
        if (name === undefined || name === '') return ''
        const found = await client.getOptional(runtimeClasses, { name })
        if (found === undefined) {
          throw new Error(`RuntimeClass.node.k8s.io "${name}" not found`)
        }
        return found.handler
      },
    }
  }

  /** The pods whose requests count beside its own: those that were let in, and those that came before it. */
  #others(pod: Pod): readonly Pod[] {
    const agents = [...this.agents.values()]
    const place = agents.findIndex(({ uid }) => uid === uidOf(pod))
    return agents
      .filter((agent, i) => i !== place && agent.isCounted && (agent.isAdmitted || i < place))
      .map((agent) => agent.pod)
  }

  #allocatable(): Readonly<Record<string, string>> {
    const { machine, config } = this
    return (
      this.nodeAgent?.node?.status?.allocatable ??
      allocatableOf({ ...config, machine, diskTotalBytes: this.#diskTotalBytes })
    )
  }

  /** Deletes the pod's object for good, then what the runtime still keeps for its logs. */
  async #release(agent: PodAgent): Promise<void> {
    const { uid, pod } = agent
    if (this.#releasing.has(uid)) return
    this.#releasing.add(uid)
    const key = { namespace: namespaceOf(pod), name: pod.metadata.name }
    await this.context.statuses.flushed(uid)
    for (let wait = 100; !this.#signal.aborted; wait = Math.min(wait * 2, 10_000)) {
      try {
        if (this.#pods?.get(keyOf(pod))?.metadata.uid === uid) {
          await this.#client.delete(pods, key, {
            gracePeriodSeconds: 0,
            preconditions: { uid },
          })
        }
        break
      } catch (error) {
        if (isStatus(error, 'NotFound') || isStatus(error, 'Conflict')) break
        this.env.log.warn('Cannot delete a pod that has ended; trying again', {
          pod: keyOf(pod),
          error: error as Error,
        })
        await this.env.clock.sleep(wait, this.#signal).catch(() => {})
      }
    }
    if (this.#signal.aborted) return
    this.agents.delete(uid)
    this.context.statuses.forget(uid)
    try {
      await agent.purge()
    } catch (error) {
      this.env.log.warn('Cannot remove the containers of a pod that is gone', {
        pod: keyOf(pod),
        error: error as Error,
      })
    }
    for (const { id } of [...agent.runtime.containers, ...agent.runtime.sandboxes]) {
      this.#owners.delete(id)
    }
    this.#releasing.delete(uid)
  }

  #track(task: Promise<unknown>): void {
    const tracked = task
      .catch((error: unknown) => {
        if (!this.#signal.aborted) {
          this.env.log.error('A part of the kubelet has failed', { error: error as Error })
        }
      })
      .finally(() => this.#tasks.delete(tracked))
    this.#tasks.add(tracked)
  }

  async #stop(): Promise<void> {
    await Promise.all([...this.agents.values()].map((agent) => agent.halt()))
    await Promise.allSettled(this.#tasks)
  }
}

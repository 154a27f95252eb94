/** The pods of one node, each with its agent, from when they are bound to it until nothing of them is left. */
import type { Env } from '#base'
import { type Pod, nodes, pods, services } from '#api'
import {
  type Client,
  type Informer,
  type Informers,
  createEventRecorder,
  createInformers,
} from '#client'
import { isStatus, keyOf } from '#machinery'
import { PodAgent } from './agent/pod-agent.ts'
import type { KubeletContext } from './context.ts'
import type { KubeletConfig } from './kubelet-config.ts'
import { makeContext } from './make-context.ts'
import { type Readings, machineReadings } from './eviction/readings.ts'
import { keepRoom } from './keep-room.ts'
import { DiskMeter } from './measure/pod-disk.ts'
import { CpuRates } from './measure/rates.ts'
import { countedRuntime, kubeletMetrics } from './metrics.ts'
import type { Machine } from './node/machine.ts'
import { NodeAgent } from './node/node-agent.ts'
import { allocatableOf } from './node/status.ts'
import { OrphanCollector } from './orphans.ts'
import { namespaceOf, uidOf } from './pod/containers.ts'
import { PodLogs } from './pod-logs.ts'
import type { PodRuntime } from './pod/pod-runtime.ts'
import { followRuntime, readRuntime } from './runtime-view.ts'
import type { Runtime } from './runtime.ts'
import { StaticPods } from './static-pods/index.ts'
import { isMirror } from './static-pods/manifest.ts'

/** Simulated nodes have a disk of this size. */
const SIMULATED_DISK_BYTES = 100 * 2 ** 30

export interface CoreOptions {
  readonly client: Client
  readonly runtime: Runtime
  readonly env: Env
  readonly config: KubeletConfig
  readonly machine: Machine
  /** Caches that are kept anyway in this process. */
  readonly readings: Readings | undefined
  readonly informers: Informers | undefined
}

export class KubeletCore {
  readonly agents = new Map<string, PodAgent>()
  readonly env: Env
  readonly runtime: Runtime
  readonly metrics = kubeletMetrics()
  readonly config: KubeletConfig
  readonly machine: Machine
  readonly stopped: Promise<void>
  readonly startedAt: Date
  /** For whoever looks at what is used now and then. */
  readonly rates = new CpuRates()
  readonly disks: DiskMeter
  readonly podLogs: PodLogs
  nodeAgent: NodeAgent | undefined
  #context: KubeletContext | undefined
  readonly #client: Client
  readonly #signal: AbortSignal
  readonly #owners = new Map<string, PodAgent>()
  readonly #releasing = new Set<string>()
  /** Who waits for the end of a pod. */
  readonly #waiting = new Map<string, () => void>()
  readonly #tasks = new Set<Promise<unknown>>()
  #diskTotalBytes = SIMULATED_DISK_BYTES
  #initial: ReadonlyMap<string, PodRuntime> = new Map()
  #pods: Informer<Pod> | undefined
  readonly #shared: Informers | undefined
  readonly #readings: Readings | undefined

  constructor(
    { client, runtime, env, config, machine, readings, informers }: CoreOptions,
    signal: AbortSignal,
  ) {
    this.#client = client
    this.#shared = informers
    this.runtime = countedRuntime(runtime, this.metrics, env.clock)
    this.env = env
    this.startedAt = env.clock.now()
    this.disks = new DiskMeter(env)
    this.config = config
    this.podLogs = new PodLogs({ env, runtime: this.runtime, config })
    this.machine = machine
    this.#signal = signal
    // A simulated node runs short of nothing.
    this.#readings = readings ?? (runtime.simulated ? undefined : machineReadings(this))
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
    const { eviction, run: keep } = keepRoom(this, {
      readings: this.#readings,
      events,
      node: () => agent,
      track: (task) => this.#track(task),
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
      isUnder: (pressure) => eviction?.isUnder(pressure) ?? false,
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
    this.#context = makeContext({
      parts: {
        client: this.#client,
        runtime,
        runtimeVersion,
        env,
        events,
        config,
        machine,
        metrics: this.metrics,
        podLogs: this.podLogs,
      },
      serviceInformer,
      agents: this.agents,
      node: () => agent.node,
      allocatable: () => this.#allocatable(),
      others: (pod) => this.#others(pod),
      underPressure: (pod) => eviction?.admit(pod),
      onImagePulled: () => this.#track(agent.refreshImages()),
      signal,
    })
    await eviction?.observe().catch(() => undefined)
    // The runtime is read while the node registers and the pods arrive.
    const [initial] = await Promise.all([
      readRuntime(runtime),
      agent.register(signal),
      podInformer.synced,
      serviceInformer.synced,
    ])
    this.#initial = initial
    podInformer.onChange((current, old) => {
      const pod = current ?? old
      if (pod === undefined || !isMirror(pod)) this.#podChanged(current, old)
    })
    await this.#startStaticPods(agent, podInformer)
    this.#track(followRuntime(this, signal))
    agent.follow(nodeInformer)
    this.#track(agent.run(signal))
    this.#track(keep(signal))
    const orphans = new OrphanCollector(this)
    this.#track(orphans.collect(initial))
    this.#initial = new Map()
  }

  async #startStaticPods(agent: NodeAgent, informer: Informer<Pod>): Promise<void> {
    const { staticPodPath, nodeName } = this.config
    const staticPods = new StaticPods({
      folder: staticPodPath,
      nodeName,
      client: this.#client,
      env: this.env,
      informer,
      node: () => agent.node,
      onChange: (current, old) => this.#podChanged(current, old),
      ended: (uid) => this.#released(uid),
      onMirror: (uid, mirror) => this.context.statuses.mirrored(uid, mirror),
    })
    await staticPods.begin(this.#signal)
    this.#track(staticPods.run())
  }

  get context(): KubeletContext {
    if (this.#context === undefined) throw new Error('The kubelet has not started yet')
    return this.#context
  }

  /** Which pod a container or sandbox belongs to. */
  ownerOf(id: string): PodAgent | undefined {
    return this.#owners.get(id)
  }

  /**
   * As the API has it. Without a uid the newest of the name: one that was deleted may still be ending. Undefined
   * when the name is another pod's now.
   */
  findPod(namespace: string, name: string, uid?: string): PodAgent | undefined {
    const madeAt = ({ spec }: PodAgent): number => Date.parse(spec.metadata.creationTimestamp ?? '')
    let found: PodAgent | undefined
    for (const agent of this.agents.values()) {
      const { metadata } = agent.spec
      if (metadata.name !== name || metadata.namespace !== namespace) continue
      const isMeant =
        uid === undefined ||
        uid === agent.uid ||
        uid === this.#context?.statuses.mirrorOf(agent.uid)
      if (!isMeant) continue
      // Times are whole seconds: the one that was seen later is the newer.
      if (found === undefined || madeAt(agent) >= madeAt(found)) found = agent
    }
    return found
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

  /** Resolves when nothing of the pod is left. */
  #released(uid: string): Promise<void> {
    if (!this.agents.has(uid)) return Promise.resolve()
    const gone = Promise.withResolvers<void>()
    this.#waiting.set(uid, gone.resolve)
    return gone.promise
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
    this.#waiting.get(uid)?.()
    this.#waiting.delete(uid)
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

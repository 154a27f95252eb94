/**
 * A runtime without containers. Sandboxes get addresses, images are "pulled", containers "run" and end
 * as their pods' annotations say; nothing of it touches the machine. For tests, for learning, and for
 * machines that have no containers.
 */
import type { Duplex } from 'node:stream'
import { aborted, type Env } from '#base'
import type { SessionStreams } from '#client'
import {
  type Container,
  type ContainerConfig,
  type ContainerStatus,
  LABEL,
  type LogFiles,
  type PodFilter,
  type PodSandboxConfig,
  type PodSandboxStatus,
  type Runtime,
  RuntimeError,
  type RuntimeEvent,
} from './runtime.ts'
import { Addresses } from './simulated/addresses.ts'
import { simulatedCommand } from './simulated/commands.ts'
import { EventFeed } from './simulated/events.ts'
import { FakeImages, type FakeImagesOptions } from './simulated/images.ts'
import { MemoryLogs } from './simulated/logs.ts'

/** Annotations of a pod that say how its containers behave; `.NAME` after one is for that container only. */
export const SIMULATION = {
  /** Seconds after its start at which a container ends. */
  runSeconds: 'simulation.navarch.dev/run-seconds',
  exitCode: 'simulation.navarch.dev/exit-code',
  /** Seconds that a container takes to end after SIGTERM. */
  stopSeconds: 'simulation.navarch.dev/stop-seconds',
  /** Its log's first line. */
  output: 'simulation.navarch.dev/output',
} as const

export interface SimulatedOptions extends FakeImagesOptions {
  /** The first three parts of its pods' addresses: `10.244.1`. */
  readonly network?: string
  readonly startMs?: number
}

interface FakeSandbox {
  status: PodSandboxStatus
  readonly config: PodSandboxConfig
}

interface FakeContainer {
  status: ContainerStatus
  readonly config: ContainerConfig
  readonly sandboxId: string
  readonly exited: PromiseWithResolvers<void>
  cancelTimer: () => void
}

const KILLED = 137
const TERMINATED = 143
const DEFAULT_START_MS = 5

export function simulatedRuntime(
  env: Pick<Env, 'clock' | 'random'>,
  options: SimulatedOptions = {},
): Runtime {
  return new SimulatedRuntime(env, options)
}

class SimulatedRuntime implements Runtime {
  readonly simulated = true
  readonly logFiles: LogFiles
  readonly #env: Pick<Env, 'clock' | 'random'>
  readonly #options: SimulatedOptions
  readonly #sandboxes = new Map<string, FakeSandbox>()
  readonly #containers = new Map<string, FakeContainer>()
  readonly #images: FakeImages
  readonly #events = new EventFeed()
  readonly #logs = new MemoryLogs()
  readonly #addresses: Addresses

  constructor(env: Pick<Env, 'clock' | 'random'>, options: SimulatedOptions) {
    this.#env = env
    this.#options = options
    this.logFiles = this.#logs
    this.#images = new FakeImages(env.clock, options)
    this.#addresses = new Addresses(options.network ?? '10.244.0')
  }

  async version() {
    return { name: 'navarch-simulated', version: '1' }
  }

  async status() {
    const conditions = ['RuntimeReady', 'NetworkReady'].map((type) => ({
      type,
      status: true,
      reason: '',
      message: '',
    }))
    return { conditions, handlers: [], supplementalGroupsPolicy: true }
  }

  async runPodSandbox(config: PodSandboxConfig, runtimeHandler: string): Promise<string> {
    const id = this.#newId()
    const { network } = config.linux.securityContext.namespaceOptions
    this.#sandboxes.set(id, {
      config,
      status: {
        id,
        metadata: config.metadata,
        state: 'ready',
        createdAt: this.#env.clock.now(),
        labels: config.labels,
        annotations: config.annotations,
        runtimeHandler,
        ips: network === 'NODE' ? [] : [this.#addresses.take()],
        network,
      },
    })
    return id
  }

  async stopPodSandbox(id: string): Promise<void> {
    const sandbox = this.#sandboxes.get(id)
    if (sandbox === undefined || sandbox.status.state === 'notReady') return
    for (const container of this.#containers.values()) {
      if (container.sandboxId === id) this.#exit(container, KILLED)
    }
    for (const ip of sandbox.status.ips) this.#addresses.giveBack(ip)
    sandbox.status = { ...sandbox.status, state: 'notReady', ips: [] }
    this.#events.tell({ type: 'stopped', id })
  }

  async removePodSandbox(id: string): Promise<void> {
    await this.stopPodSandbox(id)
    for (const [containerId, { sandboxId }] of this.#containers) {
      if (sandboxId === id) this.#containers.delete(containerId)
    }
    this.#sandboxes.delete(id)
  }

  async podSandboxStatus(id: string) {
    return this.#sandboxes.get(id)?.status
  }

  async listPodSandboxes(filter: PodFilter = {}) {
    return [...this.#sandboxes.values()]
      .map(({ status }) => status)
      .filter(({ id, metadata }) => {
        const { podUid = metadata.uid, sandboxId = id } = filter
        return podUid === metadata.uid && sandboxId === id
      })
  }

  async createContainer(sandboxId: string, config: ContainerConfig): Promise<string> {
    const sandbox = this.#sandboxes.get(sandboxId)
    if (sandbox === undefined) throw new RuntimeError('notFound', `sandbox ${sandboxId} not found`)
    const image = this.#images.list().find(({ id }) => id === config.image)
    const id = this.#newId()
    this.#containers.set(id, {
      config,
      sandboxId,
      exited: Promise.withResolvers<void>(),
      cancelTimer: () => {},
      status: {
        id,
        ...config.metadata,
        state: 'created',
        createdAt: this.#env.clock.now(),
        startedAt: undefined,
        finishedAt: undefined,
        exitCode: 0,
        image: config.userSpecifiedImage,
        imageRef: image?.digests[0] ?? config.image,
        imageId: config.image,
        reason: '',
        message: '',
        labels: config.labels,
        annotations: config.annotations,
        logPath: `${sandbox.config.logDirectory}/${config.logPath}`,
        resources: config.linux.resources,
      },
    })
    return id
  }

  async startContainer(id: string): Promise<void> {
    const container = this.#container(id)
    const { clock } = this.#env
    await clock.sleep(this.#options.startMs ?? DEFAULT_START_MS)
    if (container.status.state !== 'created') return
    container.status = { ...container.status, state: 'running', startedAt: clock.now() }
    const output = this.#setting(container, SIMULATION.output)
    this.#log(
      container,
      output ?? `container ${container.config.metadata.name} started (simulated)`,
    )
    const runSeconds = this.#setting(container, SIMULATION.runSeconds)
    if (runSeconds !== undefined) {
      const code = Number(this.#setting(container, SIMULATION.exitCode) ?? 0)
      container.cancelTimer = clock.schedule(Number(runSeconds) * 1000, () =>
        this.#exit(container, code),
      )
    }
    this.#events.tell({ type: 'started', id })
  }

  async stopContainer(id: string, timeoutSeconds: number): Promise<void> {
    const container = this.#containers.get(id)
    if (container === undefined || container.status.state !== 'running') return
    const needed = Number(this.#setting(container, SIMULATION.stopSeconds) ?? 0)
    const { clock } = this.#env
    if (needed > 0) {
      const cancel = new AbortController()
      const wait = clock.sleep(Math.min(needed, timeoutSeconds) * 1000, cancel.signal)
      await Promise.race([wait.catch(() => {}), container.exited.promise])
      cancel.abort()
    }
    this.#exit(container, needed > timeoutSeconds ? KILLED : TERMINATED)
  }

  async removeContainer(id: string): Promise<void> {
    const container = this.#containers.get(id)
    if (container === undefined) return
    this.#exit(container, KILLED)
    this.#containers.delete(id)
  }

  async listContainers(filter: PodFilter = {}): Promise<readonly Container[]> {
    return [...this.#containers.values()]
      .filter(({ sandboxId, config }) => {
        const uid = config.labels[LABEL.podUid]
        const { podUid = uid, sandboxId: wanted = sandboxId } = filter
        return podUid === uid && wanted === sandboxId
      })
      .map(({ status, sandboxId }) => ({ ...status, sandboxId }))
  }

  async containerStatus(id: string) {
    return this.#containers.get(id)?.status
  }

  async updateContainerResources(id: string, resources: ContainerStatus['resources']) {
    const container = this.#container(id)
    container.status = {
      ...container.status,
      resources: { ...container.status.resources, ...resources },
    }
  }

  async reopenContainerLog(): Promise<void> {}

  async listContainerStats(filter?: PodFilter) {
    const time = this.#env.clock.now()
    const containers = await this.listContainers(filter)
    return containers
      .filter(({ state }) => state === 'running')
      .map(({ id, name, labels, createdAt }) => ({
        id,
        name,
        labels,
        // A hundredth of a core, and a little memory.
        cpu: { time, usageCoreNanoSeconds: (time.getTime() - createdAt.getTime()) * 10_000 },
        memory: { time, workingSetBytes: 8 * 1024 * 1024 },
      }))
  }

  async execSync(id: string, command: readonly string[]) {
    this.#running(id)
    const { exitCode, stdout } = simulatedCommand(command)
    return { exitCode, stdout: Buffer.from(stdout), stderr: new Uint8Array() }
  }

  async exec(
    id: string,
    { command }: { readonly command: readonly string[] },
    streams: SessionStreams,
  ) {
    this.#running(id)
    const { exitCode, stdout } = simulatedCommand(command)
    if (stdout !== '') streams.stdout?.write(stdout)
    return { exitCode }
  }

  async attach(
    id: string,
    _options: { readonly tty: boolean },
    _streams: SessionStreams,
    signal: AbortSignal,
  ): Promise<void> {
    const container = this.#running(id)
    await Promise.race([container.exited.promise, aborted(signal)])
  }

  async portForward(sandboxId: string, port: number): Promise<Duplex> {
    throw new RuntimeError(
      'failed',
      `Cannot forward to port ${port} of sandbox ${sandboxId}: nothing listens in a simulated pod`,
    )
  }

  events(signal: AbortSignal): AsyncGenerator<RuntimeEvent> {
    return this.#events.follow(signal)
  }

  async listImages() {
    return this.#images.list()
  }

  async imageStatus(image: string) {
    return this.#images.find(image)
  }

  pullImage(
    image: string,
    _auth: unknown,
    _sandbox: unknown,
    signal: AbortSignal,
  ): Promise<string> {
    return this.#images.pull(image, signal)
  }

  async removeImage(image: string): Promise<void> {
    this.#images.remove(image)
  }

  async imageFileSystem() {
    return undefined
  }

  #container(id: string): FakeContainer {
    const container = this.#containers.get(id)
    if (container === undefined) throw new RuntimeError('notFound', `container ${id} not found`)
    return container
  }

  #running(id: string): FakeContainer {
    const container = this.#container(id)
    if (container.status.state !== 'running') {
      throw new RuntimeError('failed', `container ${id} is not running`)
    }
    return container
  }

  #exit(container: FakeContainer, exitCode: number): void {
    const { status } = container
    if (status.state === 'exited') return
    container.cancelTimer()
    container.status = {
      ...status,
      state: 'exited',
      startedAt: status.startedAt ?? status.createdAt,
      finishedAt: this.#env.clock.now(),
      exitCode,
      reason: exitCode === 0 ? 'Completed' : 'Error',
    }
    container.exited.resolve()
    this.#events.tell({ type: 'stopped', id: status.id })
  }

  #setting({ config, sandboxId }: FakeContainer, name: string): string | undefined {
    const annotations = this.#sandboxes.get(sandboxId)?.config.annotations ?? {}
    return annotations[`${name}.${config.metadata.name}`] ?? annotations[name]
  }

  #log({ status }: FakeContainer, text: string): void {
    const time = this.#env.clock.now().toISOString().replace('Z', '000000Z')
    this.#logs.append(status.logPath, `${time} stdout F ${text}\n`)
  }

  #newId(): string {
    return Buffer.from(this.#env.random.bytes(32)).toString('hex')
  }
}

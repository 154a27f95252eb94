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
  type LogFiles,
  type PodFilter,
  type PodSandboxConfig,
  type PodSandboxStatus,
  type Runtime,
  RuntimeError,
  type RuntimeEvent,
} from '../runtime.ts'
import { Addresses } from './addresses.ts'
import { simulatedCommand } from './commands.ts'
import { SimulatedContainers } from './containers.ts'
import { EventFeed } from './events.ts'
import { SimulatedImages, type SimulatedImagesOptions } from './images.ts'
import { MemoryLogs } from './logs.ts'

/** How simulated containers behave. */
export interface SimulatedOptions extends SimulatedImagesOptions {
  /** The first three parts of its pods' addresses: `10.244.1`. */
  readonly network?: string
  readonly startMs?: number
}

interface SimulatedSandbox {
  status: PodSandboxStatus
  readonly config: PodSandboxConfig
}

const DEFAULT_START_MS = 5

/** A node's runtime that runs nothing. */
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
  readonly #sandboxes = new Map<string, SimulatedSandbox>()
  readonly #containers: SimulatedContainers
  readonly #images: SimulatedImages
  readonly #events = new EventFeed()
  readonly #logs = new MemoryLogs()
  readonly #addresses: Addresses

  constructor(env: Pick<Env, 'clock' | 'random'>, options: SimulatedOptions) {
    this.#env = env
    this.logFiles = this.#logs
    this.#images = new SimulatedImages(env.clock, options)
    this.#addresses = new Addresses(options.network ?? '10.244.0')
    this.#containers = new SimulatedContainers({
      env,
      startMs: options.startMs ?? DEFAULT_START_MS,
      sandbox: (id) => this.#sandboxes.get(id)?.config,
      newId: () => this.#newId(),
      log: (path, line) => this.#logs.append(path, line),
      tell: (event) => this.#events.tell(event),
    })
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
    this.#containers.endOf(id)
    for (const ip of sandbox.status.ips) this.#addresses.giveBack(ip)
    sandbox.status = { ...sandbox.status, state: 'notReady', ips: [] }
    this.#events.tell({ type: 'stopped', id })
  }

  async removePodSandbox(id: string): Promise<void> {
    await this.stopPodSandbox(id)
    this.#containers.forget(id)
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
    const image = this.#images.list().find(({ id }) => id === config.image)
    return this.#containers.create(sandboxId, config, image?.digests[0] ?? config.image)
  }

  startContainer(id: string): Promise<void> {
    return this.#containers.start(id)
  }

  stopContainer(id: string, timeoutSeconds: number): Promise<void> {
    return this.#containers.stop(id, timeoutSeconds)
  }

  async removeContainer(id: string): Promise<void> {
    this.#containers.remove(id)
  }

  async listContainers(filter?: PodFilter): Promise<readonly Container[]> {
    return this.#containers.list(filter)
  }

  async containerStatus(id: string): Promise<ContainerStatus | undefined> {
    return this.#containers.status(id)
  }

  async updateContainerResources(
    id: string,
    resources: ContainerStatus['resources'],
  ): Promise<void> {
    this.#containers.updateResources(id, resources)
  }

  async reopenContainerLog(): Promise<void> {}

  async listContainerStats(filter?: PodFilter) {
    return this.#containers.stats(filter)
  }

  async execSync(id: string, command: readonly string[]) {
    this.#containers.running(id)
    const { exitCode, stdout } = simulatedCommand(command)
    return { exitCode, stdout: Buffer.from(stdout), stderr: new Uint8Array() }
  }

  async exec(
    id: string,
    { command }: { readonly command: readonly string[] },
    streams: SessionStreams,
  ) {
    this.#containers.running(id)
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
    const container = this.#containers.running(id)
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

  #newId(): string {
    return Buffer.from(this.#env.random.bytes(32)).toString('hex')
  }
}

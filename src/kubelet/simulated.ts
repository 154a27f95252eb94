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
  type Image,
  LABEL,
  type LogFiles,
  type PodFilter,
  type PodSandboxConfig,
  type PodSandboxStatus,
  type Runtime,
  RuntimeError,
  type RuntimeEvent,
} from './runtime.ts'

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

export interface SimulatedOptions {
  /** The first three parts of its pods' addresses: `10.244.1`. */
  readonly network?: string
  readonly startMs?: number
  readonly pullMs?: number
  readonly sizeBytes?: number
  /** Which images exist; all that do not look made up, by default. */
  readonly imageExists?: (image: string) => boolean
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
const DEFAULT_PULL_MS = 20
const DEFAULT_IMAGE_BYTES = 5_000_000

/** Tags and hosts that tests use for images which cannot be pulled. */
const looksMissing = (image: string): boolean =>
  /(^|[/:@-])(nonexistent|non-existent|does-not-exist|doesnotexist|missing|invalid|no-such|404$)/i.test(
    image,
  )

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
  readonly #images = new Map<string, Image>()
  readonly #listeners = new Set<(event: RuntimeEvent) => void>()
  readonly #logs = new MemoryLogs()
  readonly #usedAddresses = new Set<string>()
  #nextAddress = 2

  constructor(env: Pick<Env, 'clock' | 'random'>, options: SimulatedOptions) {
    this.#env = env
    this.#options = options
    this.logFiles = this.#logs
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
        ips: network === 'NODE' ? [] : [this.#address()],
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
    for (const ip of sandbox.status.ips) this.#usedAddresses.delete(ip)
    sandbox.status = { ...sandbox.status, state: 'notReady', ips: [] }
    this.#emit({ type: 'stopped', id })
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
    const image = [...this.#images.values()].find(({ id }) => id === config.image)
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
    this.#emit({ type: 'started', id })
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

  /** `true` succeeds, `false` fails, `exit N` does that, `echo` echoes; anything else succeeds silently. */
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

  async *events(signal: AbortSignal): AsyncGenerator<RuntimeEvent> {
    const pending: RuntimeEvent[] = []
    let wake = () => {}
    const listener = (event: RuntimeEvent) => {
      pending.push(event)
      wake()
    }
    this.#listeners.add(listener)
    signal.addEventListener('abort', () => wake(), { once: true })
    try {
      while (!signal.aborted) {
        const event = pending.shift()
        if (event !== undefined) yield event
        else {
          await new Promise<void>((resolve) => {
            wake = resolve
          })
        }
      }
    } finally {
      this.#listeners.delete(listener)
    }
  }

  async listImages() {
    return [...this.#images.values()]
  }

  async imageStatus(image: string) {
    return (
      this.#images.get(image) ??
      [...this.#images.values()].find(({ id, digests }) => id === image || digests.includes(image))
    )
  }

  async pullImage(
    image: string,
    _auth: unknown,
    _sandbox: unknown,
    signal: AbortSignal,
  ): Promise<string> {
    await this.#env.clock.sleep(this.#options.pullMs ?? DEFAULT_PULL_MS, signal)
    const exists = this.#options.imageExists ?? ((name: string) => !looksMissing(name))
    if (!exists(image)) {
      throw new RuntimeError(
        'notFound',
        `rpc error: code = NotFound desc = failed to pull and unpack image "${image}": failed to resolve reference "${image}": ${image}: not found`,
      )
    }
    const digest = `sha256:${digestOf(image)}`
    const repository = image.replace(/[:@][^/]*$/, '')
    this.#images.set(image, {
      id: digest,
      tags: [image],
      digests: [`${repository}@${digest}`],
      sizeBytes: this.#options.sizeBytes ?? DEFAULT_IMAGE_BYTES,
      username: '',
      pinned: false,
    })
    return digest
  }

  async removeImage(image: string): Promise<void> {
    this.#images.delete(image)
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
    this.#emit({ type: 'stopped', id: status.id })
  }

  #setting({ config, sandboxId }: FakeContainer, name: string): string | undefined {
    const annotations = this.#sandboxes.get(sandboxId)?.config.annotations ?? {}
    return annotations[`${name}.${config.metadata.name}`] ?? annotations[name]
  }

  #log({ status }: FakeContainer, text: string): void {
    const time = this.#env.clock.now().toISOString().replace('Z', '000000Z')
    this.#logs.append(status.logPath, `${time} stdout F ${text}\n`)
  }

  #emit(event: RuntimeEvent): void {
    for (const listener of this.#listeners) listener(event)
  }

  #address(): string {
    const network = this.#options.network ?? '10.244.0'
    for (let tries = 0; tries < 65_536; tries++) {
      const number = this.#nextAddress++ % 65_536
      if (number % 256 < 2 || number % 256 === 255) continue
      // A node that is crowded beyond 253 pods goes on in the next networks.
      const parts = network.split('.').map(Number)
      const third = (parts[2] ?? 0) + Math.floor(number / 256)
      const second = (parts[1] ?? 0) + Math.floor(third / 256)
      const address = `${parts[0]}.${second}.${third % 256}.${number % 256}`
      if (this.#usedAddresses.has(address)) continue
      this.#usedAddresses.add(address)
      return address
    }
    throw new RuntimeError('failed', 'no addresses left for pods')
  }

  #newId(): string {
    return Buffer.from(this.#env.random.bytes(32)).toString('hex')
  }
}

function digestOf(image: string): string {
  // FNV-1a, stretched: the same image has the same digest in every run.
  let hash = 2_166_136_261
  let text = ''
  for (let round = 0; round < 8; round++) {
    for (const letter of image) {
      hash = Math.imul(hash ^ (letter.codePointAt(0) ?? 0), 16_777_619) >>> 0
    }
    text += hash.toString(16).padStart(8, '0')
  }
  return text
}

function simulatedCommand(command: readonly string[]): { exitCode: number; stdout: string } {
  const shell = /^(.*\/)?(ba|da|)sh$/.test(command[0] ?? '') && command[1] === '-c'
  const words = shell ? (command[2] ?? '').trim().split(/\s+/) : command
  const [program = '', ...rest] = words
  if (program === 'false') return { exitCode: 1, stdout: '' }
  if (program === 'exit') return { exitCode: Number(rest[0] ?? 0), stdout: '' }
  if (program === 'echo') return { exitCode: 0, stdout: `${rest.join(' ')}\n` }
  return { exitCode: 0, stdout: '' }
}

/** Log files that nobody wrote to a disk. */
class MemoryLogs implements LogFiles {
  readonly #files = new Map<string, Buffer>()
  readonly #watchers = new Map<string, Set<() => void>>()

  append(path: string, text: string): void {
    this.#files.set(
      path,
      Buffer.concat([this.#files.get(path) ?? Buffer.alloc(0), Buffer.from(text)]),
    )
    for (const notify of this.#watchers.get(path) ?? []) notify()
  }

  async stat(path: string) {
    const file = this.#files.get(path)
    return file === undefined ? undefined : { size: file.length, inode: 1 }
  }
  async read(path: string, offset: number, length: number) {
    return (this.#files.get(path) ?? Buffer.alloc(0)).subarray(offset, offset + length)
  }
  async list(folder: string) {
    return [...this.#files.keys()]
      .filter((path) => path.startsWith(`${folder}/`))
      .map((path) => path.slice(folder.length + 1).split('/')[0] ?? '')
  }
  async rename(from: string, to: string) {
    const file = this.#files.get(from)
    if (file === undefined) return
    this.#files.delete(from)
    this.#files.set(to, file)
  }
  async remove(path: string) {
    for (const key of this.#files.keys()) {
      if (key === path || key.startsWith(`${path}/`)) this.#files.delete(key)
    }
  }
  async makeFolder() {}
  watch(path: string, onChange: () => void, signal: AbortSignal) {
    const watchers = this.#watchers.get(path) ?? new Set()
    this.#watchers.set(path, watchers)
    watchers.add(onChange)
    signal.addEventListener(
      'abort',
      () => {
        watchers.delete(onChange)
        if (watchers.size === 0) this.#watchers.delete(path)
      },
      { once: true },
    )
  }
}

/** Containers that do nothing but begin and end, as the annotations of their pods say. */
import type { Env } from '#base'
import {
  type Container,
  type ContainerConfig,
  type ContainerStatus,
  LABEL,
  type PodFilter,
  type PodSandboxConfig,
  RuntimeError,
  type RuntimeEvent,
} from '../runtime.ts'

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

/** What containers need of the rest of the runtime. */
interface Surroundings {
  readonly env: Pick<Env, 'clock'>
  readonly startMs: number
  sandbox(id: string): PodSandboxConfig | undefined
  newId(): string
  /** A line in the file that the kubelet would read. */
  log(path: string, line: string): void
  tell(event: RuntimeEvent): void
}

interface SimulatedContainer {
  status: ContainerStatus
  readonly config: ContainerConfig
  readonly sandboxId: string
  readonly exited: PromiseWithResolvers<void>
  cancelTimer: () => void
}

const KILLED = 137
const TERMINATED = 143

export class SimulatedContainers {
  readonly #around: Surroundings
  readonly #containers = new Map<string, SimulatedContainer>()

  constructor(around: Surroundings) {
    this.#around = around
  }

  create(sandboxId: string, config: ContainerConfig, imageRef: string): string {
    const sandbox = this.#around.sandbox(sandboxId)
    if (sandbox === undefined) throw new RuntimeError('notFound', `sandbox ${sandboxId} not found`)
    const id = this.#around.newId()
    this.#containers.set(id, {
      config,
      sandboxId,
      exited: Promise.withResolvers<void>(),
      cancelTimer: () => {},
      status: {
        id,
        ...config.metadata,
        state: 'created',
        createdAt: this.#around.env.clock.now(),
        startedAt: undefined,
        finishedAt: undefined,
        exitCode: 0,
        image: config.userSpecifiedImage,
        imageRef,
        imageId: config.image,
        reason: '',
        message: '',
        labels: config.labels,
        annotations: config.annotations,
        logPath: `${sandbox.logDirectory}/${config.logPath}`,
        resources: config.linux.resources,
      },
    })
    return id
  }

  async start(id: string): Promise<void> {
    const container = this.#container(id)
    const { clock } = this.#around.env
    await clock.sleep(this.#around.startMs)
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
    this.#around.tell({ type: 'started', id })
  }

  async stop(id: string, timeoutSeconds: number): Promise<void> {
    const container = this.#containers.get(id)
    if (container === undefined || container.status.state !== 'running') return
    const needed = Number(this.#setting(container, SIMULATION.stopSeconds) ?? 0)
    const { clock } = this.#around.env
    if (needed > 0) {
      const cancel = new AbortController()
      const wait = clock.sleep(Math.min(needed, timeoutSeconds) * 1000, cancel.signal)
      await Promise.race([wait.catch(() => {}), container.exited.promise])
      cancel.abort()
    }
    this.#exit(container, needed > timeoutSeconds ? KILLED : TERMINATED)
  }

  remove(id: string): void {
    const container = this.#containers.get(id)
    if (container === undefined) return
    this.#exit(container, KILLED)
    this.#containers.delete(id)
  }

  /** The sandbox is told to stop: what ran in it is killed. */
  endOf(sandboxId: string): void {
    for (const container of this.#containers.values()) {
      if (container.sandboxId === sandboxId) this.#exit(container, KILLED)
    }
  }

  /** The sandbox is gone. */
  forget(sandboxId: string): void {
    for (const [id, container] of this.#containers) {
      if (container.sandboxId === sandboxId) this.#containers.delete(id)
    }
  }

  list(filter: PodFilter = {}): readonly Container[] {
    return [...this.#containers.values()]
      .filter(({ sandboxId, config }) => {
        const uid = config.labels[LABEL.podUid]
        const { podUid = uid, sandboxId: wanted = sandboxId } = filter
        return podUid === uid && wanted === sandboxId
      })
      .map(({ status, sandboxId }) => ({ ...status, sandboxId }))
  }

  status(id: string): ContainerStatus | undefined {
    return this.#containers.get(id)?.status
  }

  updateResources(id: string, resources: ContainerStatus['resources']): void {
    const container = this.#container(id)
    container.status = {
      ...container.status,
      resources: { ...container.status.resources, ...resources },
    }
  }

  stats(filter?: PodFilter) {
    const time = this.#around.env.clock.now()
    return this.list(filter)
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

  /** Throws for one that is not there, or does not run. */
  running(id: string): SimulatedContainer {
    const container = this.#container(id)
    if (container.status.state !== 'running') {
      throw new RuntimeError('failed', `container ${id} is not running`)
    }
    return container
  }

  #container(id: string): SimulatedContainer {
    const container = this.#containers.get(id)
    if (container === undefined) throw new RuntimeError('notFound', `container ${id} not found`)
    return container
  }

  #exit(container: SimulatedContainer, exitCode: number): void {
    const { status } = container
    if (status.state === 'exited') return
    container.cancelTimer()
    container.status = {
      ...status,
      state: 'exited',
      startedAt: status.startedAt ?? status.createdAt,
      finishedAt: this.#around.env.clock.now(),
      exitCode,
      reason: exitCode === 0 ? 'Completed' : 'Error',
    }
    container.exited.resolve()
    this.#around.tell({ type: 'stopped', id: status.id })
  }

  #setting({ config, sandboxId }: SimulatedContainer, name: string): string | undefined {
    const annotations = this.#around.sandbox(sandboxId)?.annotations ?? {}
    return annotations[`${name}.${config.metadata.name}`] ?? annotations[name]
  }

  #log({ status }: SimulatedContainer, text: string): void {
    const time = this.#around.env.clock.now().toISOString().replace('Z', '000000Z')
    this.#around.log(status.logPath, `${time} stdout F ${text}\n`)
  }
}

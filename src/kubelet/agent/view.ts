/** What the runtime has of one pod, as far as its agent knows, and what others are shown of it. */
import type { Pod } from '#api'
import type { KubeletContext } from '../context.ts'
import { type PodContainer, type PodRuntime, byAge, emptyPodRuntime } from '../pod/pod-runtime.ts'
import type { PodSandboxStatus } from '../runtime.ts'
import { terminationMessage } from './termination-message.ts'

/** What the view needs of the pod's agent. */
export interface ViewedPod {
  readonly context: Pick<KubeletContext, 'runtime' | 'env' | 'volumeOptions'>
  readonly pod: Pod
  /** Events of this container or sandbox are the pod's, until it is disowned. */
  own(id: string): void
  disown(id: string): void
  publish(): void
  wakeIn(ms: number): void
}

const UNKNOWN_EXIT_CODE = 137
/** How late upstream's kubelet may see that a container has ended. */
const SEEN_LATE_MS = 1000

export class PodView {
  readonly #agent: ViewedPod
  #runtime: PodRuntime
  /** Last words, by container id. */
  readonly #messages = new Map<string, string>()
  /** Containers that were ended to be made anew. */
  readonly #again = new Set<string>()
  /** Containers whose first hook has not ended. */
  readonly #heldBack = new Set<string>()
  /** The latest question about each container or sandbox. */
  readonly #questions = new Map<string, Promise<void>>()

  constructor(agent: ViewedPod, runtime: PodRuntime = emptyPodRuntime) {
    this.#agent = agent
    this.#runtime = runtime
  }

  get runtime(): PodRuntime {
    return this.#runtime
  }

  get messages(): ReadonlyMap<string, string> {
    return this.#messages
  }

  get again(): ReadonlySet<string> {
    return this.#again
  }

  /** The container ends to be made anew. */
  replace(id: string): void {
    this.#again.add(id)
  }

  setContainer(container: PodContainer): void {
    const others = this.#runtime.containers.filter(({ id }) => id !== container.id)
    this.#agent.own(container.id)
    this.#runtime = { ...this.#runtime, containers: [...others, container].toSorted(byAge) }
  }

  dropContainer(id: string): void {
    const containers = this.#runtime.containers.filter((container) => container.id !== id)
    this.#agent.disown(id)
    this.#again.delete(id)
    this.#messages.delete(id)
    this.#runtime = { ...this.#runtime, containers }
  }

  setSandbox(sandbox: PodSandboxStatus): void {
    const others = this.#runtime.sandboxes.filter(({ id }) => id !== sandbox.id)
    this.#runtime = { ...this.#runtime, sandboxes: [...others, sandbox].toSorted(newestFirst) }
  }

  dropSandbox(id: string): void {
    const sandboxes = this.#runtime.sandboxes.filter((sandbox) => sandbox.id !== id)
    this.#runtime = { ...this.#runtime, sandboxes }
  }

  /** Asks the runtime, and publishes what it says. */
  async refresh(id: string): Promise<void> {
    const { runtime } = this.#agent.context
    const known = this.#runtime.containers.find((container) => container.id === id)
    if (known !== undefined) {
      const status = await runtime.containerStatus(id)
      if (status === undefined) return
      const next = { ...status, sandboxId: known.sandboxId }
      if (next.state === 'exited' && known.state !== 'exited') await this.#readMessage(next)
      this.setContainer(next)
    } else if (this.#runtime.sandboxes.some((sandbox) => sandbox.id === id)) {
      const status = await runtime.podSandboxStatus(id)
      if (status === undefined) this.dropSandbox(id)
      else this.setSandbox(status)
    }
    this.#agent.publish()
  }

  /** The same, with one question at a time for each; what comes while one is under way asks again. */
  async refreshInTurn(id: string): Promise<void> {
    const before = this.#questions.get(id) ?? Promise.resolve()
    const mine = before.then(() => this.refresh(id))
    this.#questions.set(id, mine)
    try {
      await mine
    } finally {
      if (this.#questions.get(id) === mine) this.#questions.delete(id)
    }
  }

  /** The runtime does not know it any more, though it should: it has ended, and nobody knows how. */
  vanished(id: string): void {
    const container = this.#runtime.containers.find((found) => found.id === id)
    if (container === undefined) {
      this.dropSandbox(id)
      return
    }
    this.setContainer({
      ...container,
      state: 'exited',
      exitCode: UNKNOWN_EXIT_CODE,
      reason: 'ContainerStatusUnknown',
      message: 'The container could not be located in the container runtime.',
      finishedAt: this.#agent.context.env.clock.now(),
    })
  }

  /** The container is not shown as running until the returned function is called. */
  holdBack(id: string): () => void {
    this.#heldBack.add(id)
    return () => {
      this.#heldBack.delete(id)
      this.#agent.publish()
    }
  }

  /** The runtime as others see it. */
  shown(): PodRuntime {
    if (this.#heldBack.size === 0) return this.#runtime
    const containers = this.#runtime.containers.map((container) =>
      container.state === 'running' && this.#heldBack.has(container.id)
        ? { ...container, state: 'created' as const }
        : container,
    )
    return { ...this.#runtime, containers }
  }

  /**
   * What a status tells of containers that follow others: one that is made, and does not run yet, is not told of, so
   * that a restart counts once it has happened. And one that ended because it is made anew counts as running until the
   * next one does, within the second that clients are used to: who changes an image and reads on finds the pod as ready
   * as it was.
   */
  told(shown: PodRuntime): PodRuntime {
    const ended = new Set(
      shown.containers.filter(({ state }) => state === 'exited').map(({ name }) => name),
    )
    const containers = shown.containers.filter(
      ({ name, state }) => state !== 'created' || !ended.has(name),
    )
    const now = this.#agent.context.env.clock.now().getTime()
    const isReplaced = ({ id, name, state, finishedAt }: PodContainer): boolean => {
      if (state !== 'exited' || !this.#again.has(id)) return false
      if (containers.find((each) => each.name === name)?.id !== id) return false
      const leftMs = (finishedAt?.getTime() ?? 0) + SEEN_LATE_MS - now
      if (leftMs > 0) this.#agent.wakeIn(leftMs)
      return leftMs > 0
    }
    return {
      ...shown,
      containers: containers.map((container) =>
        isReplaced(container) ? { ...container, state: 'running' as const } : container,
      ),
    }
  }

  async #readMessage(container: PodContainer): Promise<void> {
    const text = await terminationMessage(this.#agent, container)
    if (text !== undefined) this.#messages.set(container.id, text)
  }
}

const newestFirst = (a: PodSandboxStatus, b: PodSandboxStatus): number =>
  b.createdAt.getTime() - a.createdAt.getTime() || b.metadata.attempt - a.metadata.attempt

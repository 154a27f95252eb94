/** The volumes of one pod as its containers mount them: made once, kept up to date, tried again when they cannot be made. */
import type { Pod } from '#api'
import { GrowingDelay } from '../backoff.ts'
import type { KubeletContext } from '../context.ts'
import { type MountedVolume, PodVolumes, downwardVolumes } from '../volumes/pod-volumes.ts'

/** What the files need of the pod's agent. */
export interface PodWithFiles {
  readonly context: Pick<KubeletContext, 'volumeOptions'>
  readonly pod: Pod
  /** Stops when the pod is to stop. */
  readonly signal: AbortSignal
  event(type: 'Normal' | 'Warning', reason: string, message: string): void
  publish(): void
  wakeIn(ms: number): void
}

const RETRY_FIRST_MS = 500
const RETRY_LAST_MS = 120_000

export class PodFiles {
  readonly #agent: PodWithFiles
  readonly #volumes: PodVolumes
  readonly #delay = new GrowingDelay({ firstMs: RETRY_FIRST_MS, lastMs: RETRY_LAST_MS })
  #mounted: ReadonlyMap<string, MountedVolume> | undefined
  /** What was fetched for files that are being made may be old already. */
  #old = false

  constructor(agent: PodWithFiles, pod: Pod) {
    this.#agent = agent
    this.#volumes = new PodVolumes(pod, agent.context.volumeOptions)
  }

  /** By name; undefined while they are not all made. */
  get mounted(): ReadonlyMap<string, MountedVolume> | undefined {
    return this.#mounted
  }

  /** What makes them; undefined when they cannot be made now, and that is told. */
  async resolve(
    pod: Pod,
  ): Promise<(() => Promise<ReadonlyMap<string, MountedVolume>>) | undefined> {
    try {
      return await this.#volumes.resolve(pod, this.#agent.signal)
    } catch (error) {
      this.failed(error)
      return undefined
    }
  }

  made(mounted: ReadonlyMap<string, MountedVolume>): void {
    this.#mounted = mounted
    if (this.#old) this.#refresh(this.#agent.pod)
    this.#delay.reset()
  }

  failed(error: unknown): void {
    const agent = this.#agent
    if (agent.signal.aborted) return
    const errors: readonly unknown[] = error instanceof AggregateError ? error.errors : [error]
    for (const each of errors) {
      const why = each instanceof Error ? each.message : String(each)
      agent.event('Warning', 'FailedMount', why)
    }
    agent.publish()
    agent.wakeIn(this.#delay.next())
  }

  /** They are to be made again before another container starts. */
  remount(): void {
    this.#mounted = undefined
  }

  /** Something that they come from has changed. */
  sourcesChanged(): void {
    this.#delay.reset()
    if (this.#mounted === undefined) this.#old = true
    else this.#refresh(this.#agent.pod)
  }

  /** Some show the labels and annotations of the pod itself. */
  podChanged(before: Pod, after: Pod): void {
    const { labels, annotations } = after.metadata
    const unchanged =
      JSON.stringify([before.metadata.labels, before.metadata.annotations]) ===
      JSON.stringify([labels, annotations])
    if (!unchanged) this.#writeDownward()
  }

  /** And some what its containers have been given, which is another amount now. */
  resized(): void {
    this.#writeDownward()
  }

  tearDown(): Promise<void> {
    return this.#volumes.tearDown()
  }

  #writeDownward(): void {
    const { pod } = this.#agent
    const names = downwardVolumes(pod)
    if (names.size > 0 && this.#mounted !== undefined) this.#write(pod, names)
  }

  #refresh(pod: Pod): void {
    this.#old = false
    this.#write(pod)
  }

  #write(pod: Pod, only?: ReadonlySet<string>): void {
    void this.#volumes
      .refresh(pod, this.#agent.signal, only)
      .catch((error: unknown) => this.failed(error))
  }
}

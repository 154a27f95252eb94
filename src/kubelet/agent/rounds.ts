/** The rounds of one pod: one at a time; whatever happens meanwhile asks for another. */
import type { Env, Span } from '#base'
import type { Pod } from '#api'
import type { KubeletMetrics } from '../metrics.ts'
import { uidOf } from '../pod/containers.ts'

export interface RoundsOptions {
  readonly env: Pick<Env, 'clock' | 'tracing'>
  readonly metrics: Pick<KubeletMetrics, 'podSynced'>
  /** Whether the pod goes round at all: asked before each round. */
  readonly goesOn: () => boolean
  /** One round. */
  readonly run: () => Promise<void>
  /** A round has thrown: whether there may be others. */
  readonly failed: (error: unknown) => boolean
  /** Ends all of them. */
  readonly signal: AbortSignal
}

export class Rounds {
  readonly #options: RoundsOptions
  #asked = false
  #running: Promise<void> | undefined
  #cancelWake = () => {}
  #wakeMs = Number.POSITIVE_INFINITY
  /** Of the present round, once it does something. */
  #span: Span | undefined
  #begunMs: number | undefined

  constructor(options: RoundsOptions) {
    this.#options = options
  }

  /** Asks for another round. */
  ask(): void {
    this.#asked = true
    this.#running ??= this.#go().finally(() => {
      this.#running = undefined
      if (this.#asked && !this.#options.signal.aborted) this.ask()
    })
  }

  /** Another round after so long at the latest. */
  askIn(ms: number): void {
    const { clock } = this.#options.env
    const at = clock.monotonic() + ms
    if (at >= this.#wakeMs) return
    this.#cancelWake()
    this.#wakeMs = at
    this.#cancelWake = clock.schedule(ms, () => {
      this.#wakeMs = Number.POSITIVE_INFINITY
      this.ask()
    })
  }

  /** No timer asks any more. */
  stopTimer(): void {
    this.#cancelWake()
  }

  /** The round that is under way has ended, however it did. */
  async settled(): Promise<void> {
    await this.#running?.catch(() => {})
  }

  /** The present round does something. It belongs to the trace of who wrote the pod as it is. */
  begin(pod: Pod): void {
    const { tracing, clock } = this.#options.env
    const { metadata, spec } = pod
    this.#begunMs ??= clock.monotonic()
    this.#span ??= tracing?.start('sync pod', {
      kind: 'internal',
      parent: tracing.writerOf(Number(metadata.resourceVersion)),
      attributes: {
        pod: `${metadata.namespace ?? ''}/${metadata.name}`,
        uid: uidOf(pod),
        node: spec.nodeName ?? '',
      },
    })
  }

  /** A part of the present round, with a span of its own. */
  async timed<T>(name: string, run: () => Promise<T>): Promise<T> {
    const span = this.#span?.child(name)
    let failure: unknown
    try {
      return await run()
    } catch (error) {
      failure = error
      throw error
    } finally {
      span?.end(failure)
    }
  }

  async #go(): Promise<void> {
    const { goesOn, run, failed, signal } = this.#options
    while (this.#asked && !signal.aborted && goesOn()) {
      this.#asked = false
      let failure: unknown
      try {
        await run()
      } catch (error) {
        failure = error
        if (!failed(error)) return
      } finally {
        this.#end(failure)
      }
    }
    this.#asked = false
  }

  #end(failure: unknown): void {
    const { env, metrics } = this.#options
    this.#span?.end(failure)
    this.#span = undefined
    if (this.#begunMs !== undefined) {
      metrics.podSynced((env.clock.monotonic() - this.#begunMs) / 1000)
    }
    this.#begunMs = undefined
  }
}

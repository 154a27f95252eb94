/** Waits that double with each failure and are forgotten after a long calm. */
import type { Env } from '#base'

export interface BackoffLimits {
  readonly firstMs: number
  readonly lastMs: number
  /** Without another failure for so long the next one counts as the first. */
  readonly resetMs: number
}

/** Of a container that keeps ending. */
export const CRASH_BACKOFF: BackoffLimits = {
  firstMs: 10_000,
  lastMs: 300_000,
  resetMs: 600_000,
}
export const IMAGE_BACKOFF: BackoffLimits = {
  firstMs: 10_000,
  lastMs: 300_000,
  resetMs: 600_000,
}

interface Entry {
  readonly delayMs: number
  /** When the wait began, on the monotonic clock. */
  readonly sinceMs: number
}

/** The entry after one more failure. */
export const nextDelay = (
  entry: Entry | undefined,
  nowMs: number,
  { firstMs, lastMs, resetMs }: BackoffLimits,
): number =>
  entry === undefined || nowMs - entry.sinceMs > resetMs + entry.delayMs
    ? firstMs
    : Math.min(entry.delayMs * 2, lastMs)

export class Backoff {
  readonly #limits: BackoffLimits
  readonly #clock: Env['clock']
  readonly #entries = new Map<string, Entry>()

  constructor(limits: BackoffLimits, { clock }: Pick<Env, 'clock'>) {
    this.#limits = limits
    this.#clock = clock
  }

  /** A failure: begins the wait and returns its length. */
  next(key: string): number {
    const nowMs = this.#clock.monotonic()
    const delayMs = nextDelay(this.#entries.get(key), nowMs, this.#limits)
    this.#entries.set(key, { delayMs, sinceMs: nowMs })
    return delayMs
  }

  /** Milliseconds that are left; 0 when it may be tried. */
  waitMs(key: string): number {
    const entry = this.#entries.get(key)
    if (entry === undefined) return 0
    return Math.max(0, entry.sinceMs + entry.delayMs - this.#clock.monotonic())
  }

  /** The present wait in all; 0 when there is none. */
  delayMs(key: string): number {
    return this.#entries.get(key)?.delayMs ?? 0
  }

  /** Every key that begins so. */
  forget(prefix: string): void {
    for (const key of this.#entries.keys()) if (key.startsWith(prefix)) this.#entries.delete(key)
  }
}

/** What one thing waits before it is tried again: twice as long each time, up to a bound. */
export class GrowingDelay {
  readonly #limits: Pick<BackoffLimits, 'firstMs' | 'lastMs'>
  #ms: number

  constructor(limits: Pick<BackoffLimits, 'firstMs' | 'lastMs'>) {
    this.#limits = limits
    this.#ms = limits.firstMs
  }

  next(): number {
    const ms = this.#ms
    this.#ms = Math.min(ms * 2, this.#limits.lastMs)
    return ms
  }

  reset(): void {
    this.#ms = this.#limits.firstMs
  }
}

/**
 * Events are forgotten an hour after they were last written, and the oldest earlier where so many come that they
 * would fill the memory. Nothing runs while there are none.
 */
import { Turn, type Env } from '#base'
import type { KubeObject } from '#machinery'
import type { CacheEntry, Storage } from '#storage'
import type { Collection } from './collection.ts'

const EVENT_LIFE_MS = 60 * 60_000
/** Sweeps are at least so far apart: many events end together. */
const COARSENESS_MS = 60_000
/** Of so many events the oldest tenth goes: they take about 150 MB. */
const MOST_EVENTS = 50_000
const KEPT_EVENTS = 45_000
/** Until a sweep for want of room. */
const SOON_MS = 1000

export class EventSweeper {
  readonly #storage: Storage
  readonly #env: Pick<Env, 'clock'>
  readonly #most: number
  readonly #stop = new AbortController()
  /** When each event was written last, the oldest first. */
  readonly #written = new Map<string, number>()
  #collection: Collection | undefined
  #sweep: { readonly atMs: number; readonly cancel: () => void } | undefined
  #isSweeping = false

  constructor(storage: Storage, env: Pick<Env, 'clock'>, most = MOST_EVENTS) {
    this.#storage = storage
    this.#env = env
    this.#most = most
  }

  follow(collection: Collection): void {
    if (this.#collection !== undefined) return
    this.#collection = collection
    collection.ready
      .then(() => this.#begin(collection))
      .catch((error: unknown) => {
        if (!this.#stop.signal.aborted) throw error
      })
  }

  async #begin({ cache }: Collection): Promise<void> {
    if (this.#stop.signal.aborted) return
    const { entries, revision } = cache.list()
    const changes = cache.watch({ from: revision, signal: this.#stop.signal, limit: Infinity })
    const turn = new Turn(this.#env.clock)
    const found: [key: string, at: number][] = []
    for (const entry of entries) {
      found.push([entry.key, writtenAt(entry)])
      if (turn.isOver()) await turn.next()
    }
    for (const [key, at] of found.toSorted(([, one], [, other]) => one - other))
      this.#written.set(key, at)
    this.#schedule()
    for await (const batch of changes) {
      const now = this.#env.clock.now().getTime()
      for (const { type, entry } of batch) {
        // What is written again comes last.
        this.#written.delete(entry.key)
        if (type !== 'deleted') this.#written.set(entry.key, now)
      }
      this.#schedule()
    }
  }

  #schedule(): void {
    if (this.#isSweeping || this.#stop.signal.aborted) return
    const [oldest] = this.#written.values()
    if (oldest === undefined) return
    const { clock } = this.#env
    const wait =
      this.#written.size > this.#most
        ? SOON_MS
        : Math.max(oldest + EVENT_LIFE_MS - clock.now().getTime(), 0) + COARSENESS_MS
    const atMs = clock.monotonic() + wait
    // One that comes early finds nothing to do, and waits for the next.
    if (this.#sweep !== undefined && this.#sweep.atMs <= atMs) return
    this.#sweep?.cancel()
    const cancel = clock.schedule(wait, () => {
      this.#sweep = undefined
      this.#isSweeping = true
      const goOn = (): void => {
        this.#isSweeping = false
        this.#schedule()
      }
      this.#forget().then(goOn, goOn)
    })
    this.#sweep = { atMs, cancel }
  }

  async #forget(): Promise<void> {
    const { clock } = this.#env
    const before = clock.now().getTime() - EVENT_LIFE_MS
    const kept =
      this.#written.size > this.#most
        ? Math.ceil((this.#most * KEPT_EVENTS) / MOST_EVENTS)
        : Number.POSITIVE_INFINITY
    const turn = new Turn(clock)
    for (const [key, at] of this.#written) {
      if (this.#stop.signal.aborted) return
      if (at > before && this.#written.size <= kept) return
      this.#written.delete(key)
      const entry = this.#collection?.cache.get(key)
      if (entry === undefined) continue
      const origin = {
        actor: 'system:apiserver',
        cause: 'event-ttl',
        time: clock.now().getTime(),
        volatile: true,
      }
      // Whoever writes it again meanwhile gives it another hour.
      await this.#storage.delete(key, entry.modified, origin)
      if (turn.isOver()) await turn.next()
    }
  }

  close(): void {
    this.#stop.abort()
    this.#sweep?.cancel()
  }
}

/** The newest of the times that an event has. */
function writtenAt({ object }: CacheEntry<KubeObject>): number {
  const event = object as KubeObject & {
    lastTimestamp?: string | null
    eventTime?: string | null
    series?: { lastObservedTime?: string | null }
  }
  const times = [
    event.metadata.creationTimestamp,
    event.lastTimestamp,
    event.eventTime,
    event.series?.lastObservedTime,
  ].map((text) => (text === null || text === undefined ? 0 : Date.parse(text) || 0))
  return Math.max(...times)
}

/** Events are forgotten an hour after they were last written. Nothing runs while there are none. */
import type { Env } from '#base'
import type { KubeObject } from '#machinery'
import type { CacheEntry, Storage } from '#storage'
import type { Collection } from './collection.ts'

const EVENT_LIFE_MS = 60 * 60_000
/** Sweeps are at least so far apart: many events end together. */
const COARSENESS_MS = 60_000
/** Events removed between two turns of others. */
const SLICE = 100

export class EventSweeper {
  readonly #storage: Storage
  readonly #env: Pick<Env, 'clock'>
  readonly #stop = new AbortController()
  #collection: Collection | undefined
  #cancel: (() => void) | undefined

  constructor(storage: Storage, env: Pick<Env, 'clock'>) {
    this.#storage = storage
    this.#env = env
  }

  follow(collection: Collection): void {
    if (this.#collection !== undefined) return
    this.#collection = collection
    collection.ready.then(
      () => this.#begin(collection),
      () => undefined,
    )
  }

  #begin({ cache }: Collection): void {
    if (this.#stop.signal.aborted) return
    if (cache.size > 0) this.#schedule()
    const changes = cache.watch({
      from: cache.revision,
      signal: this.#stop.signal,
      limit: Infinity,
    })
    void (async () => {
      for await (const _ of changes) this.#schedule()
    })().catch(() => undefined)
  }

  #schedule(): void {
    if (this.#cancel !== undefined || this.#stop.signal.aborted) return
    const oldest = this.#oldest()
    if (oldest === undefined) return
    const now = this.#env.clock.now().getTime()
    const wait = Math.max(oldest + EVENT_LIFE_MS - now, 0) + COARSENESS_MS
    this.#cancel = this.#env.clock.schedule(wait, () => {
      this.#cancel = undefined
      this.#sweep().then(
        () => this.#schedule(),
        () => this.#schedule(),
      )
    })
  }

  #oldest(): number | undefined {
    let oldest: number | undefined
    for (const entry of this.#collection?.cache.list().entries ?? []) {
      const written = writtenAt(entry)
      if (oldest === undefined || written < oldest) oldest = written
    }
    return oldest
  }

  async #sweep(): Promise<void> {
    const { clock } = this.#env
    const before = clock.now().getTime() - EVENT_LIFE_MS
    const entries = this.#collection?.cache.list().entries ?? []
    let removed = 0
    for (const entry of entries) {
      if (writtenAt(entry) > before) continue
      const origin = {
        actor: 'system:apiserver',
        cause: 'event-ttl',
        time: clock.now().getTime(),
        volatile: true,
      }
      // Whoever writes it again meanwhile gives it another hour.
      await this.#storage.delete(entry.key, entry.modified, origin)
      if (++removed % SLICE === 0) await new Promise((resolve) => setImmediate(resolve))
    }
  }

  close(): void {
    this.#stop.abort()
    this.#cancel?.()
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

/** Keeps a cache as a store is that is elsewhere: lists it, watches it, and lists it again when the watch is lost. */
import type { Env } from '#base'
import type { CachedEntry } from './cached.ts'
import { Slabs, type SlabEntry } from './slabs.ts'
import type { SortedMap } from './sorted-map.ts'
import {
  type Change,
  CompactedError,
  type Entry,
  type Origin,
  type Revision,
  type Storage,
} from './storage.ts'

/** What the feed needs of the cache. */
export interface FedCache<T extends object> {
  readonly prefix: string
  readonly entries: SortedMap<CachedEntry<T>>
  /** The newest revision that is in it. */
  readonly seen: Revision
  /** The entry of what is stored. */
  wrap(stored: Entry): CachedEntry<T>
  put(
    type: Change['type'],
    entry: CachedEntry<T>,
    previous: CachedEntry<T> | undefined,
    origin: Origin | undefined,
  ): void
  remove(previous: CachedEntry<T>, revision: Revision, origin: Origin | undefined): void
  /** All up to this revision has been put into it. */
  advance(revision: Revision): void
  wake(): void
}

const RETRY_MS = 1000
const PAGE = 1000

export class RemoteFeed<T extends object> {
  readonly #cache: FedCache<T>
  readonly #storage: Storage
  readonly #clock: Env['clock']
  readonly #slabs = new Slabs()
  readonly #closing = new AbortController()

  constructor(
    cache: FedCache<T>,
    { storage, clock }: { readonly storage: Storage } & Pick<Env, 'clock'>,
  ) {
    this.#cache = cache
    this.#storage = storage
    this.#clock = clock
  }

  /** Resolves when the cache is as the store is now. */
  fill(): Promise<void> {
    return this.#relist()
  }

  /** Goes on from there, until it is stopped. */
  start(): void {
    void this.#follow(this.#closing.signal)
  }

  stop(): void {
    this.#closing.abort()
  }

  /** Nobody asks for this entry any more. */
  release(entry: CachedEntry<T>): void {
    this.#slabs.release(entry.stored as SlabEntry)
  }

  async #follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        const range = { prefix: this.#cache.prefix }
        for await (const changes of this.#storage.watch(range, this.#cache.seen, signal))
          this.#onRemote(changes)
      } catch (error) {
        if (error instanceof CompactedError) await this.#relist().catch(() => {})
        // The store is away for a while: what is here stays readable.
        await this.#clock.sleep(RETRY_MS, signal).catch(() => {})
      }
    }
  }

  #onRemote(changes: readonly Change[]): void {
    for (const { type, key, value, revision, origin } of changes) {
      const previous = this.#cache.entries.get(key)
      if (type === 'deleted') {
        if (previous !== undefined) this.#cache.remove(previous, revision, origin)
        continue
      }
      const created = type === 'created' ? revision : (previous?.created ?? revision)
      const stored = this.#slabs.add(key, value, revision, created)
      this.#cache.put(type, this.#cache.wrap(stored), previous, origin)
    }
    this.#cache.wake()
  }

  /** What changed unseen becomes events, each at the revision of the list at the latest. */
  async #relist(): Promise<void> {
    const { entries, revision } = await this.#readAll()
    const isFirst = this.#cache.seen === 0
    const present = new Set<string>()
    const changed: Entry[] = []
    for (const entry of entries) {
      present.add(entry.key)
      if (this.#cache.entries.get(entry.key)?.modified !== entry.modified) changed.push(entry)
    }
    const gone: CachedEntry<T>[] = []
    this.#cache.entries.scan({ prefix: this.#cache.prefix }, (entry) => {
      if (!present.has(entry.key)) gone.push(entry)
      return true
    })
    changed.sort((a, b) => a.modified - b.modified)
    for (const { key, value, modified, created } of changed) {
      const previous = this.#cache.entries.get(key)
      const entry = this.#cache.wrap(this.#slabs.add(key, value, modified, created))
      if (isFirst) this.#cache.entries.set(key, entry)
      else
        this.#cache.put(previous === undefined ? 'created' : 'updated', entry, previous, undefined)
    }
    for (const entry of gone) this.#cache.remove(entry, revision, undefined)
    this.#cache.advance(revision)
    this.#cache.wake()
  }

  async #readAll(): Promise<{ entries: readonly Entry[]; revision: Revision }> {
    const { prefix } = this.#cache
    const first = await this.#storage.list({ prefix }, { limit: PAGE })
    const entries = [...first.value]
    const { revision } = first
    for (let page = first.value; page.length === PAGE;) {
      const after = (page.at(-1) as Entry).key
      page = (await this.#storage.list({ prefix, after }, { limit: PAGE, at: revision })).value
      for (const entry of page) entries.push(entry)
    }
    return { entries, revision }
  }
}

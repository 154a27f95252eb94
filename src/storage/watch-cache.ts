/**
 * What an API server reads from: the newest state of one resource in memory, its recent events, and
 * their watchers. Reads do not wait. Over an embedded store it shows a write as soon as the writer
 * hears of it; over another it follows the store's watch.
 */
import type { Env } from '#base'
import { deepFreeze, parseSharing } from '#machinery'
import { isEmbedded, type EmbeddedChange, type EmbeddedStorage } from './embedded.ts'
import { ParsedCache, type Parsed } from './parsed-cache.ts'
import { Slabs, type SlabEntry } from './slabs.ts'
import { SortedMap } from './sorted-map.ts'
import {
  CompactedError,
  type Change,
  type Entry,
  type Origin,
  type Range,
  type Revision,
  type Storage,
} from './storage.ts'
import { WatcherSet, type CacheWatch, type CacheWatchOptions } from './watchers.ts'

export interface WatchCacheOptions<T extends object> extends Pick<Env, 'clock'> {
  readonly storage: Storage
  /** Keys of this resource start with it: `/registry/pods/`. */
  readonly prefix: string
  /** The object of stored bytes. The default parses JSON and sets `metadata.resourceVersion`. */
  readonly decode?: (value: Uint8Array, revision: Revision, key: string) => T
  /** What filters look at; asked once an entry, and only when one looks. */
  readonly extract?: (object: T, key: string) => ObjectIndex
  /** Events kept for watches from the past. Default: 10,000. */
  readonly capacity?: number
  /** Parsed objects kept, by the bytes of their JSON. Default: 32 MB. */
  readonly parsedBytes?: number
  /** Freeze objects deeply, so that a test sees who changes what is shared. */
  readonly freeze?: boolean
}

/** What filters look at without parsing. */
export interface ObjectIndex {
  readonly labels?: Readonly<Record<string, string>> | undefined
  /** Fields that field selectors may name, by path: `spec.nodeName`. */
  readonly fields?: Readonly<Record<string, string>> | undefined
  /** Uids of the owners. */
  readonly owners?: readonly string[] | undefined
}

/** One revision of one object. It never changes: a list of entries is a snapshot. */
export interface CacheEntry<T extends object = object> {
  readonly key: string
  readonly modified: Revision
  readonly created: Revision
  /** As stored. A view: copy it before keeping it. */
  readonly bytes: Uint8Array
  /** Shared: nobody changes it. */
  readonly object: T
  readonly index: ObjectIndex
}

export interface CacheEvent<T extends object = object> {
  readonly type: Change['type']
  readonly key: string
  readonly revision: Revision
  readonly origin: Origin | undefined
  /** The new state; for a deletion the last one, at the revision of the deletion. */
  readonly entry: CacheEntry<T>
  /** The state before; absent for a creation. */
  readonly previous: CacheEntry<T> | undefined
  /** The state before at this event's revision: what a watcher is shown when the object leaves its selection. */
  readonly departed: CacheEntry<T> | undefined
  /** Makes a thing once for all watchers, such as the encoding for a media type. */
  memo<V>(key: string, make: () => V): V
}

export interface CacheList<T extends object = object> {
  readonly entries: readonly CacheEntry<T>[]
  readonly revision: Revision
  /** How many entries of the range come after these, whether they pass the filter or not. */
  readonly remaining: number
}

export interface CacheListOptions<T extends object> {
  readonly limit?: number
  readonly filter?: (entry: CacheEntry<T>) => boolean
}

const DEFAULT_CAPACITY = 10_000
const DEFAULT_PARSED_BYTES = 32 * 1024 * 1024
/** Encodings are kept for so many newest events: watchers that lag further make their own. */
const MEMOS = 64
const RETRY_MS = 1000
const PAGE = 1000
const MAX_OFFERS = 4096

class CachedEntry<T extends object> implements CacheEntry<T>, Parsed {
  readonly modified: Revision
  /** @internal */ readonly stored: Entry
  /** @internal */ readonly cache: WatchCache<T>
  parsed: T | undefined = undefined
  lent: WeakRef<T> | undefined = undefined
  generation = 0
  #index: ObjectIndex | undefined = undefined
  constructor(cache: WatchCache<T>, stored: Entry, modified = stored.modified) {
    this.cache = cache
    this.stored = stored
    this.modified = modified
  }
  get key(): string {
    return this.stored.key
  }
  get created(): Revision {
    return this.stored.created
  }
  get bytes(): Uint8Array {
    return this.stored.value
  }
  get object(): T {
    return this.cache.objectOf(this)
  }
  get index(): ObjectIndex {
    return (this.#index ??= this.cache.indexOf(this))
  }
}

class CachedEvent<T extends object> implements CacheEvent<T> {
  readonly type: Change['type']
  readonly revision: Revision
  readonly origin: Origin | undefined
  readonly entry: CachedEntry<T>
  readonly previous: CachedEntry<T> | undefined
  #departed: CachedEntry<T> | undefined = undefined
  #memos: Map<string, unknown> | undefined = undefined
  constructor(
    type: Change['type'],
    revision: Revision,
    entry: CachedEntry<T>,
    previous: CachedEntry<T> | undefined,
    origin: Origin | undefined,
  ) {
    this.type = type
    this.revision = revision
    this.entry = entry
    this.previous = previous
    this.origin = origin
  }
  get key(): string {
    return this.entry.key
  }
  get departed(): CachedEntry<T> | undefined {
    if (this.type === 'deleted') return this.entry
    const { previous } = this
    if (previous === undefined) return undefined
    return (this.#departed ??= new CachedEntry(previous.cache, previous.stored, this.revision))
  }
  memo<V>(key: string, make: () => V): V {
    this.#memos ??= new Map()
    // The caller's key says what its value is.
    if (this.#memos.has(key)) return this.#memos.get(key) as V
    const value = make()
    this.#memos.set(key, value)
    return value
  }
  forgetMemos(): void {
    this.#memos = undefined
  }
}

/** Opens a cache and fills it. It follows the store until it is closed. */
export async function createWatchCache<T extends object>(
  options: WatchCacheOptions<T>,
): Promise<WatchCache<T>> {
  const cache = new WatchCache(options)
  await cache.start()
  return cache
}

/** Made by `createWatchCache`, or made and then started. */
export class WatchCache<T extends object = object> {
  readonly prefix: string
  readonly #options: WatchCacheOptions<T>
  readonly #storage: Storage
  readonly #embedded: EmbeddedStorage | undefined
  readonly #capacity: number
  readonly #entries = new SortedMap<CachedEntry<T>>()
  readonly #watchers: WatcherSet<T>
  readonly #parsed: ParsedCache
  /** Only for a store that is elsewhere: an embedded one shares its own bytes. */
  readonly #slabs = new Slabs()
  #events: CachedEvent<T>[] = []
  #firstEvent = 0
  /** Watches can begin here or later. */
  #oldest: Revision = 0
  #seen: Revision = 0
  readonly #offers = new Map<string, { value: Uint8Array; object: T }>()
  #stop: () => void = () => {}
  readonly #waiting = new Set<() => void>()

  constructor(options: WatchCacheOptions<T>) {
    const { storage, prefix } = options
    this.#options = options
    this.#storage = storage
    this.#embedded = isEmbedded(storage) ? storage : undefined
    this.prefix = prefix
    this.#capacity = options.capacity ?? DEFAULT_CAPACITY
    this.#parsed = new ParsedCache(options.parsedBytes ?? DEFAULT_PARSED_BYTES)
    this.#watchers = new WatcherSet(prefix)
  }

  /** Fills it; over an embedded store that is done when the call returns. */
  async start(): Promise<void> {
    if (this.#embedded === undefined) return await this.#follow()
    const { value, revision } = this.#embedded.listNow({ prefix: this.prefix })
    for (const entry of value) this.#entries.set(entry.key, new CachedEntry(this, entry))
    this.#oldest = revision
    this.#stop = this.#embedded.listen(this.prefix, (changes) => this.#onEmbedded(changes))
  }

  close(): void {
    this.#stop()
    this.#watchers.closeAll()
  }

  /** All changes up to this revision are in the cache. */
  get revision(): Revision {
    return this.#embedded?.revisions().current ?? this.#seen
  }

  /** The revision of its newest change: what was read from it holds until that is another. */
  get changedAt(): Revision {
    return this.#seen
  }

  /** The oldest revision that a watch can begin at. */
  get oldest(): Revision {
    return this.#oldest
  }

  get size(): number {
    return this.#entries.size
  }

  get(key: string): CacheEntry<T> | undefined {
    return this.#entries.get(key)
  }

  list(
    range: Range = { prefix: this.prefix },
    { limit = Infinity, filter }: CacheListOptions<T> = {},
  ): CacheList<T> {
    const entries: CacheEntry<T>[] = []
    let seen = 0
    this.#entries.scan(range, (entry) => {
      if (entries.length >= limit) return false
      seen++
      if (filter === undefined || filter(entry)) entries.push(entry)
      return true
    })
    const remaining = entries.length >= limit ? this.#entries.count(range) - seen : 0
    return { entries, revision: this.revision, remaining }
  }

  /** Events after `from`; throws `CompactedError` at once when that is too long ago. */
  watch(options: CacheWatchOptions<T>): CacheWatch<T> {
    const { from } = options
    if (from < this.#oldest) throw new CompactedError(from, this.#oldest)
    const watch = this.#watchers.add(options, () => this.revision)
    for (let at = this.#firstAfter(from); at < this.#events.length; at++)
      watch.offer(this.#events[at] as CachedEvent<T>)
    return watch
  }

  /** Resolves when the cache has seen the revision; rejects when the signal aborts. */
  async waitFor(revision: Revision, signal: AbortSignal): Promise<void> {
    if (this.revision >= revision) return
    signal.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const check = () => this.revision >= revision && resolve()
    const abort = () => reject(signal.reason)
    const stop = this.#embedded?.listen('', check)
    this.#waiting.add(check)
    signal.addEventListener('abort', abort)
    try {
      await promise
    } finally {
      stop?.()
      this.#waiting.delete(check)
      signal.removeEventListener('abort', abort)
    }
  }

  /** An entry of the store, such as one read at a past revision, as this cache's entries are. */
  wrap(stored: Entry): CacheEntry<T> {
    return new CachedEntry(this, stored)
  }

  /**
   * The writer of these bytes has their object at hand: if they become the next change of the key, the
   * cache need not parse them. The object must be what `decode` would give, but for the revision.
   */
  offer(key: string, value: Uint8Array, object: T): void {
    // Writes that failed leave theirs behind.
    if (this.#offers.size >= MAX_OFFERS) this.#offers.clear()
    this.#offers.set(key, { value, object })
  }

  /** @internal */
  objectOf(entry: CachedEntry<T>): T {
    const { bytes } = entry
    this.#parsed.use(entry, bytes.byteLength)
    return (entry.parsed ??= entry.lent?.deref() ?? this.#decode(bytes, entry.modified, entry.key))
  }

  /** @internal */
  indexOf(entry: CachedEntry<T>): ObjectIndex {
    return this.#options.extract?.(entry.object, entry.key) ?? {}
  }

  #decode(bytes: Uint8Array, revision: Revision, key: string): T {
    const { decode = parseJson<T>, freeze = false } = this.#options
    const object = decode(bytes, revision, key)
    return freeze ? deepFreeze(object) : object
  }

  #onEmbedded(changes: readonly EmbeddedChange[]): void {
    for (const { type, key, revision, entry, origin } of changes) {
      const previous = this.#entries.get(key)
      if (type !== 'deleted') this.#put(type, this.#offered(entry), previous, origin)
      else if (previous !== undefined) this.#remove(previous, revision, origin)
    }
    this.#watchers.wake()
  }

  #offered(stored: Entry): CachedEntry<T> {
    const entry = new CachedEntry(this, stored)
    const offer = this.#offers.get(stored.key)
    if (offer === undefined) return entry
    this.#offers.delete(stored.key)
    if (Buffer.compare(offer.value, stored.value) !== 0) return entry
    const object = withRevision(offer.object, stored.modified)
    entry.parsed = this.#options.freeze === true ? deepFreeze(object) : object
    this.#parsed.use(entry, offer.value.byteLength)
    return entry
  }

  #put(
    type: Change['type'],
    entry: CachedEntry<T>,
    previous: CachedEntry<T> | undefined,
    origin: Origin | undefined,
  ): void {
    this.#entries.set(entry.key, entry)
    this.#record(new CachedEvent(type, entry.modified, entry, previous, origin))
  }

  #remove(previous: CachedEntry<T>, revision: Revision, origin: Origin | undefined): void {
    this.#entries.delete(previous.key)
    const last = new CachedEntry(this, previous.stored, revision)
    this.#record(new CachedEvent('deleted', revision, last, previous, origin))
  }

  #record(event: CachedEvent<T>): void {
    this.#seen = Math.max(this.#seen, event.revision)
    this.#events.push(event)
    const length = this.#events.length
    this.#events[length - 1 - MEMOS]?.forgetMemos()
    if (length - this.#firstEvent > this.#capacity) this.#forgetOldest()
    this.#watchers.dispatch(event)
    for (const check of this.#waiting) check()
  }

  #forgetOldest(): void {
    const event = this.#events[this.#firstEvent++] as CachedEvent<T>
    this.#oldest = event.revision
    const { previous } = event
    if (this.#embedded === undefined && previous !== undefined)
      this.#slabs.release(previous.stored as SlabEntry)
    if (this.#firstEvent * 2 < this.#events.length || this.#firstEvent < MEMOS) return
    this.#events = this.#events.slice(this.#firstEvent)
    this.#firstEvent = 0
  }

  #firstAfter(from: Revision): number {
    let low = this.#firstEvent
    let high = this.#events.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#events[middle] as CachedEvent<T>).revision <= from) low = middle + 1
      else high = middle
    }
    return low
  }

  /** A store that is elsewhere: list, watch, and list again when the watch ends. */
  async #follow(): Promise<void> {
    const closing = new AbortController()
    this.#stop = () => closing.abort()
    await this.#relist()
    this.#oldest = this.#seen
    void this.#followOn(closing.signal)
  }

  async #followOn(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        const range = { prefix: this.prefix }
        for await (const changes of this.#storage.watch(range, this.#seen, signal))
          this.#onRemote(changes)
      } catch (error) {
        if (error instanceof CompactedError) await this.#relist().catch(() => {})
        // The store is away for a while: what is here stays readable.
        await this.#options.clock.sleep(RETRY_MS, signal).catch(() => {})
      }
    }
  }

  #onRemote(changes: readonly Change[]): void {
    for (const { type, key, value, revision, origin } of changes) {
      const previous = this.#entries.get(key)
      if (type === 'deleted') {
        if (previous !== undefined) this.#remove(previous, revision, origin)
        continue
      }
      const created = type === 'created' ? revision : (previous?.created ?? revision)
      const stored = this.#slabs.add(key, value, revision, created)
      this.#put(type, new CachedEntry(this, stored), previous, origin)
    }
    this.#watchers.wake()
  }

  /** What changed unseen becomes events, each at the revision of the list at the latest. */
  async #relist(): Promise<void> {
    const { entries, revision } = await this.#readAll()
    const isFirst = this.#seen === 0
    const present = new Set<string>()
    const changed: Entry[] = []
    for (const entry of entries) {
      present.add(entry.key)
      if (this.#entries.get(entry.key)?.modified !== entry.modified) changed.push(entry)
    }
    const gone: CachedEntry<T>[] = []
    this.#entries.scan({ prefix: this.prefix }, (entry) => {
      if (!present.has(entry.key)) gone.push(entry)
      return true
    })
    changed.sort((a, b) => a.modified - b.modified)
    for (const { key, value, modified, created } of changed) {
      const previous = this.#entries.get(key)
      const entry = new CachedEntry(this, this.#slabs.add(key, value, modified, created))
      if (isFirst) this.#entries.set(key, entry)
      else this.#put(previous === undefined ? 'created' : 'updated', entry, previous, undefined)
    }
    for (const entry of gone) this.#remove(entry, revision, undefined)
    this.#seen = Math.max(this.#seen, revision)
    this.#watchers.wake()
  }

  async #readAll(): Promise<{ entries: readonly Entry[]; revision: Revision }> {
    const { prefix } = this
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

const decoder = new TextDecoder()

/** Objects are stored without their revision: it is known only once they are. */
export function parseJson<T extends object>(bytes: Uint8Array, revision: Revision): T {
  const object = parseSharing(decoder.decode(bytes)) as T & { metadata?: Record<string, unknown> }
  if (object.metadata !== undefined) object.metadata['resourceVersion'] = String(revision)
  return object
}

function withRevision<T extends object>(object: T, revision: Revision): T {
  const { metadata } = object as { metadata?: object }
  return { ...object, metadata: { ...metadata, resourceVersion: String(revision) } }
}

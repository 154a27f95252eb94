/**
 * What an API server reads from: the newest state of one resource in memory, its recent events, and
 * their watchers. Reads do not wait. Over an embedded store it shows a write as soon as the writer
 * hears of it; over another it follows the store's watch.
 */
import type { Env } from '#base'
import { deepFreeze } from '#machinery'
import {
  type CacheEntry,
  CachedEntry,
  CachedEvent,
  type ObjectIndex,
  type ObjectSource,
} from './cached.ts'
import { isEmbedded, type EmbeddedChange, type EmbeddedStorage } from './embedded.ts'
import { EventLog } from './event-log.ts'
import { Parsed, ParsedCache } from './parsed-cache.ts'
import { type FedCache, RemoteFeed } from './remote-feed.ts'
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
import { parseJson, withRevision } from './stored-json.ts'
import { WatcherSet, type CacheWatch, type CacheWatchOptions } from './watchers.ts'

/** Of which resource of which store, and how much is kept. */
export interface WatchCacheOptions<T extends object> extends Pick<Env, 'clock'> {
  readonly storage: Storage
  /** Keys of this resource start with it: `/registry/pods/`. */
  readonly prefix: string
  /** The object of stored bytes. The default parses JSON and sets `metadata.resourceVersion`. */
  readonly decode?: (value: Uint8Array, revision: Revision, key: string) => T
  /** What filters look at; asked once an entry, and only when one looks. */
  readonly extract?: (object: T, key: string) => ObjectIndex
  /**
   * Events kept for watches from the past. Default: 10,000. Of those that an embedded store has no
   * history of any more, 1,000 at most.
   */
  readonly capacity?: number
  /** Parsed objects kept, by the bytes of their JSON. Default: 32 MB. */
  readonly parsedBytes?: number
  /** Freeze objects deeply, so that a test sees who changes what is shared. */
  readonly freeze?: boolean
}

/** What is there at one revision, in the order of keys. */
export interface CacheList<T extends object = object> {
  readonly entries: readonly CacheEntry<T>[]
  readonly revision: Revision
  /** How many entries of the range come after these, whether they pass the filter or not. */
  readonly remaining: number
}

/** How much of it is wanted. */
export interface CacheListOptions<T extends object> {
  readonly limit?: number
  readonly filter?: (entry: CacheEntry<T>) => boolean
}

const DEFAULT_CAPACITY = 10_000
const DEFAULT_PARSED_BYTES = 32 * 1024 * 1024
const MAX_OFFERS = 4096
/** Events that are kept however old they are: who watches a quiet resource need not list it again. */
const KEPT_EVENTS = 1000
/** How often it is seen what history is over. */
const TRIM_MS = 60_000

/** Opens a cache and fills it. It follows the store until it is closed. */
export async function createWatchCache<T extends object>(
  options: WatchCacheOptions<T>,
): Promise<WatchCache<T>> {
  const cache = new WatchCache(options)
  await cache.start()
  return cache
}

/** Made by `createWatchCache`, or made and then started. */
export class WatchCache<T extends object = object> implements ObjectSource<T> {
  readonly prefix: string
  readonly #options: WatchCacheOptions<T>
  readonly #embedded: EmbeddedStorage | undefined
  readonly #entries = new SortedMap<CachedEntry<T>>()
  readonly #watchers: WatcherSet<T>
  readonly #parsed: ParsedCache
  readonly #events: EventLog<T>
  /** Only for a store that is elsewhere. */
  readonly #feed: RemoteFeed<T> | undefined
  /** Watches can begin here or later. */
  #oldest: Revision = 0
  #seen: Revision = 0
  readonly #offers = new Map<string, { value: Uint8Array; object: T }>()
  #stop: () => void = () => {}
  #cancelTrim: (() => void) | undefined = undefined
  readonly #waiting = new Set<() => void>()

  constructor(options: WatchCacheOptions<T>) {
    const { storage, prefix } = options
    this.#options = options
    this.#embedded = isEmbedded(storage) ? storage : undefined
    this.prefix = prefix
    this.#events = new EventLog(options.capacity ?? DEFAULT_CAPACITY, (event) =>
      this.#forgotten(event),
    )
    this.#parsed = new ParsedCache(options.parsedBytes ?? DEFAULT_PARSED_BYTES)
    this.#watchers = new WatcherSet(prefix)
    if (this.#embedded === undefined) this.#feed = new RemoteFeed(this.#fed(), options)
  }

  /** Fills it; over an embedded store that is done when the call returns. */
  async start(): Promise<void> {
    if (this.#embedded === undefined) {
      await this.#feed?.fill()
      this.#oldest = this.#seen
      this.#feed?.start()
      return
    }
    const { value, revision } = this.#embedded.listNow({ prefix: this.prefix })
    for (const entry of value) this.#entries.set(entry.key, new CachedEntry(this, entry))
    this.#oldest = revision
    this.#stop = this.#embedded.listen(this.prefix, (changes) => this.#onEmbedded(changes))
  }

  close(): void {
    this.#stop()
    this.#cancelTrim?.()
    this.#feed?.stop()
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
    this.#events.eachAfter(from, (event) => watch.offer(event))
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
    const parsed = (entry.parsed ??= new Parsed<T>())
    if (parsed.object !== undefined && this.#parsed.isFresh(parsed)) return parsed.object
    const { bytes } = entry
    this.#parsed.use(parsed, bytes.byteLength)
    return (parsed.object ??=
      parsed.lent?.deref() ?? this.#decode(bytes, entry.modified, entry.key))
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
    this.#parse(entry, withRevision(offer.object, stored.modified), offer.value)
    return entry
  }

  /** The entry's object is known without parsing. */
  #parse(entry: CachedEntry<T>, object: T, { byteLength }: Uint8Array): void {
    const parsed = (entry.parsed ??= new Parsed())
    parsed.object = this.#options.freeze === true ? deepFreeze(object) : object
    this.#parsed.use(parsed, byteLength)
  }

  #put(
    type: Change['type'],
    entry: CachedEntry<T>,
    previous: CachedEntry<T> | undefined,
    origin: Origin | undefined,
  ): void {
    this.#entries.set(entry.key, entry)
    if (previous?.parsed !== undefined) this.#parsed.retire(previous.parsed)
    this.#record(new CachedEvent(type, entry.modified, entry, previous, origin))
  }

  #remove(previous: CachedEntry<T>, revision: Revision, origin: Origin | undefined): void {
    this.#entries.delete(previous.key)
    const last = new CachedEntry(this, previous.stored, revision)
    last.parsed = new Parsed()
    const object = previous.parsed?.object
    if (object !== undefined) this.#parse(last, withRevision(object, revision), previous.bytes)
    if (previous.parsed !== undefined) this.#parsed.retire(previous.parsed)
    this.#parsed.retire(last.parsed)
    this.#record(new CachedEvent('deleted', revision, last, previous, origin))
  }

  #record(event: CachedEvent<T>): void {
    this.#seen = Math.max(this.#seen, event.revision)
    this.#hold(event)
    this.#events.add(event)
    this.#watchers.dispatch(event)
    for (const check of this.#waiting) check()
  }

  /** Watches can begin after it; what was before it is of no use to anybody. */
  #forgotten({ revision, entry, previous }: CachedEvent<T>): void {
    this.#oldest = revision
    if (previous !== undefined) this.#feed?.release(previous)
    if (this.#embedded === undefined) return
    this.#embedded.letGo(entry.stored)
    if (previous !== undefined) this.#embedded.letGo(previous.stored)
  }

  /** The store forgets what the events still show. */
  #hold({ entry, previous }: CachedEvent<T>): void {
    if (this.#embedded === undefined) return
    this.#embedded.hold(entry.stored)
    if (previous !== undefined) this.#embedded.hold(previous.stored)
    if (this.#events.size > KEPT_EVENTS)
      this.#cancelTrim ??= this.#options.clock.schedule(TRIM_MS, () => this.#trim(this.#embedded))
  }

  #trim(store: EmbeddedStorage | undefined): void {
    this.#cancelTrim = undefined
    if (store === undefined) return
    this.#events.trim(store.revisions().compacted, KEPT_EVENTS)
    if (this.#events.size > KEPT_EVENTS)
      this.#cancelTrim = this.#options.clock.schedule(TRIM_MS, () => this.#trim(store))
  }

  /** The cache as its feed sees it. */
  #fed(): FedCache<T> {
    const seen = () => this.#seen
    return {
      prefix: this.prefix,
      entries: this.#entries,
      get seen() {
        return seen()
      },
      wrap: (stored) => new CachedEntry(this, stored),
      put: (type, entry, previous, origin) => this.#put(type, entry, previous, origin),
      remove: (previous, revision, origin) => this.#remove(previous, revision, origin),
      advance: (revision) => {
        this.#seen = Math.max(this.#seen, revision)
      },
      wake: () => this.#watchers.wake(),
    }
  }
}

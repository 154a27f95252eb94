/** Entries of a cache, and the events that made them. */
import type { Parsed } from './parsed-cache.ts'
import type { Change, Entry, Origin, Revision } from './storage.ts'

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

/** One change as watchers hear of it. */
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

/** @internal Where entries get their objects from. */
export interface ObjectSource<T extends object> {
  objectOf(entry: CachedEntry<T>): T
  indexOf(entry: CachedEntry<T>): ObjectIndex
}

/** @internal */
export class CachedEntry<T extends object> implements CacheEntry<T> {
  readonly modified: Revision
  /** @internal */ readonly stored: Entry
  /** @internal */ readonly source: ObjectSource<T>
  /** @internal Set once somebody looked at the object. */ parsed: Parsed<T> | undefined = undefined
  #index: ObjectIndex | undefined = undefined
  constructor(source: ObjectSource<T>, stored: Entry, modified = stored.modified) {
    this.source = source
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
    return this.source.objectOf(this)
  }
  get index(): ObjectIndex {
    return (this.#index ??= this.source.indexOf(this))
  }
}

/** @internal */
export class CachedEvent<T extends object> implements CacheEvent<T> {
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
    return (this.#departed ??= new CachedEntry(previous.source, previous.stored, this.revision))
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

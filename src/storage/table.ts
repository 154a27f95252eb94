/**
 * The in-memory side of an embedded store: newest entries in order, their history, and the changes of
 * the recent past for watchers. It decides and records; when a change counts as durable is its user's business.
 */
import { SlabEntry, Slabs, type TouchPages } from './slabs.ts'
import { SortedMap } from './sorted-map.ts'
import {
  CompactedError,
  type Change,
  type Entry,
  type ListOptions,
  type Origin,
  type Range,
  type Read,
  type Revision,
} from './storage.ts'

export type Operation =
  | {
      readonly type: 'create'
      readonly key: string
      readonly value: Uint8Array
      readonly origin: Origin
    }
  | {
      readonly type: 'update'
      readonly key: string
      readonly value: Uint8Array
      readonly expected: Revision
      readonly origin: Origin
    }
  | {
      readonly type: 'delete'
      readonly key: string
      readonly expected: Revision
      readonly origin: Origin
    }

/** A change as the table keeps it: bytes are fetched from the slabs when somebody looks. */
export class TableChange implements Change {
  readonly type: Change['type']
  readonly revision: Revision
  readonly origin: Origin
  /** The new state; for a deletion its marker. */
  readonly entry: SlabEntry
  /** The state before. */
  readonly before: SlabEntry | undefined
  /** Seconds since 1970 by the store's clock: when it became visible. */
  applied = 0
  constructor(
    type: Change['type'],
    entry: SlabEntry,
    before: SlabEntry | undefined,
    origin: Origin,
  ) {
    this.type = type
    this.revision = entry.modified
    this.entry = entry
    this.before = before
    this.origin = origin
  }
  get key(): string {
    return this.entry.key
  }
  get value(): Uint8Array {
    return this.type === 'deleted' ? (this.before as SlabEntry).value : this.entry.value
  }
  get previous(): Uint8Array | undefined {
    return this.before?.value
  }
}

/** Gets changes as they are applied, before their writers hear of it. It must not throw. */
export type ChangeListener = (changes: readonly TableChange[]) => void

const isPresent = (entry: SlabEntry | undefined): entry is SlabEntry =>
  entry !== undefined && !entry.deleted

/** Whether the operation may happen on what is there. */
export const isAllowed = (operation: Operation, current: SlabEntry | undefined): boolean =>
  operation.type === 'create'
    ? !isPresent(current)
    : isPresent(current) && current.modified === operation.expected

export class Table {
  #index = new SortedMap<SlabEntry>()
  #slabs: Slabs
  #log: (TableChange | undefined)[] = []
  /** The log's dead head, cut off when it is large. */
  #head = 0
  #logBytes = 0
  #current: Revision = 1
  #compacted: Revision = 1
  readonly #listeners = new Set<{ prefix: string; listener: ChangeListener }>()
  #wakeUp = Promise.withResolvers<void>()
  #watchers = 0

  constructor(touch?: TouchPages) {
    this.#slabs = new Slabs(touch)
  }

  get current(): Revision {
    return this.#current
  }
  /** Keys, with those of recent deletions. */
  get size(): number {
    return this.#index.size
  }
  get compacted(): Revision {
    return this.#compacted
  }
  /** Changes that watchers and reads of the past can still see. */
  get history(): { readonly changes: number; readonly bytes: number } {
    return { changes: this.#log.length - this.#head, bytes: this.#logBytes }
  }

  /** The newest entry, or the marker of a recent deletion. */
  newest(key: string): SlabEntry | undefined {
    return this.#index.get(key)
  }

  get(key: string): Read<Entry | undefined> {
    const entry = this.#index.get(key)
    return { value: isPresent(entry) ? entry : undefined, revision: this.#current }
  }

  list(range: Range, { limit = Infinity, at }: ListOptions = {}): Read<readonly Entry[]> {
    if (at !== undefined && at < this.#compacted) throw new CompactedError(at, this.#compacted)
    if (at !== undefined && at > this.#current)
      throw new RangeError(`revision ${at} is in the future; the newest is ${this.#current}`)
    const value: Entry[] = []
    if (limit > 0)
      this.#index.scan(range, (newest) => {
        let entry: SlabEntry | undefined = newest
        if (at !== undefined) while (entry !== undefined && entry.modified > at) entry = entry.older
        if (isPresent(entry)) value.push(entry)
        return value.length < limit
      })
    return { value, revision: at ?? this.#current }
  }

  /** The change that an allowed operation makes at the revision. Nothing is visible before `apply`. */
  prepare(operation: Operation, revision: Revision, before: SlabEntry | undefined): TableChange {
    const { key, origin } = operation
    const present = isPresent(before) ? before : undefined
    if (operation.type === 'delete') {
      const marker = this.#slabs.addMarker(key, revision, present?.created ?? revision)
      return new TableChange('deleted', marker, present, origin)
    }
    const created = present?.created ?? revision
    const entry = this.#slabs.add(key, operation.value, revision, created)
    return new TableChange(present === undefined ? 'created' : 'updated', entry, present, origin)
  }

  /** Gives back what `prepare` took, when the change could not be made. */
  discard(change: TableChange): void {
    this.#slabs.release(change.entry)
  }

  /** Makes the changes visible, in the order given, and tells listeners and watchers. */
  apply(changes: readonly TableChange[], now: Date): void {
    const applied = Math.floor(now.getTime() / 1000)
    for (const change of changes) {
      change.applied = applied
      const { entry } = change
      entry.older = this.#index.get(entry.key)
      this.#index.set(entry.key, entry)
      this.#current = change.revision
      this.#log.push(change)
      this.#logBytes += entry.size
    }
    for (const { prefix, listener } of this.#listeners) {
      const matching = changes.filter(({ entry }) => entry.key.startsWith(prefix))
      if (matching.length > 0) listener(matching)
    }
    if (this.#watchers === 0) return
    this.#wakeUp.resolve()
    this.#wakeUp = Promise.withResolvers<void>()
  }

  /** Puts an entry there without history: how a store fills the table when it opens. */
  load(key: string, value: Uint8Array, modified: Revision, created: Revision): void {
    const before = this.#index.get(key)
    if (before !== undefined) this.#slabs.release(before)
    this.#index.set(key, this.#slabs.add(key, value, modified, created))
    this.startAt(modified)
  }
  unload(key: string): void {
    const before = this.#index.get(key)
    if (before === undefined) return
    this.#slabs.release(before)
    this.#index.delete(key)
  }
  /** The next revision comes after this one, and history begins at it. */
  startAt(revision: Revision): void {
    if (revision <= this.#current) return
    this.#current = revision
    this.#compacted = revision
  }

  compact(before: Revision): void {
    const bound = Math.min(before, this.#current)
    if (bound <= this.#compacted) return
    this.#compacted = bound
    this.#forget((change) => change.revision <= bound)
  }

  /** Drops the oldest history until at most this many changes and bytes are left. */
  trim({ changes, bytes }: { changes: number; bytes: number }): void {
    this.#forget(({ revision }) => {
      if (this.#log.length - this.#head <= changes && this.#logBytes <= bytes) return false
      this.#compacted = Math.max(this.#compacted, revision)
      return true
    })
  }
  trimOlderThan(time: number): void {
    const seconds = Math.floor(time / 1000)
    this.#forget(({ revision, applied }) => {
      if (applied >= seconds) return false
      this.#compacted = Math.max(this.#compacted, revision)
      return true
    })
  }

  /** An entry that is not of this table's own bytes needs no hold. */
  hold(entry: Entry): void {
    if (entry instanceof SlabEntry) this.#slabs.hold(entry)
  }
  letGo(entry: Entry): void {
    if (entry instanceof SlabEntry) this.#slabs.letGo(entry)
  }

  listen(prefix: string, listener: ChangeListener): () => void {
    const entry = { prefix, listener }
    this.#listeners.add(entry)
    return () => this.#listeners.delete(entry)
  }

  /** Follows the log by position: a slow watcher costs nothing, and hears `CompactedError` if history passes it. */
  async *watch(
    range: Range,
    from: Revision,
    signal: AbortSignal,
  ): AsyncGenerator<readonly Change[]> {
    const aborted = Promise.withResolvers<void>()
    const abort = () => aborted.resolve()
    signal.addEventListener('abort', abort)
    this.#watchers++
    try {
      let seen = from
      while (!signal.aborted) {
        if (seen < this.#compacted) throw new CompactedError(seen, this.#compacted)
        const batch = this.#changesAfter(range, seen)
        // A watch from the future waits for it, and gets nothing older.
        seen = Math.max(seen, this.#current)
        if (batch.length > 0) yield batch
        else await Promise.race([this.#wakeUp.promise, aborted.promise])
      }
    } finally {
      this.#watchers--
      signal.removeEventListener('abort', abort)
    }
  }

  /** The same state, for an independent future. */
  fork(): Table {
    const fork = new Table()
    fork.#index = this.#index.fork()
    fork.#log = this.#log.slice(this.#head)
    fork.#logBytes = this.#logBytes
    fork.#current = this.#current
    fork.#compacted = this.#compacted
    // What is shared belongs to neither: a compaction on one side must not cut the other's history.
    this.#slabs = new Slabs()
    return fork
  }

  #changesAfter({ prefix, after }: Range, from: Revision): Change[] {
    let low = this.#head
    let high = this.#log.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#log[middle] as TableChange).revision <= from) low = middle + 1
      else high = middle
    }
    const found: Change[] = []
    for (let at = low; at < this.#log.length; at++) {
      const change = this.#log[at] as TableChange
      const { key } = change
      if (key.startsWith(prefix) && (after === undefined || key > after)) found.push(change)
    }
    return found
  }

  #forget(isOld: (change: TableChange) => boolean): void {
    while (this.#head < this.#log.length) {
      const change = this.#log[this.#head] as TableChange
      if (!isOld(change)) break
      // What it has must not be kept until the head is cut off.
      this.#log[this.#head++] = undefined
      const { entry, before } = change
      this.#logBytes -= entry.size
      if (before !== undefined) this.#slabs.release(before)
      if (entry.owner === this.#slabs) entry.older = undefined
      if (entry.deleted && this.#index.get(entry.key) === entry) this.#index.delete(entry.key)
    }
    if (this.#head < 1024 || this.#head * 2 < this.#log.length) return
    this.#log = this.#log.slice(this.#head)
    this.#head = 0
  }
}

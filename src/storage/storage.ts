/** An ordered, versioned map from keys to bytes: what Kubernetes asks of etcd, and nothing more. */
export interface Storage {
  get(key: string): Promise<Read<Entry | undefined>>
  list(range: Range, options?: ListOptions): Promise<Read<readonly Entry[]>>
  create(key: string, value: Uint8Array, origin: Origin): Promise<Write>
  update(key: string, value: Uint8Array, expected: Revision, origin: Origin): Promise<Write>
  delete(key: string, expected: Revision, origin: Origin): Promise<Write>
  /** Every change after `from`, in order and without gaps, until the signal aborts. Throws `CompactedError` when `from` is too old. */
  watch(range: Range, from: Revision, signal: AbortSignal): AsyncIterable<readonly Change[]>
  /** Forgets history before the revision: earlier reads and watches throw `CompactedError`. */
  compact(before: Revision): Promise<void>
  /** The newest revision, and the oldest that can still be read. */
  revisions(): { readonly current: Revision; readonly compacted: Revision }
  close(): Promise<void>
}

/** One global counter, starting at 1; a decimal integer below 2^53. */
export type Revision = number

/** What was read, and as of which revision. */
export interface Read<T> {
  readonly value: T
  /** The store's revision of this snapshot. */
  readonly revision: Revision
}

/** A value with the revisions at which it was made and last changed. */
export interface Entry {
  readonly key: string
  readonly value: Uint8Array
  /** Revision of the last change, and of the creation. */
  readonly modified: Revision
  readonly created: Revision
}

/** Keys that start with `prefix`; `after` excludes all keys up to and with it. */
export interface Range {
  readonly prefix: string
  readonly after?: string
}

/** Which part of a range, and as of when. */
export interface ListOptions {
  readonly limit?: number
  /** Read as of this revision; absent means now. */
  readonly at?: Revision
}

/** What a watch tells of one write. */
export interface Change {
  readonly type: 'created' | 'updated' | 'deleted'
  readonly key: string
  readonly revision: Revision
  /** New value; for a deletion the last value. */
  readonly value: Uint8Array
  /** The value before; absent for a creation. */
  readonly previous?: Uint8Array | undefined
  readonly origin: Origin
}

/** Who made a change, what caused it, and when: the journal's columns. */
export interface Origin {
  /** User name. */
  readonly actor: string
  /** What led to it: a request id, or the object and revision that a controller acted on. */
  readonly cause?: string
  /** Milliseconds since 1970. */
  readonly time: number
  /** A heartbeat (leases, events): visible at once, made durable now and then, not before it is acknowledged. */
  readonly volatile?: boolean
}

/** Losing a race is an answer, not an error: it says what was there instead. */
export type Write =
  | { readonly ok: true; readonly revision: Revision }
  | { readonly ok: false; readonly revision: Revision; readonly current: Entry | undefined }

/** The history does not reach back to the revision. */
export class CompactedError extends Error {
  readonly compacted: Revision
  constructor(requested: Revision, compacted: Revision) {
    super(`revision ${requested} has been compacted; the oldest that can be read is ${compacted}`)
    this.name = 'CompactedError'
    this.compacted = compacted
  }
}

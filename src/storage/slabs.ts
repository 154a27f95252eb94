/**
 * Values of many entries in few large buffers. One buffer a value costs the garbage collector more and,
 * because Node cuts small buffers out of a pool, can keep three times its size alive.
 */
import type { Entry, Revision } from './storage.ts'

const SMALLEST_SLAB = 64 * 1024
const LARGEST_SLAB = 4 * 1024 * 1024
/** The next large one is made ready when so much of one is used. */
const READY_FROM = LARGEST_SLAB / 2

/** An entry whose bytes lie in a slab. The bytes never change; a compaction may move them. */
export class SlabEntry implements Entry {
  readonly key: string
  readonly modified: Revision
  readonly created: Revision
  /** True for the marker that a deletion leaves in the history; it has no bytes of its own. */
  readonly deleted: boolean
  /** The entry before this one, while history reaches back to it. */
  older: SlabEntry | undefined
  /** Who may cut this entry's history and move its bytes: entries shared with a fork belong to nobody. */
  readonly owner: object
  /** @internal */ slab: Slab | undefined = undefined
  /** @internal */ offset = 0
  /** @internal */ length = 0
  /** @internal */ released = false
  /** @internal How many go on using it after its release. */ holders = 0
  /** @internal Its bytes are given up, and nobody may ask for them. */ buried = false

  constructor(owner: object, key: string, modified: Revision, created: Revision, deleted = false) {
    this.owner = owner
    this.key = key
    this.modified = modified
    this.created = created
    this.deleted = deleted
    this.older = undefined
  }

  get value(): Uint8Array {
    if (this.slab === undefined) return this.older?.value ?? EMPTY
    return this.slab.bytes.subarray(this.offset, this.offset + this.length)
  }

  /** Bytes, without making a view of them. */
  get size(): number {
    return this.length
  }
}

const EMPTY = new Uint8Array(0)

interface Slab {
  readonly bytes: Buffer
  used: number
  live: number
  entries: SlabEntry[]
}

/**
 * Writes to every page of new memory, on another thread: the first write to one takes the kernel some
 * microseconds, on a virtual machine more than all the rest of storing an object. Resolves when it is done.
 */
export type TouchPages = (bytes: Uint8Array) => Promise<void>

export class Slabs {
  #current: Slab | undefined
  #nextBytes = SMALLEST_SLAB
  readonly #touch: TouchPages | undefined
  /** Memory for the next large slab. */
  #ready: Buffer | undefined
  #isTouching = false

  constructor(touch?: TouchPages) {
    this.#touch = touch
  }

  /** An entry with a copy of the value. */
  add(key: string, value: Uint8Array, modified: Revision, created: Revision): SlabEntry {
    return this.#put(new SlabEntry(this, key, modified, created), value)
  }

  /** The marker of a deletion. */
  addMarker(key: string, modified: Revision, created: Revision): SlabEntry {
    return new SlabEntry(this, key, modified, created, true)
  }

  #put(entry: SlabEntry, value: Uint8Array): SlabEntry {
    const slab = this.#roomFor(value.byteLength)
    slab.bytes.set(value, slab.used)
    entry.slab = slab
    entry.offset = slab.used
    entry.length = value.byteLength
    slab.used += value.byteLength
    slab.live += value.byteLength
    slab.entries.push(entry)
    if (slab.used > READY_FROM && this.#ready === undefined) this.#makeReady()
    return entry
  }

  /** The entry is not reachable any more, but by who holds it. */
  release(entry: SlabEntry): void {
    if (entry.owner !== this || entry.released) return
    entry.released = true
    if (entry.holders === 0) this.#bury(entry)
  }

  /** Its bytes stay, wherever they are moved to, until they are let go as often. */
  hold(entry: SlabEntry): void {
    entry.holders++
  }

  letGo(entry: SlabEntry): void {
    entry.holders--
    if (entry.holders === 0 && entry.released && entry.owner === this) this.#bury(entry)
  }

  /** A slab that is half dead is emptied and left to the collector. */
  #bury(entry: SlabEntry): void {
    const { slab } = entry
    if (slab === undefined || entry.buried) return
    entry.buried = true
    slab.live -= entry.length
    if (slab !== this.#current) this.#compact(slab)
  }

  #compact(slab: Slab): void {
    if (slab.live * 2 > slab.used) return
    const { entries } = slab
    slab.entries = []
    for (const entry of entries) {
      if (entry.buried || entry.slab !== slab) continue
      this.#put(entry, slab.bytes.subarray(entry.offset, entry.offset + entry.length))
    }
  }

  #roomFor(length: number): Slab {
    const full = this.#current
    if (full !== undefined && full.used + length <= full.bytes.length) return full
    // A huge value gets a slab of its own, and the current one goes on.
    if (length > LARGEST_SLAB / 4) return this.#newSlab(length)
    this.#current = this.#newSlab(Math.max(this.#nextBytes, length))
    this.#nextBytes = Math.min(this.#nextBytes * 2, LARGEST_SLAB)
    if (full !== undefined) this.#compact(full)
    return this.#roomFor(length)
  }

  #newSlab(length: number): Slab {
    let bytes: Buffer | undefined
    if (length === LARGEST_SLAB) [bytes, this.#ready] = [this.#ready, undefined]
    return { bytes: bytes ?? Buffer.allocUnsafeSlow(length), used: 0, live: 0, entries: [] }
  }

  #makeReady(): void {
    if (this.#isTouching || this.#touch === undefined || this.#nextBytes < LARGEST_SLAB) return
    this.#isTouching = true
    const bytes = Buffer.allocUnsafeSlow(LARGEST_SLAB)
    void this.#touch(bytes).then(() => {
      this.#isTouching = false
      this.#ready = bytes
    })
  }
}

/** The newest events of a cache, in order: watches from the past are told of them. */
import type { CachedEvent } from './cached.ts'
import type { Revision } from './storage.ts'

/** Encodings are kept for so many newest events: watchers that lag further make their own. */
const MEMOS = 64

export class EventLog<T extends object> {
  readonly #capacity: number
  /** The oldest of more events than there may be. */
  readonly #onForgotten: (event: CachedEvent<T>) => void
  #events: (CachedEvent<T> | undefined)[] = []
  #first = 0

  constructor(capacity: number, onForgotten: (event: CachedEvent<T>) => void) {
    this.#capacity = capacity
    this.#onForgotten = onForgotten
  }

  add(event: CachedEvent<T>): void {
    this.#events.push(event)
    this.#events[this.#events.length - 1 - MEMOS]?.forgetMemos()
    if (this.size > this.#capacity) this.#forgetOldest()
  }

  get size(): number {
    return this.#events.length - this.#first
  }

  /** Forgets what is not after the revision, but so many of the newest. */
  trim(before: Revision, keep: number): void {
    while (this.size > keep && (this.#events[this.#first] as CachedEvent<T>).revision <= before)
      this.#forgetOldest()
  }

  /** Those after the revision, oldest first. */
  eachAfter(from: Revision, take: (event: CachedEvent<T>) => void): void {
    for (let at = this.#firstAfter(from); at < this.#events.length; at++)
      take(this.#events[at] as CachedEvent<T>)
  }

  #forgetOldest(): void {
    const oldest = this.#events[this.#first] as CachedEvent<T>
    // What it has must not be kept until the dead beginning is cut off.
    this.#events[this.#first++] = undefined
    this.#onForgotten(oldest)
    if (this.#first * 2 < this.#events.length || this.#first < MEMOS) return
    this.#events = this.#events.slice(this.#first)
    this.#first = 0
  }

  #firstAfter(from: Revision): number {
    let low = this.#first
    let high = this.#events.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#events[middle] as CachedEvent<T>).revision <= from) low = middle + 1
      else high = middle
    }
    return low
  }
}

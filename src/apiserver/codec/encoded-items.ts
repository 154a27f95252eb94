/**
 * Protobuf forms of what was listed lately, as long as the entries are the newest of their objects: informers
 * that begin again, and pages that are asked for every few seconds, find them made. Bounded by bytes, in two
 * generations: what was not used during the younger one's life is forgotten.
 */
import type { StoredEntry } from '../collection.ts'

export class EncodedItems {
  readonly #limitBytes: number
  #young = new Map<StoredEntry, Uint8Array>()
  #old = new Map<StoredEntry, Uint8Array>()
  #youngBytes = 0

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  get(entry: StoredEntry, make: () => Uint8Array): Uint8Array {
    const known = this.#young.get(entry)
    if (known !== undefined) return known
    const bytes = this.#old.get(entry) ?? make()
    this.#young.set(entry, bytes)
    this.#youngBytes += bytes.length
    if (this.#youngBytes * 2 >= this.#limitBytes) {
      this.#old = this.#young
      this.#young = new Map()
      this.#youngBytes = 0
    }
    return bytes
  }
}

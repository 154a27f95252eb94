/**
 * A map ordered by key, for hundreds of thousands of keys: sorted arrays of a few hundred, so that an
 * insertion moves one small array. `fork` shares all arrays and copies one when it is first written.
 */
const CHUNK = 512

interface Chunk<V> {
  owner: object
  keys: string[]
  values: V[]
}

export class SortedMap<V> {
  #chunks: Chunk<V>[] = []
  #owner: object = {}
  #size = 0

  get size(): number {
    return this.#size
  }

  get(key: string): V | undefined {
    const chunk = this.#chunks[this.#chunkOf(key)]
    if (chunk === undefined) return undefined
    const at = lowerBound(chunk.keys, key)
    return chunk.keys[at] === key ? chunk.values[at] : undefined
  }

  set(key: string, value: V): void {
    if (this.#chunks.length === 0) {
      this.#chunks.push({ owner: this.#owner, keys: [key], values: [value] })
      this.#size = 1
      return
    }
    const index = this.#chunkOf(key)
    const chunk = this.#own(index)
    const at = lowerBound(chunk.keys, key)
    if (chunk.keys[at] === key) {
      chunk.values[at] = value
      return
    }
    this.#size++
    chunk.keys.splice(at, 0, key)
    chunk.values.splice(at, 0, value)
    if (chunk.keys.length <= CHUNK) return
    // Keys that only ever grow (names with numbers, times) leave full chunks behind.
    const cut = at === chunk.keys.length - 1 ? CHUNK : CHUNK >> 1
    const upper = {
      owner: this.#owner,
      keys: chunk.keys.splice(cut),
      values: chunk.values.splice(cut),
    }
    this.#chunks.splice(index + 1, 0, upper)
  }

  delete(key: string): boolean {
    const index = this.#chunkOf(key)
    const found = this.#chunks[index]
    if (found === undefined) return false
    const at = lowerBound(found.keys, key)
    if (found.keys[at] !== key) return false
    const chunk = this.#own(index)
    chunk.keys.splice(at, 1)
    chunk.values.splice(at, 1)
    this.#size--
    if (chunk.keys.length === 0) this.#chunks.splice(index, 1)
    else this.#mergeSmall(index)
    return true
  }

  /** Values of the keys that start with `prefix` and come after `after`, in order, until `visit` answers false. */
  scan(range: { prefix: string; after?: string }, visit: (value: V, key: string) => boolean): void {
    const { prefix, after } = range
    const skip = after !== undefined && after >= prefix
    const start = skip ? after : prefix
    let index = this.#chunkOf(start)
    let at = lowerBound(this.#chunks[index]?.keys ?? [], start)
    if (skip && this.#chunks[index]?.keys[at] === after) at++
    for (; index < this.#chunks.length; index++, at = 0) {
      const { keys, values } = this.#chunks[index] as Chunk<V>
      for (; at < keys.length; at++) {
        const key = keys[at] as string
        if (!key.startsWith(prefix)) return
        if (!visit(values[at] as V, key)) return
      }
    }
  }

  /** How many keys `scan` would visit, without visiting them. */
  count(range: { prefix: string; after?: string }): number {
    const { prefix, after } = range
    const skip = after !== undefined && after >= prefix
    const start = skip ? after : prefix
    let index = this.#chunkOf(start)
    let at = lowerBound(this.#chunks[index]?.keys ?? [], start)
    if (skip && this.#chunks[index]?.keys[at] === after) at++
    let count = 0
    for (; index < this.#chunks.length; index++, at = 0) {
      const { keys } = this.#chunks[index] as Chunk<V>
      if (at === keys.length) continue
      if (!(keys.at(-1) as string).startsWith(prefix)) {
        while (at < keys.length && (keys[at] as string).startsWith(prefix)) {
          at++
          count++
        }
        return count
      }
      count += keys.length - at
    }
    return count
  }

  fork(): SortedMap<V> {
    const fork = new SortedMap<V>()
    fork.#chunks = [...this.#chunks]
    fork.#size = this.#size
    // Both sides give up what they share.
    this.#owner = {}
    return fork
  }

  /** The last chunk whose first key is not after the key. */
  #chunkOf(key: string): number {
    let low = 0
    let high = this.#chunks.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (((this.#chunks[middle] as Chunk<V>).keys[0] as string) <= key) low = middle
      else high = middle - 1
    }
    return low
  }

  #own(index: number): Chunk<V> {
    const chunk = this.#chunks[index] as Chunk<V>
    if (chunk.owner === this.#owner) return chunk
    const copy = { owner: this.#owner, keys: chunk.keys.slice(), values: chunk.values.slice() }
    this.#chunks[index] = copy
    return copy
  }

  #mergeSmall(index: number): void {
    const next = this.#chunks[index + 1]
    const chunk = this.#chunks[index] as Chunk<V>
    if (next === undefined || chunk.keys.length + next.keys.length > CHUNK >> 1) return
    chunk.keys.push(...next.keys)
    chunk.values.push(...next.values)
    this.#chunks.splice(index + 1, 1)
  }
}

/** Index of the first key that is not before `key`. */
function lowerBound(keys: readonly string[], key: string): number {
  let low = 0
  let high = keys.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((keys[middle] as string) < key) low = middle + 1
    else high = middle
  }
  return low
}

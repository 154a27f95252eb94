/**
 * Bounds what parsed objects take. Two generations: what was not used during the younger one's life is
 * forgotten, so that a use costs one comparison and no list is kept in order.
 */
export interface Parsed {
  /** @internal Set while parsed. */
  parsed: object | undefined
  /** @internal The object after that, for as long as somebody else has it: nobody needs two of them. */
  lent: WeakRef<object> | undefined
  /** @internal */
  generation: number
}

export class ParsedCache {
  readonly #limitBytes: number
  #young: Parsed[] = []
  #old: Parsed[] = []
  #youngBytes = 0
  #generation = 1

  /** `limitBytes` counts the JSON that the objects were parsed from. */
  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  use(entry: Parsed, bytes: number): void {
    if (entry.generation === this.#generation) return
    entry.generation = this.#generation
    this.#young.push(entry)
    this.#youngBytes += bytes
    if (this.#youngBytes * 2 < this.#limitBytes) return
    for (const unused of this.#old)
      if (unused.generation < this.#generation && unused.parsed !== undefined) {
        unused.lent = new WeakRef(unused.parsed)
        unused.parsed = undefined
      }
    this.#old = this.#young
    this.#young = []
    this.#youngBytes = 0
    this.#generation++
  }
}

/**
 * Bounds what parsed objects take. Two generations: what was not used during the younger one's life is
 * forgotten, so that a use costs one comparison and no list is kept in order.
 */

/** Where an entry has its object while it is parsed. The cache knows this and not the entry, whose bytes it would keep alive. */
export class Parsed<T extends object> {
  object: T | undefined = undefined
  /** The object after that, for as long as somebody else has it: nobody needs two of them. */
  lent: WeakRef<T> | undefined = undefined
  /** @internal */
  generation = 0
}

/** Of states that are no more so many keep their object: those who hear of a change look at what was before. */
const RETIRED = 256

export class ParsedCache {
  readonly #limitBytes: number
  #young: Parsed<object>[] = []
  #old: Parsed<object>[] = []
  #youngBytes = 0
  #generation = 1
  /** A ring. */
  readonly #retired: Parsed<object>[] = []
  #nextRetired = 0

  /** `limitBytes` counts the JSON that the objects were parsed from. */
  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  /** It was used already since the generation began. */
  isFresh({ generation }: Parsed<object>): boolean {
    return generation === this.#generation
  }

  use(parsed: Parsed<object>, bytes: number): void {
    if (parsed.generation === this.#generation) return
    parsed.generation = this.#generation
    this.#young.push(parsed)
    this.#youngBytes += bytes
    if (this.#youngBytes * 2 < this.#limitBytes) return
    for (const unused of this.#old)
      if (unused.generation < this.#generation && unused.object !== undefined) {
        unused.lent = new WeakRef(unused.object)
        unused.object = undefined
      }
    this.#old = this.#young
    this.#young = []
    this.#youngBytes = 0
    this.#generation++
  }

  /** It is the object of a state that is no more: few of those are kept. */
  retire(parsed: Parsed<object>): void {
    const before = this.#retired[this.#nextRetired]
    if (before !== undefined) before.object = undefined
    this.#retired[this.#nextRetired] = parsed
    this.#nextRetired = (this.#nextRetired + 1) % RETIRED
  }
}

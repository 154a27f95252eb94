/** How many cores something uses, from what it has used so far. */

interface Look {
  readonly atMs: number
  readonly seconds: number
  readonly nanoCores: number | undefined
}

/** Two looks nearer to each other say little. */
const LEAST_MS = 1000
/** Who was not looked at for so long has ended. */
const FORGET_MS = 10 * 60_000

export class CpuRates {
  readonly #looks = new Map<string, Look>()

  /** Billionths of a core since an earlier look; undefined at the first. */
  nanoCores(key: string, seconds: number, atMs: number): number | undefined {
    const before = this.#looks.get(key)
    if (before !== undefined && atMs - before.atMs < LEAST_MS) return before.nanoCores
    const nanoCores =
      before === undefined || seconds < before.seconds
        ? undefined
        : Math.round(((seconds - before.seconds) * 1e12) / (atMs - before.atMs))
    this.#looks.delete(key)
    this.#looks.set(key, { atMs, seconds, nanoCores })
    for (const [old, look] of this.#looks) {
      if (atMs - look.atMs < FORGET_MS) break
      this.#looks.delete(old)
    }
    return nanoCores
  }
}

/** Which span wrote which revision: for the newest ones, so that what comes of them finds its trace. */
const MOST = 16_384

export class Revisions {
  readonly #writers = new Map<number, string>()

  wrote(revision: number, traceparent: string): void {
    this.#writers.set(revision, traceparent)
    if (this.#writers.size <= MOST) return
    const [oldest] = this.#writers.keys()
    if (oldest !== undefined) this.#writers.delete(oldest)
  }

  writerOf(revision: number): string | undefined {
    return this.#writers.get(revision)
  }
}

/** The time that requests may take: one timer for all of them, since they have the same limit and few ever meet it. */
import type { Clock } from '#base'

interface Running {
  readonly until: number
  readonly expire: () => void
}

export class Deadlines {
  readonly #clock: Pick<Clock, 'monotonic' | 'schedule'>
  readonly #limitMs: number
  /** In the order of their ends. */
  readonly #running = new Set<Running>()
  #cancel: (() => void) | undefined

  constructor(clock: Pick<Clock, 'monotonic' | 'schedule'>, limitMs: number) {
    this.#clock = clock
    this.#limitMs = limitMs
  }

  /** The answer, or a rejection with the error when that takes longer. */
  within<T>(answer: Promise<T>, error: () => Error): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const running = {
        until: this.#clock.monotonic() + this.#limitMs,
        expire: () => reject(error()),
      }
      this.#running.add(running)
      this.#cancel ??= this.#clock.schedule(this.#limitMs, () => this.#expire())
      answer.then(
        (value) => {
          this.#forget(running)
          resolve(value)
        },
        (reason: unknown) => {
          this.#forget(running)
          reject(reason as Error)
        },
      )
    })
  }

  #forget(running: Running): void {
    this.#running.delete(running)
    if (this.#running.size > 0) return
    this.#cancel?.()
    this.#cancel = undefined
  }

  #expire(): void {
    this.#cancel = undefined
    const now = this.#clock.monotonic()
    for (const running of this.#running) {
      if (running.until > now) {
        this.#cancel = this.#clock.schedule(running.until - now, () => this.#expire())
        return
      }
      this.#running.delete(running)
      running.expire()
    }
  }
}

/** Long work gives others their turn. */
import type { Clock } from '#base'

/** Work of this length is not noticed by who waits for something else. */
const TURN_MS = 4

/** `if (turn.isOver()) await turn.next()`, after each small part of the work. */
export class Turn {
  readonly #clock: Pick<Clock, 'monotonic'>
  #began: number

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock
    this.#began = clock.monotonic()
  }

  isOver(): boolean {
    return this.#clock.monotonic() - this.#began >= TURN_MS
  }

  async next(): Promise<void> {
    await pause()
    this.#began = this.#clock.monotonic()
  }
}

export const pause = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

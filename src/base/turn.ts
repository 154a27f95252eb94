/**
 * Long work gives others their turn. All long work of the process stands in one line, so that ten long
 * lists hold up a short request no longer than one does.
 */
import type { Clock } from './env.ts'

type Time = Pick<Clock, 'monotonic'>

/** Work of this length is not noticed by who waits for something else. */
const TURN_MS = 4

/** `if (turn.isOver()) await turn.next()`, after each small part of the work. */
export class Turn {
  readonly #clock: Time
  #began: number

  constructor(clock: Time) {
    this.#clock = clock
    this.#began = clock.monotonic()
  }

  isOver(): boolean {
    return this.#clock.monotonic() - this.#began >= TURN_MS
  }

  /** What comes now comes after a rest. */
  begin(): void {
    this.#began = this.#clock.monotonic()
  }

  async next(): Promise<void> {
    await pause(this.#clock)
    this.begin()
  }
}

const line: { readonly clock: Time | undefined; readonly resume: () => void }[] = []
let isCalled = false

/**
 * Until others have had their turn: what has come in from outside, and who waits in line already. With a
 * clock it may share a round with others whose work was short.
 */
export const pause = (clock?: Time): Promise<void> =>
  new Promise((resume) => {
    line.push({ clock, resume })
    if (!isCalled) call()
  })

function call(): void {
  isCalled = true
  setImmediate(() => {
    let spentMs = 0
    const letIn = (): void => {
      const next = line.shift()
      if (next === undefined) {
        isCalled = false
        return
      }
      const { clock, resume } = next
      const began = clock?.monotonic() ?? 0
      resume()
      // After all that this has set going: a tick that a microtask asks for comes when no microtask is left.
      queueMicrotask(() =>
        process.nextTick(() => {
          spentMs += clock === undefined ? TURN_MS : clock.monotonic() - began
          if (spentMs < TURN_MS) letIn()
          else if (line.length > 0) call()
          else isCalled = false
        }),
      )
    }
    letIn()
  })
}

/** What happens to simulated containers, told to all who follow. */
import type { RuntimeEvent } from '../runtime.ts'

export class EventFeed {
  readonly #listeners = new Set<(event: RuntimeEvent) => void>()

  tell(event: RuntimeEvent): void {
    for (const listener of this.#listeners) listener(event)
  }

  async *follow(signal: AbortSignal): AsyncGenerator<RuntimeEvent> {
    const pending: RuntimeEvent[] = []
    let wake = () => {}
    const listener = (event: RuntimeEvent) => {
      pending.push(event)
      wake()
    }
    this.#listeners.add(listener)
    signal.addEventListener('abort', () => wake(), { once: true })
    try {
      while (!signal.aborted) {
        const event = pending.shift()
        if (event !== undefined) yield event
        else {
          await new Promise<void>((resolve) => {
            wake = resolve
          })
        }
      }
    } finally {
      this.#listeners.delete(listener)
    }
  }
}

/** What the time of a request goes into: for the log of slow ones, and for traces where they are collected. */
import type { Awaitable, Clock, Span } from '#base'

export interface Part {
  readonly name: string
  readonly ms: number
}

/** A request does few things; whoever does many (a webhook for each of a hundred) is cut short. */
const MOST_PARTS = 64

export class RequestTrace {
  readonly parts: Part[] = []
  /** Of the time, what was spent on others: in queues, and with webhooks. */
  outsideMs = 0
  readonly #clock: Pick<Clock, 'monotonic'>
  #span: Span | undefined
  #current: Span | undefined

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock
  }

  /** Of the whole request; undefined until it is known who asks, and where nobody collects it. */
  get span(): Span | undefined {
    return this.#span
  }

  /** From here on, parts are parts of the span too. */
  begin(span: Span | undefined): void {
    this.#span = span
    this.#current = span
  }

  /** Times a part. Parts that run side by side are of the part around them, and nothing is within them. */
  part<T extends Awaitable<unknown>>(
    name: string,
    run: (traceparent: string | undefined) => T,
    { outside = false, parallel = false }: { outside?: boolean; parallel?: boolean } = {},
  ): T {
    const started = this.#clock.monotonic()
    const around = this.#current
    const span = around?.child(name)
    if (!parallel) this.#current = span
    const end = (failure?: unknown): void => {
      if (!parallel) this.#current = around
      const ms = this.#clock.monotonic() - started
      if (outside) this.outsideMs += ms
      if (this.parts.length < MOST_PARTS) this.parts.push({ name, ms })
      span?.end(failure)
    }
    let result: T
    try {
      result = run(span?.traceparent)
    } catch (error) {
      end(error)
      throw error
    }
    // Most parts need not wait.
    if (!(result instanceof Promise)) end()
    else
      result.then(
        () => end(),
        (error: unknown) => end(error),
      )
    return result
  }

  /** `authentication 1 ms, mutating admission 620 ms`: what took at least a millisecond. */
  text(): string {
    return this.parts
      .filter(({ ms }) => ms >= 1)
      .map(({ name, ms }) => `${name} ${Math.round(ms)} ms`)
      .join(', ')
  }
}

/** What the time of a request goes into: for the log of slow ones, and for traces where they are collected. */
import type { Awaitable, Clock, Span } from '#base'

export interface Part {
  readonly name: string
  readonly ms: number
}

/** A request does few things; whoever does many (a webhook for each of a hundred) is cut short. */
const MOST_PARTS = 64

interface PartOptions {
  readonly outside?: boolean
  readonly parallel?: boolean
}
const USUAL: PartOptions = {}

interface Running {
  readonly name: string
  readonly started: number
  readonly around: Span | undefined
  readonly span: Span | undefined
  readonly options: PartOptions
}

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

  /**
   * Times a part. Parts that run side by side are of the part around them, and nothing is within them.
   * @param about what `run` is told of: a function of its own would be made for each request
   */
  part<T extends Awaitable<unknown>, A = undefined>(
    name: string,
    run: (traceparent: string | undefined, about: A) => T,
    options: PartOptions = USUAL,
    about: A = undefined as A,
  ): T {
    const started = this.#clock.monotonic()
    const around = this.#current
    const span = around?.child(name)
    if (options.parallel !== true) this.#current = span
    const part: Running = { name, started, around, span, options }
    let result: T
    try {
      result = run(span?.traceparent, about)
    } catch (error) {
      this.#end(part, error)
      throw error
    }
    // Most parts need not wait.
    if (result instanceof Promise) this.#endWith(result, part)
    else this.#end(part)
    return result
  }

  #endWith(result: Promise<unknown>, part: Running): void {
    result.then(
      () => this.#end(part),
      (error: unknown) => this.#end(part, error),
    )
  }

  #end({ name, started, around, span, options }: Running, failure?: unknown): void {
    if (options.parallel !== true) this.#current = around
    const ms = this.#clock.monotonic() - started
    if (options.outside === true) this.outsideMs += ms
    if (this.parts.length < MOST_PARTS) this.parts.push({ name, ms })
    span?.end(failure)
  }

  /** `authentication 1 ms, mutating admission 620 ms`: what took at least a millisecond. */
  text(): string {
    return this.parts
      .filter(({ ms }) => ms >= 1)
      .map(({ name, ms }) => `${name} ${Math.round(ms)} ms`)
      .join(', ')
  }
}

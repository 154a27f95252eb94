/** Ends what takes too long. */
import type { Env } from '#base'
import { StatusError, badRequest, durationNanos } from '#machinery'
import { Deadlines } from './deadline-queue.ts'
import type { Exchange, Filter, Handler, Reply } from '../exchange.ts'
import { infoOf, isLongRunning } from './request-info.ts'

/** Ends what takes too long; watches and conversations may take as long as they like. */
export const withDeadline =
  ({ clock }: Pick<Env, 'clock'>, timeoutMs: number): Filter =>
  (next) => {
    const deadlines = new Deadlines(clock, timeoutMs)
    const within = (exchange: Exchange, work: Handler): Promise<Reply> => {
      Object.assign(exchange, { deadline: clock.monotonic() + timeoutMs })
      return deadlines.within(work(exchange), tooLate)
    }
    return (exchange) => {
      // A call in the same process has its caller's own deadline.
      if (exchange.trustedUser !== undefined || isLongRunning(infoOf(exchange)))
        return next(exchange)
      return exchange.query.has('timeout')
        ? withinAsked(exchange, next, clock, { timeoutMs, within })
        : within(exchange, next)
    }
  }

/** Who asks for less time gets it, and the work ends with it. */
async function withinAsked(
  exchange: Exchange,
  next: Handler,
  clock: Env['clock'],
  usual: {
    readonly timeoutMs: number
    readonly within: (exchange: Exchange, next: Handler) => Promise<Reply>
  },
): Promise<Reply> {
  const asked = timeoutIn(exchange) ?? 0
  if (asked <= 0 || asked >= usual.timeoutMs) return usual.within(exchange, next)
  const over = new AbortController()
  const expired = Promise.withResolvers<never>()
  const signal = AbortSignal.any([exchange.signal, over.signal])
  Object.assign(exchange, { deadline: clock.monotonic() + asked, signal })
  const cancel = clock.schedule(asked, () => {
    const error = tooLate()
    expired.reject(error)
    over.abort(error)
  })
  try {
    return await Promise.race([next(exchange), expired.promise])
  } finally {
    cancel()
  }
}

const GO_DURATION = /^[-+]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|ms|s|m|h))+)$/

/** `?timeout=10s`, in milliseconds. Throws 400 for what is no duration. */
function timeoutIn({ query }: Exchange): number | undefined {
  const text = query.get('timeout')
  if (text === null || text === '') return undefined
  if (!GO_DURATION.test(text)) {
    const what = /^[-+]?\d+(?:\.\d*)?$/.test(text) ? 'missing unit in' : 'invalid'
    throw badRequest(
      `invalid timeout specified in the request URL - time: ${what} duration ${JSON.stringify(text)}`,
    )
  }
  return Number(durationNanos(text)) / 1e6
}

const tooLate = (): StatusError =>
  new StatusError(
    'Timeout',
    'Timeout: request did not complete within requested timeout - context deadline exceeded',
  )

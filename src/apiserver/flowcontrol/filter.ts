/** Every request from outside takes its turn here, between who it is from and what it may do. */
import type { Exchange, Filter, Reply, RequestInfo } from '../exchange.ts'
import { isLongRunning, requireUser } from '../filters/index.ts'
import type { RequestMetrics } from '../metrics/index.ts'
import type { FlowControl, FlowTurn } from './flow-control.ts'

const OBJECTS_A_SEAT = 100

/**
 * How many seats a request takes: a list of many objects takes more than one.
 * @param countOf how many objects the request's resource has
 */
export function widthOf(
  { verb, name }: RequestInfo,
  query: URLSearchParams,
  countOf: () => number,
): number {
  if (verb !== 'list' || name !== '') return 1
  const limit = Number(query.get('limit') ?? 0)
  const count = countOf()
  const objects = limit > 0 ? Math.min(limit, count) : count
  return Math.max(1, Math.ceil(objects / OBJECTS_A_SEAT))
}

/** A client's signal aborts when it has its answer, too. */
const isSentLater = ({ signal, trustedUser }: Exchange, reply: Reply | undefined): boolean =>
  trustedUser === undefined &&
  !signal.aborted &&
  reply?.body !== undefined &&
  !(reply.body instanceof Uint8Array)

/** Calls from this process are not held up: whom they serve has waited already. */
export const withPriorityAndFairness =
  (
    control: FlowControl,
    { inFlight, inQueue }: Pick<RequestMetrics, 'inFlight' | 'inQueue'>,
    countOf: (info: RequestInfo) => number,
  ): Filter =>
  (next) =>
  async (exchange) => {
    const { info } = exchange
    if (info === undefined) return next(exchange)
    const watching = info.isResource && info.verb === 'watch'
    if (isLongRunning(info) && !watching) return next(exchange)
    const reading = info.verb === 'get' || info.verb === 'list' || info.verb === 'head' || watching
    const kind = reading ? 'readOnly' : 'mutating'
    let release = (): void => undefined
    if (exchange.trustedUser === undefined) {
      const width = widthOf(info, exchange.query, () => countOf(info))
      const { trace, signal } = exchange
      const enter = () => control.enter(requireUser(exchange), info, width, signal)
      inQueue[kind]++
      let turn: FlowTurn
      try {
        const entered =
          trace === undefined
            ? enter()
            : trace.part('priorityandfairness', enter, { outside: true })
        turn = entered instanceof Promise ? await entered : entered
      } finally {
        inQueue[kind]--
      }
      exchange.flow = turn.flow
      release = () => turn.release()
    }
    inFlight[kind]++
    const end = (): void => {
      inFlight[kind]--
      release()
    }
    let reply: Reply | undefined
    try {
      reply = await next(exchange)
      return reply
    } finally {
      // A watch gives its seat back as soon as it has begun; a long answer keeps it until it is sent, or nobody wants it.
      if (watching || !isSentLater(exchange, reply)) end()
      else exchange.signal.addEventListener('abort', end, { once: true })
    }
  }

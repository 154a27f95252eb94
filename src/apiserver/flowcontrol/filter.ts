/** Every request from outside takes its turn here, between who it is from and what it may do. */
import type { Awaitable } from '#base'
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
  info: RequestInfo,
  { query }: Pick<Exchange, 'query'>,
  countOf: (info: RequestInfo) => number,
): number {
  if (info.verb !== 'list' || info.name !== '') return 1
  const limit = Number(query.get('limit') ?? 0)
  const count = countOf(info)
  const objects = limit > 0 ? Math.min(limit, count) : count
  return Math.max(1, Math.ceil(objects / OBJECTS_A_SEAT))
}

const OUTSIDE = { outside: true }

/** A client's signal aborts when it has its answer, too. */
const isSentLater = (exchange: Exchange, reply: Reply | undefined): boolean =>
  exchange.trustedUser === undefined &&
  reply?.body !== undefined &&
  !(reply.body instanceof Uint8Array) &&
  !exchange.signal.aborted

/** Calls from this process are not held up: whom they serve has waited already. */
export const withPriorityAndFairness =
  (
    control: FlowControl,
    { inFlight, inQueue }: Pick<RequestMetrics, 'inFlight' | 'inQueue'>,
    countOf: (info: RequestInfo) => number,
  ): Filter =>
  (next) => {
    const enter = (exchange: Exchange, info: RequestInfo): Awaitable<FlowTurn> => {
      const width = widthOf(info, exchange, countOf)
      const user = requireUser(exchange)
      return exchange.trace === undefined
        ? control.enter(user, info, width, exchange)
        : exchange.trace.part(
            'priorityandfairness',
            () => control.enter(user, info, width, exchange),
            OUTSIDE,
          )
    }
    const end = (kind: 'readOnly' | 'mutating', turn: FlowTurn | undefined): void => {
      inFlight[kind]--
      turn?.release()
    }
    return async (exchange) => {
      const { info } = exchange
      if (info === undefined) return next(exchange)
      const watching = info.isResource && info.verb === 'watch'
      if (isLongRunning(info) && !watching) return next(exchange)
      const reading =
        info.verb === 'get' || info.verb === 'list' || info.verb === 'head' || watching
      const kind = reading ? 'readOnly' : 'mutating'
      let turn: FlowTurn | undefined
      if (exchange.trustedUser === undefined) {
        inQueue[kind]++
        try {
          const entered = enter(exchange, info)
          turn = entered instanceof Promise ? await entered : entered
        } finally {
          inQueue[kind]--
        }
        exchange.flow = turn.flow
      }
      inFlight[kind]++
      let reply: Reply | undefined
      try {
        reply = await next(exchange)
        return reply
      } finally {
        // A watch gives its seat back as soon as it has begun; a long answer keeps it until it is sent, or nobody wants it.
        if (watching || !isSentLater(exchange, reply)) end(kind, turn)
        else exchange.signal.addEventListener('abort', () => end(kind, turn), { once: true })
      }
    }
  }

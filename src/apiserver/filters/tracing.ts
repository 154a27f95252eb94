/** The span of a request, in the trace that it belongs to. */
import type { Awaitable, Env, Span, Tracing } from '#base'
import type { Exchange, Filter } from '../exchange.ts'
import { infoOf } from './request-info.ts'

/** Whoever is of these may say which trace a request belongs to, and that it is collected. */
const MAY_SAY_TRACES: ReadonlySet<string> = new Set(['system:masters', 'system:monitoring'])

/** Traces requests of those who are known. */
export const withTracing =
  ({ clock, tracing }: Pick<Env, 'clock' | 'tracing'>): Filter =>
  (next) =>
  (exchange) => {
    if (tracing !== undefined) exchange.trace?.begin(beginSpan(tracing, exchange, clock.now()))
    return next(exchange)
  }

/**
 * It belongs to the trace of what led to it, or of who asks, if that is one who may say so; else a trace begins
 * here, which others may find from theirs by a link.
 */
function beginSpan(tracing: Tracing, exchange: Exchange, now: Date): Span | undefined {
  const { method, path, cause, trace } = exchange
  const info = infoOf(exchange)
  const revision = cause === undefined ? undefined : /@(\d+)$/.exec(cause)?.[1]
  const given = exchange.headers['traceparent']
  const isTrusted =
    exchange.trustedUser !== undefined ||
    exchange.user?.groups?.some((group) => MAY_SAY_TRACES.has(group)) === true
  const parent =
    (isTrusted ? given : undefined) ??
    (revision === undefined ? undefined : tracing.writerOf(Number(revision)))
  const what = info.subresource === '' ? info.resource : `${info.resource}/${info.subresource}`
  const spentMs = trace?.parts.reduce((sum, { ms }) => sum + ms, 0) ?? 0
  return tracing.start(info.isResource ? `${info.verb} ${what}` : `${method} ${path}`, {
    kind: 'server',
    parent,
    link: parent === given ? undefined : given,
    started: new Date(now.getTime() - spentMs),
    attributes: {
      'http.request.method': method,
      'url.path': path,
      'audit-id': exchange.id,
      ...(cause === undefined ? {} : { cause }),
    },
  })
}

/** Runs a part of the request whose time is noted under its name. */
export const timed = <T extends Awaitable<unknown>, A>(
  { trace }: Exchange,
  name: string,
  run: (traceparent: string | undefined, about: A) => T,
  about: A,
): T => (trace === undefined ? run(undefined, about) : trace.part(name, run, undefined, about))

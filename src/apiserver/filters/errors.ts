/** Outermost: every failure becomes a Status, and every answer names its request and carries its warnings. */
import type { Env } from '#base'
import { StatusError, badRequest, internalError } from '#machinery'
import type { Codec } from '../codec/index.ts'
import type { Exchange, Filter, Reply } from '../exchange.ts'
import { statusReply } from '../replies.ts'
import { warningHeaders } from './warnings.ts'

/** Outermost: every failure becomes a Status, and every answer names its request and carries its warnings. */
export const withErrorResponses =
  (codec: Codec, { log }: Pick<Env, 'log'>): Filter =>
  (next) =>
  async (exchange) => {
    let reply: Reply
    try {
      reply = await next(exchange)
    } catch (error) {
      reply = statusReply(codec, exchange, toStatusError(error, exchange, log))
    }
    if (exchange.trustedUser !== undefined) return reply
    const warnings = warningHeaders(exchange.warnings)
    const headers: Record<string, string | readonly string[]> = {
      'audit-id': exchange.id,
      'cache-control': 'no-cache, private',
      ...reply.headers,
    }
    if (exchange.flow !== undefined) {
      headers['x-kubernetes-pf-flowschema-uid'] = exchange.flow.schemaUid
      headers['x-kubernetes-pf-prioritylevel-uid'] = exchange.flow.levelUid
    }
    if (warnings.length > 0) headers['warning'] = warnings
    return { ...reply, headers }
  }

function toStatusError(error: unknown, exchange: Exchange, log: Env['log']): StatusError {
  if (error instanceof StatusError) return error
  if (exchange.signal.aborted && exchange.signal.reason instanceof StatusError)
    return exchange.signal.reason
  // Only what the client sent can be nested so deep.
  if (error instanceof RangeError && error.message.includes('call stack'))
    return badRequest('the request is nested too deep')
  // The client sees which request it was; what went wrong inside is for the log alone.
  if (!exchange.signal.aborted)
    log.error('request failed', {
      id: exchange.id,
      method: exchange.method,
      path: exchange.path,
      error,
    })
  return internalError(`the server could not complete request ${exchange.id}; see its log`)
}

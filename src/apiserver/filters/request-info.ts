/** What a request asks for by its path, and what became of it: counted, and logged when it was slow. */
import type { Env } from '#base'
import { StatusError } from '#machinery'
import type { Exchange, Filter, Reply, RequestInfo } from '../exchange.ts'
import type { RequestMetrics } from '../metrics/index.ts'
import { labelsOf } from './request-labels.ts'
import { parseRequest } from '../requests.ts'
import { RequestTrace } from '../trace.ts'

const CONVERSATIONS: ReadonlySet<string> = new Set([
  'attach',
  'exec',
  'log',
  'portforward',
  'proxy',
])

/** Answers that stay open as long as the client likes: no deadline, no share of the limits. */
export const isLongRunning = ({ isResource, verb, subresource, path }: RequestInfo): boolean =>
  isResource
    ? verb === 'watch' || verb === 'proxy' || CONVERSATIONS.has(subresource)
    : path.startsWith('/debug/')

/** Read once a request. */
export const infoOf = (exchange: Exchange): RequestInfo =>
  (exchange.info ??= parseRequest(exchange.method, exchange.path, exchange.query))

/** Reads the path, and counts and logs what became of the request. */
export const withRequestInfo =
  ({ clock, log }: Pick<Env, 'clock' | 'log'>, metrics: RequestMetrics, slowMs: number): Filter =>
  (next) =>
  async (exchange) => {
    const info = infoOf(exchange)
    const started = clock.monotonic()
    const longRunning = isLongRunning(info)
    const trace = new RequestTrace(clock)
    exchange.trace = trace
    const labels = labelsOf(info, exchange)
    let code = 500
    let reply: Reply | undefined
    let failure: unknown
    try {
      reply = await next(exchange)
      code = reply.status
      return reply
    } catch (error) {
      if (error instanceof StatusError) code = error.code
      else if (exchange.signal.aborted) metrics.aborted(labels)
      failure = error
      throw error
    } finally {
      const ms = clock.monotonic() - started
      const isRead = labels.verb === 'GET' || labels.verb === 'LIST'
      metrics.observe(labels, {
        code,
        seconds: ms / 1000,
        ownSeconds: Math.max(0, ms - trace.outsideMs) / 1000,
        isLongRunning: longRunning,
        answerBytes: isRead && reply?.body instanceof Uint8Array ? reply.body.length : undefined,
      })
      const sent = Number(exchange.headers['content-length'] ?? 0)
      if (sent > 0 && info.isResource && BODY_VERBS.has(info.verb)) metrics.bodySize(labels, sent)
      for (const { name, ms: took } of trace.parts)
        if (FILTERS.has(name)) metrics.filter(name, took)
      const { span } = trace
      if (span !== undefined) {
        span.set({ 'http.response.status_code': code, 'enduser.id': exchange.user?.name ?? '' })
        span.end(code >= 500 ? (failure ?? `status ${code}`) : undefined)
      }
      if (ms >= slowMs && !longRunning)
        log.warn('slow request', {
          id: exchange.id,
          verb: info.verb,
          path: exchange.path,
          user: exchange.user?.name,
          code,
          ms: Math.round(ms),
          parts: trace.text(),
        })
    }
  }

const BODY_VERBS: ReadonlySet<string> = new Set(['create', 'update', 'patch'])
const FILTERS: ReadonlySet<string> = new Set([
  'authentication',
  'authorization',
  'priorityandfairness',
])

/** Calls within the process: the same chain as over the network, without encoding. Objects are shared. */
import type { Env } from '#base'
import { clientCounts, type ApiRequest, type Transport } from '#client'
import { StatusError, type RequestUser, type Status, type WatchEvent } from '#machinery'
import type { Exchange, Handler, Reply } from './exchange.ts'

const NO_HEADERS: Exchange['headers'] = {}

const headersOf = (
  contentType: string | undefined,
  traceparent: string | undefined,
): Exchange['headers'] =>
  contentType === undefined && traceparent === undefined
    ? NO_HEADERS
    : { 'content-type': contentType, traceparent }

const nothing = (): Promise<Uint8Array> => Promise.resolve(new Uint8Array())

export function inProcessTransport(
  handler: Handler,
  user: RequestUser,
  { random, clock, metrics }: Pick<Env, 'random' | 'clock' | 'metrics'>,
  /** Aborts when the server closes: watches end then. */
  closing: AbortSignal,
): Transport {
  const counts = clientCounts(metrics, clock, 'in-process')
  const call = async (
    request: ApiRequest,
    extra?: Readonly<Record<string, string>>,
  ): Promise<Reply> => {
    const { method, path, query, body, contentType, cause, signal, traceparent } = request
    signal?.throwIfAborted()
    const told = counts(method)
    // A call without a signal of its own ends with the server; only watches last long enough to need both.
    const exchange: Exchange = {
      method,
      path,
      query: new URLSearchParams(extra === undefined ? query : { ...query, ...extra }),
      headers: headersOf(contentType, traceparent),
      body: nothing,
      value: body,
      remoteAddress: '',
      trustedUser: user,
      signal: signal ?? closing,
      id: random.uuid(),
      ...(cause === undefined ? {} : { cause }),
      warnings: [],
    }
    const reply = await handler(exchange)
    told(reply.status)
    if (reply.status >= 400) throw StatusError.from(reply.value as Status)
    return reply
  }
  return {
    request: async (request) => (await call(request)).value,
    async watch(request) {
      const signal =
        request.signal === undefined ? closing : AbortSignal.any([request.signal, closing])
      const { value } = await call({ ...request, signal }, { watch: 'true' })
      return value as AsyncIterable<readonly WatchEvent[]>
    },
  }
}

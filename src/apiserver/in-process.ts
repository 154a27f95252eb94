/** Calls within the process: the same chain as over the network, without encoding. Objects are shared. */
import type { Env } from '#base'
import type { ApiRequest, Transport } from '#client'
import { StatusError, type RequestUser, type Status, type WatchEvent } from '#machinery'
import type { Exchange, Handler, Reply } from './exchange.ts'

const NO_HEADERS: Exchange['headers'] = {}

const nothing = (): Promise<Uint8Array> => Promise.resolve(new Uint8Array())

export function inProcessTransport(
  handler: Handler,
  user: RequestUser,
  { random }: Pick<Env, 'random'>,
  /** Aborts when the server closes: watches end then. */
  closing: AbortSignal,
): Transport {
  const call = async (
    request: ApiRequest,
    extra?: Readonly<Record<string, string>>,
  ): Promise<Reply> => {
    const { method, path, query, body, contentType, cause, signal } = request
    signal?.throwIfAborted()
    // A call without a signal of its own ends with the server; only watches last long enough to need both.
    const exchange: Exchange = {
      method,
      path,
      query: new URLSearchParams(extra === undefined ? query : { ...query, ...extra }),
      headers: contentType === undefined ? NO_HEADERS : { 'content-type': contentType },
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

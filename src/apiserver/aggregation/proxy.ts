/** Carries requests to the servers of aggregated APIs, with word of who asks (requestheader authentication). */
import { request as httpRequest, type IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { APIService } from '#api'
import type { Env } from '#base'
import { StatusError, parseJson, type RequestUser, type WatchEvent } from '#machinery'
import type { Exchange, Reply } from '../exchange.ts'
import { requireUser } from '../filters/index.ts'
import { isInProcess, textReply } from '../replies.ts'
import type { Reader } from '../inside.ts'
import {
  hasBody,
  isForwarded,
  isUpgrade,
  join,
  responseHeaders,
  sendBody,
} from '../streaming/carry.ts'
import { SecureAgent, secured, type SecureTarget } from '../webhook-client/agent.ts'
import { failureText } from '../webhook-client/errors.ts'
import { serviceEndpoint } from '../webhook-client/service-endpoint.ts'
import { isAvailable } from './directory.ts'

export interface AggregatedProxyOptions {
  readonly env: Pick<Env, 'clock' | 'net' | 'random'>
  readonly read: Pick<Reader, 'get' | 'list'>
  /** What we show, so that the other server believes what we say of users. */
  readonly frontProxyClient: { readonly certificate: string; readonly key: string }
}

export interface AggregatedProxy {
  /** A request as it came. */
  carry(exchange: Exchange, service: APIService): Promise<Reply>
  /** A question of our own. */
  ask(
    service: APIService,
    path: string,
    options: {
      readonly accept?: string
      readonly etag?: string
      readonly signal: AbortSignal
    },
  ): Promise<{ readonly status: number; readonly etag: string; readonly text: string }>
  close(): void
}

/** Who asks when it is the aggregator itself. */
const AGGREGATOR: RequestUser = { name: 'system:kube-aggregator', groups: ['system:masters'] }

const MAX_POOLS = 64
/** Descriptions of large APIs are some megabytes. */
const MAX_ANSWER_BYTES = 64 << 20

export function createAggregatedProxy({
  env,
  read,
  frontProxyClient,
}: AggregatedProxyOptions): AggregatedProxy {
  const pools = new Map<string, SecureAgent>()

  const targetOf = ({ spec }: APIService): SecureTarget => {
    const { namespace = '', name = '', port = 443 } = spec.service ?? {}
    return {
      serverName: `${name}.${namespace}.svc`,
      authority: spec.caBundle ? Buffer.from(spec.caBundle, 'base64').toString('utf8') : undefined,
      insecure: spec.insecureSkipTLSVerify === true,
      credentials: frontProxyClient,
      address: () => serviceEndpoint(read, env.random, { namespace, name, port }),
    }
  }
  const poolOf = (service: APIService, target: SecureTarget): SecureAgent => {
    const key = JSON.stringify([service.spec.service, service.spec.caBundle, target.insecure])
    const agent = pools.get(key) ?? new SecureAgent(env, target)
    pools.delete(key)
    pools.set(key, agent)
    const [oldest] = pools
    if (pools.size > MAX_POOLS && oldest !== undefined) {
      pools.delete(oldest[0])
      oldest[1].destroy()
    }
    return agent
  }

  return {
    async carry(exchange, service) {
      if (!isAvailable(service)) {
        if (isInProcess(exchange))
          throw new StatusError('ServiceUnavailable', 'service unavailable')
        return textReply(503, 'service unavailable\n')
      }
      const target = targetOf(service)
      const port = service.spec.service?.port ?? 443
      const socket = isUpgrade(exchange) ? await dial(env, target) : undefined
      const outgoing = httpRequest({
        ...(socket === undefined
          ? { agent: poolOf(service, target) }
          : { createConnection: () => socket }),
        method: exchange.method,
        host: target.serverName,
        port,
        path: pathOf(exchange),
        headers: headersFor(exchange, `${target.serverName}:${port}`),
      })
      const stop = (): void => void outgoing.destroy()
      exchange.signal.addEventListener('abort', stop, { once: true })
      outgoing.on('close', () => exchange.signal.removeEventListener('abort', stop))
      const answered = new Promise<Reply>((resolve, reject) => {
        outgoing.on('error', (error) => reject(unreachable(error, target)))
        outgoing.on('response', (response) => {
          const reply = isInProcess(exchange) ? valueReply(exchange, response) : plain(response)
          Promise.resolve(reply).then(resolve, reject)
        })
        outgoing.on('upgrade', (response, upstream, head) => {
          join(exchange, response, upstream, head).then(
            () => resolve({ status: 101, headers: {}, upgraded: true }),
            reject,
          )
        })
      })
      // The body may still be on its way when the answer comes.
      send(exchange, outgoing).catch((error: unknown) => outgoing.destroy(error as Error))
      return answered
    },

    async ask(service, path, { accept = 'application/json', etag, signal }) {
      const target = targetOf(service)
      const response = await new Promise<IncomingMessage>((resolve, reject) => {
        const outgoing = httpRequest({
          agent: poolOf(service, target),
          host: target.serverName,
          port: service.spec.service?.port ?? 443,
          path,
          signal,
          headers: {
            accept,
            'user-agent': 'kube-aggregator',
            ...(etag === undefined ? {} : { 'if-none-match': etag }),
            ...identityHeaders(AGGREGATOR),
          },
        })
        outgoing.on('error', (error) => reject(new Error(failureText(error, target.serverName))))
        outgoing.on('response', resolve)
        outgoing.end()
      })
      const text = await textOf(response)
      return { status: response.statusCode ?? 0, etag: response.headers.etag ?? '', text }
    },

    close() {
      for (const agent of pools.values()) agent.destroy()
      pools.clear()
    },
  }
}

const unreachable = (error: Error, { serverName }: SecureTarget): StatusError =>
  new StatusError(
    'ServiceUnavailable',
    `error trying to reach service: ${failureText(error, serverName)}`,
  )

async function dial(env: Pick<Env, 'clock' | 'net'>, target: SecureTarget): Promise<Duplex> {
  try {
    return await secured(env, target)
  } catch (error) {
    throw unreachable(error as Error, target)
  }
}

const pathOf = ({ path, query }: Exchange): string => {
  const text = query.toString()
  return `${path.split('/').map(encodeURIComponent).join('/')}${text === '' ? '' : `?${text}`}`
}

/** Bytes of UTF-8, which is what a header of Node takes one character each for. */
const bytes = (text: string): string => Buffer.from(text, 'utf8').toString('latin1')

export function identityHeaders({
  name,
  uid,
  groups,
  extra = {},
}: RequestUser): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = { 'x-remote-user': bytes(name) }
  if (uid !== undefined && uid !== '') headers['x-remote-uid'] = bytes(uid)
  if (groups.length > 0) headers['x-remote-group'] = groups.map(bytes)
  for (const [key, values] of Object.entries(extra))
    headers[`x-remote-extra-${encodeURIComponent(key).toLowerCase()}`] = values.map(bytes)
  return headers
}

function headersFor(exchange: Exchange, host: string): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {}
  for (const [name, value] of Object.entries(exchange.headers))
    // Who asks is for us to say.
    if (value !== undefined && isForwarded(name) && !name.startsWith('x-remote-'))
      headers[name] = value
  const forwarded = exchange.headers['x-forwarded-for']
  const { remoteAddress } = exchange
  const isWritten = isInProcess(exchange) && exchange.value !== undefined
  return {
    ...(isInProcess(exchange) ? { accept: 'application/json' } : {}),
    ...(isWritten ? { 'content-type': headers['content-type'] ?? 'application/json' } : {}),
    ...headers,
    host,
    ...(remoteAddress === ''
      ? {}
      : {
          'x-forwarded-for':
            forwarded === undefined ? remoteAddress : `${forwarded}, ${remoteAddress}`,
        }),
    ...identityHeaders(requireUser(exchange)),
    ...(isUpgrade(exchange)
      ? { connection: 'Upgrade', upgrade: exchange.headers['upgrade'] ?? '' }
      : {}),
  }
}

async function send(exchange: Exchange, outgoing: ReturnType<typeof httpRequest>): Promise<void> {
  if (!isInProcess(exchange)) return sendBody(exchange, outgoing)
  outgoing.end(
    hasBody(exchange) || exchange.value !== undefined
      ? JSON.stringify(exchange.value ?? {})
      : undefined,
  )
}

const plain = (response: IncomingMessage): Reply => ({
  status: response.statusCode ?? 502,
  headers: responseHeaders(response.headers),
  body: response,
})

/** Callers in this process are given values, and batches of events. */
async function valueReply(exchange: Exchange, response: IncomingMessage): Promise<Reply> {
  const { statusCode: status = 502 } = response
  if (exchange.info?.verb === 'watch' && status === 200)
    return { status, headers: {}, value: eventsOf(response) }
  const text = await textOf(response)
  try {
    return { status, headers: {}, value: parseJson(text) }
  } catch {
    if (status < 400) return { status, headers: {}, value: text }
    throw new StatusError('', text.slice(0, 2048), { code: status })
  }
}

async function* eventsOf(response: IncomingMessage): AsyncGenerator<readonly WatchEvent[]> {
  let rest = ''
  response.setEncoding('utf8')
  for await (const chunk of response as AsyncIterable<string>) {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop() ?? ''
    const events = lines.filter((line) => line !== '').map((line) => parseJson(line) as WatchEvent)
    if (events.length > 0) yield events
  }
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > MAX_ANSWER_BYTES)
      throw new Error(`the answer is larger than ${MAX_ANSWER_BYTES} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

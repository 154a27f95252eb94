/** `pods|services|nodes` `/proxy`: requests of any kind, carried to a pod, a Service's endpoint or a kubelet. */
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { connect as tlsConnect } from 'node:tls'
import type { Duplex } from 'node:stream'
import type { Env } from '#base'
import { nodes } from '#api'
import { StatusError, badRequest, notFound } from '#machinery'
import type { Exchange, Reply } from '../exchange.ts'
import type { ConnectHandler, ConnectTarget } from '../extensions.ts'
import type { Reader } from '../inside.ts'
import { isForwarded, isUpgrade, join, responseHeaders, sendBody } from './carry.ts'
import { UPGRADED } from './exec.ts'
import {
  nodeAddress,
  parseProxyName,
  podAddress,
  serviceAddress,
  type ProxyAddress,
} from './proxy-target.ts'
import { rewriteHtml, rewriteUrl, type Rewriting } from './rewrite.ts'
import { reach, type NodeApis } from './target.ts'

export interface ProxyOptions {
  readonly env: Pick<Env, 'net' | 'random'>
  readonly read: Pick<Reader, 'get' | 'list'>
  readonly nodeApi: NodeApis
}

/** Where kubelets answer that do not say where. */
const KUBELET_PORT = 10_250

/** A page whose links are rewritten is read whole: a larger one goes through as it is. */
const MAX_PAGE_BYTES = 8 << 20

export const podProxy =
  (options: ProxyOptions): ConnectHandler =>
  (exchange, target) =>
    withSlash(exchange, target, () =>
      carryTo(options, exchange, target, podAddress(options.read, target.namespace, target.name)),
    )

export const serviceProxy =
  (options: ProxyOptions): ConnectHandler =>
  (exchange, target) =>
    withSlash(exchange, target, () =>
      carryTo(
        options,
        exchange,
        target,
        serviceAddress(options.read, options.env.random, target.namespace, target.name),
      ),
    )

export const nodeProxy =
  ({ nodeApi, read, env }: ProxyOptions): ConnectHandler =>
  (exchange, target) =>
    withSlash(exchange, target, async () => {
      const wanted = parseProxyName(target.name)
      if (wanted === undefined)
        throw badRequest(`invalid node request ${JSON.stringify(target.name)}`)
      const node = read.get(nodes, '', wanted.name)
      const known = nodeApi(wanted.name)
      if (known === undefined && node === undefined)
        throw notFound({ group: '', resource: 'nodes' }, wanted.name)
      const ownPort = node?.status?.daemonEndpoints?.kubeletEndpoint?.Port || KUBELET_PORT
      if (wanted.port !== '' && wanted.port !== String(ownPort))
        return carryTo({ env }, exchange, target, nodeAddress(wanted, node))
      const kubelet = reach(wanted.name, nodeApi)
      const { connect } = kubelet
      if (connect !== undefined)
        return carry(exchange, target, wanted.name, () => connect(exchange.signal))
      if (exchange.method !== 'GET' && exchange.method !== 'HEAD')
        throw new StatusError('MethodNotAllowed', 'the kubelet only answers questions')
      const page = await kubelet.page(target.rest, exchange.query.toString())
      if (page === undefined)
        throw new StatusError('NotFound', 'the server could not find the requested resource')
      return {
        status: page.status,
        headers: { ...page.headers, 'content-type': page.contentType },
        body: page.body,
      }
    })

/** A proxy's root is a folder: relative links on its page need the slash. Who does not read a page needs no such thing. */
async function withSlash(
  exchange: Exchange,
  { rest }: ConnectTarget,
  answer: () => Promise<Reply>,
): Promise<Reply> {
  const reads = exchange.method === 'GET' || exchange.method === 'HEAD'
  if (rest !== '' || !reads || isUpgrade(exchange)) return answer()
  const query = exchange.query.toString()
  return {
    status: 301,
    headers: { location: `${encodeURI(exchange.path)}/${query === '' ? '' : `?${query}`}` },
  }
}

function carryTo(
  { env }: Pick<ProxyOptions, 'env'>,
  exchange: Exchange,
  target: ConnectTarget,
  address: ProxyAddress,
): Promise<Reply> {
  const host = address.host.includes(':') ? `[${address.host}]` : address.host
  return carry(exchange, target, `${host}:${address.port}`, () =>
    dial(env, address, exchange.signal),
  )
}

async function carry(
  exchange: Exchange,
  target: ConnectTarget,
  host: string,
  connect: () => Promise<Duplex>,
): Promise<Reply> {
  const rewriting: Rewriting = {
    prefix: exchange.path.slice(0, exchange.path.length - target.rest.length),
    target: host,
    requestHost: exchange.headers['host'] ?? '',
  }
  const socket = await connect().catch((error: unknown) => {
    throw error instanceof StatusError ? error : unreachable(error as Error)
  })
  const query = exchange.query.toString()
  const outgoing = httpRequest({
    createConnection: () => socket,
    method: exchange.method,
    path: `${encodeURI(target.rest === '' ? '/' : target.rest)}${query === '' ? '' : `?${query}`}`,
    headers: requestHeaders(exchange, rewriting),
  })
  const stop = (): void => void outgoing.destroy()
  exchange.signal.addEventListener('abort', stop, { once: true })
  outgoing.on('close', () => exchange.signal.removeEventListener('abort', stop))

  const answered = new Promise<Reply>((resolve, reject) => {
    outgoing.on('error', (error) => reject(unreachable(error)))
    outgoing.on('response', (response) => {
      replyOf(response, rewriting).then(resolve, reject)
    })
    outgoing.on('upgrade', (response, upstream, head) => {
      join(exchange, response, upstream, head).then(() => resolve(UPGRADED), reject)
    })
  })
  // The body may still be on its way when the answer comes.
  sendBody(exchange, outgoing).catch((error: unknown) => outgoing.destroy(error as Error))
  return answered
}

const unreachable = (error: Error): StatusError =>
  new StatusError('ServiceUnavailable', `error trying to reach service: ${error.message}`)

async function dial(
  { net }: Pick<Env, 'net'>,
  { scheme, host, port }: ProxyAddress,
  signal: AbortSignal,
): Promise<Duplex> {
  let socket: Duplex
  try {
    socket = await net.connect({ host, port }, signal)
  } catch (error) {
    throw unreachable(error as Error)
  }
  if (scheme === 'http') return socket
  // Pods have certificates of their own making: nobody could have signed them.
  return new Promise((resolve, reject) => {
    const secure = tlsConnect({ socket, rejectUnauthorized: false }, () => resolve(secure))
    secure.once('error', (error) => reject(unreachable(error)))
  })
}

function requestHeaders(
  exchange: Exchange,
  { prefix, target, requestHost }: Rewriting,
): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(exchange.headers))
    // Answers must come readable, so that links in them can be rewritten.
    if (value !== undefined && isForwarded(name) && name !== 'accept-encoding')
      headers[name] = value
  const forwarded = exchange.headers['x-forwarded-for']
  return {
    ...headers,
    host: target,
    'x-forwarded-for':
      forwarded === undefined ? exchange.remoteAddress : `${forwarded}, ${exchange.remoteAddress}`,
    'x-forwarded-host': requestHost,
    'x-forwarded-proto': 'https',
    'x-forwarded-uri': `${prefix}/`,
    ...(isUpgrade(exchange)
      ? { connection: 'Upgrade', upgrade: exchange.headers['upgrade'] ?? '' }
      : { connection: 'close' }),
  }
}

async function replyOf(response: IncomingMessage, rewriting: Rewriting): Promise<Reply> {
  const headers = responseHeaders(response.headers)
  const { statusCode: status = 502 } = response
  const location = headers['location']
  if (typeof location === 'string') headers['location'] = rewriteUrl(location, rewriting)
  const isPage =
    /^text\/html\b/i.test(response.headers['content-type'] ?? '') &&
    response.headers['content-encoding'] === undefined &&
    Number(response.headers['content-length'] ?? 0) <= MAX_PAGE_BYTES
  if (!isPage) return { status, headers, body: response }
  return { status, ...(await pageOf(response, headers, rewriting)) }
}

async function pageOf(
  response: IncomingMessage,
  headers: Record<string, string | string[]>,
  rewriting: Rewriting,
): Promise<Pick<Reply, 'headers' | 'body'>> {
  const chunks: Uint8Array[] = []
  let length = 0
  const rest = response[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>
  for (let next = await rest.next(); !next.done; next = await rest.next()) {
    chunks.push(next.value)
    length += next.value.length
    if (length > MAX_PAGE_BYTES) return { headers, body: resumed(chunks, rest) }
  }
  // Latin-1 keeps every byte, whatever the page's own encoding is: links are ASCII.
  const page = Buffer.concat(chunks).toString('latin1')
  const { 'content-length': _length, ...others } = headers
  return { headers: others, body: Buffer.from(rewriteHtml(page, rewriting), 'latin1') }
}

async function* resumed(
  chunks: readonly Uint8Array[],
  rest: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield* chunks
  for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value
}

/** One TLS port for HTTP/2 and HTTP/1.1: connections in, requests to the handler, an orderly end. */
import { createHash } from 'node:crypto'
import { ServerResponse, type IncomingMessage } from 'node:http'
import {
  constants,
  createSecureServer,
  type IncomingHttpHeaders,
  type SecureServerOptions,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import type { Env } from '#base'
import { StatusError } from '#machinery'
import type { Exchange, Handler, Reply } from '../exchange.ts'
import { isLongRunning } from '../filters/index.ts'
import { utf8 } from '../replies.ts'
import type { ListenOptions, Listening } from './listening.ts'
import { answerHttp1, answerHttp2 } from './answer.ts'
import { HttpExchange, peerOf, type Incoming } from './request.ts'

/** Go clients put many watches on one connection. */
const MAX_STREAMS = 4096
/** A client may leave all its watches at once, and again: every second, and four times over. */
const RESETS_PER_SECOND = MAX_STREAMS
const RESET_BURST = 4 * MAX_STREAMS
/** The path and the headers of a request: Go's own bound, for `exec` puts whole commands into the query. */
const MAX_HEADER_BYTES = 1 << 20
/** The server knows the option, and its type does not. */
const HTTP1_OPTIONS = { maxHeaderSize: MAX_HEADER_BYTES }
const WINDOW_BYTES = 4 * 1024 * 1024
/** How long running requests get to finish when the server closes. */
const REQUEST_GRACE_MS = 10_000
/** How long connections then get to end in order. */
const CLOSE_GRACE_MS = 2000
/** Connections without a request are closed after this. */
const IDLE_MS = 120_000

/** Who the server is to its clients, and whose certificates it believes. */
const credentials = ({ certificate, key, clientAuthorities }: ListenOptions['tls']) => ({
  cert: text(certificate),
  key: text(key),
  ca: clientAuthorities.map(text),
  allowPartialTrustChain: true,
  minVersion: 'TLSv1.2' as const,
  // Sessions resume only with a server that was started with the same key: a ticket carries the client's identity.
  sessionIdContext: createHash('sha256').update(text(key)).digest('hex').slice(0, 32),
})

const text = (part: string | Uint8Array): string | Buffer =>
  typeof part === 'string' ? part : Buffer.from(part)

const serverOptions = (tls: ListenOptions['tls']): SecureServerOptions => ({
  ...credentials(tls),
  allowHTTP1: true,
  ...HTTP1_OPTIONS,
  requestCert: true,
  // Who shows no certificate may have a token; whether one is needed is authentication's business.
  rejectUnauthorized: false,
  // A session may hold as much as its streams' windows let clients send.
  maxSessionMemory: 128,
  // The library's own bound of 1,000 ends the connection, and all that goes on over it.
  streamResetBurst: RESET_BURST,
  streamResetRate: RESETS_PER_SECOND,
  settings: {
    maxConcurrentStreams: MAX_STREAMS,
    initialWindowSize: WINDOW_BYTES,
    maxHeaderListSize: MAX_HEADER_BYTES,
    enableConnectProtocol: false,
  },
})

/** Opens the port. It answers until the result is closed; a renewed certificate is shown to new connections. */
export async function listen(
  handler: Handler,
  { host = '0.0.0.0', port, tls }: ListenOptions,
  { clock, random, log, metrics }: Pick<Env, 'clock' | 'random' | 'log' | 'metrics'>,
): Promise<Listening> {
  const server = createSecureServer(serverOptions(tls))

  const sessions = new Set<ServerHttp2Session>()
  const sockets = new Set<TLSSocket>()
  const running = new Set<HttpExchange>()
  let closing = false
  const idle = Promise.withResolvers<void>()

  const begin = (incoming: Incoming): HttpExchange => {
    const exchange = new HttpExchange(random, incoming)
    running.add(exchange)
    return exchange
  }
  const over = (exchange: HttpExchange): void => {
    running.delete(exchange)
    exchange.end(GONE)
    if (closing && running.size === 0) idle.resolve()
  }

  /** Who comes too late is to come back to whoever is there then; whether this one lives can still be asked. */
  const answered: Handler = (exchange) =>
    closing && !HEALTH.test(exchange.path) ? Promise.resolve(goneSoon()) : handler(exchange)

  const fail = (error: unknown, path: string): void => {
    log.error('answer could not be sent', { path, error })
  }

  const onStream = (
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    _flags: number,
    raw: readonly string[],
  ): void => {
    // The same stand-in for the socket every time: it is what the connection is remembered by.
    const socket = stream.session?.socket as TLSSocket | undefined
    stream.on('error', ignore)
    if (socket === undefined) return
    const method = headers[':method'] ?? 'GET'
    const url = headers[':path'] ?? '/'
    const peer = peerOf(socket)
    const exchange = begin({ method, url, headers, rawHeaders: raw, input: stream, peer })
    stream.on('close', () => over(exchange))
    answerHttp2(stream, answered, exchange).catch((error: unknown) => {
      fail(error, url)
      if (!stream.destroyed) stream.close(constants.NGHTTP2_INTERNAL_ERROR)
    })
  }
  server.on('stream', onStream)

  const respond = (
    request: IncomingMessage,
    response: ServerResponse,
    upgrade?: Exchange['upgrade'],
  ) => {
    const { method = 'GET', url = '/', headers, rawHeaders } = request
    const peer = peerOf(request.socket as TLSSocket)
    const exchange = begin({ method, url, headers, rawHeaders, input: request, peer, upgrade })
    const end = () => over(exchange)
    request.on('error', ignore)
    response.on('error', ignore)
    response.on('close', end)
    if (upgrade !== undefined) request.socket.on('close', end)
    if (closing) response.setHeader('connection', 'close')
    answerHttp1(response, answered, exchange).catch((error: unknown) => {
      fail(error, url)
      response.destroy()
    })
  }
  // Node would otherwise wrap every HTTP/2 stream too, for its compatibility interface.
  server.removeAllListeners('newListener')
  server.on('request', (request, response) => {
    const incoming = request as unknown as IncomingMessage
    if (incoming.httpVersionMajor < 2) respond(incoming, response as unknown as ServerResponse)
  })
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const response = new ServerResponse(request)
    response.shouldKeepAlive = false
    response.assignSocket(socket as TLSSocket)
    response.on('finish', () => socket.end())
    socket.on('error', () => undefined)
    respond(request, response, async (headers) => {
      response.detachSocket(socket as TLSSocket)
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join('')}\r\n`)
      if (head.length > 0) socket.unshift(head)
      return socket
    })
  })

  server.on('session', (session) => {
    sessions.add(session)
    // The connection's window is separate from its streams' and starts at 64 KiB.
    session.setLocalWindowSize(4 * WINDOW_BYTES)
    session.on('close', () => sessions.delete(session))
    session.on('error', () => undefined)
  })
  server.on('secureConnection', (socket) => {
    sockets.add(socket)
    socket.setNoDelay(true)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => undefined)
  })
  // Scanners and clients without our authority: nothing to do with them.
  const handshakeErrors = metrics.counter({
    name: 'apiserver_tls_handshake_errors_total',
    help: 'Connections that ended before they were secure.',
  })
  server.on('tlsClientError', (error) => {
    handshakeErrors.with().add()
    log.debug('TLS handshake failed', { error: error.message })
  })
  server.on('sessionError', () => undefined)
  server.setTimeout(0)
  // Clients keep HTTP/1.1 connections for later, longer than Node would.
  Object.assign(server, { keepAliveTimeout: IDLE_MS, headersTimeout: IDLE_MS, requestTimeout: 0 })

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port, backlog: 1024 }, () => {
      server.removeListener('error', reject)
      resolve()
    })
  })
  server.on('error', (error) => log.error('server socket failed', { error }))

  let closed: Promise<void> | undefined
  const close = async (): Promise<void> => {
    closing = true
    const ended = new Promise<void>((resolve) => server.close(() => resolve()))
    for (const session of sessions) session.close()
    // Watches and conversations see their signal abort and end their answers in order; others get their answer.
    for (const exchange of running)
      if (exchange.info !== undefined && isLongRunning(exchange.info)) exchange.end(SHUTTING_DOWN)
    const bounded = async (done: Promise<void>, ms: number): Promise<void> => {
      const grace = new AbortController()
      await Promise.race([done, clock.sleep(ms, grace.signal).catch(() => undefined)])
      grace.abort()
    }
    if (running.size > 0) await bounded(idle.promise, REQUEST_GRACE_MS)
    for (const exchange of running) exchange.end(SHUTTING_DOWN)
    await bounded(ended, CLOSE_GRACE_MS)
    for (const session of sessions) session.destroy()
    for (const socket of sockets) socket.destroy()
    await ended
  }
  return {
    port: (server.address() as AddressInfo).port,
    renew: (credential) => server.setSecureContext(credentials(credential)),
    close: () => (closed ??= close()),
  }
}

/** Whom an error means is told in another way. */
const ignore = (): void => undefined

const HEALTH = /^\/(livez|readyz|healthz)(\/|$)/

const goneSoon = (): Reply => ({
  status: 503,
  headers: {
    'content-type': 'application/json',
    'retry-after': '1',
    'x-content-type-options': 'nosniff',
  },
  body: utf8(
    `${JSON.stringify(new StatusError('ServiceUnavailable', 'apiserver is shutting down').status)}\n`,
  ),
})

/** Why a request's signal aborts when its client went away or has its answer. One for all: making errors is slow. */
const GONE = new Error('the client has gone away')

/** Why a request's signal aborts when it is the server that goes away. */
const SHUTTING_DOWN = new StatusError(
  'ServiceUnavailable',
  'the server is shutting down, please try again later',
)

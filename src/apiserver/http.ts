/** One TLS port for HTTP/2 and HTTP/1.1: turns streams of bytes into exchanges, and replies back into streams. */
import { createHash } from 'node:crypto'
import { ServerResponse, type IncomingMessage } from 'node:http'
import {
  constants,
  createSecureServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { constants as zlibConstants, createGzip, gzip } from 'node:zlib'
import type { Env } from '#base'
import { StatusError } from '#machinery'
import { isPushed, type Exchange, type Handler, type Outlet, type Reply } from './exchange.ts'
import { giveBack, isLent } from './json-bytes.ts'
import { acceptsGzip } from './negotiate.ts'
import type { ListenOptions, Listening } from './server.ts'

/** The largest body that is read: as upstream's. */
export const MAX_BODY_BYTES = 3 * 1024 * 1024
/** Answers from this size on are compressed for those who ask. */
const GZIP_FROM_BYTES = 128 * 1024
/** Go clients put many watches on one connection. */
const MAX_STREAMS = 4096
/** A client may leave all its watches at once, and again: every second, and four times over. */
const RESETS_PER_SECOND = MAX_STREAMS
const RESET_BURST = 4 * MAX_STREAMS
const WINDOW_BYTES = 4 * 1024 * 1024
/** How long running requests get to finish when the server closes. */
const CLOSE_GRACE_MS = 2000
/** Connections without a request are closed after this. */
const IDLE_MS = 120_000

/** What is known of the other side of a connection, found out once. */
interface Peer {
  readonly remoteAddress: string
  readonly clientCertificate?: Uint8Array
  readonly untrustedCertificate?: boolean
}

export async function listen(
  handler: Handler,
  { host = '0.0.0.0', port, tls }: ListenOptions,
  { clock, random, log, metrics }: Pick<Env, 'clock' | 'random' | 'log' | 'metrics'>,
): Promise<Listening> {
  const text = (part: string | Uint8Array): string | Buffer =>
    typeof part === 'string' ? part : Buffer.from(part)
  const secure = (credential: ListenOptions['tls']) => ({
    cert: text(credential.certificate),
    key: text(credential.key),
    ca: credential.clientAuthorities.map(text),
    allowPartialTrustChain: true,
    minVersion: 'TLSv1.2' as const,
    // Sessions resume only with a server that was started with the same key: a ticket carries the client's identity.
    sessionIdContext: createHash('sha256').update(text(credential.key)).digest('hex').slice(0, 32),
  })
  const server = createSecureServer({
    ...secure(tls),
    allowHTTP1: true,
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
      maxHeaderListSize: 64 * 1024,
      enableConnectProtocol: false,
    },
  })

  const sessions = new Set<ServerHttp2Session>()
  const sockets = new Set<TLSSocket>()
  const running = new Set<AbortController>()
  const peers = new WeakMap<object, Peer>()
  let closing = false

  const peerOf = (socket: TLSSocket): Peer => {
    let peer = peers.get(socket)
    if (peer === undefined) {
      const raw = socket.getPeerX509Certificate()?.raw
      peer = {
        remoteAddress: socket.remoteAddress ?? '',
        ...(raw === undefined
          ? {}
          : socket.authorized
            ? { clientCertificate: raw }
            : { untrustedCertificate: true }),
      }
      peers.set(socket, peer)
    }
    return peer
  }

  const begin = (): AbortController => {
    const controller = new AbortController()
    running.add(controller)
    return controller
  }

  const exchangeOf = (
    method: string,
    url: string,
    headers: IncomingHttpHeaders,
    input: Duplex | IncomingMessage,
    peer: Peer,
    signal: AbortSignal,
    rawHeaders: readonly string[],
    upgrade?: Exchange['upgrade'],
  ): Exchange => {
    const mark = url.indexOf('?')
    const given = headers['audit-id']
    return {
      method,
      path: decodePath(mark < 0 ? url : url.slice(0, mark)),
      query: new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1)),
      headers: headers as Exchange['headers'],
      rawHeaders,
      body: bodyOf(input, headers),
      stream: () => input as AsyncIterable<Uint8Array>,
      ...peer,
      signal,
      ...(upgrade === undefined ? {} : { upgrade }),
      id: typeof given === 'string' && given !== '' ? given : random.uuid(),
      warnings: [],
    }
  }

  const fail = (error: unknown, path: string): void => {
    log.error('answer could not be sent', { path, error })
  }

  const onStream = (
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    _flags: number,
    raw: readonly string[],
  ): void => {
    const controller = begin()
    const url = headers[':path'] ?? '/'
    stream.on('error', () => undefined)
    stream.on('close', () => {
      running.delete(controller)
      controller.abort(GONE)
    })
    const method = headers[':method'] ?? 'GET'
    // The same stand-in for the socket every time: it is what the connection is remembered by.
    const socket = stream.session?.socket as TLSSocket | undefined
    if (socket === undefined) return
    const peer = peerOf(socket)
    answerHttp2(stream, handler, method, headers, () =>
      exchangeOf(method, url, headers, stream, peer, controller.signal, raw),
    ).catch((error: unknown) => {
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
    const controller = begin()
    const url = request.url ?? '/'
    request.on('error', () => undefined)
    response.on('error', () => undefined)
    const end = () => {
      running.delete(controller)
      controller.abort(GONE)
    }
    response.on('close', end)
    if (upgrade !== undefined) request.socket.on('close', end)
    if (closing) response.setHeader('connection', 'close')
    const method = request.method ?? 'GET'
    const peer = peerOf(request.socket as TLSSocket)
    answerHttp1(request, response, handler, method, () =>
      exchangeOf(
        method,
        url,
        request.headers,
        request,
        peer,
        controller.signal,
        request.rawHeaders,
        upgrade,
      ),
    ).catch((error: unknown) => {
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
    // Watches and conversations see their signal abort and end their answers in order.
    for (const controller of running) controller.abort(SHUTTING_DOWN)
    const grace = new AbortController()
    await Promise.race([ended, clock.sleep(CLOSE_GRACE_MS, grace.signal).catch(() => undefined)])
    grace.abort()
    for (const session of sessions) session.destroy()
    for (const socket of sockets) socket.destroy()
    await ended
  }
  return {
    port: (server.address() as AddressInfo).port,
    renew: (credential) => server.setSecureContext(secure(credential)),
    close: () => (closed ??= close()),
  }
}

/** Why a request's signal aborts when its client went away or has its answer. One for all: making errors is slow. */
const GONE = new Error('the client has gone away')

/** Why a request's signal aborts when it is the server that goes away. */
const SHUTTING_DOWN = new StatusError(
  'ServiceUnavailable',
  'the server is shutting down, please try again later',
)

function decodePath(path: string): string {
  if (!path.includes('%')) return path
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}

/** The body, read once; 413 as soon as it is known to be too large. */
function bodyOf(
  input: Duplex | IncomingMessage,
  headers: IncomingHttpHeaders,
): () => Promise<Uint8Array> {
  let reading: Promise<Uint8Array> | undefined
  return () =>
    (reading ??= new Promise<Uint8Array>((resolve, reject) => {
      if (Number(headers['content-length'] ?? 0) > MAX_BODY_BYTES) return reject(tooLarge())
      const chunks: Buffer[] = []
      let length = 0
      input.on('data', (chunk: Buffer) => {
        length += chunk.length
        if (length > MAX_BODY_BYTES) {
          chunks.length = 0
          return reject(tooLarge())
        }
        chunks.push(chunk)
      })
      input.on('end', () => {
        complete = true
        resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks))
      })
      let complete = false
      const gone = () => {
        if (complete) return
        reject(new StatusError('BadRequest', 'the request ended before its body was complete'))
      }
      input.on('error', gone)
      input.on('aborted', gone)
      input.on('close', gone)
    }))
}

const tooLarge = (): StatusError =>
  new StatusError('RequestEntityTooLarge', `Request entity too large: limit is ${MAX_BODY_BYTES}`)

async function answerHttp2(
  stream: ServerHttp2Stream,
  handler: Handler,
  method: string,
  requestHeaders: IncomingHttpHeaders,
  exchange: () => Exchange,
): Promise<void> {
  const reply = await handler(exchange())
  if (stream.destroyed || stream.closed) return dispose(reply)
  const { headers, body, compress } = prepare(reply, requestHeaders)
  const open = { [constants.HTTP2_HEADER_STATUS]: reply.status, ...headers }
  // Otherwise a body that nobody reads would hold the stream open.
  stream.resume()
  if (method === 'HEAD' || body === undefined) {
    stream.respond(open, { endStream: true })
    return dispose(reply)
  }
  if (body instanceof Uint8Array) {
    const bytes = compress ? await compressed(body) : body
    if (stream.destroyed || stream.closed) return
    stream.respond({ ...open, 'content-length': bytes.byteLength })
    stream.end(bytes)
    return
  }
  stream.respond(open)
  await pump(body, stream, compress, reply.over)
}

async function answerHttp1(
  request: IncomingMessage,
  response: ServerResponse,
  handler: Handler,
  method: string,
  exchange: () => Exchange,
): Promise<void> {
  const reply = await handler(exchange())
  if (reply.upgraded === true) return
  if (response.destroyed) return dispose(reply)
  const { headers, body, compress } = prepare(reply, request.headers)
  // A body that was refused unread: the connection cannot be used again.
  if (reply.status === 413) response.setHeader('connection', 'close')
  if (method === 'HEAD' || body === undefined) {
    response.writeHead(reply.status, headers)
    response.end()
    return dispose(reply)
  }
  if (body instanceof Uint8Array) {
    const bytes = compress ? await compressed(body) : body
    response.writeHead(reply.status, { ...headers, 'content-length': bytes.byteLength })
    response.end(bytes)
    return
  }
  response.writeHead(reply.status, headers)
  response.flushHeaders()
  await pump(body, response, compress, reply.over)
}

interface Prepared {
  readonly headers: Record<string, string | string[]>
  readonly body: Reply['body']
  readonly compress: boolean
}

function prepare(reply: Reply, requestHeaders: IncomingHttpHeaders): Prepared {
  const headers: Record<string, string | string[]> = {}
  for (const name in reply.headers) {
    const value = reply.headers[name]!
    headers[name] = typeof value === 'string' ? value : [...value]
  }
  const { body } = reply
  const encoding = requestHeaders['accept-encoding']
  const compress =
    body !== undefined &&
    (reply.compressible === true ||
      (body instanceof Uint8Array && body.byteLength >= GZIP_FROM_BYTES)) &&
    headers['content-encoding'] === undefined &&
    acceptsGzip(typeof encoding === 'string' ? encoding : undefined)
  if (compress) {
    headers['content-encoding'] = 'gzip'
    headers['vary'] = 'Accept-Encoding'
  }
  return { headers, body, compress }
}

const FAST = { level: zlibConstants.Z_BEST_SPEED }
const compressed = (bytes: Uint8Array): Promise<Uint8Array> =>
  new Promise((resolve, reject) =>
    gzip(bytes, FAST, (error, result) => (error === null ? resolve(result) : reject(error))),
  )

/** Ends the source of an answer that nobody waits for. */
async function dispose({ body }: Reply): Promise<void> {
  if (body === undefined || body instanceof Uint8Array) return
  await body[Symbol.asyncIterator]().return?.()
}

/** Streams say so in several ways. */
const isNone = (error: Error | null | undefined): boolean => error === null || error === undefined

/** Copies as fast as the other side reads: what it has not taken is not asked for. */
async function pump(
  body: AsyncIterable<Uint8Array>,
  output: Duplex | ServerResponse,
  compress: boolean,
  over: AbortSignal | undefined,
): Promise<void> {
  let sink: Duplex | ServerResponse = output
  if (compress) {
    const zip = createGzip(FAST)
    zip.pipe(output)
    output.on('close', () => zip.destroy())
    sink = zip
  }
  // A reader that has stopped would hold what it was sent for ever.
  let hasStopped = false
  const outlet: Outlet = {
    get isClosed() {
      return hasStopped || output.destroyed || output.writableEnded
    },
    write: (chunk) =>
      isLent(chunk)
        ? sink.write(chunk, (error) => void (isNone(error) && giveBack(chunk)))
        : sink.write(chunk),
    async drained() {
      await drained(sink, over)
      hasStopped = over?.aborted === true && sink.writableNeedDrain
    },
  }
  if (isPushed(body)) await body.pushInto(outlet)
  else
    for await (const chunk of body) {
      if (outlet.isClosed) break
      if (outlet.write(chunk)) continue
      await outlet.drained()
      if (outlet.isClosed) break
    }
  if (hasStopped) return void output.destroy()
  if (!output.destroyed) sink.end()
}

const drained = (output: Duplex | ServerResponse, over: AbortSignal | undefined): Promise<void> =>
  new Promise((resolve) => {
    const done = () => {
      output.removeListener('drain', done)
      output.removeListener('close', done)
      over?.removeEventListener('abort', done)
      resolve()
    }
    output.on('drain', done)
    output.on('close', done)
    over?.addEventListener('abort', done)
    if (output.destroyed || over?.aborted === true) done()
  })

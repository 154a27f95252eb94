/** Replies back into streams of bytes: compressed for those who ask, and never faster than they read. */
import type { ServerResponse } from 'node:http'
import { constants, type ServerHttp2Stream } from 'node:http2'
import type { Duplex } from 'node:stream'
import { constants as zlibConstants, createGzip, gzip } from 'node:zlib'
import { isPushed, type Exchange, type Handler, type Outlet, type Reply } from '../exchange.ts'
import { giveBack, isLent } from '../json-bytes.ts'
import { acceptsGzip } from '../negotiate.ts'

/** Answers from this size on are compressed for those who ask. */
const GZIP_FROM_BYTES = 128 * 1024

/** Sends what the handler answers on a stream of HTTP/2. */
export async function answerHttp2(
  stream: ServerHttp2Stream,
  handler: Handler,
  exchange: Exchange,
): Promise<void> {
  const reply = await handler(exchange)
  if (stream.destroyed || stream.closed) return dispose(reply)
  const { headers, body, compress } = prepare(reply, exchange)
  headers[constants.HTTP2_HEADER_STATUS] = String(reply.status)
  // Otherwise a body that nobody reads would hold the stream open.
  stream.resume()
  if (exchange.method === 'HEAD' || body === undefined) {
    stream.respond(headers, { endStream: true })
    return dispose(reply)
  }
  if (body instanceof Uint8Array) {
    const bytes = compress ? await compressed(body) : body
    if (stream.destroyed || stream.closed) return
    headers['content-length'] = String(bytes.byteLength)
    stream.respond(headers)
    stream.end(bytes)
    return
  }
  stream.respond(headers)
  await pump(body, stream, compress, reply.over)
}

/** Sends what the handler answers over HTTP/1.1, unless it took the connection for itself. */
export async function answerHttp1(
  response: ServerResponse,
  handler: Handler,
  exchange: Exchange,
): Promise<void> {
  const reply = await handler(exchange)
  if (reply.upgraded === true) return
  if (response.destroyed) return dispose(reply)
  const { headers, body, compress } = prepare(reply, exchange)
  // A body that was refused unread: the connection cannot be used again.
  if (reply.status === 413) response.setHeader('connection', 'close')
  if (exchange.method === 'HEAD' || body === undefined) {
    response.writeHead(reply.status, headers)
    response.end()
    return dispose(reply)
  }
  if (body instanceof Uint8Array) {
    const bytes = compress ? await compressed(body) : body
    headers['content-length'] = String(bytes.byteLength)
    response.writeHead(reply.status, headers)
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

function prepare(reply: Reply, exchange: Exchange): Prepared {
  const headers: Record<string, string | string[]> = {}
  for (const name in reply.headers) {
    const value = reply.headers[name]!
    headers[name] = typeof value === 'string' ? value : [...value]
  }
  const { body } = reply
  const compress =
    body !== undefined &&
    (reply.compressible === true ||
      (body instanceof Uint8Array && body.byteLength >= GZIP_FROM_BYTES)) &&
    headers['content-encoding'] === undefined &&
    acceptsGzip(exchange.headers['accept-encoding'])
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

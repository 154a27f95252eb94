/** A transport over HTTP/2 and TLS: what a client in another process or on another machine uses. */
import { fromWireForm } from '#api'
import * as http2 from 'node:http2'
import { StatusError, parseJson, type Status, type WatchEvent } from '#machinery'
import type { ApiRequest, Transport } from '../transport.ts'

/** Which server, and as whom. */
export interface HttpTransportOptions {
  /** `https://127.0.0.1:6443` */
  readonly server: string
  /** PEM of the authority that signed the server. */
  readonly authority?: string
  readonly certificate?: string
  readonly key?: string
  /** Bearer token; a function is asked for each request, so that it can be renewed. */
  readonly token?: string | (() => string)
  readonly userAgent?: string
}

/** One connection of HTTP/2, opened again when it has broken. */
export interface HttpTransport extends Transport {
  /** New connections show this certificate; watches on the old one go on to their end. */
  renew(credential: { readonly certificate: string; readonly key: string }): void
  close(): void
}

/** An answer larger than this is refused rather than kept in memory. */
const ANSWER_LIMIT_BYTES = 512 * 1024 * 1024

/** Connects with the first request. */
export function httpTransport(given: HttpTransportOptions): HttpTransport {
  let options = given
  let session: http2.ClientHttp2Session | undefined
  let closed = false
  /** Also those that the server has asked us to leave. */
  const sessions = new Set<http2.ClientHttp2Session>()
  const connect = (): http2.ClientHttp2Session => {
    if (closed) throw new Error(`The connection to ${options.server} was closed`)
    if (session !== undefined && !session.closed && !session.destroyed) return session
    const made = http2.connect(options.server, {
      ...(options.authority === undefined
        ? {}
        : { ca: options.authority, allowPartialTrustChain: true }),
      ...(options.certificate === undefined ? {} : { cert: options.certificate }),
      ...(options.key === undefined ? {} : { key: options.key }),
      settings: { initialWindowSize: 16 * 1024 * 1024 },
    })
    made.once('connect', () => made.setLocalWindowSize(64 * 1024 * 1024))
    const forget = (): void => {
      if (session === made) session = undefined
    }
    made.on('error', forget)
    made.on('close', () => {
      sessions.delete(made)
      forget()
    })
    made.on('goaway', forget)
    session = made
    sessions.add(made)
    return made
  }

  const open = (
    request: ApiRequest,
  ): Promise<{ status: number; stream: http2.ClientHttp2Stream }> =>
    new Promise((resolve, reject) => {
      const body =
        request.body === undefined ? undefined : Buffer.from(JSON.stringify(request.body))
      const token = typeof options.token === 'function' ? options.token() : options.token
      const query = request.query === undefined ? '' : new URLSearchParams(request.query).toString()
      const stream = connect().request(
        {
          ':method': request.method,
          ':path': query === '' ? request.path : `${request.path}?${query}`,
          accept: 'application/json',
          'user-agent': options.userAgent ?? 'navarch',
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(request.traceparent === undefined ? {} : { traceparent: request.traceparent }),
          ...(body === undefined
            ? {}
            : { 'content-type': request.contentType ?? 'application/json' }),
        },
        {
          ...(request.signal === undefined ? {} : { signal: request.signal }),
          endStream: body === undefined,
        },
      )
      stream.once('error', reject)
      stream.once('response', (headers) => resolve({ status: headers[':status'] ?? 0, stream }))
      stream.once('close', () =>
        reject(new Error(`The server closed the connection: ${request.method} ${request.path}`)),
      )
      if (body !== undefined) stream.end(body)
    })

  const readAll = async (stream: http2.ClientHttp2Stream): Promise<string> => {
    const chunks: Buffer[] = []
    let size = 0
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      size += chunk.length
      if (size > ANSWER_LIMIT_BYTES)
        throw new Error(`The answer is larger than ${ANSWER_LIMIT_BYTES} bytes`)
      chunks.push(chunk)
    }
    return Buffer.concat(chunks).toString('utf8')
  }

  return {
    async request(request) {
      const { status, stream } = await open(request)
      const text = await readAll(stream)
      if (status >= 200 && status < 300) return text === '' ? {} : parse(text)
      throw failure(status, text)
    },
    async watch(request) {
      const { status, stream } = await open(request)
      if (status !== 200) throw failure(status, await readAll(stream))
      return frames(stream)
    },
    renew({ certificate, key }) {
      options = { ...options, certificate, key }
      const before = session
      session = undefined
      before?.close()
    },
    close: () => {
      closed = true
      for (const each of sessions) each.destroy()
    },
  }
}

/** Servers show what is empty as null; those who work with objects find it absent, as in the server's own process. */
function decode(text: string): unknown {
  const value = parseJson(text)
  if (text.includes(':null') && typeof value === 'object' && value !== null) {
    fromWireForm(value)
    const { object } = value as { readonly object?: unknown }
    if (typeof object === 'object' && object !== null) fromWireForm(object)
  }
  return value
}

const parse = (text: string): unknown => {
  try {
    return decode(text)
  } catch {
    // Health pages and logs are plain text.
    return text
  }
}

function failure(status: number, text: string): StatusError {
  const body = parse(text)
  if (typeof body === 'object' && body !== null && (body as Status).kind === 'Status')
    return StatusError.from(body as Status)
  return new StatusError('', text === '' ? `the server answered ${status}` : text.slice(0, 500), {
    code: status,
  })
}

async function* frames(stream: http2.ClientHttp2Stream): AsyncGenerator<readonly WatchEvent[]> {
  const decoder = new TextDecoder()
  let rest = ''
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
      rest = lines.pop() ?? ''
      const events = lines.filter((line) => line !== '').map((line) => decode(line) as WatchEvent)
      if (events.length > 0) yield events
    }
  } finally {
    stream.close()
  }
}

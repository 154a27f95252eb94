/** What a stream of bytes asks for, as an exchange; its body is read when somebody wants it. */
import type { IncomingMessage } from 'node:http'
import type { IncomingHttpHeaders } from 'node:http2'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import type { Env } from '#base'
import { StatusError } from '#machinery'
import type { Exchange } from '../exchange.ts'

/** The largest body that is read: as upstream's. */
export const MAX_BODY_BYTES = 3 * 1024 * 1024

/** What is known of the other side of a connection, found out once. */
interface Peer {
  readonly remoteAddress: string
  readonly clientCertificate?: Uint8Array
  readonly untrustedCertificate?: boolean
}

const peers = new WeakMap<object, Peer>()

/** Asked once a connection: certificates are slow to read. */
export function peerOf(socket: TLSSocket): Peer {
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

/** A request as the connection tells it. */
interface Incoming {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  /** Names and values in turn, as they were sent. */
  readonly rawHeaders: readonly string[]
  readonly input: Duplex | IncomingMessage
  readonly peer: Peer
  /** Aborts when the client has gone, or has its answer. */
  readonly signal: AbortSignal
  readonly upgrade?: Exchange['upgrade']
}

/** The request as filters and endpoints see it. */
export function exchangeOf(
  random: Env['random'],
  { method, url, headers, rawHeaders, input, peer, signal, upgrade }: Incoming,
): Exchange {
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

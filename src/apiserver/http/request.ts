/** What a stream of bytes asks for, as an exchange. */
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
export interface Incoming {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  /** Names and values in turn, as they were sent. */
  readonly rawHeaders: readonly string[]
  readonly input: Duplex | IncomingMessage
  readonly peer: Peer
  readonly upgrade?: Exchange['upgrade'] | undefined
}

/**
 * The request as filters and endpoints see it. Thousands are on their way at once: what few ask for, such as a
 * signal that aborts, is made when somebody does.
 */
export class HttpExchange implements Exchange {
  readonly method: string
  readonly path: string
  readonly headers: Exchange['headers']
  readonly rawHeaders: readonly string[]
  readonly remoteAddress: string
  readonly clientCertificate: Uint8Array | undefined
  readonly untrustedCertificate: boolean | undefined
  readonly trustedUser = undefined
  readonly value = undefined
  readonly upgrade: Exchange['upgrade']
  readonly id: string
  readonly warnings: string[] = []
  deadline: number | undefined = undefined
  user: Exchange['user'] = undefined
  info: Exchange['info'] = undefined
  flow: Exchange['flow'] = undefined
  trace: Exchange['trace'] = undefined
  subject: Exchange['subject'] = undefined
  auditAnnotations: Exchange['auditAnnotations'] = undefined
  readonly #input: Duplex | IncomingMessage
  readonly #search: string
  #query: URLSearchParams | undefined
  #reading: Promise<Uint8Array> | undefined
  /** While the body is read. */
  #refuseBody: ((error: StatusError) => void) | undefined
  #ending: AbortController | undefined
  #signal: AbortSignal | undefined
  #end: { readonly reason: unknown } | undefined

  constructor(
    random: Env['random'],
    { method, url, headers, rawHeaders, input, peer, upgrade }: Incoming,
  ) {
    const mark = url.indexOf('?')
    const given = headers['audit-id']
    this.method = method
    this.path = decodePath(mark < 0 ? url : url.slice(0, mark))
    this.headers = headers as Exchange['headers']
    this.rawHeaders = rawHeaders
    this.remoteAddress = peer.remoteAddress
    this.clientCertificate = peer.clientCertificate
    this.untrustedCertificate = peer.untrustedCertificate
    this.upgrade = upgrade
    this.id = typeof given === 'string' && given !== '' ? given : random.uuid()
    this.#input = input
    this.#search = mark < 0 ? '' : url.slice(mark + 1)
  }

  get query(): URLSearchParams {
    return (this.#query ??= this.#search === '' ? NO_QUERY : new URLSearchParams(this.#search))
  }

  /** Aborts when the client has gone, or has its answer. */
  get signal(): AbortSignal {
    if (this.#signal !== undefined) return this.#signal
    this.#ending = new AbortController()
    if (this.#end !== undefined) this.#ending.abort(this.#end.reason)
    return (this.#signal = this.#ending.signal)
  }
  /** A filter may have it abort earlier. */
  set signal(signal) {
    this.#signal = signal
  }

  /** The request is over. */
  end(reason: unknown): void {
    if (this.#end !== undefined) return
    this.#end = { reason }
    this.#refuseBody?.(
      new StatusError('BadRequest', 'the request ended before its body was complete'),
    )
    this.#ending?.abort(reason)
  }

  stream(): AsyncIterable<Uint8Array> {
    return this.#input
  }

  /** Read once; 413 as soon as it is known to be too large. */
  body(): Promise<Uint8Array> {
    return (this.#reading ??= new Promise<Uint8Array>((resolve, reject) => {
      if (Number(this.headers['content-length'] ?? 0) > MAX_BODY_BYTES) return reject(tooLarge())
      this.#refuseBody = reject
      // Most come in one piece.
      let first: Buffer | undefined
      let others: Buffer[] | undefined
      let length = 0
      this.#input.on('data', (chunk: Buffer) => {
        length += chunk.length
        if (length > MAX_BODY_BYTES) {
          first = others = undefined
          return reject(tooLarge())
        }
        if (first === undefined) first = chunk
        else (others ??= [first]).push(chunk)
      })
      this.#input.on('end', () => {
        this.#refuseBody = undefined
        resolve(others === undefined ? (first ?? NOTHING) : Buffer.concat(others))
      })
    }))
  }
}

const NOTHING = new Uint8Array(0)
/** Nobody changes the query of a request. */
const NO_QUERY = new URLSearchParams()

function decodePath(path: string): string {
  if (!path.includes('%')) return path
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}

const tooLarge = (): StatusError =>
  new StatusError('RequestEntityTooLarge', `Request entity too large: limit is ${MAX_BODY_BYTES}`)

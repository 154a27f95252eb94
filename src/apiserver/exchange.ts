/** A request and its answer, whatever carried them: HTTP/1.1, HTTP/2, or a call in the same process. */
import type { Duplex } from 'node:stream'
import type { RequestUser } from '#machinery'
import type { RequestTrace } from './trace.ts'

/** One request on its way through the server, with what the filters have found out. */
export interface Exchange {
  readonly method: string
  /** Decoded, without the query. */
  readonly path: string
  readonly query: URLSearchParams
  /** Lower-case names. Values that came one by one are joined by commas: `headerValues` keeps them apart. */
  readonly headers: Readonly<Record<string, string | undefined>>
  /** Names and values in turn, as they came. */
  readonly rawHeaders?: readonly string[]
  /** The whole body, read once and bounded (413). In-process calls give `value` instead. */
  readonly body: () => Promise<Uint8Array>
  /** An in-process body: already a JSON value, read only. */
  readonly value?: unknown
  /** The body as it streams in, for proxying. */
  readonly stream?: (() => AsyncIterable<Uint8Array>) | undefined
  readonly remoteAddress: string
  /** DER of the verified client certificate. */
  readonly clientCertificate?: Uint8Array | undefined
  /** True when the client showed a certificate that none of our authorities signed. */
  readonly untrustedCertificate?: boolean | undefined
  /** Set by the in-process transport: authentication is skipped. */
  readonly trustedUser?: RequestUser | undefined
  /** Aborts when the client goes away or the deadline passes. */
  readonly signal: AbortSignal
  /** When the answer must be there, in monotonic milliseconds. */
  deadline?: number | undefined
  /** For an `Upgrade` request: answers 101 with these headers and hands over the raw socket. */
  readonly upgrade?: ((headers: Readonly<Record<string, string>>) => Promise<Duplex>) | undefined
  /** Unique; echoed as `audit-id`. */
  readonly id: string
  readonly cause?: string
  // What the filters have found out.
  user?: RequestUser | undefined
  info?: RequestInfo | undefined
  /** The flow schema and priority level that it was counted to. */
  flow?: { readonly schemaUid: string; readonly levelUid: string } | undefined
  /** What its time goes into. */
  trace?: RequestTrace | undefined
  readonly warnings: string[]
  /** What the object in the body says of its identity, for the audit log. */
  subject?: Readonly<Record<string, unknown>> | undefined
  /** Notes of admission for the audit log. */
  auditAnnotations?: Record<string, string> | undefined
}

/** What a path asks for. `verb` is Kubernetes': get, list, watch, create, update, patch, delete, deletecollection, or the lower-case method. */
export interface RequestInfo {
  readonly isResource: boolean
  readonly verb: string
  readonly group: string
  readonly version: string
  readonly namespace: string
  readonly resource: string
  readonly subresource: string
  readonly name: string
  /** Path below the subresource, for proxies. */
  readonly rest: string
  readonly path: string
  readonly labelSelector?: string
  readonly fieldSelector?: string
  /** It is the same object for many requests. */
  readonly isShared?: boolean
}

/** An answer before it is sent. */
export interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string | readonly string[]>>
  /** Bytes, a stream of them, or nothing; `upgraded` when the socket was handed over. */
  readonly body?: Uint8Array | AsyncIterable<Uint8Array> | PushedBody | undefined
  /** A streamed body that is large and ends: compressed for those who ask. Watches are not. */
  readonly compressible?: boolean
  /** Aborts when a streamed body is over: whoever has not read what came before by then is not waited for. */
  readonly over?: AbortSignal
  /** For in-process callers: the answer as a value, so that nothing is encoded. */
  readonly value?: unknown
  readonly upgraded?: boolean
}

/** Where a body is written. */
export interface Outlet {
  readonly isClosed: boolean
  /** False when the reader is behind: `drained` says when it takes more. */
  write(bytes: Uint8Array): boolean
  /** Resolves when more is taken, or it was closed. */
  drained(): Promise<void>
}

/** A body that can also write itself as it comes to be: nobody has to ask for each piece. */
export interface PushedBody extends AsyncIterable<Uint8Array> {
  /** Writes all of it; resolves when it is over, or the outlet closed. Instead of iterating. */
  pushInto(outlet: Outlet): Promise<void>
}

/** Streams of Node have a `push` of their own. */
export const isPushed = (body: AsyncIterable<Uint8Array>): body is PushedBody => 'pushInto' in body

/** Answers, or throws a StatusError. */
export type Handler = (exchange: Exchange) => Promise<Reply>
/** Stands before a handler. */
export type Filter = (next: Handler) => Handler

/** The first filter is the outermost. */
export const chain = (handler: Handler, filters: readonly Filter[]): Handler =>
  filters.reduceRight((next, filter) => filter(next), handler)

/**
 * Each value of a header that may come several times, as UTF-8: names of users and groups may have
 * commas, and bytes that are no ASCII.
 */
export function headerValues(
  { headers, rawHeaders }: Pick<Exchange, 'headers' | 'rawHeaders'>,
  name: string,
): readonly string[] {
  const joined = headers[name]
  if (joined === undefined) return []
  const values: string[] = []
  if (rawHeaders === undefined) values.push(joined)
  else
    for (let i = 0; i + 1 < rawHeaders.length; i += 2)
      if (rawHeaders[i]?.toLowerCase() === name) values.push(rawHeaders[i + 1] ?? '')
  return values
    .filter((value) => value !== '')
    .map((value) => Buffer.from(value, 'latin1').toString('utf8'))
}

/** Values of all headers that begin like this, by the rest of their names, which is percent-encoded. */
export function headerFamily(
  exchange: Pick<Exchange, 'headers' | 'rawHeaders'>,
  prefix: string,
): Readonly<Record<string, readonly string[]>> {
  const family: Record<string, readonly string[]> = {}
  for (const name in exchange.headers)
    if (name.startsWith(prefix))
      family[unescaped(name.slice(prefix.length))] = headerValues(exchange, name)
  return family
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

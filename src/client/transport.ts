/**
 * How a client reaches a server: over a socket, or by the server's own handler in the same process.
 * Bodies are JSON values, so that the in-process one passes objects without encoding them.
 */
import type { WatchEvent } from '#machinery'

/** A request before it is bytes. */
export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** `/api/v1/namespaces/shop/pods/web-0/status` */
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
  /** Of the body. Patches say which kind: `application/merge-patch+json`. Default `application/json`. */
  readonly contentType?: string
  readonly body?: unknown
  /** What led to it, for the journal: `replicaset/shop/web@1234`. */
  readonly cause?: string
  /** The trace that it belongs to (W3C Trace Context). */
  readonly traceparent?: string
  readonly signal?: AbortSignal
}

/** How requests reach a server: over a socket, or within the process. */
export interface Transport {
  /** The decoded body of a 2xx answer: shared, read only. Throws `StatusError` otherwise. */
  request(request: ApiRequest): Promise<unknown>
  /** Starts when the server has answered; each batch arrives in order. Ends when the server ends it; throws `StatusError` (410 Expired too) when refused. */
  watch(request: ApiRequest): Promise<AsyncIterable<readonly WatchEvent[]>>
}

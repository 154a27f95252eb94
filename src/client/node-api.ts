/** What the API server asks of a node's kubelet: logs, exec, attach, port-forward. One in-process, one over TLS. */
import type { Duplex, Readable, Writable } from 'node:stream'

/** A container of a pod on a node. */
export interface PodTarget {
  readonly namespace: string
  readonly pod: string
  /** Refuses when the pod was replaced meanwhile. */
  readonly uid?: string
}

export interface LogOptions {
  readonly container: string
  readonly follow?: boolean
  readonly previous?: boolean
  readonly timestamps?: boolean
  readonly tailLines?: number
  readonly limitBytes?: number
  readonly sinceSeconds?: number
  /** RFC 3339. */
  readonly sinceTime?: string
  readonly stream?: 'All' | 'Stdout' | 'Stderr'
}

/** The streams of a session; absent ones were not asked for. */
export interface SessionStreams {
  readonly stdin?: Readable
  readonly stdout?: Writable
  readonly stderr?: Writable
  /** Terminal sizes as they change. */
  readonly resize?: AsyncIterable<{ readonly width: number; readonly height: number }>
}

/** What a kubelet does for the API server: logs, commands, ports, pages. */
export interface NodeApi {
  logs(
    target: PodTarget,
    options: LogOptions,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array>>
  /** Resolves with the exit code once the command has ended and its output was written. */
  exec(
    target: PodTarget,
    options: {
      readonly container: string
      readonly command: readonly string[]
      readonly tty: boolean
    },
    streams: SessionStreams,
    signal: AbortSignal,
  ): Promise<{ readonly exitCode: number }>
  attach(
    target: PodTarget,
    options: { readonly container: string; readonly tty: boolean },
    streams: SessionStreams,
    signal: AbortSignal,
  ): Promise<void>
  /** A byte stream to the port inside the pod's network. Rejects when nothing listens. */
  portForward(target: PodTarget, port: number, signal: AbortSignal): Promise<Duplex>
  /** The kubelet's own HTTP pages for `nodes/NAME/proxy`: /healthz, /pods, /metrics, /stats/summary, /configz. */
  page(path: string, query: string): Promise<NodePage | undefined>
  /** Asked before a conversation begins: rejects when the container does not run, or, without one, when the pod is not here. */
  find?(target: PodTarget, container?: string): Promise<void>
  /** A connection to its HTTPS server, for requests of any kind; absent when it answers only in its own process. */
  connect?(signal: AbortSignal): Promise<Duplex>
}

export interface NodePage {
  readonly status: number
  readonly contentType: string
  readonly body: Uint8Array
  /** Beside the content type: where a page is instead. */
  readonly headers?: Readonly<Record<string, string>>
}

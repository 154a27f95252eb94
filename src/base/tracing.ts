/** Traces for those who collect them (OpenTelemetry). Without a collector there is no `Tracing`, and nothing is done. */

/** What is known of a span, by names of the OpenTelemetry conventions. */
export type SpanAttributes = Readonly<Record<string, string | number | boolean>>

/** A piece of work with a beginning and an end, in a trace. */
export interface Span {
  /** As others are told of it (W3C Trace Context). */
  readonly traceparent: string
  /** A part of it, which begins now. */
  child(name: string, attributes?: SpanAttributes): Span
  set(attributes: SpanAttributes): void
  /** Once. An error marks it as failed. */
  end(error?: unknown): void
}

/** Where a span belongs. */
export interface SpanOptions {
  /** `server` for what answers somebody, `internal` for work of its own. */
  readonly kind: 'server' | 'internal'
  /** Traceparent of what led to it; absent or unreadable for the beginning of a trace. */
  readonly parent?: string | undefined
  /** Traceparent of another trace that this one has to do with. */
  readonly link?: string | undefined
  /** When it began, if not now. */
  readonly started?: Date
  readonly attributes?: SpanAttributes
}

/** Where spans go, and which trace a revision was written in. */
export interface Tracing {
  /** Undefined when this trace is not among those that are collected. */
  start(name: string, options: SpanOptions): Span | undefined
  /** Remembers who wrote a revision of the store, for a while. */
  wrote(revision: number, span: Span): void
  /** Traceparent of who wrote it, so that what comes of it belongs to the same trace. */
  writerOf(revision: number): string | undefined
}

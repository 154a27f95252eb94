/** Traces in OpenTelemetry's form, sent to a collector. Its libraries are loaded when there is one, and not before. */
import type { Attributes, Context, Span as OtelSpan, SpanContext, Tracer } from '@opentelemetry/api'
import type { SpanExporter } from '@opentelemetry/sdk-trace'
import type { Env, Span, Tracing } from '#base'
import type { TracingOptions } from './config.ts'
import { Revisions } from './revisions.ts'

export { checkEndpoint, parseTracingConfiguration, type TracingOptions } from './config.ts'

export interface OpenedTracing {
  readonly tracing: Tracing
  /** Sends what is left. */
  close(): Promise<void>
}

export interface TracingResource {
  readonly version: string
  readonly host: string
}

/** `00-TRACE-SPAN-FLAGS` (W3C Trace Context). */
const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})/
const NOTHING = /^0+$/
const CLOSE_MS = 1000

export async function openTracing(
  { log, clock }: Pick<Env, 'log' | 'clock'>,
  { endpoint, samplesPerMillion }: TracingOptions,
  { version, host }: TracingResource,
): Promise<OpenedTracing> {
  const [api, sdk, resources, exporter] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/sdk-trace'),
    import('@opentelemetry/resources'),
    exporterFor(endpoint),
  ])
  const logger = log.for('tracing')
  const provider = new sdk.TracerProvider({
    resource: resources.resourceFromAttributes({
      'service.name': 'navarch',
      'service.version': version,
      'service.instance.id': host,
    }),
    sampler: new sdk.ParentBasedSampler({
      root: new sdk.TraceIdRatioBasedSampler(samplesPerMillion / 1_000_000),
    }),
    spanProcessors: [new sdk.BatchSpanProcessor({ exporter: telling(exporter, logger) })],
  })
  const tracer = provider.getTracer('navarch', version)
  const revisions = new Revisions()
  const { ROOT_CONTEXT, SpanKind, trace } = api

  const contextOf = (traceparent: string | undefined): SpanContext | undefined => {
    const [, traceId = '', spanId = '', flags = '00'] = TRACEPARENT.exec(traceparent ?? '') ?? []
    if (traceId === '' || NOTHING.test(traceId) || NOTHING.test(spanId)) return undefined
    const traceFlags = Number.parseInt(flags, 16) & 1
    return { traceId, spanId, traceFlags, isRemote: true }
  }
  const parentOf = (traceparent: string | undefined): Context => {
    const context = contextOf(traceparent)
    return context === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, context)
  }
  const within = (span: OtelSpan): Context => trace.setSpan(ROOT_CONTEXT, span)
  const tracing: Tracing = {
    start(name, { kind, parent, link, started, attributes = {} }) {
      const linked = contextOf(link)
      const span = tracer.startSpan(
        name,
        {
          kind: kind === 'server' ? SpanKind.SERVER : SpanKind.INTERNAL,
          attributes: { ...attributes },
          ...(linked && { links: [{ context: linked }] }),
          ...(started && { startTime: started }),
        },
        parentOf(parent),
      )
      return span.isRecording() ? wrap(tracer, span, within, api.SpanStatusCode.ERROR) : undefined
    },
    wrote: (revision, { traceparent }) => revisions.wrote(revision, traceparent),
    writerOf: (revision) => revisions.writerOf(revision),
  }
  logger.info('Sending traces', { endpoint, samplesPerMillion })
  return {
    tracing,
    async close() {
      const left = provider.shutdown().catch((error: unknown) => {
        logger.warn('The last traces could not be sent', { endpoint, error })
      })
      // A collector that is not there is tried again and again: the cluster does not wait for it.
      const patience = new AbortController()
      await Promise.race([left, clock.sleep(CLOSE_MS, patience.signal).catch(() => undefined)])
      patience.abort()
    },
  }
}

async function exporterFor(endpoint: string): Promise<SpanExporter> {
  if (/^https?:\/\//.test(endpoint)) {
    const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-http')
    const url = new URL(endpoint)
    if (url.pathname === '/') url.pathname = '/v1/traces'
    return new OTLPTraceExporter({ url: url.href })
  }
  const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-grpc')
  return new OTLPTraceExporter({ url: `http://${endpoint}` })
}

/** Says in the log when a collector cannot be reached, and when it is there again; not for every batch. */
function telling(exporter: SpanExporter, log: Env['log']): SpanExporter {
  let failing = false
  return {
    export(spans, done) {
      exporter.export(spans, (result) => {
        const failed = result.error !== undefined
        if (failed && !failing)
          log.warn('Traces cannot be sent and are lost', { error: result.error })
        if (!failed && failing) log.info('Traces are sent again')
        failing = failed
        done(result)
      })
    },
    shutdown: () => exporter.shutdown(),
    ...(exporter.forceFlush === undefined
      ? {}
      : { forceFlush: () => exporter.forceFlush?.() ?? Promise.resolve() }),
  }
}

function wrap(
  tracer: Tracer,
  span: OtelSpan,
  within: (span: OtelSpan) => Context,
  errorCode: number,
): Span {
  const { traceId, spanId } = span.spanContext()
  return {
    traceparent: `00-${traceId}-${spanId}-01`,
    child: (name, attributes = {}) =>
      wrap(
        tracer,
        tracer.startSpan(name, { attributes: { ...attributes } as Attributes }, within(span)),
        within,
        errorCode,
      ),
    set: (attributes) => void span.setAttributes({ ...attributes }),
    end(error) {
      if (error !== undefined) {
        const isError = error instanceof Error
        const message = isError ? error.message : typeof error === 'string' ? error : 'failed'
        span.setStatus({ code: errorCode, message })
      }
      span.end()
    },
  }
}

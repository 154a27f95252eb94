export type * from './env.ts'
export { aborted } from './aborted.ts'
export { follow, type Awaitable } from './awaitable.ts'
export { BoundedMap } from './bounded-map.ts'
export {
  createLogger,
  formatJson,
  formatText,
  silentLogger,
  type LogLevel,
  type LogRecord,
} from './log.ts'
export {
  createMetrics,
  exponential,
  type Counter,
  type Histogram,
  type Labelled,
  type Metrics,
  type Sample,
} from './metrics.ts'
export type { Span, SpanAttributes, SpanOptions, Tracing } from './tracing.ts'
export { Turn, pause } from './turn.ts'
export { realEnv, type RealEnvOptions } from './real-env.ts'
export { duplexPair } from './memory-network.ts'
export { seededRandom } from './seeded-random.ts'
export { virtualEnv, type VirtualEnv, type VirtualEnvOptions } from './virtual-env.ts'
export { grpcDeadline } from './deadline.ts'

import type { LogFields, Logger } from './env.ts'

/** How much it matters, least first. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
const ORDER: readonly LogLevel[] = ['debug', 'info', 'warn', 'error']

/** A line of the log, before it is text or JSON. */
export interface LogRecord {
  readonly time: Date
  readonly level: LogLevel
  readonly component: string
  readonly message: string
  readonly fields: LogFields
}

/** A logger that hands records at or above `level` to the sink. The level may change while it runs. */
export function createLogger(options: {
  readonly now: () => Date
  readonly level: () => LogLevel
  readonly sink: (record: LogRecord) => void
  readonly component?: string
}): Logger {
  const component = options.component ?? 'navarch'
  const emit = (level: LogLevel, message: string, fields: LogFields = {}): void => {
    if (ORDER.indexOf(level) < ORDER.indexOf(options.level())) return
    options.sink({ time: options.now(), level, component, message, fields })
  }
  return {
    debug: (message, fields) => emit('debug', message, fields),
    info: (message, fields) => emit('info', message, fields),
    warn: (message, fields) => emit('warn', message, fields),
    error: (message, fields) => emit('error', message, fields),
    for: (name) => createLogger({ ...options, component: name }),
  }
}

/** One JSON object a line: time, level, component, message, then the fields. */
export const formatJson = ({ time, level, component, message, fields }: LogRecord): string =>
  JSON.stringify({ time: time.toISOString(), level, component, message, ...plain(fields) })

/** `04:05:06.789 WARN  kubelet  Pod worker failed  pod=shop/web-0` */
export function formatText({ time, level, component, message, fields }: LogRecord): string {
  const tail = Object.entries(plain(fields)).map(
    ([key, value]) =>
      `${key}=${typeof value === 'string' && !/\s/.test(value) ? value : JSON.stringify(value)}`,
  )
  return [
    time.toISOString().slice(11, 23),
    level.toUpperCase().padEnd(5),
    component.padEnd(10),
    message,
    ...tail,
  ].join('  ')
}

function plain(fields: LogFields): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => [
        key,
        value instanceof Error ? `${value.name}: ${value.message}` : value,
      ]),
  )
}

/** Says nothing: for tests, and for `createCluster()` unless asked. */
export const silentLogger: Logger = createLogger({
  now: () => new Date(0),
  level: () => 'error',
  sink: () => undefined,
})

/** Where audit events go: a file of JSON lines that is rotated, or a webhook that takes them in batches. */
import type { Env } from '#base'
import type { CallWebhook } from '../webhook-client/index.ts'
import type { ConfiguredWebhook } from '../webhook-client/kubeconfig.ts'
import type { AuditEvent } from './event.ts'

export interface Sink {
  write(event: AuditEvent): void
  /** When what was written until now is where it stays; undefined when nobody waits for that. */
  kept(): Promise<void> | undefined
  /** Writes what is left. */
  close(): Promise<void>
}

/** Events that wait to be written: beyond it they are lost, and counted. */
const MOST_WAITING = 10_000
const MOST_IN_BATCH = 400

interface BatchOptions {
  readonly plugin: 'log' | 'webhook'
  readonly metrics: Env['metrics']
  readonly send: (events: readonly AuditEvent[]) => Promise<void>
  readonly log: Env['log']
  /** Whether requests wait until their events are sent. */
  readonly blocking: boolean
  /** How long events are collected before they are sent. */
  readonly delay: (run: () => void) => void
}

/** One batch at a time, in order. What cannot be sent is lost and told of: requests do not wait for it. */
function batched({ send, log, delay, plugin, metrics, blocking }: BatchOptions): Sink {
  const errors = metrics
    .counter({
      name: 'apiserver_audit_error_total',
      help: 'Audit events that were lost.',
      labels: ['plugin'],
    })
    .with(plugin)
  let waiting: AuditEvent[] = []
  /** Who waits for the events that wait. */
  let kept: PromiseWithResolvers<void> | undefined
  let lost = 0
  let sending: Promise<void> | undefined
  let due = false
  const drain = async (): Promise<void> => {
    while (waiting.length > 0) {
      const batch = waiting.slice(0, MOST_IN_BATCH)
      waiting = waiting.slice(MOST_IN_BATCH)
      const told = waiting.length === 0 ? kept : undefined
      if (told !== undefined) kept = undefined
      try {
        await send(batch)
      } catch (error) {
        lost += batch.length
        errors.add(batch.length)
        log.error('audit events are lost', { events: batch.length, lost, error })
      }
      told?.resolve()
    }
    sending = undefined
  }
  const start = (): void => {
    due = false
    sending ??= drain()
  }
  return {
    write(event) {
      if (waiting.length >= MOST_WAITING) {
        errors.add()
        if (lost++ % MOST_WAITING === 0)
          log.error('audit events are lost: they come faster than they are written', { lost })
        return
      }
      waiting.push(event)
      if (due || sending !== undefined) return
      due = true
      delay(start)
    },
    kept() {
      if (!blocking || waiting.length === 0) return undefined
      return (kept ??= Promise.withResolvers()).promise
    },
    async close() {
      start()
      await sending
    },
  }
}

export interface AuditLogOptions {
  readonly path: string
  /** Rotated when it would grow beyond. Default 100. */
  readonly maxSizeMb?: number
  /** Rotated files that are kept. Default 10. */
  readonly maxBackups?: number
}

const MEGABYTE = 1024 * 1024

/** One event a line (audit.k8s.io/v1, JSON). The file is readable by its owner alone. */
export function auditLog(
  { fs, clock, log, metrics }: Pick<Env, 'fs' | 'clock' | 'log' | 'metrics'>,
  { path, maxSizeMb = 100, maxBackups = 10 }: AuditLogOptions,
): Sink {
  let size: number | undefined
  const rotate = async (): Promise<void> => {
    for (let n = maxBackups - 1; n >= 1; n--)
      if ((await fs.stat(`${path}.${n}`)) !== undefined)
        await fs.rename(`${path}.${n}`, `${path}.${n + 1}`)
    if (maxBackups > 0) await fs.rename(path, `${path}.1`)
    else await fs.remove(path)
    size = 0
  }
  return batched({
    plugin: 'log',
    metrics,
    log,
    blocking: true,
    delay: (run) => void clock.schedule(0, run),
    async send(events) {
      const lines = events.map((event) => `${JSON.stringify(event)}\n`).join('')
      const bytes = Buffer.byteLength(lines)
      size ??= (await fs.stat(path))?.size ?? 0
      if (size > 0 && size + bytes > maxSizeMb * MEGABYTE) await rotate()
      await fs.append(path, lines)
      size += bytes
    },
  })
}

const COLLECT_MS = 1000
const WEBHOOK_TIMEOUT_MS = 30_000
const RETRIES = 3
const RETRY_MS = 2000

/** Batches as `EventList`, as upstream's batch mode sends them. */
export function auditWebhook(
  { clock, log, metrics }: Pick<Env, 'clock' | 'log' | 'metrics'>,
  call: CallWebhook,
  { config, credentials }: ConfiguredWebhook,
): Sink {
  return batched({
    plugin: 'webhook',
    metrics,
    log,
    blocking: false,
    delay: (run) => void clock.schedule(COLLECT_MS, run),
    async send(events) {
      for (let attempt = 1; ; attempt++)
        try {
          await call(
            config,
            { kind: 'EventList', apiVersion: 'audit.k8s.io/v1', metadata: {}, items: events },
            { timeoutMs: WEBHOOK_TIMEOUT_MS, credentials, withoutAnswer: true },
          )
          return
        } catch (error) {
          if (attempt > RETRIES) throw error
          await clock.sleep(RETRY_MS * attempt)
        }
    },
  })
}

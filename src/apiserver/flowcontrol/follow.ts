/** Keeps flow control as the stored flow schemas and priority levels say, and tells which of them do not fit. */
import { flowSchemas, priorityLevelConfigurations, type FlowSchema } from '#api'
import type { Clock, Logger } from '#base'
import type { Transport } from '#client'
import { isStatus } from '#machinery'
import type { Reader } from '../inside.ts'
import type { FlowControl } from './flow-control.ts'

/** Calls back soon after either changes, once for many changes. Returns what ends that. */
export function followFlowControl(
  control: Pick<FlowControl, 'configure'>,
  read: Pick<Reader, 'list' | 'onChange'>,
): () => void {
  let due = false
  const configure = (): void => {
    due = false
    control.configure(read.list(flowSchemas), read.list(priorityLevelConfigurations))
  }
  const changed = (): void => {
    if (due) return
    due = true
    queueMicrotask(configure)
  }
  const stops = [
    read.onChange(flowSchemas, changed),
    read.onChange(priorityLevelConfigurations, changed),
  ]
  configure()
  return () => {
    for (const stop of stops) stop()
  }
}

type Condition = NonNullable<NonNullable<FlowSchema['status']>['conditions']>[number]

/** The condition that a schema should have and has not. */
export function danglingCondition(
  { spec, status }: FlowSchema,
  levels: ReadonlySet<string>,
  now: Date,
): Condition | undefined {
  const level = spec.priorityLevelConfiguration.name
  const found = levels.has(level)
  const wanted = {
    type: 'Dangling',
    status: found ? 'False' : 'True',
    reason: found ? 'Found' : 'NotFound',
    message: `This FlowSchema references the PriorityLevelConfiguration object named ${JSON.stringify(level)} ${found ? 'and it exists' : 'but there is no such object'}`,
  }
  const held = status?.conditions?.find(({ type }) => type === 'Dangling')
  if (held?.status === wanted.status && held.message === wanted.message) return undefined
  const lastTransitionTime =
    held?.status === wanted.status && held.lastTransitionTime !== undefined
      ? held.lastTransitionTime
      : now.toISOString().replace(/\.\d+Z$/, 'Z')
  return { ...wanted, lastTransitionTime }
}

export interface FlowStatusOptions {
  readonly read: Pick<Reader, 'list' | 'onChange'>
  readonly transport: Transport
  readonly env: { readonly clock: Pick<Clock, 'sleep' | 'now'>; readonly log: Logger }
  readonly signal: AbortSignal
}

const RETRY_MS = 1000

/** Writes the `Dangling` condition of flow schemas until the signal aborts. */
export async function keepFlowStatus(options: FlowStatusOptions): Promise<void> {
  const { read, transport, env, signal } = options
  let wake = (): void => undefined
  let changed = true
  const look = (): void => {
    changed = true
    wake()
  }
  const stops = [read.onChange(flowSchemas, look), read.onChange(priorityLevelConfigurations, look)]
  const stopped = (): void => wake()
  signal.addEventListener('abort', stopped, { once: true })
  while (!signal.aborted) {
    if (!changed) {
      await new Promise<void>((resolve) => (wake = resolve))
      continue
    }
    changed = false
    const levels = new Set(
      read.list(priorityLevelConfigurations).map(({ metadata }) => metadata.name ?? ''),
    )
    for (const schema of read.list(flowSchemas)) {
      const condition = danglingCondition(schema, levels, env.clock.now())
      if (condition === undefined) continue
      try {
        await transport.request({
          method: 'PATCH',
          path: `/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/${encodeURIComponent(schema.metadata.name ?? '')}/status`,
          query: { fieldManager: 'api-priority-and-fairness-config-consumer-v1', force: 'true' },
          contentType: 'application/apply-patch+yaml',
          body: {
            apiVersion: 'flowcontrol.apiserver.k8s.io/v1',
            kind: 'FlowSchema',
            metadata: { name: schema.metadata.name },
            status: { conditions: [condition] },
          },
          signal,
        })
      } catch (error) {
        if (signal.aborted) break
        if (isStatus(error, 'NotFound')) continue
        changed = true
        env.log.warn('Cannot write the status of a flow schema', {
          flowSchema: schema.metadata.name,
          error,
        })
        await env.clock.sleep(RETRY_MS, signal).catch(() => undefined)
      }
    }
  }
  for (const stop of stops) stop()
  signal.removeEventListener('abort', stopped)
}

/** Events as users see them in `kubectl describe`: the same one again is counted, not repeated. */
import { events as eventResource, type Event, type ObjectReference } from '#api'
import type { Env } from '#base'
import type { Draft, KubeObject } from '#machinery'
import type { Client } from './client.ts'

export interface EventRecorder {
  event(
    about: KubeObject,
    type: 'Normal' | 'Warning',
    reason: string,
    message: string,
    options?: { readonly fieldPath?: string },
  ): void
}

/** Distinct events remembered for counting. */
const MEMORY = 4096
/** An event that comes again within this is counted on the old one. */
const WINDOW_MS = 600_000
/** At most so many at once about one object, and one more every 5 minutes (upstream's spam filter). */
const BURST = 25
const REFILL_MS = 300_000
/** Writes under way or waiting. */
const QUEUE = 1000
const MESSAGE_BYTES = 1024

interface Known {
  readonly namespace: string
  readonly name: string
  count: number
  at: number
}

export function createEventRecorder(
  client: Client,
  env: Pick<Env, 'clock' | 'random' | 'log'>,
  source: { readonly component: string; readonly host?: string },
): EventRecorder {
  const known = new Map<string, Known>()
  const budgets = new Map<string, { left: number; at: number }>()
  let queued = 0
  let tail: Promise<unknown> = Promise.resolve()

  const allowed = (object: string): boolean => {
    const now = env.clock.monotonic()
    const budget = budgets.get(object) ?? { left: BURST, at: now }
    const refilled = Math.floor((now - budget.at) / REFILL_MS)
    const left = Math.min(BURST, budget.left + refilled)
    budgets.delete(object)
    budgets.set(object, { left: Math.max(0, left - 1), at: refilled > 0 ? now : budget.at })
    if (budgets.size > MEMORY) budgets.delete(budgets.keys().next().value ?? '')
    return left > 0
  }

  const write = async (
    id: string,
    about: ObjectReference,
    type: string,
    reason: string,
    message: string,
  ): Promise<void> => {
    const now = env.clock
      .now()
      .toISOString()
      .replace(/\.\d+Z$/, 'Z')
    const old = known.get(id)
    if (old !== undefined && env.clock.monotonic() - old.at < WINDOW_MS) {
      old.count++
      old.at = env.clock.monotonic()
      try {
        await client.patch(eventResource, { namespace: old.namespace, name: old.name }, 'merge', {
          count: old.count,
          lastTimestamp: now,
          message,
        })
        return
      } catch {
        // It expired meanwhile: write it anew.
        known.delete(id)
      }
    }
    const namespace = about.namespace ?? 'default'
    const name = `${about.name ?? 'unknown'}.${[...env.random.bytes(8)].map((b) => b.toString(16).padStart(2, '0')).join('')}`
    const event: Draft<Event> = {
      metadata: { name, namespace },
      involvedObject: about,
      type,
      reason,
      message,
      source: {
        component: source.component,
        ...(source.host === undefined ? {} : { host: source.host }),
      },
      reportingComponent: source.component,
      reportingInstance: source.host ?? '',
      firstTimestamp: now,
      lastTimestamp: now,
      count: 1,
    }
    await client.create(eventResource, event)
    known.set(id, { namespace, name, count: 1, at: env.clock.monotonic() })
    if (known.size > MEMORY) known.delete(known.keys().next().value ?? '')
  }

  return {
    event(about, type, reason, message, { fieldPath } = {}) {
      const { metadata } = about
      const reference: ObjectReference = {
        ...(about.kind === undefined ? {} : { kind: about.kind }),
        ...(about.apiVersion === undefined ? {} : { apiVersion: about.apiVersion }),
        // Cluster-scoped objects have their events in `default`.
        namespace: metadata.namespace ?? 'default',
        name: metadata.name,
        uid: metadata.uid,
        resourceVersion: metadata.resourceVersion,
        ...(fieldPath === undefined ? {} : { fieldPath }),
      }
      const subject = `${about.kind}/${metadata.namespace ?? ''}/${metadata.name}/${metadata.uid}`
      if (queued >= QUEUE || !allowed(`${source.component}|${subject}`)) return
      const text =
        message.length > MESSAGE_BYTES ? `${message.slice(0, MESSAGE_BYTES - 3)}...` : message
      const id = [subject, fieldPath ?? '', type, reason, text].join('|')
      queued++
      tail = tail
        .then(() =>
          write(
            id,
            metadata.namespace === undefined ? withoutNamespace(reference) : reference,
            type,
            reason,
            text,
          ),
        )
        .catch((error: unknown) =>
          env.log.debug('Cannot write event', { reason, error: error as Error }),
        )
        .finally(() => queued--)
    },
  }
}

/** The event of a cluster-scoped object lives in `default` and its reference names no namespace. */
function withoutNamespace(reference: ObjectReference): ObjectReference {
  const { namespace: _, ...rest } = reference
  return rest
}

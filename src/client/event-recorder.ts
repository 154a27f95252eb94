/** Events as users see them in `kubectl describe`: the same one again is counted, not repeated. */
import { events as eventResource, type Event, type ObjectReference } from '#api'
import type { Env } from '#base'
import { isStatus, type Draft, type KubeObject } from '#machinery'
import type { Client } from './client.ts'

/** Tells people what was done to an object. Nobody waits for it. */
export interface EventRecorder {
  event(
    about: KubeObject,
    type: 'Normal' | 'Warning',
    reason: string,
    message: string,
    options?: EventOptions,
  ): void
}

export interface EventOptions {
  readonly fieldPath?: string
  readonly annotations?: Readonly<Record<string, string>>
  /** What the component did or failed to do: the event then has the form of `events.k8s.io`, counted in a series. */
  readonly action?: string
  /** A second object that has to do with it. */
  readonly related?: KubeObject
}

/** Distinct events remembered for counting. */
const MEMORY = 4096
/** An event that comes again within this is counted on the old one. */
const WINDOW_MS = 600_000
/** From so many events that differ only in their message on, within the window, they become one. */
const SIMILAR = 10
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

/** Records events for one component: the same thing said again is counted, and a flood is bounded. */
export function createEventRecorder(
  client: Client,
  env: Pick<Env, 'clock' | 'random' | 'log'>,
  source: Source,
): EventRecorder {
  const known = bounded<Known>()
  const budgets = bounded<{ left: number; at: number }>()
  const groups = bounded<{ readonly messages: Set<string>; at: number }>()
  let queued = 0
  let tail: Promise<unknown> = Promise.resolve()

  const allowed = (object: string): boolean => {
    const now = env.clock.monotonic()
    const budget = budgets.get(object) ?? { left: BURST, at: now }
    const refilled = Math.floor((now - budget.at) / REFILL_MS)
    const left = Math.min(BURST, budget.left + refilled)
    budgets.set(object, {
      left: Math.max(0, left - 1),
      at: budget.at + refilled * REFILL_MS,
    })
    return left > 0
  }

  /** Whether so many similar ones came that they are told as one. */
  const combines = (group: string, message: string): boolean => {
    const now = env.clock.monotonic()
    const found = groups.get(group)
    const current =
      found === undefined || now - found.at > WINDOW_MS
        ? { messages: new Set<string>(), at: now }
        : found
    if (current.messages.size < SIMILAR) current.messages.add(message)
    current.at = now
    groups.set(group, current)
    return current.messages.size >= SIMILAR
  }

  const write = async (id: string, about: Draft<Event>, at: number): Promise<void> => {
    const old = known.get(id)
    if (old !== undefined && at - old.at < WINDOW_MS) {
      const count = old.count + 1
      try {
        const again =
          about.eventTime === undefined
            ? { count, lastTimestamp: about.lastTimestamp }
            : { series: { count, lastObservedTime: about.eventTime } }
        await client.patch(eventResource, { namespace: old.namespace, name: old.name }, 'merge', {
          ...again,
          message: about.message,
        })
        known.set(id, { ...old, count, at })
        return
      } catch (error) {
        // It expired meanwhile: write it anew.
        if (!isStatus(error, 'NotFound')) throw error
      }
    }
    const { namespace = 'default', name = '' } = about.metadata
    await client.create(eventResource, about)
    known.set(id, { namespace, name, count: 1, at })
  }

  return {
    event(about, type, reason, message, { fieldPath, annotations, action, related } = {}) {
      const { metadata } = about
      const subject = `${about.kind}/${metadata.namespace ?? ''}/${metadata.name}/${metadata.uid}`
      if (queued >= QUEUE || !allowed(subject)) return
      const group = [subject, fieldPath ?? '', type, reason].join('|')
      const combined = combines(group, message)
      const text = clipped(
        combined && action === undefined ? `(combined from similar events): ${message}` : message,
      )
      // A series is of one thing that happens again, whatever it says each time.
      const id = combined || action !== undefined ? group : `${group}|${message}`
      const time = env.clock.now().toISOString()
      const suffix = [...env.random.bytes(8)].map((b) => b.toString(16).padStart(2, '0')).join('')
      const event: Draft<Event> = {
        metadata: {
          name: `${metadata.name}.${suffix}`,
          // Cluster-scoped objects have their events in `default`.
          namespace: metadata.namespace ?? 'default',
          ...(annotations === undefined ? {} : { annotations }),
        },
        involvedObject: reference(about, fieldPath),
        type,
        reason,
        message: text,
        reportingComponent: source.component,
        ...(action === undefined ? counted(source, time) : inSeries(source, time, action)),
        ...(related === undefined ? {} : { related: reference(related, undefined) }),
      }
      const at = env.clock.monotonic()
      queued++
      // One after the other, so that counting does not race with itself.
      tail = tail
        .then(() => write(id, event, at))
        .catch((error: unknown) => env.log.debug('Cannot write event', { reason, error }))
        .finally(() => queued--)
    },
  }
}

interface Source {
  readonly component: string
  readonly host?: string
}

/** The form of core/v1, that counts. */
function counted({ component, host }: Source, time: string): Partial<Event> {
  const seconds = time.replace(/\.\d+Z$/, 'Z')
  return {
    source: { component, ...(host === undefined ? {} : { host }) },
    reportingInstance: host ?? '',
    firstTimestamp: seconds,
    lastTimestamp: seconds,
    count: 1,
  }
}

/** The form of events.k8s.io/v1 (KEP-383). */
const inSeries = ({ component, host }: Source, time: string, action: string): Partial<Event> => ({
  action,
  reportingInstance: host === undefined ? component : `${component}-${host}`,
  // In microseconds.
  eventTime: time.replace('Z', '000Z'),
})

function reference(about: KubeObject, fieldPath: string | undefined): ObjectReference {
  const { namespace, name, uid, resourceVersion } = about.metadata
  return {
    ...(about.kind === undefined ? {} : { kind: about.kind }),
    ...(about.apiVersion === undefined ? {} : { apiVersion: about.apiVersion }),
    ...(namespace === undefined ? {} : { namespace }),
    name,
    uid,
    resourceVersion,
    ...(fieldPath === undefined ? {} : { fieldPath }),
  }
}

const clipped = (message: string): string =>
  message.length > MESSAGE_BYTES ? `${message.slice(0, MESSAGE_BYTES - 3)}...` : message

/** Remembers the newest entries. */
function bounded<T>(): Pick<Map<string, T>, 'get' | 'set'> {
  const map = new Map<string, T>()
  const memory: Pick<Map<string, T>, 'get' | 'set'> = {
    get: (key) => map.get(key),
    set(key, value) {
      map.delete(key)
      map.set(key, value)
      if (map.size > MEMORY) map.delete(map.keys().next().value ?? '')
      return map
    },
  }
  return memory
}

/** How many events a second are taken: of all, of a namespace, of a user, or of one source about one object. */
import type { Event } from '#api'
import type { Clock } from '#base'
import { tooManyRequests } from '#machinery'
import type { AdmissionPlugin, AdmissionRequest } from '../../admission.ts'
import { isAbout, objectOf } from '../words.ts'

export type LimitType = 'Server' | 'Namespace' | 'User' | 'SourceAndObject'

export interface EventLimit {
  readonly type: LimitType
  /** Events a second, once the burst is used up. */
  readonly qps: number
  readonly burst: number
  /** How many namespaces, users or sources are remembered. Default 4096. */
  readonly cacheSize?: number
}

const CACHE_SIZE = 4096
const RETRY_SECONDS = 1

interface Bucket {
  left: number
  /** Monotonic milliseconds. */
  at: number
}

const KEYS: Readonly<Record<LimitType, (request: AdmissionRequest) => string>> = {
  Server: () => '',
  Namespace: ({ namespace }) => namespace,
  User: ({ user }) => user.name,
  SourceAndObject(request) {
    const event = objectOf<Event>(request)
    const { component = '', host = '' } = event.source ?? {}
    const {
      kind = '',
      namespace = '',
      name = '',
      uid = '',
      apiVersion = '',
    } = event.involvedObject ?? {}
    return [component, host, kind, namespace, name, uid, apiVersion].join('')
  },
}

export function eventRateLimit(
  limits: readonly EventLimit[],
  clock: Pick<Clock, 'monotonic'>,
): AdmissionPlugin {
  const checks = limits.map((limit) => limiter(limit, clock))
  return {
    name: 'EventRateLimit',
    handles: (request) =>
      !request.dryRun &&
      (isAbout(request, 'events', ['CREATE', 'UPDATE']) ||
        isAbout(request, 'events.events.k8s.io', ['CREATE', 'UPDATE'])),
    validate(request) {
      const reached = checks.flatMap((check) => check(request) ?? [])
      if (reached.length === 0) return
      const text = reached.length === 1 ? reached[0]! : `[${reached.join(', ')}]`
      throw tooManyRequests(text, RETRY_SECONDS)
    },
  }
}

/** Takes one of the request's share; the result says that there was none. */
function limiter(
  { type, qps, burst, cacheSize = CACHE_SIZE }: EventLimit,
  clock: Pick<Clock, 'monotonic'>,
): (request: AdmissionRequest) => string | undefined {
  const buckets = new Map<string, Bucket>()
  return (request) => {
    const key = KEYS[type](request)
    const now = clock.monotonic()
    const bucket = buckets.get(key) ?? { left: burst, at: now }
    // The one that was used last is last: the first is forgotten first.
    buckets.delete(key)
    buckets.set(key, bucket)
    if (buckets.size > (cacheSize || CACHE_SIZE))
      for (const oldest of buckets.keys()) {
        buckets.delete(oldest)
        break
      }
    bucket.left = Math.min(burst, bucket.left + ((now - bucket.at) / 1000) * qps)
    bucket.at = now
    if (bucket.left < 1) return `limit reached on type ${type} for key ${key}`
    bucket.left--
    return undefined
  }
}

/** What is counted of who asks and whether they may, under upstream's names. */
import { exponential, type Metrics } from '#base'
import type { Decision } from '../access.ts'

export interface AccessMetrics {
  authenticated(result: 'success' | 'failure' | 'error', seconds: number, user?: string): void
  authorized(result: Decision['verdict'] | 'error', seconds: number): void
}

const TIMES = exponential(0.001, 2, 15)
const KNOWN: ReadonlySet<string> = new Set([
  'admin',
  'client',
  'kube_proxy',
  'kubelet',
  'system:serviceaccount:kube-system:default',
])
const RESULTS = {
  allow: 'allowed',
  deny: 'denied',
  noOpinion: 'no-opinion',
  error: 'error',
} as const

/** Names of people are not for a page of numbers, and there may be many. */
const shownUser = (name: string): string =>
  KNOWN.has(name) ? name : name.includes('@') ? 'email_id' : 'other'

export function accessMetrics(metrics: Metrics): AccessMetrics {
  const labels = ['result']
  const attempts = metrics.counter({
    name: 'authentication_attempts',
    help: 'Requests whose credentials were looked at.',
    labels,
  })
  const authentications = metrics.histogram({
    name: 'authentication_duration_seconds',
    help: 'Time to find out who asks.',
    labels,
    buckets: TIMES,
  })
  const users = metrics.counter({
    name: 'authenticated_user_requests',
    help: 'Requests by kind of user name.',
    labels: ['username'],
  })
  const decisions = metrics.counter({
    name: 'authorization_attempts_total',
    help: 'Requests that were allowed or not.',
    labels,
  })
  const authorizations = metrics.histogram({
    name: 'authorization_duration_seconds',
    help: 'Time to find out whether it is allowed.',
    labels,
    buckets: TIMES,
  })
  const found = known((result: 'success' | 'failure' | 'error') => ({
    times: authentications.with(result),
    total: attempts.with(result),
  }))
  const decided = known((result: Decision['verdict'] | 'error') => ({
    times: authorizations.with(RESULTS[result]),
    total: decisions.with(RESULTS[result]),
  }))
  return {
    authenticated(result, seconds, user) {
      const { times, total } = found(result)
      total.add()
      times.observe(seconds)
      if (user !== undefined) users.with(shownUser(user)).add()
    },
    authorized(result, seconds) {
      const { times, total } = decided(result)
      total.add()
      times.observe(seconds)
    },
  }
}

/** Each is made when it is first asked for. */
function known<K extends string, T>(make: (key: K) => T): (key: K) => T {
  const made: Partial<Record<K, T>> = {}
  return (key) => (made[key] ??= make(key))
}

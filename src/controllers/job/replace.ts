/** Pods that a Job makes and removes while it runs. */
import { pods as podResource, type Job, type Pod } from '#api'
import {
  type Action,
  byDeletionOrder,
  create,
  isFinished,
  isReady,
  isTerminating,
  remove,
} from '../framework/index.ts'
import { lastFailures, type Counted } from './count.ts'
import {
  endedAt,
  failuresWith,
  hasFailed,
  hasSucceeded,
  indexOf,
  isIndexed,
  podOf,
} from './pods.ts'

/** Pods made or removed in one pass. */
const BURST = 500
const FIRST_BACKOFF_MS = 10_000
const LAST_BACKOFF_MS = 600_000

export const removals = (
  job: Job,
  from: readonly Pod[],
  most: number,
  now: Date,
): readonly Action[] =>
  from
    .toSorted(byDeletionOrder(now))
    .slice(0, Math.min(most, BURST))
    .map((pod) => remove(podResource, pod, { about: job }))

/** Makes and removes pods while the Job runs. */
export function manage(
  job: Job,
  own: readonly Pod[],
  active: readonly Pod[],
  terminating: readonly Pod[],
  counted: Counted,
  now: Date,
): { readonly actions: readonly Action[]; readonly waitMs?: number } {
  const { parallelism = 1, completions } = job.spec
  const doubled = isIndexed(job) ? misplaced(job, active) : []
  const live = active.filter((pod) => !doubled.includes(pod))
  const wanted =
    completions === undefined
      ? counted.allSucceeded > 0
        ? Math.min(live.length, parallelism)
        : parallelism
      : Math.min(
          parallelism,
          Math.max(0, completions - counted.allSucceeded - counted.failedIndexes.size),
        )
  const extra = live.length - wanted
  if (doubled.length > 0 || extra > 0)
    return {
      actions: [
        ...removals(job, doubled, doubled.length, now),
        ...removals(job, live, Math.max(0, extra), now),
      ],
    }
  // Those on their way out hold their places when replacements are to wait for them.
  const waiting = job.spec.podReplacementPolicy === 'Failed' ? terminating.length : 0
  const missing = Math.min(wanted - live.length - waiting, BURST)
  if (missing <= 0) return { actions: [] }
  if (isIndexed(job)) return replaceIndexes(job, own, counted, missing, now)
  const waitMs = backoffMs(job, own, now)
  if (waitMs > 0) return { actions: [], waitMs }
  return {
    actions: Array.from({ length: missing }, () => create(podResource, podOf(job), job)),
  }
}

/** Active pods beyond the number of completions, or the second and later of one index. */
function misplaced({ spec }: Job, active: readonly Pod[]): readonly Pod[] {
  const seen = new Set<number>()
  return active
    .toSorted((a, b) => Number(isReady(b)) - Number(isReady(a)))
    .filter((pod) => {
      const index = indexOf(pod)
      if (index === undefined || index >= (spec.completions ?? 0) || seen.has(index)) return true
      seen.add(index)
      return false
    })
}

function replaceIndexes(
  job: Job,
  own: readonly Pod[],
  { completedIndexes, failedIndexes }: Counted,
  missing: number,
  now: Date,
): { readonly actions: readonly Action[]; readonly waitMs?: number } {
  const { completions = 0, backoffLimitPerIndex, podReplacementPolicy } = job.spec
  const perIndex = backoffLimitPerIndex !== undefined
  if (!perIndex) {
    const waitMs = backoffMs(job, own, now)
    if (waitMs > 0) return { actions: [], waitMs }
  }
  const taken = new Set(
    own
      .filter(
        (pod) => !isFinished(pod) && (!isTerminating(pod) || podReplacementPolicy === 'Failed'),
      )
      .flatMap((pod) => indexOf(pod) ?? []),
  )
  const last = perIndex ? lastFailures(job, own) : new Map<number, Pod>()
  const actions: Action[] = []
  let waitMs: number | undefined
  for (let index = 0; index < completions && actions.length < missing; index++) {
    if (taken.has(index) || completedIndexes.has(index) || failedIndexes.has(index)) continue
    const failure = last.get(index)
    if (failure !== undefined) {
      const { counted, ignored } = failuresWith(job, failure)
      const left = endedAt(failure) + growing(counted + ignored) - now.getTime()
      if (left > 0) {
        waitMs = Math.min(waitMs ?? Infinity, left)
        continue
      }
    }
    const failures = failure === undefined ? undefined : failuresWith(job, failure)
    actions.push(create(podResource, podOf(job, index, failures), job))
  }
  return { actions, ...(waitMs === undefined ? {} : { waitMs }) }
}

const growing = (failures: number): number =>
  failures <= 0 ? 0 : Math.min(FIRST_BACKOFF_MS * 2 ** (failures - 1), LAST_BACKOFF_MS)

/** How long to wait before the next pod: longer after each failure since the last success. */
function backoffMs(job: Job, own: readonly Pod[], now: Date): number {
  const success = Math.max(0, ...own.filter(hasSucceeded).map(endedAt))
  const failures = own
    .filter((pod) => hasFailed(job, pod))
    .map(endedAt)
    .filter((time) => time > success)
  if (failures.length === 0) return 0
  return Math.max(0, Math.max(...failures) + growing(failures.length) - now.getTime())
}

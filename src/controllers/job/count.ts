/**
 * Counts ended pods, each once, across crashes at any instant (KEP-2307): first the pod's uid is written down in
 * the status, then the pod loses its finalizer, then the uid becomes a number.
 */
import type { Job, Pod } from '#api'
import { parseIndexes } from './indexes.ts'
import {
  failuresWith,
  hasFailed,
  hasSucceeded,
  indexOf,
  isIndexed,
  isTracked,
  judgeFailure,
} from './pods.ts'

export interface Counted {
  /** As the status is to say. */
  readonly succeeded: number
  readonly failed: number
  readonly uncounted: { readonly succeeded: readonly string[]; readonly failed: readonly string[] }
  readonly completedIndexes: ReadonlySet<number>
  readonly failedIndexes: ReadonlySet<number>
  /** With those that are only written down so far. */
  readonly allSucceeded: number
  readonly allFailed: number
  /** Written down already: they may go. */
  readonly release: readonly Pod[]
  /** Nothing is left to be written down or released. */
  readonly isSettled: boolean
  /** A failure that ends the whole Job. */
  readonly fatal: string | undefined
}

/** Uids that wait in the status at most. */
const MOST_UNCOUNTED = 500

export function count(job: Job, own: readonly Pod[], { isEnding }: { isEnding: boolean }): Counted {
  const { status = {}, spec } = job
  const indexed = isIndexed(job)
  const completions = spec.completions ?? 0
  const byUid = new Map(own.map((pod) => [pod.metadata.uid, pod]))
  const isHeld = (uid: string): boolean => {
    const pod = byUid.get(uid)
    return pod !== undefined && isTracked(pod)
  }
  const before = {
    succeeded: status.uncountedTerminatedPods?.succeeded ?? [],
    failed: status.uncountedTerminatedPods?.failed ?? [],
  }
  const written = new Set([...before.succeeded, ...before.failed])
  const recorded = parseIndexes(status.completedIndexes, completions)
  const completedIndexes = new Set(recorded)
  const failedIndexes = parseIndexes(status.failedIndexes, completions)
  const recordedFailedIndexes = new Set(failedIndexes)
  const kept = keptFailures(job, own, completedIndexes, failedIndexes, isEnding)

  const fresh = { succeeded: [] as string[], failed: [] as string[] }
  const release: Pod[] = []
  let fatal: string | undefined
  let open = 0
  for (const pod of own) {
    if (!isTracked(pod)) continue
    const { uid } = pod.metadata
    const index = indexOf(pod)
    if (written.has(uid)) release.push(pod)
    else if (hasSucceeded(pod)) {
      if (!indexed) fresh.succeeded.push(uid)
      else if (index === undefined || index >= completions || recorded.has(index)) release.push(pod)
      else {
        completedIndexes.add(index)
        open++
      }
    } else if (hasFailed(job, pod)) {
      const verdict = judgeFailure(job, pod)
      if (verdict.action === 'FailJob') fatal ??= verdict.message
      if (spec.backoffLimitPerIndex !== undefined && index !== undefined) {
        const over = failuresWith(job, pod).counted > spec.backoffLimitPerIndex
        if ((over || verdict.action === 'FailIndex') && !completedIndexes.has(index))
          failedIndexes.add(index)
        if (failedIndexes.has(index) && !recordedFailedIndexes.has(index)) open++
      }
      if (kept.has(uid)) continue
      if (verdict.action === 'Ignore') release.push(pod)
      else fresh.failed.push(uid)
    }
  }
  const room = Math.max(0, MOST_UNCOUNTED - written.size)
  const add = {
    succeeded: fresh.succeeded.slice(0, room),
    failed: fresh.failed.slice(0, Math.max(0, room - fresh.succeeded.length)),
  }
  const done = {
    succeeded: before.succeeded.filter((uid) => !isHeld(uid)).length,
    failed: before.failed.filter((uid) => !isHeld(uid)).length,
  }
  const failed = (status.failed ?? 0) + done.failed
  const succeeded = indexed ? completedIndexes.size : (status.succeeded ?? 0) + done.succeeded
  const uncounted = {
    succeeded: [...before.succeeded.filter(isHeld), ...add.succeeded],
    failed: [...before.failed.filter(isHeld), ...add.failed],
  }
  return {
    succeeded,
    failed,
    uncounted,
    completedIndexes,
    failedIndexes,
    allSucceeded: indexed
      ? completedIndexes.size
      : succeeded + before.succeeded.filter(isHeld).length + fresh.succeeded.length,
    allFailed: failed + before.failed.filter(isHeld).length + fresh.failed.length,
    release,
    isSettled:
      open === 0 &&
      release.length === 0 &&
      uncounted.succeeded.length === 0 &&
      uncounted.failed.length === 0 &&
      fresh.succeeded.length === 0 &&
      fresh.failed.length === 0,
    fatal,
  }
}

/** The last failure of an index carries the count of its failures: it stays until its replacement carries it on. */
function keptFailures(
  job: Job,
  own: readonly Pod[],
  completed: ReadonlySet<number>,
  failed: ReadonlySet<number>,
  isEnding: boolean,
): ReadonlySet<string> {
  const { backoffLimitPerIndex } = job.spec
  if (backoffLimitPerIndex === undefined || isEnding) return new Set()
  const last = lastFailures(job, own)
  const replaced = new Set(
    own.filter((pod) => !hasFailed(job, pod)).flatMap((pod) => indexOf(pod) ?? []),
  )
  return new Set(
    [...last]
      .filter(
        ([index, pod]) =>
          !replaced.has(index) &&
          !completed.has(index) &&
          !failed.has(index) &&
          failuresWith(job, pod).counted <= backoffLimitPerIndex &&
          judgeFailure(job, pod).action !== 'FailIndex',
      )
      .map(([, pod]) => pod.metadata.uid),
  )
}

/** Of each index, the failed pod that has seen most failures. */
export function lastFailures(job: Job, own: readonly Pod[]): ReadonlyMap<number, Pod> {
  const last = new Map<number, Pod>()
  const total = (pod: Pod): number => {
    const { counted, ignored } = failuresWith(job, pod)
    return counted + ignored
  }
  for (const pod of own) {
    const index = indexOf(pod)
    if (index === undefined || !hasFailed(job, pod)) continue
    const known = last.get(index)
    if (known === undefined || total(pod) > total(known)) last.set(index, pod)
  }
  return last
}

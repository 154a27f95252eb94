/** Runs pods until enough of them have succeeded, or it is clear that they will not. */
import {
  jobs,
  pods as podResource,
  type Job,
  type JobCondition,
  type JobStatus,
  type Pod,
} from '#api'
import { timestamp, selectorMatches } from '#machinery'
import {
  adoption,
  byDeletionOrder,
  controllerOf,
  create,
  event,
  isFinished,
  isReady,
  isTerminating,
  nothing,
  patch,
  remove,
  updateStatus,
  type Action,
  type Decision,
} from '../framework/index.ts'
import { count, lastFailures, type Counted } from './count.ts'
import { formatIndexes, parseIndexes } from './indexes.ts'
import {
  endedAt,
  failuresWith,
  hasFailed,
  hasSucceeded,
  indexOf,
  isIndexed,
  podOf,
  TRACKING,
} from './pods.ts'

export interface Observed {
  readonly job: Job
  /** Its own, and those nobody controls that it selects. */
  readonly pods: readonly Pod[]
}

const OURS = 'kubernetes.io/job-controller'
/** Pods made or removed in one pass. */
const BURST = 500
const FIRST_BACKOFF_MS = 10_000
const LAST_BACKOFF_MS = 600_000

export const isJobFinished = ({ status }: Job): boolean =>
  has(status?.conditions, 'Complete') || has(status?.conditions, 'Failed')

export const has = (conditions: readonly JobCondition[] | undefined, type: string): boolean =>
  conditions?.some((each) => each.type === type && each.status === 'True') === true

/** Why a Job ends. */
interface Ending {
  readonly type: 'Complete' | 'Failed'
  readonly reason: string
  readonly message: string
}

export function decide({ job, pods: all }: Observed, now: Date): Decision {
  const { spec } = job
  if ((spec.managedBy ?? OURS) !== OURS || isTerminating(job) || isJobFinished(job)) return nothing
  const { own, claims } = claim(job, all)
  const interim = interimEnding(job)
  const counted = count(job, own, { isEnding: interim !== undefined })
  const active = own.filter((pod) => !isFinished(pod) && !isTerminating(pod))
  const terminating = own.filter((pod) => !isFinished(pod) && isTerminating(pod))
  const startTime = spec.suspend === true ? undefined : (job.status?.startTime ?? timestamp(now))
  const deadline = deadlineOf(job, startTime)
  const ending = interim ?? endingOf(job, counted, active, terminating, deadline, now)

  const conditions = [...(job.status?.conditions ?? [])]
  const changes: Action[] = []
  let requeueAfterMs = deadline === undefined ? undefined : Math.max(1, deadline - now.getTime())
  if (ending !== undefined) {
    changes.push(...removals(job, active, active.length, now))
    const type = ending.type === 'Complete' ? 'SuccessCriteriaMet' : 'FailureTarget'
    if (!has(conditions, type)) conditions.push(condition(ending, type, now))
    // The last word is said when nothing of it runs any longer and all is counted.
    if (active.length === 0 && terminating.length === 0 && counted.isSettled) {
      conditions.push(condition(ending, ending.type, now))
      changes.push(
        ending.type === 'Complete'
          ? event(job, 'Normal', 'Completed', 'Job completed')
          : event(job, 'Warning', ending.reason, ending.message),
      )
    }
    requeueAfterMs = undefined
  } else if (spec.suspend === true) {
    changes.push(...removals(job, active, active.length, now))
    if (!has(conditions, 'Suspended')) {
      setSuspended(
        conditions,
        { status: 'True', reason: 'JobSuspended', message: 'Job suspended' },
        now,
      )
      changes.push(event(job, 'Normal', 'Suspended', 'Job suspended'))
    }
    requeueAfterMs = undefined
  } else {
    if (has(conditions, 'Suspended')) {
      setSuspended(
        conditions,
        { status: 'False', reason: 'JobResumed', message: 'Job resumed' },
        now,
      )
      changes.push(event(job, 'Normal', 'Resumed', 'Job resumed'))
    }
    const managed = manage(job, own, active, terminating, counted, now)
    changes.push(...managed.actions)
    if (managed.waitMs !== undefined)
      requeueAfterMs = Math.min(requeueAfterMs ?? Infinity, managed.waitMs)
  }

  const status = statusOf(job, counted, { active, terminating, conditions, startTime })
  return {
    actions: [
      ...claims,
      ...counted.release.map((pod) =>
        patch(podResource, pod, {
          metadata: {
            uid: pod.metadata.uid,
            finalizers: (pod.metadata.finalizers ?? []).filter((each) => each !== TRACKING),
          },
        }),
      ),
      ...changes,
      ...updateStatus(jobs, job, status),
    ],
    ...(requeueAfterMs === undefined ? {} : { requeueAfterMs }),
  }
}

/** Adopts what it selects, and lets go what it no longer selects, with its finalizer. */
function claim(job: Job, all: readonly Pod[]): { own: readonly Pod[]; claims: readonly Action[] } {
  const own: Pod[] = []
  const claims: Action[] = []
  for (const pod of all) {
    const matches = selectorMatches(job.spec.selector, pod.metadata.labels)
    const owner = controllerOf(pod)
    if (owner?.uid === job.metadata.uid) {
      if (matches) own.push(pod)
      else if (!isTerminating(pod))
        claims.push(
          patch(podResource, pod, {
            metadata: {
              uid: pod.metadata.uid,
              ownerReferences: (pod.metadata.ownerReferences ?? []).filter(
                ({ uid }) => uid !== job.metadata.uid,
              ),
              finalizers: (pod.metadata.finalizers ?? []).filter((each) => each !== TRACKING),
            },
          }),
        )
    } else if (owner === undefined && matches && !isTerminating(pod) && !isFinished(pod)) {
      const { metadata } = adoption(jobs, job, pod)
      const finalizers = [
        ...(pod.metadata.finalizers ?? []).filter((each) => each !== TRACKING),
        TRACKING,
      ]
      claims.push(patch(podResource, pod, { metadata: { ...metadata, finalizers } }))
      own.push(pod)
    }
  }
  return { own, claims }
}

/** What a condition already says about how it ends. */
function interimEnding({ status }: Job): Ending | undefined {
  for (const [type, final] of [
    ['FailureTarget', 'Failed'],
    ['SuccessCriteriaMet', 'Complete'],
  ] as const) {
    const found = status?.conditions?.find((each) => each.type === type && each.status === 'True')
    if (found !== undefined)
      return { type: final, reason: found.reason ?? '', message: found.message ?? '' }
  }
  return undefined
}

function deadlineOf({ spec }: Job, startTime: string | undefined): number | undefined {
  if (spec.activeDeadlineSeconds === undefined || startTime === undefined) return undefined
  return Date.parse(startTime) + spec.activeDeadlineSeconds * 1000
}

function endingOf(
  job: Job,
  counted: Counted,
  active: readonly Pod[],
  terminating: readonly Pod[],
  deadline: number | undefined,
  now: Date,
): Ending | undefined {
  const { spec } = job
  const failed = (reason: string, message: string): Ending => ({ type: 'Failed', reason, message })
  if (counted.fatal !== undefined) return failed('PodFailurePolicy', counted.fatal)
  const success = matchSuccess(job, counted)
  if (success !== undefined) return success
  const limit = spec.backoffLimit ?? 6
  if (counted.allFailed > limit || restartsExceed(job, active, limit))
    return failed('BackoffLimitExceeded', 'Job has reached the specified backoff limit')
  if (deadline !== undefined && now.getTime() >= deadline)
    return failed('DeadlineExceeded', 'Job was active longer than specified deadline')
  if (isIndexed(job)) {
    const completions = spec.completions ?? 0
    const { completedIndexes, failedIndexes } = counted
    if (spec.maxFailedIndexes !== undefined && failedIndexes.size > spec.maxFailedIndexes)
      return failed(
        'MaxFailedIndexesExceeded',
        'Job has exceeded the specified maximal number of failed indexes',
      )
    if (failedIndexes.size > 0 && completedIndexes.size + failedIndexes.size >= completions)
      return failed('FailedIndexes', 'Job has failed indexes')
  }
  const reached =
    spec.completions === undefined
      ? counted.allSucceeded > 0 && active.length === 0 && terminating.length === 0
      : counted.allSucceeded >= spec.completions
  // A suspended Job that asks for nothing is complete all the same.
  return reached
    ? {
        type: 'Complete',
        reason: 'CompletionsReached',
        message: 'Reached expected number of succeeded pods',
      }
    : undefined
}

/** Containers that are restarted in place count too. */
function restartsExceed({ spec }: Job, active: readonly Pod[], limit: number): boolean {
  if (spec.template.spec?.restartPolicy !== 'OnFailure') return false
  let restarts = 0
  for (const { status } of active)
    if (status?.phase === 'Running' || status?.phase === 'Pending')
      for (const { restartCount } of [
        ...(status.initContainerStatuses ?? []),
        ...(status.containerStatuses ?? []),
      ])
        restarts += restartCount
  return limit === 0 ? restarts > 0 : restarts >= limit
}

function matchSuccess({ spec }: Job, { completedIndexes }: Counted): Ending | undefined {
  for (const [at, rule] of (spec.successPolicy?.rules ?? []).entries()) {
    const wanted =
      rule.succeededIndexes === undefined
        ? undefined
        : parseIndexes(rule.succeededIndexes, spec.completions)
    const matching =
      wanted === undefined
        ? completedIndexes.size
        : [...completedIndexes].filter((index) => wanted.has(index)).length
    if (matching >= (rule.succeededCount ?? wanted?.size ?? Infinity))
      return { type: 'Complete', reason: 'SuccessPolicy', message: `Matched rules at index ${at}` }
  }
  return undefined
}

const condition = ({ reason, message }: Ending, type: string, now: Date): JobCondition => ({
  type,
  status: 'True',
  lastProbeTime: timestamp(now),
  lastTransitionTime: timestamp(now),
  reason,
  message,
})

function setSuspended(
  conditions: JobCondition[],
  said: Pick<JobCondition, 'status' | 'reason' | 'message'>,
  now: Date,
): void {
  const made: JobCondition = {
    ...said,
    type: 'Suspended',
    lastProbeTime: timestamp(now),
    lastTransitionTime: timestamp(now),
  } as JobCondition
  const at = conditions.findIndex(({ type }) => type === 'Suspended')
  if (at < 0) conditions.push(made)
  else conditions[at] = made
}

const removals = (job: Job, from: readonly Pod[], most: number, now: Date): readonly Action[] =>
  from
    .toSorted(byDeletionOrder(now))
    .slice(0, Math.min(most, BURST))
    .map((pod) => remove(podResource, pod, { about: job }))

/** Makes and removes pods while the Job runs. */
function manage(
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

function statusOf(
  job: Job,
  counted: Counted,
  {
    active,
    terminating,
    conditions,
    startTime,
  }: {
    readonly active: readonly Pod[]
    readonly terminating: readonly Pod[]
    readonly conditions: readonly JobCondition[]
    readonly startTime: string | undefined
  },
): JobStatus {
  const complete = conditions.find(({ type }) => type === 'Complete')
  const { completedIndexes, failedIndexes, uncounted, succeeded, failed } = counted
  return {
    ...(conditions.length > 0 ? { conditions } : {}),
    ...(startTime === undefined ? {} : { startTime }),
    ...(complete?.lastTransitionTime === undefined
      ? {}
      : { completionTime: complete.lastTransitionTime }),
    ...(active.length > 0 ? { active: active.length } : {}),
    ...(succeeded > 0 ? { succeeded } : {}),
    ...(failed > 0 ? { failed } : {}),
    terminating: terminating.length,
    ...(isIndexed(job) && completedIndexes.size > 0
      ? { completedIndexes: formatIndexes(completedIndexes) }
      : {}),
    ...(job.spec.backoffLimitPerIndex === undefined
      ? {}
      : { failedIndexes: formatIndexes(failedIndexes) }),
    uncountedTerminatedPods: {
      ...(uncounted.succeeded.length > 0 ? { succeeded: uncounted.succeeded } : {}),
      ...(uncounted.failed.length > 0 ? { failed: uncounted.failed } : {}),
    },
    ready: active.filter(isReady).length,
  }
}

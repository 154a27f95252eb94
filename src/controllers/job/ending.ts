/** Whether a Job is to end, and why. */
import type { Job, Pod } from '#api'
import type { Counted } from './count.ts'
import { parseIndexes } from './indexes.ts'
import { isIndexed } from './pods.ts'

/** Why a Job ends. */
export interface Ending {
  readonly type: 'Complete' | 'Failed'
  readonly reason: string
  readonly message: string
}

/** What a condition already says about how it ends. */
export function interimEnding({ status }: Job): Ending | undefined {
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

export function deadlineOf({ spec }: Job, startTime: string | undefined): number | undefined {
  if (spec.activeDeadlineSeconds === undefined || startTime === undefined) return undefined
  return Date.parse(startTime) + Number(spec.activeDeadlineSeconds) * 1000
}

export function endingOf(
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

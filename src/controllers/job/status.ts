/** A Job's status, and the conditions in it. */
import type { Job, JobCondition, JobStatus, Pod } from '#api'
import { timestamp } from '#machinery'
import { isReady } from '../framework/index.ts'
import type { Counted } from './count.ts'
import type { Ending } from './ending.ts'
import { formatIndexes } from './indexes.ts'
import { isIndexed } from './pods.ts'

export const isJobFinished = ({ status }: Job): boolean =>
  has(status?.conditions, 'Complete') || has(status?.conditions, 'Failed')

export const has = (conditions: readonly JobCondition[] | undefined, type: string): boolean =>
  conditions?.some((each) => each.type === type && each.status === 'True') === true

export const condition = ({ reason, message }: Ending, type: string, now: Date): JobCondition => ({
  type,
  status: 'True',
  lastProbeTime: timestamp(now),
  lastTransitionTime: timestamp(now),
  reason,
  message,
})

export function setSuspended(
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

export function statusOf(
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

/** Runs pods until enough of them have succeeded, or it is clear that they will not. */
import { jobs, pods as podResource, type Job, type Pod } from '#api'
import { timestamp } from '#machinery'
import {
  event,
  isFinished,
  isTerminating,
  nothing,
  patch,
  updateStatus,
  type Action,
  type Decision,
} from '../framework/index.ts'
import { claim } from './claim.ts'
import { count } from './count.ts'
import { deadlineOf, endingOf, interimEnding } from './ending.ts'
import { TRACKING } from './pods.ts'
import { manage, removals } from './replace.ts'
import { condition, has, isJobFinished, setSuspended, statusOf } from './status.ts'

export interface Observed {
  readonly job: Job
  /** Its own, and those nobody controls that it selects. */
  readonly pods: readonly Pod[]
}

const OURS = 'kubernetes.io/job-controller'

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

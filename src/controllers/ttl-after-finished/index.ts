import { jobs, type Job } from '#api'
import {
  defineController,
  isTerminating,
  nothing,
  remove,
  type Decision,
} from '../framework/index.ts'

/** A finished Job is deleted when it has been seen for as long as it asks for. */
export function decide(job: Job, now: Date): Decision {
  const { ttlSecondsAfterFinished } = job.spec
  if (ttlSecondsAfterFinished === undefined || isTerminating(job)) return nothing
  const end = job.status?.conditions?.find(
    ({ type, status }) => (type === 'Complete' || type === 'Failed') && status === 'True',
  )
  if (end?.lastTransitionTime === undefined) return nothing
  const left = Date.parse(end.lastTransitionTime) + ttlSecondsAfterFinished * 1000 - now.getTime()
  return left > 0
    ? { actions: [], requeueAfterMs: left }
    : { actions: [remove(jobs, job, { propagationPolicy: 'Foreground' })] }
}

/** Deletes Jobs that have been finished for a while, if they ask for it. */
export const ttlAfterFinishedController = defineController<Job>({
  name: 'ttl-after-finished',
  for: jobs,
  observe: (cache, key) => cache.get(jobs, key),
  decide,
})

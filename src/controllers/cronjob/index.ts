import { cronJobs, jobs } from '#api'
import { defineController, event } from '../framework/index.ts'
import { decide, type Observed } from './decide.ts'

/** Starts Jobs by the clock. */
export const cronJobController = defineController<Observed>({
  name: 'cronjob',
  component: 'cronjob-controller',
  for: cronJobs,
  owns: [jobs],
  observe(cache, key) {
    const cronJob = cache.get(cronJobs, key)
    return cronJob && { cronJob, jobs: cache.ownedBy(cronJob, jobs) }
  },
  decide,
  failed({ cronJob }, failures) {
    const refused = failures.find(({ action }) => action.type === 'create')
    return refused === undefined
      ? []
      : [event(cronJob, 'Warning', 'FailedCreate', `Error creating job: ${refused.error.message}`)]
  },
})

import { jobs, pods, type Job, type Pod } from '#api'
import { keyOf, selectorMatches } from '#machinery'
import {
  controllerOf,
  defineController,
  event,
  isTerminating,
  nothing,
  orphanIndex,
  patch,
  podsFor,
  watching,
  watchingOrphans,
  type Decision,
} from '../framework/index.ts'
import { decide, type Observed } from './decide.ts'
import { isTracked, TRACKING } from './pods.ts'
import { isJobFinished } from './status.ts'

const selects = ({ spec }: Job, { metadata }: Pod): boolean =>
  selectorMatches(spec.selector, metadata.labels)

/** Runs the pods of a Job to completion. */
export const jobController = defineController<Observed>({
  name: 'job',
  component: 'job-controller',
  for: jobs,
  owns: [pods],
  watches: [watchingOrphans(jobs, (job, pod) => !isTerminating(pod) && selects(job, pod))],
  indexes: [orphanIndex(pods)],
  observe(cache, key) {
    const job = cache.get(jobs, key)
    if (job === undefined) return undefined
    return { job, pods: podsFor(cache, job, selects) }
  },
  decide,
  failed({ job }, failures) {
    const refused = failures.find(({ action }) => action.type === 'create')
    return refused === undefined
      ? []
      : [event(job, 'Warning', 'FailedCreate', `Error creating: ${refused.error.message}`)]
  },
})

export interface TrackedPod {
  readonly pod: Pod
  /** Whether a Job is there that will count it. */
  readonly isCounted: boolean
}

/** Nobody counts it any longer: its finalizer would hold it for ever. */
export const decideTracked = ({ pod, isCounted }: TrackedPod): Decision =>
  isCounted
    ? nothing
    : {
        actions: [
          patch(pods, pod, {
            metadata: {
              uid: pod.metadata.uid,
              finalizers: (pod.metadata.finalizers ?? []).filter((each) => each !== TRACKING),
            },
          }),
        ],
      }

/** Lets go pods whose Job is gone, going, or done with counting. */
export const jobPodFinalizerController = defineController<TrackedPod>({
  name: 'job-pod-finalizer',
  component: 'job-controller',
  for: pods,
  concerns: isTracked,
  watches: [
    watching(jobs, (job, _, cache) =>
      isTerminating(job) || isJobFinished(job) || cache.get(jobs, keyOf(job)) === undefined
        ? cache.controlledBy(job.metadata.uid, pods).map(keyOf)
        : [],
    ),
  ],
  observe(cache, key) {
    const pod = cache.get(pods, key)
    if (pod === undefined || !isTracked(pod)) return undefined
    const owner = controllerOf(pod)
    const job =
      owner?.kind === 'Job' ? cache.get(jobs, `${pod.metadata.namespace}/${owner.name}`) : undefined
    const isCounted =
      job !== undefined &&
      job.metadata.uid === owner?.uid &&
      !isTerminating(job) &&
      !isJobFinished(job)
    return { pod, isCounted }
  },
  decide: decideTracked,
})

import { jobs, pods, type Pod } from '#api'
import { keyOf, selectorMatches } from '#machinery'
import {
  controllerOf,
  defineController,
  event,
  isTerminating,
  nothing,
  patch,
  watching,
  type Decision,
} from '../framework/index.ts'
import { decide, type Observed } from './decide.ts'
import { isTracked, TRACKING } from './pods.ts'
import { isJobFinished } from './status.ts'

/** Runs the pods of a Job to completion. */
export const jobController = defineController<Observed>({
  name: 'job',
  component: 'job-controller',
  for: jobs,
  owns: [pods],
  watches: [
    watching<Pod>(pods, (pod, _, cache) =>
      controllerOf(pod) === undefined && !isTerminating(pod)
        ? cache
            .list(jobs, pod.metadata.namespace)
            .filter(({ spec }) => selectorMatches(spec.selector, pod.metadata.labels))
            .map(keyOf)
        : [],
    ),
  ],
  indexes: [
    {
      ref: pods,
      name: 'orphans',
      values: (pod: Pod) => (controllerOf(pod) === undefined ? [pod.metadata.namespace ?? ''] : []),
    },
  ],
  observe(cache, key) {
    const job = cache.get(jobs, key)
    if (job === undefined) return undefined
    const orphans = cache
      .by(pods, 'orphans', job.metadata.namespace ?? '')
      .filter((pod) => selectorMatches(job.spec.selector, pod.metadata.labels))
    return { job, pods: [...cache.ownedBy(job, pods), ...orphans] }
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

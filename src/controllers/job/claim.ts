/** Which pods are a Job's own. */
import { jobs, pods as podResource, type Job, type Pod } from '#api'
import { selectorMatches } from '#machinery'
import {
  type Action,
  adoption,
  controllerOf,
  isFinished,
  isTerminating,
  patch,
} from '../framework/index.ts'
import { TRACKING } from './pods.ts'

/** Adopts what it selects, and lets go what it no longer selects, with its finalizer. */
export function claim(
  job: Job,
  all: readonly Pod[],
): { own: readonly Pod[]; claims: readonly Action[] } {
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

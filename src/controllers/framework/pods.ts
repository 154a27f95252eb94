/** What controllers ask of pods, and how they make them. */
import type { Pod, PodTemplateSpec } from '#api'
import type { Draft, KubeObject, ObjectMeta, ResourceRef } from '#machinery'
import { controllerReference, isTerminating } from './ownership.ts'

export const isActive = (pod: Pod): boolean =>
  pod.status?.phase !== 'Succeeded' && pod.status?.phase !== 'Failed' && !isTerminating(pod)
/** It has ended, one way or the other. */
export const isFinished = (pod: Pod): boolean =>
  pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'

const conditionOf = (pod: Pod, type: string) =>
  pod.status?.conditions?.find((condition) => condition.type === type)
export const isReady = (pod: Pod): boolean => conditionOf(pod, 'Ready')?.status === 'True'
/** Milliseconds since the epoch; 0 when it never was. */
export const readySince = (pod: Pod): number =>
  Date.parse(conditionOf(pod, 'Ready')?.lastTransitionTime ?? '') || 0

export const isAvailable = (pod: Pod, minReadySeconds: number, now: Date): boolean =>
  isReady(pod) &&
  (minReadySeconds === 0 || readySince(pod) + minReadySeconds * 1000 <= now.getTime())

/** Milliseconds until the next ready pod counts as available. */
export function untilAvailable(
  minReadySeconds: number,
  pods: readonly Pod[],
  now: Date,
): number | undefined {
  if (minReadySeconds === 0) return undefined
  const waits = pods
    .filter((pod) => isReady(pod) && !isAvailable(pod, minReadySeconds, now))
    .map((pod) => readySince(pod) + minReadySeconds * 1000 - now.getTime())
  return waits.length === 0 ? undefined : Math.max(1, Math.min(...waits))
}

/** A pod of the template, controlled by the owner. The server gives it a name. */
export function podFromTemplate(
  ref: ResourceRef,
  owner: KubeObject,
  template: PodTemplateSpec,
  more: Partial<ObjectMeta> = {},
): Draft<Pod> {
  const { labels, annotations, finalizers } = template.metadata ?? ({} as Partial<ObjectMeta>)
  return {
    metadata: {
      generateName: `${owner.metadata.name}-`,
      ...(owner.metadata.namespace === undefined ? {} : { namespace: owner.metadata.namespace }),
      ...(labels === undefined ? {} : { labels }),
      ...(annotations === undefined ? {} : { annotations }),
      ...(finalizers === undefined ? {} : { finalizers }),
      ownerReferences: [controllerReference(ref, owner)],
      ...more,
    },
    spec: template.spec ?? { containers: [] },
  }
}

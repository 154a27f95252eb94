/** What the metadata of a pod says of the pod itself. */
import { dnsSubdomain, FieldPath, forbiddenField, invalidValue, type FieldError } from '#machinery'
import type { Pod } from '../../types.gen.ts'

const DELETION_COST = 'controller.kubernetes.io/pod-deletion-cost'
const SECCOMP =
  /^(?:seccomp\.security\.alpha\.kubernetes\.io\/pod$|container\.seccomp\.security\.alpha\.kubernetes\.io\/)/
const SECCOMP_PROFILE = /^(?:runtime\/default|docker\/default|unconfined|localhost\/.*)$/s
const NUMBER = /^(?:0|-?\d+)$/

/** Annotations that have a form. */
export function validatePodAnnotations({ metadata }: Pod): readonly FieldError[] {
  const errors: FieldError[] = []
  const path = FieldPath.of('metadata', 'annotations')
  for (const [key, value] of Object.entries(metadata.annotations ?? {})) {
    if (key === DELETION_COST && !isCost(value))
      errors.push(invalidValue(path.key(key), value, 'must be a 32bit integer'))
    if (SECCOMP.test(key) && !SECCOMP_PROFILE.test(value))
      errors.push(invalidValue(path.child(key), value, 'must be a valid seccomp profile'))
  }
  return errors
}

/** A number of 32 bits without a plus or zeros in front. */
const isCost = (text: string): boolean =>
  NUMBER.test(text) && !/^0\d/.test(text) && Number(text) >= -(2 ** 31) && Number(text) < 2 ** 31

/** What only a new pod must not have, and what its name must be good for. */
export function validateNewPod(pod: Pod): readonly FieldError[] {
  const errors: FieldError[] = []
  const spec = FieldPath.of('spec')
  for (const [i, { name, ephemeral }] of (pod.spec.volumes ?? []).entries()) {
    if (ephemeral === undefined || !pod.metadata.name || name === '') continue
    const claim = `${pod.metadata.name}-${name}`
    for (const why of dnsSubdomain(claim))
      errors.push(
        invalidValue(
          spec.child('volumes').index(i).child('name'),
          name,
          `PVC name ${JSON.stringify(claim)}: ${why}`,
        ),
      )
  }
  errors.push(...validatePodAnnotations(pod))
  if ((pod.spec.ephemeralContainers?.length ?? 0) > 0)
    errors.push(forbiddenField(spec.child('ephemeralContainers'), 'cannot be set on create'))
  return errors
}

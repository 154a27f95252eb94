/** What makes a pod of a StatefulSet that one and no other: its name, its labels, its claims. */
import {
  statefulSets,
  type PersistentVolumeClaim,
  type Pod,
  type PodTemplateSpec,
  type StatefulSet,
} from '#api'
import type { Draft, OwnerReference } from '#machinery'
import {
  controllerReference,
  podFromTemplate,
  REVISION_HASH,
  sameJson,
} from '../framework/index.ts'

const POD_NAME = 'statefulset.kubernetes.io/pod-name'
const POD_INDEX = 'apps.kubernetes.io/pod-index'

export const startOf = ({ spec }: StatefulSet): number => spec.ordinals?.start ?? 0
export const podName = ({ metadata }: StatefulSet, ordinal: number): string =>
  `${metadata.name}-${ordinal}`
const claimName = (template: PersistentVolumeClaim, pod: string): string =>
  `${template.metadata.name}-${pod}`

/** Undefined for a pod whose name is not one of the set's. */
export function ordinalOf(set: StatefulSet, pod: Pod): number | undefined {
  const match = /^(.*)-(\d+)$/.exec(pod.metadata.name)
  return match?.[1] === set.metadata.name ? Number(match[2]) : undefined
}

const claimsOf = ({ spec }: StatefulSet): readonly PersistentVolumeClaim[] =>
  spec.volumeClaimTemplates ?? []

export const claimNames = (set: StatefulSet, ordinal: number): readonly string[] =>
  claimsOf(set).map((template) => claimName(template, podName(set, ordinal)))

export function claimsFor(
  set: StatefulSet,
  ordinal: number,
): readonly Draft<PersistentVolumeClaim>[] {
  return claimsOf(set).map((template) => ({
    metadata: {
      ...template.metadata,
      name: claimName(template, podName(set, ordinal)),
      namespace: set.metadata.namespace ?? '',
      labels: { ...template.metadata.labels, ...set.spec.selector.matchLabels },
    },
    spec: template.spec,
  }))
}

export function podFor(
  set: StatefulSet,
  ordinal: number,
  template: PodTemplateSpec,
  revision: string,
): Draft<Pod> {
  const name = podName(set, ordinal)
  const drafted = podFromTemplate(statefulSets, set, template)
  const { generateName: _, ...metadata } = drafted.metadata
  return {
    metadata: {
      ...metadata,
      name,
      labels: {
        ...metadata.labels,
        [POD_NAME]: name,
        [POD_INDEX]: String(ordinal),
        [REVISION_HASH]: revision,
      },
    },
    spec: {
      ...drafted.spec,
      hostname: name,
      ...(set.spec.serviceName ? { subdomain: set.spec.serviceName } : {}),
      ...withClaims(set, ordinal, drafted.spec.volumes),
    },
  }
}

function withClaims(
  set: StatefulSet,
  ordinal: number,
  volumes: Pod['spec']['volumes'],
): Pick<Pod['spec'], 'volumes'> {
  const ours = claimsOf(set).map((template) => ({
    name: template.metadata.name,
    persistentVolumeClaim: { claimName: claimName(template, podName(set, ordinal)) },
  }))
  const names = new Set(ours.map(({ name }) => name))
  const all = [...ours, ...(volumes ?? []).filter(({ name }) => !names.has(name))]
  return all.length > 0 ? { volumes: all } : {}
}

/** The labels that somebody took from it, to be put back; undefined when it has them all. */
export function missingLabels(
  set: StatefulSet,
  pod: Pod,
): Readonly<Record<string, string>> | undefined {
  const index = ordinalOf(set, pod)
  const wanted = { [POD_NAME]: pod.metadata.name, [POD_INDEX]: String(index ?? '') }
  const { labels } = pod.metadata
  return Object.entries(wanted).every(([key, value]) => labels?.[key] === value)
    ? undefined
    : wanted
}

/**
 * Who owns a claim follows from what is to become of it: the set when it goes with the set, the pod when it goes
 * with a pod that is scaled away, nobody when it is kept. Undefined when that is so already.
 */
export function claimOwners(
  set: StatefulSet,
  claim: PersistentVolumeClaim,
  condemned: Pod | undefined,
): readonly OwnerReference[] | undefined {
  const policy = set.spec.persistentVolumeClaimRetentionPolicy
  const before = claim.metadata.ownerReferences ?? []
  const others = before.filter(
    ({ kind, apiVersion, name }) =>
      !(apiVersion === 'apps/v1' && kind === 'StatefulSet' && name === set.metadata.name) &&
      !(apiVersion === 'v1' && kind === 'Pod'),
  )
  const pod: readonly OwnerReference[] =
    condemned !== undefined && policy?.whenScaled === 'Delete'
      ? [
          {
            apiVersion: 'v1',
            kind: 'Pod',
            name: condemned.metadata.name,
            uid: condemned.metadata.uid,
          },
        ]
      : []
  const owner: readonly OwnerReference[] =
    pod.length === 0 && policy?.whenDeleted === 'Delete'
      ? [controllerReference(statefulSets, set)]
      : []
  const after = [...others, ...owner, ...pod]
  return sameJson(
    before.map(({ uid }) => uid),
    after.map(({ uid }) => uid),
  )
    ? undefined
    : after
}

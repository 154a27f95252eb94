/** The ReplicaSets of a Deployment: which is which, and what each should carry. */
import { deployments, replicaSets, type Deployment, type ReplicaSet } from '#api'
import { event, patch, update, type Action } from '../framework/index.ts'
import { sameTemplate } from './hash.ts'
import { boundsOf, DESIRED, MAX, sum, wantedOf } from './numbers.ts'

export const REVISION = 'deployment.kubernetes.io/revision'

const REVISION_HISTORY = 'deployment.kubernetes.io/revision-history'

/** Not taken over from the Deployment to its ReplicaSets. */
const OWN_ANNOTATIONS = new Set([
  'kubectl.kubernetes.io/last-applied-configuration',
  REVISION,
  REVISION_HISTORY,
  DESIRED,
  MAX,
  'deprecated.deployment.rollback.to',
])

/** The oldest ReplicaSet that runs the Deployment's template. */
export const newest = ({ spec }: Deployment, sets: readonly ReplicaSet[]): ReplicaSet | undefined =>
  sets
    .toSorted(
      (a, b) =>
        Date.parse(a.metadata.creationTimestamp) - Date.parse(b.metadata.creationTimestamp) ||
        (a.metadata.name < b.metadata.name ? -1 : 1),
    )
    .find((set) => sameTemplate(set.spec.template ?? {}, spec.template))

export const isActive = (set: ReplicaSet): boolean => wantedOf(set) > 0

/** Of 64 bits: more than a number holds. Text that is none counts as 0. */
export const revisionOf = (object: {
  metadata: { annotations?: Readonly<Record<string, string>> }
}): bigint => {
  const text = object.metadata.annotations?.[REVISION] ?? ''
  return /^\d{1,19}$/.test(text) ? BigInt(text) : 0n
}

export const largest = (numbers: readonly bigint[]): bigint =>
  numbers.reduce((most, each) => (each > most ? each : most), 0n)

export const ownAnnotations = ({ metadata }: Deployment): Record<string, string> =>
  Object.fromEntries(
    Object.entries(metadata.annotations ?? {}).filter(([key]) => !OWN_ANNOTATIONS.has(key)),
  )

export function withSizes(
  deployment: Deployment,
  annotations: Record<string, string>,
): Record<string, string> {
  const replicas = deployment.spec.replicas ?? 1
  return {
    ...annotations,
    [DESIRED]: String(replicas),
    [MAX]: String(replicas + boundsOf(deployment).maxSurge),
  }
}

export function inherited(
  deployment: Deployment,
  set: ReplicaSet,
  revision: bigint,
): Record<string, string> {
  const before = revisionOf(set)
  const history = set.metadata.annotations?.[REVISION_HISTORY]
  const annotations: Record<string, string> = {
    ...set.metadata.annotations,
    ...ownAnnotations(deployment),
    [REVISION]: String(revision),
  }
  if (before !== 0n && before !== revision)
    annotations[REVISION_HISTORY] = history === undefined ? String(before) : `${history},${before}`
  return annotations
}

export const sameAnnotations = (
  a: Readonly<Record<string, string>>,
  b: Readonly<Record<string, string>>,
): boolean =>
  Object.keys(a).length === Object.keys(b).length &&
  Object.entries(a).every(([key, value]) => b[key] === value)

export function newSetSize(
  deployment: Deployment,
  current: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
): number {
  const replicas = deployment.spec.replicas ?? 1
  if (deployment.spec.strategy?.type === 'Recreate')
    return old.some(isActive) ? (current === undefined ? 0 : wantedOf(current)) : replicas
  const total = sum(old, wantedOf) + (current === undefined ? 0 : wantedOf(current))
  const most = replicas + boundsOf(deployment).maxSurge
  const size = current === undefined ? 0 : wantedOf(current)
  if (total >= most) return size
  return size + Math.min(most - total, replicas - size)
}

export const scaled = (
  deployment: Deployment,
  way: 'up' | 'down',
  name: string,
  from: number,
  to: number,
): Action =>
  event(
    deployment,
    'Normal',
    'ScalingReplicaSet',
    `Scaled ${way} replica set ${name} from ${from} to ${to}`,
  )

/** A ReplicaSet of another size, and the event that says so. */
export function resize(deployment: Deployment, set: ReplicaSet, size: number): readonly Action[] {
  const annotations = withSizes(deployment, { ...set.metadata.annotations })
  const before = wantedOf(set)
  if (before === size && sameAnnotations(set.metadata.annotations ?? {}, annotations)) return []
  return [
    update(replicaSets, {
      ...set,
      metadata: { ...set.metadata, annotations },
      spec: { ...set.spec, replicas: size },
    }),
    ...(before === size
      ? []
      : [scaled(deployment, size > before ? 'up' : 'down', set.metadata.name, before, size)]),
  ]
}

export const setRevision = (deployment: Deployment, revision: bigint): Action =>
  patch(
    deployments,
    deployment,
    { metadata: { annotations: { [REVISION]: String(revision) } } },
    // By way of the status: a change of annotations is otherwise a new generation.
    { subresource: 'status', whole: true },
  )

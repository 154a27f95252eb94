/** Moves the pods of a Deployment from one template to the next, within its bounds. */
import { deployments, replicaSets, type Deployment, type Pod, type ReplicaSet } from '#api'
import { selectorMatches } from '#machinery'
import {
  adoption,
  controllerOf,
  event,
  isTerminating,
  patch,
  release,
  remove,
  updateStatus,
  type Action,
  type Decision,
  type Failure,
} from '../framework/index.ts'
import { sameTemplate } from './hash.ts'
import { prepare } from './new-set.ts'
import { availableOf, boundsOf, DESIRED, proportionalSizes, sum, wantedOf } from './numbers.ts'
import { isActive, newest, newSetSize, resize, revisionOf } from './sets.ts'
import { conditionsOf, finish, isComplete, statusOf } from './status.ts'

export interface Observed {
  readonly deployment: Deployment
  /** Its own, and those nobody controls that it selects. */
  readonly replicaSets: readonly ReplicaSet[]
  readonly podsOf: (set: ReplicaSet) => readonly Pod[]
  /** Whatever has that name, its own or not. */
  readonly setNamed: (name: string) => ReplicaSet | undefined
}

export function decide({ deployment, replicaSets: found, podsOf }: Observed, now: Date): Decision {
  const { spec } = deployment
  if (isTerminating(deployment))
    return {
      actions: updateStatus(
        deployments,
        deployment,
        statusOf(deployment, owned(deployment, found), conditionsOf(deployment)),
      ),
    }
  if (
    Object.keys(spec.selector.matchLabels ?? {}).length === 0 &&
    (spec.selector.matchExpressions ?? []).length === 0
  ) {
    return {
      actions: [
        event(
          deployment,
          'Warning',
          'SelectingAll',
          'This deployment is selecting all pods. A non-empty selector is required.',
        ),
      ],
    }
  }
  const claims: Action[] = []
  const sets: ReplicaSet[] = []
  for (const set of found) {
    const owner = controllerOf(set)
    const matches = selectorMatches(spec.selector, set.metadata.labels)
    if (owner?.uid === deployment.metadata.uid) {
      if (matches) sets.push(set)
      else claims.push(patch(replicaSets, set, release(deployment, set)))
    } else if (owner === undefined && matches && !isTerminating(set))
      claims.push(patch(replicaSets, set, adoption(deployments, deployment, set)))
  }
  if (claims.length > 0) return { actions: claims }

  const current = newest(deployment, sets)
  const old = sets.filter((set) => set !== current)
  if (spec.paused === true) return sync(deployment, current, old, now)
  if (scalingEvent(deployment, sets)) return sync(deployment, current, old, now)
  return spec.strategy?.type === 'Recreate'
    ? recreate(deployment, current, old, podsOf, now)
    : rolling(deployment, current, old, now)
}

const owned = (deployment: Deployment, sets: readonly ReplicaSet[]): readonly ReplicaSet[] =>
  sets.filter((set) => controllerOf(set)?.uid === deployment.metadata.uid)

/** The number was changed: the ReplicaSets still carry the one before. */
const scalingEvent = (deployment: Deployment, sets: readonly ReplicaSet[]): boolean =>
  sets
    .filter(isActive)
    .some(
      (set) =>
        set.metadata.annotations?.[DESIRED] !== undefined &&
        Number(set.metadata.annotations[DESIRED]) !== (deployment.spec.replicas ?? 1),
    )

function rolling(
  deployment: Deployment,
  found: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
  now: Date,
): Decision {
  const { current, actions, conditions } = prepare(deployment, found, old, now, { make: true })
  const all = current === undefined ? old : [...old, current]
  if (actions.length > 0) return finish(deployment, current, old, now, actions, conditions)
  if (current !== undefined) {
    const replicas = deployment.spec.replicas ?? 1
    const size = wantedOf(current) > replicas ? replicas : newSetSize(deployment, current, old)
    const grow = resize(deployment, current, size)
    if (grow.some(({ type }) => type === 'update'))
      return finish(deployment, current, old, now, grow, conditions)
    const shrink = shrinkOld(deployment, current, old)
    if (shrink.length > 0) return finish(deployment, current, old, now, shrink, conditions)
  }
  const done = isComplete(deployment, statusOf(deployment, all, conditions))
  return finish(deployment, current, old, now, done ? cleanUp(deployment, old) : [], conditions)
}

/** Unhealthy pods of old ReplicaSets go first: they are worth nothing. Then healthy ones, as far as enough remain available. */
function shrinkOld(
  deployment: Deployment,
  current: ReplicaSet,
  old: readonly ReplicaSet[],
): readonly Action[] {
  const replicas = deployment.spec.replicas ?? 1
  const active = old
    .filter(isActive)
    .toSorted(
      (a, b) => Date.parse(a.metadata.creationTimestamp) - Date.parse(b.metadata.creationTimestamp),
    )
  if (active.length === 0) return []
  const minAvailable = replicas - boundsOf(deployment).maxUnavailable
  const total = sum([...old, current], wantedOf)
  const newUnavailable = wantedOf(current) - availableOf(current)
  let removable = total - minAvailable - newUnavailable
  if (removable <= 0) return []
  const sizes = new Map(active.map((set) => [set, wantedOf(set)]))
  for (const set of active) {
    const unhealthy = Math.min(removable, wantedOf(set) - availableOf(set))
    if (unhealthy <= 0) continue
    sizes.set(set, wantedOf(set) - unhealthy)
    removable -= unhealthy
  }
  let spare = sum([...old, current], availableOf) - minAvailable
  for (const set of active) {
    const size = sizes.get(set) ?? 0
    const fewer = Math.min(size, Math.max(0, spare))
    sizes.set(set, size - fewer)
    spare -= fewer
  }
  return [...sizes].flatMap(([set, size]) =>
    size === wantedOf(set) ? [] : resize(deployment, set, size),
  )
}

function recreate(
  deployment: Deployment,
  found: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
  podsOf: Observed['podsOf'],
  now: Date,
): Decision {
  const active = old.filter(isActive)
  if (active.length > 0)
    return finish(
      deployment,
      found,
      old,
      now,
      active.flatMap((set) => resize(deployment, set, 0)),
      conditionsOf(deployment),
    )
  const remaining = old
    .flatMap(podsOf)
    .some((pod) => pod.status?.phase !== 'Failed' && pod.status?.phase !== 'Succeeded')
  if (remaining) return finish(deployment, found, old, now, [], conditionsOf(deployment))
  const { current, actions, conditions } = prepare(deployment, found, old, now, { make: true })
  const grow =
    actions.length > 0 || current === undefined
      ? actions
      : resize(deployment, current, deployment.spec.replicas ?? 1)
  const all = current === undefined ? old : [...old, current]
  const done = grow.length === 0 && isComplete(deployment, statusOf(deployment, all, conditions))
  return finish(deployment, current, old, now, done ? cleanUp(deployment, old) : grow, conditions)
}

/** A paused Deployment, or one whose number was changed: sizes follow, templates do not. */
function sync(
  deployment: Deployment,
  found: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
  now: Date,
): Decision {
  const { current, actions, conditions } = prepare(deployment, found, old, now, { make: false })
  if (actions.length > 0) return finish(deployment, current, old, now, actions, conditions)
  const replicas = deployment.spec.replicas ?? 1
  const all = current === undefined ? old : [...old, current]
  const active = all.filter(isActive)
  const only = active.length === 1 ? active[0] : active.length === 0 ? current : undefined
  const changes: Action[] = []
  if (only !== undefined) changes.push(...resize(deployment, only, replicas))
  else if (current !== undefined && isSaturated(deployment, current))
    for (const set of old.filter(isActive)) changes.push(...resize(deployment, set, 0))
  else if (deployment.spec.strategy?.type !== 'Recreate')
    for (const [set, size] of proportionalSizes(deployment, active))
      changes.push(...resize(deployment, set, size))
  const tidy =
    deployment.spec.paused === true && changes.length === 0 ? cleanUp(deployment, old) : []
  return finish(deployment, current, old, now, [...changes, ...tidy], conditions)
}

const isSaturated = (deployment: Deployment, set: ReplicaSet): boolean => {
  const replicas = deployment.spec.replicas ?? 1
  return (
    wantedOf(set) === replicas &&
    Number(set.metadata.annotations?.[DESIRED] ?? -1) === replicas &&
    availableOf(set) === replicas
  )
}

/** Old ReplicaSets beyond the history limit. */
function cleanUp({ spec }: Deployment, old: readonly ReplicaSet[]): readonly Action[] {
  const limit = spec.revisionHistoryLimit ?? 10
  const idle = old.filter(
    (set) =>
      !isTerminating(set) &&
      wantedOf(set) === 0 &&
      (set.status?.replicas ?? 0) === 0 &&
      set.metadata.generation === set.status?.observedGeneration,
  )
  const surplus = old.filter((set) => !isTerminating(set)).length - limit
  if (surplus <= 0) return []
  return idle
    .toSorted((a, b) => Number(revisionOf(a) - revisionOf(b)))
    .slice(0, surplus)
    .map((set) => remove(replicaSets, set))
}

/** Another template has the same hash: count the collision, so that the next hash differs. */
export function failed(
  { deployment, setNamed }: Observed,
  failures: readonly Failure[],
): readonly Action[] {
  const made = failures.find(({ action }) => action.type === 'create')
  if (made === undefined || made.action.type !== 'create') return []
  const taken = 'reason' in made.error && made.error.reason === 'AlreadyExists'
  if (!taken)
    return [
      event(
        deployment,
        'Warning',
        'ReplicaSetCreateError',
        `Failed to create new replica set "${made.action.object.metadata.name}": ${made.error.message}`,
      ),
    ]
  const namesake = setNamed(made.action.object.metadata.name ?? '')
  // One that is not in the cache yet, or is our own: the next look finds it.
  if (
    namesake === undefined ||
    (controllerOf(namesake)?.uid === deployment.metadata.uid &&
      sameTemplate(namesake.spec.template ?? {}, deployment.spec.template))
  )
    return []
  return updateStatus(deployments, deployment, {
    ...deployment.status,
    collisionCount: (deployment.status?.collisionCount ?? 0) + 1,
  })
}

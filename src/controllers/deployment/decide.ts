/** Moves the pods of a Deployment from one template to the next, within its bounds. */
import type { Deployment, DeploymentCondition, DeploymentStatus, Pod, ReplicaSet } from '#api'
import { deployments, replicaSets } from '#api'
import { selectorMatches, type Draft } from '#machinery'
import {
  adoption,
  controllerOf,
  controllerReference,
  create,
  event,
  isTerminating,
  patch,
  release,
  remove,
  update,
  updateStatus,
  type Action,
  type Decision,
  type Failure,
} from '../framework/index.ts'
import { HASH_LABEL, sameTemplate, templateHash } from './hash.ts'
import { availableOf, boundsOf, DESIRED, MAX, proportionalSizes, sum, wantedOf } from './numbers.ts'

export interface Observed {
  readonly deployment: Deployment
  /** Its own, and those nobody controls that it selects. */
  readonly replicaSets: readonly ReplicaSet[]
  readonly podsOf: (set: ReplicaSet) => readonly Pod[]
  /** Whatever has that name, its own or not. */
  readonly setNamed: (name: string) => ReplicaSet | undefined
}

const REVISION = 'deployment.kubernetes.io/revision'
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
/** `progressDeadlineSeconds` of this means never. */
const NO_DEADLINE = 2 ** 31 - 1

export function decide({ deployment, replicaSets: found, podsOf }: Observed, now: Date): Decision {
  const { spec } = deployment
  if (isTerminating(deployment))
    return {
      actions: updateStatus(
        deployments,
        deployment,
        statusOf(deployment, owned(deployment, found), podsOf, conditionsOf(deployment)),
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
  if (spec.paused === true) return sync(deployment, current, old, podsOf, now)
  if (scalingEvent(deployment, sets)) return sync(deployment, current, old, podsOf, now)
  return spec.strategy?.type === 'Recreate'
    ? recreate(deployment, current, old, podsOf, now)
    : rolling(deployment, current, old, podsOf, now)
}

const owned = (deployment: Deployment, sets: readonly ReplicaSet[]): readonly ReplicaSet[] =>
  sets.filter((set) => controllerOf(set)?.uid === deployment.metadata.uid)

/** The oldest ReplicaSet that runs the Deployment's template. */
const newest = ({ spec }: Deployment, sets: readonly ReplicaSet[]): ReplicaSet | undefined =>
  sets
    .toSorted(
      (a, b) =>
        Date.parse(a.metadata.creationTimestamp) - Date.parse(b.metadata.creationTimestamp) ||
        (a.metadata.name < b.metadata.name ? -1 : 1),
    )
    .find((set) => sameTemplate(set.spec.template ?? {}, spec.template))

const isActive = (set: ReplicaSet): boolean => wantedOf(set) > 0

/** The number was changed: the ReplicaSets still carry the one before. */
const scalingEvent = (deployment: Deployment, sets: readonly ReplicaSet[]): boolean =>
  sets
    .filter(isActive)
    .some(
      (set) =>
        set.metadata.annotations?.[DESIRED] !== undefined &&
        Number(set.metadata.annotations[DESIRED]) !== (deployment.spec.replicas ?? 1),
    )

/** Of 64 bits: more than a number holds. Text that is none counts as 0. */
const revisionOf = (object: {
  metadata: { annotations?: Readonly<Record<string, string>> }
}): bigint => {
  const text = object.metadata.annotations?.[REVISION] ?? ''
  return /^\d{1,19}$/.test(text) ? BigInt(text) : 0n
}
const largest = (numbers: readonly bigint[]): bigint =>
  numbers.reduce((most, each) => (each > most ? each : most), 0n)

interface Prepared {
  readonly current: ReplicaSet | undefined
  readonly actions: readonly Action[]
  readonly conditions: readonly DeploymentCondition[]
}

/** Finds or makes the ReplicaSet of the template, with its revision; the Deployment's own revision follows it. */
function prepare(
  deployment: Deployment,
  current: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
  now: Date,
  options: { readonly make: boolean },
): Prepared {
  const revision = largest(old.map(revisionOf)) + 1n
  const conditions = conditionsOf(deployment)
  if (current !== undefined) {
    const wanted = largest([revision, revisionOf(current)])
    const annotations = inherited(deployment, current, wanted)
    const minReadySeconds = deployment.spec.minReadySeconds ?? 0
    const differs =
      !sameAnnotations(current.metadata.annotations ?? {}, annotations) ||
      (current.spec.minReadySeconds ?? 0) !== minReadySeconds
    const actions: Action[] = []
    if (differs) {
      actions.push(
        update(replicaSets, {
          ...current,
          metadata: { ...current.metadata, annotations },
          spec: { ...current.spec, minReadySeconds },
        }),
      )
      return { current, actions, conditions }
    }
    if (revisionOf(deployment) !== wanted) actions.push(setRevision(deployment, wanted))
    const hasProgress = conditions.some(({ type }) => type === 'Progressing')
    return {
      current,
      actions,
      conditions:
        hasProgress || noDeadline(deployment)
          ? conditions
          : withCondition(
              conditions,
              progressing(
                'True',
                'FoundNewReplicaSet',
                `Found new replica set "${current.metadata.name}"`,
              ),
              now,
            ),
    }
  }
  if (!options.make) return { current, actions: [], conditions }
  const hash = templateHash(deployment.spec.template, deployment.status?.collisionCount)
  const { template, minReadySeconds } = deployment.spec
  const labelled = {
    ...template,
    metadata: {
      ...template.metadata,
      labels: { ...template.metadata?.labels, [HASH_LABEL]: hash },
    },
  }
  const name = `${deployment.metadata.name}-${hash}`
  const replicas = newSetSize(deployment, undefined, old)
  const draft: Draft<ReplicaSet> = {
    metadata: {
      name,
      namespace: deployment.metadata.namespace ?? '',
      labels: labelled.metadata.labels,
      annotations: withSizes(deployment, {
        ...ownAnnotations(deployment),
        [REVISION]: String(revision),
      }),
      ownerReferences: [controllerReference(deployments, deployment)],
    },
    spec: {
      replicas,
      ...(minReadySeconds === undefined ? {} : { minReadySeconds }),
      selector: {
        ...deployment.spec.selector,
        matchLabels: { ...deployment.spec.selector.matchLabels, [HASH_LABEL]: hash },
      },
      template: labelled as NonNullable<ReplicaSet['spec']['template']>,
    },
  }
  const actions: Action[] = [create(replicaSets, draft)]
  if (replicas > 0) actions.push(scaled(deployment, 'up', name, 0, replicas))
  if (revisionOf(deployment) !== revision) actions.push(setRevision(deployment, revision))
  return {
    current: undefined,
    actions,
    conditions: noDeadline(deployment)
      ? conditions
      : withCondition(
          conditions,
          progressing('True', 'NewReplicaSetCreated', `Created new replica set "${name}"`),
          now,
        ),
  }
}

const noDeadline = ({ spec }: Deployment): boolean =>
  spec.progressDeadlineSeconds === undefined || spec.progressDeadlineSeconds === NO_DEADLINE

const setRevision = (deployment: Deployment, revision: bigint): Action =>
  patch(
    deployments,
    deployment,
    { metadata: { annotations: { [REVISION]: String(revision) } } },
    // By way of the status: a change of annotations is otherwise a new generation.
    { subresource: 'status', whole: true },
  )

const ownAnnotations = ({ metadata }: Deployment): Record<string, string> =>
  Object.fromEntries(
    Object.entries(metadata.annotations ?? {}).filter(([key]) => !OWN_ANNOTATIONS.has(key)),
  )

function withSizes(
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

function inherited(
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

const sameAnnotations = (
  a: Readonly<Record<string, string>>,
  b: Readonly<Record<string, string>>,
): boolean =>
  Object.keys(a).length === Object.keys(b).length &&
  Object.entries(a).every(([key, value]) => b[key] === value)

function newSetSize(
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

const scaled = (
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
function resize(deployment: Deployment, set: ReplicaSet, size: number): readonly Action[] {
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

function rolling(
  deployment: Deployment,
  found: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
  podsOf: Observed['podsOf'],
  now: Date,
): Decision {
  const { current, actions, conditions } = prepare(deployment, found, old, now, { make: true })
  const all = current === undefined ? old : [...old, current]
  if (actions.length > 0) return finish(deployment, current, old, podsOf, now, actions, conditions)
  if (current !== undefined) {
    const replicas = deployment.spec.replicas ?? 1
    const size = wantedOf(current) > replicas ? replicas : newSetSize(deployment, current, old)
    const grow = resize(deployment, current, size)
    if (grow.some(({ type }) => type === 'update'))
      return finish(deployment, current, old, podsOf, now, grow, conditions)
    const shrink = shrinkOld(deployment, current, old)
    if (shrink.length > 0) return finish(deployment, current, old, podsOf, now, shrink, conditions)
  }
  const done = isComplete(deployment, statusOf(deployment, all, podsOf, conditions))
  return finish(
    deployment,
    current,
    old,
    podsOf,
    now,
    done ? cleanUp(deployment, old) : [],
    conditions,
  )
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
      podsOf,
      now,
      active.flatMap((set) => resize(deployment, set, 0)),
      conditionsOf(deployment),
    )
  const remaining = old
    .flatMap(podsOf)
    .some((pod) => pod.status?.phase !== 'Failed' && pod.status?.phase !== 'Succeeded')
  if (remaining) return finish(deployment, found, old, podsOf, now, [], conditionsOf(deployment))
  const { current, actions, conditions } = prepare(deployment, found, old, now, { make: true })
  const grow =
    actions.length > 0 || current === undefined
      ? actions
      : resize(deployment, current, deployment.spec.replicas ?? 1)
  const all = current === undefined ? old : [...old, current]
  const done =
    grow.length === 0 && isComplete(deployment, statusOf(deployment, all, podsOf, conditions))
  return finish(
    deployment,
    current,
    old,
    podsOf,
    now,
    done ? cleanUp(deployment, old) : grow,
    conditions,
  )
}

/** A paused Deployment, or one whose number was changed: sizes follow, templates do not. */
function sync(
  deployment: Deployment,
  found: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
  podsOf: Observed['podsOf'],
  now: Date,
): Decision {
  const { current, actions, conditions } = prepare(deployment, found, old, now, { make: false })
  if (actions.length > 0) return finish(deployment, current, old, podsOf, now, actions, conditions)
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
  return finish(deployment, current, old, podsOf, now, [...changes, ...tidy], conditions)
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

function statusOf(
  deployment: Deployment,
  sets: readonly ReplicaSet[],
  podsOf: Observed['podsOf'],
  conditions: readonly DeploymentCondition[],
): DeploymentStatus {
  const current = newest(deployment, sets)
  const count = (of: (set: ReplicaSet) => number | undefined): number =>
    sum(sets, (set) => of(set) ?? 0)
  const availableReplicas = count((set) => set.status?.availableReplicas)
  const total = count(wantedOf)
  const unavailableReplicas = Math.max(0, total - availableReplicas)
  const [replicas, readyReplicas, updatedReplicas] = [
    count((set) => set.status?.replicas),
    count((set) => set.status?.readyReplicas),
    current?.status?.replicas ?? 0,
  ]
  const collisionCount = deployment.status?.collisionCount
  void podsOf
  return {
    ...(deployment.metadata.generation === undefined
      ? {}
      : { observedGeneration: deployment.metadata.generation }),
    ...(replicas > 0 ? { replicas } : {}),
    ...(updatedReplicas > 0 ? { updatedReplicas } : {}),
    ...(readyReplicas > 0 ? { readyReplicas } : {}),
    ...(availableReplicas > 0 ? { availableReplicas } : {}),
    ...(unavailableReplicas > 0 ? { unavailableReplicas } : {}),
    terminatingReplicas: count((set) => set.status?.terminatingReplicas),
    ...(conditions.length > 0 ? { conditions } : {}),
    ...(collisionCount === undefined ? {} : { collisionCount }),
  }
}

const conditionsOf = ({ status }: Deployment): readonly DeploymentCondition[] =>
  status?.conditions ?? []
type Verdict = Pick<DeploymentCondition, 'type' | 'status' | 'reason' | 'message'>
const progressing = (
  status: 'True' | 'False' | 'Unknown',
  reason: string,
  message: string,
): Verdict => ({ type: 'Progressing', status, reason, message })

const timeOf = (now: Date): string => `${now.toISOString().slice(0, 19)}Z`

/** The condition set; the time of its last change stays when its status does. */
function withCondition(
  conditions: readonly DeploymentCondition[],
  verdict: Verdict,
  now: Date,
): readonly DeploymentCondition[] {
  const old = conditions.find(({ type }) => type === verdict.type)
  if (
    old !== undefined &&
    old.status === verdict.status &&
    old.reason === verdict.reason &&
    old.message === verdict.message
  )
    return conditions
  const made: DeploymentCondition = {
    ...verdict,
    lastUpdateTime: timeOf(now),
    lastTransitionTime:
      old?.status === verdict.status && old.lastTransitionTime !== undefined
        ? old.lastTransitionTime
        : timeOf(now),
  }
  return [...conditions.filter(({ type }) => type !== verdict.type), made]
}

const without = (
  conditions: readonly DeploymentCondition[],
  gone: string,
): readonly DeploymentCondition[] => conditions.filter(({ type }) => type !== gone)

function isComplete({ spec, metadata }: Deployment, status: DeploymentStatus): boolean {
  const replicas = spec.replicas ?? 1
  return (
    (status.updatedReplicas ?? 0) === replicas &&
    (status.replicas ?? 0) === replicas &&
    (status.availableReplicas ?? 0) === replicas &&
    status.observedGeneration === metadata.generation
  )
}

/** Adds the status that follows from what is known now, and when to look at the deadline again. */
function finish(
  deployment: Deployment,
  current: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
  podsOf: Observed['podsOf'],
  now: Date,
  actions: readonly Action[],
  before: readonly DeploymentCondition[],
): Decision {
  const sets = current === undefined ? old : [...old, current]
  const counts = statusOf(deployment, sets, podsOf, before)
  const replicas = deployment.spec.replicas ?? 1
  const enough = (counts.availableReplicas ?? 0) >= replicas - boundsOf(deployment).maxUnavailable
  let conditions = withCondition(
    before,
    enough
      ? {
          type: 'Available',
          status: 'True',
          reason: 'MinimumReplicasAvailable',
          message: 'Deployment has minimum availability.',
        }
      : {
          type: 'Available',
          status: 'False',
          reason: 'MinimumReplicasUnavailable',
          message: 'Deployment does not have minimum availability.',
        },
    now,
  )
  let requeueAfterMs: number | undefined
  if (deployment.spec.paused === true) {
    if (!noDeadline(deployment))
      conditions = withCondition(
        conditions,
        progressing('Unknown', 'DeploymentPaused', 'Deployment is paused'),
        now,
      )
  } else if (!noDeadline(deployment)) {
    if (conditions.find(({ type }) => type === 'Progressing')?.reason === 'DeploymentPaused') {
      conditions = withCondition(
        conditions,
        progressing('Unknown', 'DeploymentResumed', 'Deployment is resumed'),
        now,
      )
    }
    const name = current?.metadata.name
    const subject =
      name === undefined ? `Deployment "${deployment.metadata.name}"` : `ReplicaSet "${name}"`
    const last = conditions.find(({ type }) => type === 'Progressing')
    const isDone =
      last?.status === 'True' &&
      last.reason === 'NewReplicaSetAvailable' &&
      deployment.status?.updatedReplicas === counts.updatedReplicas &&
      deployment.status?.replicas === counts.updatedReplicas
    if (isComplete(deployment, counts)) {
      conditions = withCondition(
        conditions,
        progressing('True', 'NewReplicaSetAvailable', `${subject} has successfully progressed.`),
        now,
      )
    } else if (!isDone && hasProgressed(deployment, counts)) {
      const made = progressing('True', 'ReplicaSetUpdated', `${subject} is progressing.`)
      // Progress renews the deadline even when the words stay the same.
      conditions = withCondition(
        without(conditions, last?.reason === 'ReplicaSetUpdated' ? 'Progressing' : ''),
        made,
        now,
      ).map((c) =>
        c.type === 'Progressing' && last?.status === 'True' && last.lastTransitionTime !== undefined
          ? { ...c, lastTransitionTime: last.lastTransitionTime }
          : c,
      )
    } else if (!isDone && last !== undefined && last.reason !== 'NewReplicaSetAvailable') {
      const since = Date.parse(last.lastUpdateTime ?? '') || now.getTime()
      const left = since + (deployment.spec.progressDeadlineSeconds ?? 600) * 1000 - now.getTime()
      if (last.reason !== 'ProgressDeadlineExceeded') {
        if (left < 0)
          conditions = withCondition(
            conditions,
            progressing(
              'False',
              'ProgressDeadlineExceeded',
              `${subject} has timed out progressing.`,
            ),
            now,
          )
        else requeueAfterMs = left + 1000
      }
    }
  }
  const failure = sets
    .flatMap(({ status }) => status?.conditions ?? [])
    .find(({ type, status }) => type === 'ReplicaFailure' && status === 'True')
  conditions =
    failure === undefined
      ? without(conditions, 'ReplicaFailure')
      : withCondition(
          conditions,
          {
            type: 'ReplicaFailure',
            status: 'True',
            reason: failure.reason ?? '',
            message: failure.message ?? '',
          },
          now,
        )
  return {
    actions: [...actions, ...updateStatus(deployments, deployment, { ...counts, conditions })],
    ...(requeueAfterMs === undefined ? {} : { requeueAfterMs }),
  }
}

function hasProgressed({ status }: Deployment, counts: DeploymentStatus): boolean {
  const before = status ?? {}
  const olds = (of: DeploymentStatus): number => (of.replicas ?? 0) - (of.updatedReplicas ?? 0)
  return (
    (counts.updatedReplicas ?? 0) > (before.updatedReplicas ?? 0) ||
    olds(counts) < olds(before) ||
    (counts.readyReplicas ?? 0) > (before.readyReplicas ?? 0) ||
    (counts.availableReplicas ?? 0) > (before.availableReplicas ?? 0)
  )
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

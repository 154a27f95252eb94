/** One pod on each node that fits. */
import {
  daemonSets,
  pods as podResource,
  type ControllerRevision,
  type DaemonSet,
  type DaemonSetStatus,
  type Node,
  type Pod,
} from '#api'
import { selectorMatches } from '#machinery'
import { resolvePercent } from '../deployment/numbers.ts'
import {
  adoption,
  controllerOf,
  create,
  event,
  historyOf,
  isAvailable,
  isFinished,
  isReady,
  isTerminating,
  patch,
  podFromTemplate,
  release,
  remove,
  REVISION_HASH,
  untilAvailable,
  updateStatus,
  type Action,
  type Decision,
} from '../framework/index.ts'
import { fits, nodeOf, pinned } from './nodes.ts'

export interface Observed {
  readonly daemonSet: DaemonSet
  readonly nodes: readonly Node[]
  /** Its own, and those nobody controls that it selects. */
  readonly pods: readonly Pod[]
  readonly revisions: readonly ControllerRevision[]
  /** When a failed pod may be replaced: each further one of a node waits longer. */
  readonly replaceAt: (pod: Pod) => Date
}

/** Pods made or removed in one pass. */
const BURST = 250
const GENERATION = 'pod-template-generation'

export function decide(observed: Observed, now: Date): Decision {
  const { daemonSet, nodes } = observed
  if (isTerminating(daemonSet)) return { actions: [] }
  const { selector } = daemonSet.spec
  if (
    Object.keys(selector.matchLabels ?? {}).length === 0 &&
    (selector.matchExpressions ?? []).length === 0
  )
    return {
      actions: [
        event(
          daemonSet,
          'Warning',
          'SelectingAll',
          'This daemon set is selecting all pods. A non-empty selector is required.',
        ),
      ],
    }
  const { own, claims } = claim(observed)
  const history = historyOf({
    ref: daemonSets,
    owner: daemonSet,
    template: daemonSet.spec.template,
    selector,
    revisions: observed.revisions,
    collisionCount: daemonSet.status?.collisionCount ?? 0,
    limit: daemonSet.spec.revisionHistoryLimit ?? 10,
    isInUse: ({ metadata }) =>
      own.some((pod) => pod.metadata.labels?.[REVISION_HASH] === metadata.labels?.[REVISION_HASH]),
  })
  const hash = history.current?.metadata.labels?.[REVISION_HASH]
  if (hash === undefined)
    return {
      actions: [
        ...claims,
        ...history.actions,
        ...(history.collides
          ? updateStatus(daemonSets, daemonSet, {
              ...emptyStatus,
              ...daemonSet.status,
              collisionCount: (daemonSet.status?.collisionCount ?? 0) + 1,
            })
          : []),
      ],
    }
  const byNode = groupByNode(own)
  const managed = manage(observed, byNode, hash, now)
  const rolled = managed.actions.length > 0 ? [] : roll(observed, byNode, hash, now)
  const status = statusOf(daemonSet, nodes, byNode, hash, now)
  const waits = [
    managed.waitMs,
    untilAvailable(daemonSet.spec.minReadySeconds ?? 0, own, now),
  ].filter((each) => each !== undefined)
  return {
    actions: [
      ...claims,
      ...history.actions,
      ...managed.actions,
      ...rolled,
      ...updateStatus(daemonSets, daemonSet, status),
    ],
    ...(waits.length === 0 ? {} : { requeueAfterMs: Math.min(...waits) }),
  }
}

const emptyStatus: DaemonSetStatus = {
  currentNumberScheduled: 0,
  numberMisscheduled: 0,
  desiredNumberScheduled: 0,
  numberReady: 0,
}

function claim({ daemonSet, pods }: Observed): {
  readonly own: readonly Pod[]
  readonly claims: readonly Action[]
} {
  const own: Pod[] = []
  const claims: Action[] = []
  for (const pod of pods) {
    const matches = selectorMatches(daemonSet.spec.selector, pod.metadata.labels)
    const owner = controllerOf(pod)
    if (owner?.uid === daemonSet.metadata.uid) {
      if (matches) own.push(pod)
      else if (!isTerminating(pod)) claims.push(patch(podResource, pod, release(daemonSet, pod)))
    } else if (owner === undefined && matches && !isTerminating(pod)) {
      claims.push(patch(podResource, pod, adoption(daemonSets, daemonSet, pod)))
      own.push(pod)
    }
  }
  return { own, claims }
}

type ByNode = ReadonlyMap<string, readonly Pod[]>

function groupByNode(own: readonly Pod[]): ByNode {
  const groups = new Map<string, Pod[]>()
  for (const pod of own) {
    const node = nodeOf(pod)
    if (node === undefined) continue
    const group = groups.get(node)
    if (group === undefined) groups.set(node, [pod])
    else group.push(pod)
  }
  for (const group of groups.values())
    group.sort(
      (a, b) =>
        Date.parse(a.metadata.creationTimestamp) - Date.parse(b.metadata.creationTimestamp) ||
        (a.metadata.name < b.metadata.name ? -1 : 1),
    )
  return groups
}

const hashOf = ({ metadata }: Pod): string | undefined => metadata.labels?.[REVISION_HASH]

const surgeOf = ({ spec }: DaemonSet, desired: number): number =>
  spec.updateStrategy?.type === 'OnDelete'
    ? 0
    : resolvePercent(spec.updateStrategy?.rollingUpdate?.maxSurge, desired, 'up')

function unavailableOf(daemonSet: DaemonSet, desired: number): number {
  const { rollingUpdate } = daemonSet.spec.updateStrategy ?? {}
  const given = resolvePercent(rollingUpdate?.maxUnavailable ?? 1, desired, 'up')
  // Both may be nothing by rounding, and then nothing could ever move.
  return given === 0 && surgeOf(daemonSet, desired) === 0 ? 1 : given
}

/** Makes what is missing; removes what does not belong, has failed, or is there twice. */
function manage(
  { daemonSet, nodes, replaceAt }: Observed,
  byNode: ByNode,
  hash: string,
  now: Date,
): { readonly actions: readonly Action[]; readonly waitMs?: number } {
  const created: string[] = []
  const removed: Pod[] = []
  const events: Action[] = []
  let waitMs: number | undefined
  const present = new Set(nodes.map(({ metadata }) => metadata.name))
  for (const node of nodes) {
    const { name } = node.metadata
    const { shouldRun, mayStay } = fits(daemonSet.spec.template.spec ?? { containers: [] }, node)
    const here = byNode.get(name) ?? []
    if (!shouldRun && !mayStay) {
      removed.push(...here.filter((pod) => !isTerminating(pod)))
      continue
    }
    const alive: Pod[] = []
    let leaving = 0
    for (const pod of here) {
      if (isTerminating(pod)) {
        leaving++
        continue
      }
      if (!isFinished(pod)) {
        alive.push(pod)
        continue
      }
      const left = replaceAt(pod).getTime() - now.getTime()
      if (left > 0) {
        // It holds the place until then.
        leaving++
        waitMs = Math.min(waitMs ?? Infinity, left)
        continue
      }
      const failed = pod.status?.phase === 'Failed'
      const verb = failed ? 'kill' : 'delete'
      events.push(
        event(
          daemonSet,
          failed ? 'Warning' : 'Normal',
          failed ? 'FailedDaemonPod' : 'SucceededDaemonPod',
          `Found ${failed ? 'failed' : 'succeeded'} daemon pod ${pod.metadata.namespace}/${pod.metadata.name} on node ${name}, will try to ${verb} it`,
        ),
      )
      removed.push(pod)
      leaving++
    }
    const surplus = duplicates(daemonSet, alive, hash, now)
    removed.push(...surplus)
    if (shouldRun && alive.length === 0 && leaving === 0) created.push(name)
  }
  for (const [name, here] of byNode)
    // The node is gone: those that were on it are the pod collector's.
    if (!present.has(name))
      removed.push(...here.filter((pod) => !isTerminating(pod) && !pod.spec.nodeName))
  return {
    actions: [
      ...events,
      ...created.slice(0, BURST).map((name) => podOn(daemonSet, name, hash)),
      ...removed.slice(0, BURST).map((pod) => remove(podResource, pod, { about: daemonSet })),
    ],
    ...(waitMs === undefined ? {} : { waitMs }),
  }
}

/** The oldest stays; in an update with a surge, an old and a new one may be there together. */
function duplicates(
  daemonSet: DaemonSet,
  alive: readonly Pod[],
  hash: string,
  now: Date,
): readonly Pod[] {
  if (alive.length <= 1) return []
  if (surgeOf(daemonSet, 100) === 0) return alive.slice(1)
  const [fresh, old] = [
    alive.filter((pod) => hashOf(pod) === hash),
    alive.filter((pod) => hashOf(pod) !== hash),
  ]
  const [first] = fresh
  const isReplaced =
    first !== undefined && isAvailable(first, daemonSet.spec.minReadySeconds ?? 0, now)
  return [...fresh.slice(1), ...(isReplaced ? old : old.slice(1))]
}

function podOn(daemonSet: DaemonSet, node: string, hash: string): Action {
  const { template } = daemonSet.spec
  const drafted = podFromTemplate(daemonSets, daemonSet, template)
  const generation = daemonSet.metadata.annotations?.['deprecated.daemonset.template.generation']
  return create(
    podResource,
    {
      metadata: {
        ...drafted.metadata,
        labels: {
          ...drafted.metadata.labels,
          [REVISION_HASH]: hash,
          ...(generation === undefined ? {} : { [GENERATION]: generation }),
        },
      },
      spec: pinned(drafted.spec, node),
    },
    daemonSet,
  )
}

/** Replaces pods of older templates, as many at once as may be missing or doubled. */
function roll(
  { daemonSet, nodes }: Observed,
  byNode: ByNode,
  hash: string,
  now: Date,
): readonly Action[] {
  if (daemonSet.spec.updateStrategy?.type === 'OnDelete') return []
  const minReady = daemonSet.spec.minReadySeconds ?? 0
  const wanted = nodes.filter(
    (node) => fits(daemonSet.spec.template.spec ?? { containers: [] }, node).shouldRun,
  )
  const maxSurge = surgeOf(daemonSet, wanted.length)
  const maxUnavailable = unavailableOf(daemonSet, wanted.length)
  let unavailable = 0
  let surging = 0
  const worthless: Pod[] = []
  const candidates: { readonly node: string; readonly pod: Pod }[] = []
  for (const { metadata } of wanted) {
    const alive = (byNode.get(metadata.name) ?? []).filter(
      (pod) => !isTerminating(pod) && !isFinished(pod),
    )
    const fresh = alive.find((pod) => hashOf(pod) === hash)
    const old = alive.find((pod) => hashOf(pod) !== hash)
    if (fresh !== undefined && old !== undefined) surging++
    else if (fresh !== undefined) {
      if (!isAvailable(fresh, minReady, now)) unavailable++
    } else if (old === undefined) unavailable++
    else if (!isAvailable(old, minReady, now)) worthless.push(old)
    else candidates.push({ node: metadata.name, pod: old })
  }
  const removeOld = (pod: Pod): Action => remove(podResource, pod, { about: daemonSet })
  // An old pod that serves nobody is replaced at once.
  const actions = worthless.slice(0, BURST).map(removeOld)
  if (maxSurge > 0)
    return [
      ...actions,
      ...candidates
        .slice(0, Math.max(0, maxSurge - surging))
        .map(({ node }) => podOn(daemonSet, node, hash)),
    ]
  return [
    ...actions,
    ...candidates
      .slice(0, Math.max(0, maxUnavailable - unavailable))
      .map(({ pod }) => removeOld(pod)),
  ]
}

function statusOf(
  daemonSet: DaemonSet,
  nodes: readonly Node[],
  byNode: ByNode,
  hash: string,
  now: Date,
): DaemonSetStatus {
  const minReady = daemonSet.spec.minReadySeconds ?? 0
  const count = { desired: 0, current: 0, misscheduled: 0, ready: 0, updated: 0, available: 0 }
  for (const node of nodes) {
    const { shouldRun } = fits(daemonSet.spec.template.spec ?? { containers: [] }, node)
    const here = byNode.get(node.metadata.name) ?? []
    if (!shouldRun) {
      if (here.length > 0) count.misscheduled++
      continue
    }
    count.desired++
    // The one that counts is a new one if there is one.
    const pod = here.find((each) => hashOf(each) === hash && !isTerminating(each)) ?? here[0]
    if (pod === undefined) continue
    count.current++
    const best = here.find(isReady)
    if (best !== undefined) {
      count.ready++
      if (here.some((each) => isAvailable(each, minReady, now))) count.available++
    }
    if (hashOf(pod) === hash) count.updated++
  }
  const { collisionCount, conditions } = daemonSet.status ?? {}
  const unavailable = count.desired - count.available
  return {
    currentNumberScheduled: count.current,
    numberMisscheduled: count.misscheduled,
    desiredNumberScheduled: count.desired,
    numberReady: count.ready,
    ...(daemonSet.metadata.generation === undefined
      ? {}
      : { observedGeneration: daemonSet.metadata.generation }),
    ...(count.updated > 0 ? { updatedNumberScheduled: count.updated } : {}),
    ...(count.available > 0 ? { numberAvailable: count.available } : {}),
    ...(unavailable > 0 ? { numberUnavailable: unavailable } : {}),
    ...(collisionCount === undefined ? {} : { collisionCount }),
    ...(conditions === undefined ? {} : { conditions }),
  }
}

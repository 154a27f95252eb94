import {
  controllerRevisions,
  daemonSets,
  nodes,
  pods,
  type DaemonSet,
  type Node,
  type Pod,
} from '#api'
import { keyOf, selectorMatches } from '#machinery'
import {
  defineController,
  event,
  orphanIndex,
  orphansIn,
  podsFor,
  sameJson,
  watching,
  watchingOrphans,
  type Controller,
} from '../framework/index.ts'
import { decide, type Observed } from './decide.ts'
import { nodeOf } from './nodes.ts'

const selects = ({ spec }: DaemonSet, { metadata }: Pod): boolean =>
  selectorMatches(spec.selector, metadata.labels)

/** Runs a pod of each DaemonSet on every node that fits. */
export const daemonSetController = (): Controller => {
  const replaceAt = createBackoff()
  return defineController<Observed>({
    name: 'daemonset',
    component: 'daemonset-controller',
    for: daemonSets,
    owns: [pods, controllerRevisions],
    watches: [
      // Only what decides about fitting matters; heartbeats do not.
      watching<Node>(nodes, (node, old, cache) =>
        old !== undefined &&
        sameJson(node.metadata.labels, old.metadata.labels) &&
        sameJson(node.spec.taints, old.spec.taints)
          ? []
          : cache.list(daemonSets).map(keyOf),
      ),
      watchingOrphans(daemonSets, selects),
    ],
    indexes: [orphanIndex(pods), orphanIndex(controllerRevisions)],
    observe(cache, key, now) {
      const daemonSet = cache.get(daemonSets, key)
      if (daemonSet === undefined) return undefined
      const { namespace = '' } = daemonSet.metadata
      return {
        daemonSet,
        nodes: cache.list(nodes),
        pods: podsFor(cache, daemonSet, selects),
        revisions: [
          ...cache.ownedBy(daemonSet, controllerRevisions),
          ...orphansIn(cache, controllerRevisions, namespace),
        ],
        replaceAt: (pod) => replaceAt(daemonSet.metadata.uid, pod, now),
      }
    },
    decide,
    failed({ daemonSet }, failures) {
      const refused = failures.find(({ action }) => action.type === 'create')
      return refused === undefined
        ? []
        : [event(daemonSet, 'Warning', 'FailedCreate', `Error creating: ${refused.error.message}`)]
    },
  })
}

const FIRST_MS = 1000
const LAST_MS = 900_000
/** Nodes with failures that are remembered. */
const MEMORY = 10_000

/** A pod that fails again and again on a node is replaced ever more slowly. */
function createBackoff(): (owner: string, pod: Pod, now: Date) => Date {
  const last = new Map<
    string,
    { readonly pod: string; readonly waitMs: number; readonly at: Date }
  >()
  return (owner, pod, now) => {
    const id = `${owner}/${nodeOf(pod) ?? ''}`
    const known = last.get(id)
    if (known?.pod === pod.metadata.uid) return known.at
    // Quiet for twice the longest wait: all is forgiven.
    const isRecent = known !== undefined && now.getTime() - known.at.getTime() < 2 * LAST_MS
    // The first failure is replaced at once.
    const waitMs = isRecent ? Math.min(Math.max(known.waitMs * 2, FIRST_MS), LAST_MS) : 0
    const at = new Date(now.getTime() + waitMs)
    last.delete(id)
    last.set(id, { pod: pod.metadata.uid, waitMs, at })
    if (last.size > MEMORY) last.delete(last.keys().next().value ?? '')
    return at
  }
}

import { leases, nodes, pods, type Lease, type Node, type Pod } from '#api'
import { keyOf } from '#machinery'
import { defineController, watching, type Controller } from '../framework/index.ts'
import { decide, GRACE_MS, type Observed } from './decide.ts'

const LEASES = 'kube-node-lease'
/** Nodes remembered; more than a cluster has. */
const MEMORY = 20_000

/** Notices nodes that fall silent, and says by taints what a node is not fit for. Sleeps until the first could be late. */
export const nodeLifecycleController = (): Controller => {
  const heard = createHearing()
  return defineController<Observed>({
    name: 'node-lifecycle',
    component: 'node-controller',
    for: nodes,
    watches: [
      // A heartbeat only moves the deadline, which is looked at when it comes; the first one of a silent node counts at once.
      watching<Lease>(leases, ({ metadata, spec }, old) => {
        const gap = Date.parse(spec.renewTime ?? '') - (Date.parse(old?.spec.renewTime ?? '') || 0)
        return metadata.namespace === LEASES && gap > GRACE_MS ? [metadata.name] : []
      }),
      // Whether all are silent concerns each.
      watching<Node>(nodes, (node, old, cache) =>
        isReady(node) === (old !== undefined && isReady(old)) ? [] : cache.list(nodes).map(keyOf),
      ),
    ],
    indexes: [
      {
        ref: pods,
        name: 'node',
        values: (pod: Pod) => (pod.spec.nodeName ? [pod.spec.nodeName] : []),
      },
    ],
    reads: [pods],
    observe(cache, key, now) {
      const node = cache.get(nodes, key)
      if (node === undefined) return undefined
      return {
        node,
        heard: heard(node, cache.get(leases, `${LEASES}/${key}`), now),
        allSilent: !cache.list(nodes).some(isReady),
        pods: cache.by(pods, 'node', key),
      }
    },
    decide,
  })
}

const readyOf = ({ status }: Node) => status?.conditions?.find(({ type }) => type === 'Ready')
const isReady = (node: Node): boolean => readyOf(node)?.status === 'True'

/**
 * When a node was last heard of. What was written before we looked for the first time says nothing of our
 * own absence: so a control plane that was away does not take its nodes for dead.
 */
function createHearing(): (node: Node, lease: Lease | undefined, now: Date) => Date {
  const last = new Map<string, { readonly lease: string; readonly status: string; at: Date }>()
  return (node, lease, now) => {
    const { uid } = node.metadata
    const before = last.get(uid)
    const condition = readyOf(node)
    const beats = {
      lease: lease?.spec.renewTime ?? '',
      // An unknown condition is our own writing: the node itself said nothing.
      status:
        condition?.status === 'Unknown'
          ? (before?.status ?? '')
          : (condition?.lastHeartbeatTime ?? ''),
    }
    if (before !== undefined && before.lease === beats.lease && before.status === beats.status)
      return before.at
    const said = Math.max(Date.parse(beats.lease) || 0, Date.parse(beats.status) || 0)
    // Its clock may differ from ours: then the time of our look counts.
    const isPlausible = before !== undefined && said >= before.at.getTime() && said <= now.getTime()
    const at = isPlausible ? new Date(said) : now
    last.delete(uid)
    last.set(uid, { ...beats, at })
    if (last.size > MEMORY) last.delete(last.keys().next().value ?? '')
    return at
  }
}

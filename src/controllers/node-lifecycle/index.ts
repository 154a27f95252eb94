import type { Clock } from '#base'
import { leases, nodes, pods, type Lease, type Node, type Pod } from '#api'
import { createEventRecorder } from '#client'
import { keyOf } from '#machinery'
import {
  defineController,
  watching,
  type Controller,
  type ControllerContext,
} from '../framework/index.ts'
import { decide, GRACE_MS, type Observed } from './decide.ts'

const NAME = 'node-lifecycle'
const COMPONENT = 'node-controller'
const LEASES = 'kube-node-lease'
/** Nodes remembered; more than a cluster has. */
const MEMORY = 20_000

/** Notices nodes that fall silent, and says by taints what a node is not fit for. Sleeps until the first could be late. */
export const nodeLifecycleController = (): Controller => ({
  name: NAME,
  start(context) {
    definedWith(createHearing(context.env.clock)).start(context)
    sayGoodbye(context)
  },
})

/** There is nothing to decide about a node that is gone, and something to tell. */
function sayGoodbye({ client, informers, env, signal }: ControllerContext): void {
  const recorder = createEventRecorder(client, env, { component: COMPONENT })
  const end = informers.informer(nodes).onChange((node, old) => {
    if (node !== undefined || old === undefined) return
    const { name } = old.metadata
    const message = `Node ${name} event: Removing Node ${name} from Controller`
    recorder.event(old, 'Normal', 'RemovingNode', message)
  })
  signal.addEventListener('abort', end, { once: true })
}

const definedWith = (hearing: Hearing): Controller =>
  defineController<Observed>({
    name: NAME,
    component: COMPONENT,
    for: nodes,
    watches: [
      // A heartbeat only moves the deadline, which is looked at when it comes; the first one of a silent node counts at once.
      watching<Lease>(leases, ({ metadata, spec }, old) => {
        const gap = Date.parse(spec.renewTime ?? '') - (Date.parse(old?.spec.renewTime ?? '') || 0)
        return metadata.namespace === LEASES && Math.abs(gap) > GRACE_MS ? [metadata.name] : []
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
    observe(cache, key) {
      const node = cache.get(nodes, key)
      if (node === undefined) return undefined
      return {
        node,
        ...hearing(node, cache.get(leases, `${LEASES}/${key}`)),
        allSilent: !cache.list(nodes).some(isReady),
        pods: cache.by(pods, 'node', key),
      }
    },
    decide,
  })

const readyOf = ({ status }: Node) => status?.conditions?.find(({ type }) => type === 'Ready')
const isReady = (node: Node): boolean => readyOf(node)?.status === 'True'

/** For how long a node has been silent, and whether it is heard of for the first time. */
type Hearing = (node: Node, lease: Lease | undefined) => Pick<Observed, 'silentMs' | 'isNew'>

/**
 * When a node was last heard of, by a clock that nobody sets: a machine that slept, or whose time was put
 * right, has not lost its nodes. What was written before we looked for the first time says nothing of our
 * own absence: so a control plane that was away does not take its nodes for dead.
 */
function createHearing(clock: Clock): Hearing {
  const last = new Map<string, { readonly lease: string; readonly status: string; at: number }>()
  return (node, lease) => {
    const now = clock.monotonic()
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
      return { silentMs: now - before.at, isNew: false }
    const said = Math.max(Date.parse(beats.lease) || 0, Date.parse(beats.status) || 0)
    const ago = clock.now().getTime() - said
    // Its clock may differ from ours: then the time of our look counts.
    const isPlausible = before !== undefined && ago >= 0 && now - ago >= before.at
    const at = isPlausible ? now - ago : now
    last.delete(uid)
    last.set(uid, { ...beats, at })
    if (last.size > MEMORY) last.delete(last.keys().next().value ?? '')
    return { silentMs: now - at, isNew: before === undefined }
  }
}

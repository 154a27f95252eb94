import { leases, nodes, pods, type Lease, type Pod } from '#api'
import { defineController, watching } from '../framework/index.ts'
import { decide, GRACE_MS, type Observed } from './decide.ts'

const LEASES = 'kube-node-lease'

/** Notices nodes that fall silent, and says by taints what a node is not fit for. Sleeps until the first could be late. */
export const nodeLifecycleController = defineController<Observed>({
  name: 'node-lifecycle',
  component: 'node-controller',
  for: nodes,
  watches: [
    // A heartbeat only moves the deadline, which is looked at when it comes; the first one of a silent node counts at once.
    watching<Lease>(leases, ({ metadata, spec }, old) => {
      const gap = Date.parse(spec.renewTime ?? '') - (Date.parse(old?.spec.renewTime ?? '') || 0)
      return metadata.namespace === LEASES && gap > GRACE_MS ? [metadata.name] : []
    }),
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
    return (
      node && {
        node,
        lease: cache.get(leases, `${LEASES}/${key}`),
        pods: cache.by(pods, 'node', key),
      }
    )
  },
  decide,
})

import { nodes, type Node } from '#api'
import {
  defineController,
  isTerminating,
  nothing,
  patch,
  type Controller,
  type Decision,
} from '../framework/index.ts'

export interface Observed {
  readonly node: Node
  readonly taken: ReadonlySet<string>
}

/** The first range of the node's size that no other node has. */
export function decide(clusterCidr: string, nodeMask: number) {
  const [base = '', mask = '16'] = clusterCidr.split('/')
  const start = base.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
  const size = 2 ** (32 - nodeMask)
  const count = 2 ** (nodeMask - Number(mask))
  return ({ node, taken }: Observed): Decision => {
    if (node.spec.podCIDR || isTerminating(node)) return nothing
    for (let i = 0; i < count; i++) {
      const address = start + i * size
      const cidr = `${[24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.')}/${nodeMask}`
      if (!taken.has(cidr))
        return { actions: [patch(nodes, node, { spec: { podCIDR: cidr, podCIDRs: [cidr] } })] }
    }
    return nothing
  }
}

/** Gives every node a range of pod addresses. One worker, so that no range is given twice. */
export const nodeIpamController = (clusterCidr: string, nodeMask = 24): Controller =>
  defineController<Observed>({
    name: 'node-ipam',
    for: nodes,
    workers: 1,
    observe(cache, key) {
      const node = cache.get(nodes, key)
      return (
        node && {
          node,
          taken: new Set(
            cache.list(nodes).flatMap(({ spec }) => (spec.podCIDR ? [spec.podCIDR] : [])),
          ),
        }
      )
    },
    decide: decide(clusterCidr, nodeMask),
  })

/** Names in the kernel, apart for each cluster of a machine: the run folder's hash is in them. */
import type { ServeOptions } from './options.ts'

interface KernelNames {
  /** Of this node's pods. */
  readonly bridge: string
  readonly podTable: string
  readonly serviceTable: string
  readonly cgroup: string
  /** Between the nodes of a machine that is several. */
  readonly nodeBridge: string
  readonly nodeTable: string
  /** The machine's end of the veth to its nth node; interfaces' names have 15 letters at most. */
  nodeLink(n: number): string
}

export function namesFor({ runDir }: Pick<ServeOptions, 'runDir'>): KernelNames {
  const tail = /-([0-9a-f]{8})$/.exec(runDir)?.[1] ?? '0'
  return {
    bridge: `nav-${tail}`,
    podTable: `navarch-pods-${tail}`,
    serviceTable: `navarch-services-${tail}`,
    cgroup: `/navarch-${tail}`,
    nodeBridge: `navn-${tail}`,
    nodeTable: `navarch-nodes-${tail}`,
    nodeLink: (n) => `nv${tail}-${n}`,
  }
}

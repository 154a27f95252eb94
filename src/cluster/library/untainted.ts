/** When the nodes of a cluster take pods. */
import { nodes as nodeResource, type Node } from '#api'
import type { Client } from '#client'

/** A node that is Ready takes pods as soon as its taint is gone, a moment later. */
export async function untainted(
  client: Pick<Client, 'watch'>,
  names: Set<string>,
  signal: AbortSignal,
): Promise<void> {
  if (names.size === 0) return
  const left = new AbortController()
  const events = await client.watch(nodeResource, {
    sendInitialEvents: true,
    signal: AbortSignal.any([signal, left.signal]),
  })
  try {
    for await (const batch of events)
      for (const { type, object } of batch) {
        // A bookmark has no more than a revision.
        if (type === 'BOOKMARK') continue
        const { spec, metadata } = object as Node
        const isNotReady = spec.taints?.some(({ key }) => key === 'node.kubernetes.io/not-ready')
        if (isNotReady !== true) names.delete(metadata.name)
        if (names.size === 0) return
      }
  } finally {
    left.abort()
  }
}

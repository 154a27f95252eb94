import { definePlugin, MAX_SCORE, skip } from '../framework.ts'

const MEGABYTE = 1024 * 1024
/** Less to fetch than this is nothing, more than this a container is all the same. */
const MIN_BYTES = 23 * MEGABYTE
const MAX_BYTES_PER_CONTAINER = 1000 * MEGABYTE

/** Prefers nodes that have the images; one that few nodes have counts less, so that pods do not crowd there. */
export const imageLocality = definePlugin<undefined, ReadonlyMap<string, number>>({
  name: 'ImageLocality',
  weight: 1,
  isLocal: true,
  preScore({ pod }, _nodes, snapshot) {
    const spread = new Map<string, number>()
    for (const { image } of [...(pod.spec.initContainers ?? []), ...pod.spec.containers]) {
      const name = normalized(image ?? '')
      const share = snapshot.nodesWithImage(name) / Math.max(1, snapshot.nodes.length)
      if (share > 0) spread.set(name, share)
    }
    return spread.size === 0 ? skip : { state: spread }
  },
  score({ pod: { spec } }, { images }, spread) {
    let bytes = 0
    for (const [name, share] of spread) bytes += (images.get(name) ?? 0) * share
    const most =
      MAX_BYTES_PER_CONTAINER * (spec.containers.length + (spec.initContainers?.length ?? 0))
    const counted = Math.min(Math.max(bytes, MIN_BYTES), most)
    return Math.floor((MAX_SCORE * (counted - MIN_BYTES)) / (most - MIN_BYTES))
  },
})

/** Nodes name images with their tag. */
const normalized = (image: string): string =>
  image.lastIndexOf(':') <= image.lastIndexOf('/') ? `${image}:latest` : image

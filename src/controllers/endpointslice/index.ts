import { endpointSlices, nodes, services, type EndpointSlice } from '#api'
import { defineController, watching } from '../framework/index.ts'
import { decide, MANAGED_BY, MANAGER, SERVICE_NAME, type Observed } from './decide.ts'
import { podsOf, selectionIndexes, watchingSelected } from './selection.ts'

/** Keeps the slices of every Service with a selector. */
export const endpointSliceController = defineController<Observed>({
  name: 'endpointslice',
  for: services,
  watches: [
    watchingSelected,
    watching<EndpointSlice>(endpointSlices, ({ metadata }) =>
      metadata.labels?.[MANAGED_BY] === MANAGER && metadata.labels[SERVICE_NAME] !== undefined
        ? [`${metadata.namespace}/${metadata.labels[SERVICE_NAME]}`]
        : [],
    ),
  ],
  reads: [nodes],
  indexes: [
    ...selectionIndexes,
    {
      ref: endpointSlices,
      name: 'service',
      values: ({ metadata }: EndpointSlice) =>
        metadata.labels?.[MANAGED_BY] === MANAGER
          ? [`${metadata.namespace}/${metadata.labels[SERVICE_NAME]}`]
          : [],
    },
  ],
  observe(cache, key) {
    const service = cache.get(services, key)
    if (service === undefined) return undefined
    return {
      service,
      pods: podsOf(service, cache),
      slices: cache.by(endpointSlices, 'service', key),
      zoneOf: (node) => cache.get(nodes, node)?.metadata.labels?.['topology.kubernetes.io/zone'],
    }
  },
  decide,
})

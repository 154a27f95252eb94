/** Services with their slices, as proxy and DNS look at them. */
import type { EndpointSlice, Service } from '#api'
import { keyOf } from '#machinery'
import type { Follow } from './follow.ts'

export interface ServiceIndex {
  /** By `namespace/name`. */
  service(key: string): Service | undefined
  slices(key: string): readonly EndpointSlice[]
  keys(): readonly string[]
}

const SERVICE_NAME_LABEL = 'kubernetes.io/service-name'

/** Resolves when all that was there at the beginning is in it; `onChange` hears of every Service touched, before and after. */
export async function followServices(
  {
    services,
    endpointSlices,
  }: { readonly services: Follow<Service>; readonly endpointSlices: Follow<EndpointSlice> },
  onChange: (key: string, resourceVersion: string | undefined) => void,
  signal: AbortSignal,
): Promise<ServiceIndex> {
  const known = new Map<string, Service>()
  /** By Service, then by the slice's own key. */
  const slices = new Map<string, Map<string, EndpointSlice>>()
  const serviceOf = new Map<string, string>()
  await Promise.all([
    services(({ type, object }) => {
      const key = keyOf(object)
      if (type === 'gone') known.delete(key)
      else known.set(key, object)
      onChange(key, object.metadata.resourceVersion)
    }, signal),
    endpointSlices(({ type, object }) => {
      const { namespace = '', labels, resourceVersion } = object.metadata
      const own = keyOf(object)
      const name = type === 'gone' ? undefined : labels?.[SERVICE_NAME_LABEL]
      const key = name === undefined ? undefined : `${namespace}/${name}`
      // A slice may change the Service it belongs to.
      const before = serviceOf.get(own)
      if (before !== undefined) {
        const left = slices.get(before)
        left?.delete(own)
        if (left?.size === 0) slices.delete(before)
        serviceOf.delete(own)
      }
      if (key !== undefined) {
        slices.set(key, (slices.get(key) ?? new Map<string, EndpointSlice>()).set(own, object))
        serviceOf.set(own, key)
      }
      for (const touched of new Set([before, key]))
        if (touched !== undefined) onChange(touched, resourceVersion)
    }, signal),
  ])
  return {
    service: (key) => known.get(key),
    slices: (key) => [...(slices.get(key)?.values() ?? [])],
    keys: () => [...known.keys()],
  }
}

/** Where resources live: `/apis/apps/v1/namespaces/shop/deployments/web/status`. */
import type { ResourceRef } from '#machinery'

/** Which objects of a resource a request is about: all, those of a namespace, or one. */
export interface Target {
  readonly namespace?: string | undefined
  readonly name?: string | undefined
  readonly subresource?: string | undefined
}

/** The path of a request: `/apis/GROUP/VERSION/namespaces/NS/RESOURCE/NAME/SUBRESOURCE`, with what there is of it. */
export function resourcePath(
  {
    group,
    version,
    resource,
    namespaced,
  }: Pick<ResourceRef, 'group' | 'version' | 'resource' | 'namespaced'>,
  { namespace, name, subresource }: Target = {},
): string {
  const base = group === '' ? `/api/${version}` : `/apis/${group}/${version}`
  const scope =
    namespaced && namespace !== undefined && namespace !== ''
      ? `/namespaces/${encodeURIComponent(namespace)}`
      : ''
  const tail = [name, subresource]
    .filter((part) => part !== undefined)
    .map((part) => `/${encodeURIComponent(part)}`)
  return `${base}${scope}/${resource}${tail.join('')}`
}

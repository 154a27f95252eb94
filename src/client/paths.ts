/** Where resources live: `/apis/apps/v1/namespaces/shop/deployments/web/status`. */
import type { ResourceRef } from '#machinery'

export interface Target {
  readonly namespace?: string | undefined
  readonly name?: string | undefined
  readonly subresource?: string | undefined
}

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

/** Where objects lie in the store. */
import type { ResourceFact } from '#machinery'

/** `/registry/pods/shop/web-0`, `/registry/minions/n1`. The prefix ends at a slash. */
export const keyFor = (prefix: string, namespace: string, name: string): string =>
  namespace === '' ? prefix + name : `${prefix}${namespace}/${name}`

/** All keys of a namespace, or of the resource. */
export const rangeFor = (
  prefix: string,
  { namespaced }: Pick<ResourceFact, 'namespaced'>,
  namespace: string,
): string => (namespaced && namespace !== '' ? `${prefix}${namespace}/` : prefix)

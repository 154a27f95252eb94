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

const LEGAL_IN_PATH = /^[^/%]*$/

/** A name or namespace that could reach another object's key is refused before it is used. */
export function pathSegmentProblems(name: string): readonly string[] {
  if (name === '.' || name === '..') return [`may not be '${name}'`]
  if (LEGAL_IN_PATH.test(name)) return []
  return [
    ...(name.includes('/') ? ["may not contain '/'"] : []),
    ...(name.includes('%') ? ["may not contain '%'"] : []),
  ]
}

/** Paths that lead nowhere: below what a server of the API has claimed that is a Status, anywhere else a page's plain text. */
import { StatusError } from '#machinery'
import { PlainError } from './plain-error.ts'
import type { Registry } from './registry.ts'

/** A path of the API that names nothing. */
export const pathNotFound = (): StatusError => new StatusError('NotFound', NO_RESOURCE, DETAILS)

const NO_RESOURCE = 'the server could not find the requested resource'
const DETAILS = { details: {} }

/** On the wire it is no object: `404 page not found`. */
export class PageNotFound extends PlainError {
  constructor() {
    super('404 page not found', 'NotFound', NO_RESOURCE, DETAILS)
  }
}

/** All below these is the API's own, whatever of it there is. */
const CLAIMED: readonly string[] = ['api', 'version']

/** The answer to a path that names neither a resource nor a page: groups that are built in know what they do not have. */
export function nothingAt(registry: Registry, path: string): StatusError {
  const [first = '', group = ''] = path.slice(1).split('/')
  if (CLAIMED.includes(first)) return pathNotFound()
  return first === 'apis' && isBuiltIn(registry, group) ? pathNotFound() : new PageNotFound()
}

function isBuiltIn(registry: Registry, group: string): boolean {
  if (group === '') return false
  for (const { definition } of registry)
    if (definition.facts.group === group && definition.isCustom !== true) return true
  return false
}

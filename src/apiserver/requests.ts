/** What a path asks for, by the rules that Kubernetes' own request parser follows. */
import type { RequestInfo } from './exchange.ts'

/** These belong to a namespace object itself, not to a resource inside the namespace. */
const NAMESPACE_SUBRESOURCES: ReadonlySet<string> = new Set(['status', 'finalize'])

/** Old verbs that stand in the path before the resource. */
const SPECIAL_VERBS: ReadonlySet<string> = new Set(['proxy', 'watch'])

const VERB_OF_METHOD: Readonly<Record<string, string>> = {
  POST: 'create',
  GET: 'get',
  HEAD: 'get',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
}

const nonResource = (method: string, path: string): RequestInfo => ({
  isResource: false,
  verb: method.toLowerCase(),
  group: '',
  version: '',
  namespace: '',
  resource: '',
  subresource: '',
  name: '',
  rest: '',
  path,
})

/** The segments of a path, and where each ends, so that the rest of it can be handed on unchanged. */
function segments(path: string): { readonly parts: string[]; readonly ends: number[] } {
  const parts: string[] = []
  const ends: number[] = []
  let start = 0
  for (let i = 0; i <= path.length; i++) {
    if (i < path.length && path.charCodeAt(i) !== 47) continue
    // Empty segments are kept only inside a path: `/api//v1` is not `/api/v1`.
    if (i > start || (parts.length > 0 && i < path.length)) {
      parts.push(path.slice(start, i))
      ends.push(i)
    }
    start = i + 1
  }
  return { parts, ends }
}

/** What was last asked for by POST, but for what is named: objects are made in few places. */
const recent: RequestInfo[] = []
const MOST_RECENT = 8

export function parseRequest(method: string, path: string, query: URLSearchParams): RequestInfo {
  // Such a path says all: the query of a POST does not count.
  if (method !== 'POST') return parse(method, path, query)
  for (const info of recent) if (info.path === path) return info
  const info = parse(method, path, query)
  if (!info.isResource || info.name !== '') return info
  const shared = { ...info, isShared: true }
  recent.unshift(shared)
  if (recent.length > MOST_RECENT) recent.pop()
  return shared
}

function parse(method: string, path: string, query: URLSearchParams): RequestInfo {
  const { parts, ends } = segments(path)
  if (parts.length < 3) return nonResource(method, path)
  let at = 0
  const prefix = parts[at++]
  if (prefix !== 'api' && prefix !== 'apis') return nonResource(method, path)
  let group = ''
  if (prefix === 'apis') {
    if (parts.length < 4) return nonResource(method, path)
    group = parts[at++]!
  }
  const version = parts[at++]!

  let verb = VERB_OF_METHOD[method] ?? ''
  const special = parts[at]!
  let specialVerb = ''
  if (SPECIAL_VERBS.has(special)) {
    if (at + 1 >= parts.length) return nonResource(method, path)
    specialVerb = special
    verb = special
    at++
  }

  let namespace = ''
  if (parts[at] === 'namespaces' && at + 1 < parts.length) {
    namespace = parts[at + 1]!
    const third = parts[at + 2]
    // A namespace by itself is a resource of that name, and inside itself.
    if (third !== undefined && !NAMESPACE_SUBRESOURCES.has(third)) at += 2
  }

  const resource = parts[at] ?? ''
  const name = parts[at + 1] ?? ''
  let subresource = ''
  let rest = ''
  if (specialVerb === 'proxy') {
    rest = at + 1 < parts.length ? path.slice(ends[at + 1]!) : ''
  } else if (at + 2 < parts.length) {
    subresource = parts[at + 2]!
    rest = path.slice(ends[at + 2]!)
  }

  let foundName = name
  let labelSelector: string | undefined
  let fieldSelector: string | undefined
  if (name === '' && (verb === 'get' || verb === 'watch')) {
    const watching = verb === 'watch' || isTrue(query.get('watch'))
    verb = watching ? 'watch' : 'list'
    const only = nameSelected(query.get('fieldSelector'))
    if (only !== undefined) foundName = only
  } else if (name === '' && verb === 'delete') {
    verb = 'deletecollection'
  }
  if (verb === 'list' || verb === 'watch' || verb === 'deletecollection') {
    labelSelector = query.get('labelSelector') ?? undefined
    fieldSelector = query.get('fieldSelector') ?? undefined
  }
  return {
    isResource: true,
    verb: verb === '' ? method.toLowerCase() : verb,
    group,
    version,
    namespace,
    resource,
    subresource,
    name: foundName,
    rest,
    path,
    ...(labelSelector === undefined ? {} : { labelSelector }),
    ...(fieldSelector === undefined ? {} : { fieldSelector }),
  }
}

/** Booleans in queries: absent, `0` and `false` are false, everything else is true. */
export function isTrue(value: string | null | undefined): boolean {
  if (value === null || value === undefined) return false
  return value !== '0' && value.toLowerCase() !== 'false'
}

/** The name that `metadata.name=x` asks for: such a list is authorized as if it named the object. */
function nameSelected(fieldSelector: string | null): string | undefined {
  if (fieldSelector === null) return undefined
  for (const term of fieldSelector.split(',')) {
    const found = /^\s*metadata\.name\s*==?(.*)$/.exec(term)
    if (found === null) continue
    const name = found[1]!.trim()
    if (name !== '' && !name.includes('/') && !name.includes('%') && name !== '.' && name !== '..')
      return name
  }
  return undefined
}

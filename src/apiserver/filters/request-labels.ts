/** How a request is counted: in upstream's words for verbs and scopes. */
import type { Exchange, RequestInfo } from '../exchange.ts'
import type { RequestLabels } from '../metrics/index.ts'

/** Methods that clients invent must not become series. */
const METHODS: ReadonlySet<string> = new Set([
  'get',
  'post',
  'put',
  'patch',
  'delete',
  'head',
  'options',
])
const VERBS: Readonly<Record<string, string>> = { create: 'POST', update: 'PUT' }
const RESOURCE_VERBS: ReadonlySet<string> = new Set([
  'get',
  'list',
  'watch',
  'create',
  'update',
  'patch',
  'delete',
  'deletecollection',
  'proxy',
])
const CONNECTIONS: ReadonlySet<string> = new Set(['attach', 'exec', 'portforward', 'proxy'])
/** Pages that are counted each by itself; all that is below belongs to them. */
const PAGES: readonly string[] = [
  '/healthz',
  '/livez',
  '/readyz',
  '/metrics',
  '/version',
  '/openapi/v2',
  '/openapi/v3',
  '/openid/v1/jwks',
  '/.well-known/openid-configuration',
  '/debug',
  '/apis',
  '/api',
]

function verbOf({ isResource, verb, subresource }: RequestInfo, exchange: Exchange): string {
  if (!isResource) return METHODS.has(verb) ? verb.toUpperCase() : 'other'
  if (CONNECTIONS.has(subresource)) return 'CONNECT'
  if (!RESOURCE_VERBS.has(verb)) return 'other'
  if (verb === 'patch') {
    const type = exchange.headers['content-type'] ?? ''
    return type.startsWith('application/apply-patch') ? 'APPLY' : 'PATCH'
  }
  return VERBS[verb] ?? verb.toUpperCase()
}

function scopeOf({ isResource, verb, name, namespace }: RequestInfo): RequestLabels['scope'] {
  if (!isResource) return ''
  if (name !== '' || verb === 'create') return 'resource'
  return namespace === '' ? 'cluster' : 'namespace'
}

export function labelsOf(info: RequestInfo, exchange: Exchange): RequestLabels {
  if (info.isShared !== true || exchange.query.size > 0) return read(info, exchange)
  let labels = ofShared.get(info)
  if (labels === undefined)
    ofShared.set(info, (labels = { ...read(info, exchange), isShared: true }))
  return labels
}
const ofShared = new WeakMap<RequestInfo, RequestLabels>()

const read = (info: RequestInfo, exchange: Exchange): RequestLabels => ({
  verb: verbOf(info, exchange),
  dryRun: exchange.query.get('dryRun') === 'All' ? 'All' : '',
  group: info.group,
  version: info.version,
  resource: info.resource,
  subresource: info.isResource
    ? info.subresource
    : (PAGES.find((page) => info.path === page || info.path.startsWith(`${page}/`)) ?? ''),
  scope: scopeOf(info),
})

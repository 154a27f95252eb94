/** The paths of resources and what can be done there, before it is written in a dialect of OpenAPI. */
import type { ResourceFact, SubresourceFact, TypeTable } from './facts.ts'

/** Query parameters by verb: name to `string`, `integer` or `boolean`. */
export type QueryParameters = Readonly<Record<string, Readonly<Record<string, string>>>>

export interface ApiPath {
  readonly path: string
  /** Parameters in the path, as they stand there. */
  readonly segments: readonly string[]
  /** Query parameters of all its operations. */
  readonly query: Readonly<Record<string, string>>
  readonly operations: readonly ApiOperation[]
}

export type ApiMethod = 'get' | 'put' | 'post' | 'delete' | 'options' | 'head' | 'patch'

export interface ApiOperation {
  readonly method: ApiMethod
  readonly id: string
  readonly tag: string
  readonly action?: string
  readonly gvk?: readonly [group: string, version: string, kind: string]
  readonly description: string
  readonly query: Readonly<Record<string, string>>
  /** Definition of the body. */
  readonly body?: string
  readonly bodyRequired?: boolean
  /** Media types of the body; undefined for any that answers may have. */
  readonly consumes?: readonly string[]
  readonly produces: readonly string[]
  /** Codes of success. */
  readonly codes: readonly number[]
  /** Definition of the answer; undefined for plain text. */
  readonly answer: string | undefined
  readonly deprecated?: boolean
}

export const META = 'io.k8s.apimachinery.pkg.apis.meta.v1.'
const JSON_TYPES = ['application/json', 'application/yaml']
const PROTOBUF = 'application/vnd.kubernetes.protobuf'
const WATCH_TYPES = ['application/json;stream=watch', `${PROTOBUF};stream=watch`]
const PATCH_TYPES = [
  'application/apply-patch+yaml',
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
]
const CONNECT_METHODS = {
  get: 'get',
  create: 'post',
  update: 'put',
  patch: 'patch',
  delete: 'delete',
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1)

/** `apps` and `v1` are `AppsV1` in the names of operations. */
function operationPrefix(group: string, version: string): string {
  const short = group === '' ? 'core' : group.replace(/\.k8s\.io$/, '')
  return [...short.split(/[.-]/), version].map(capital).join('')
}

const tagOf = (group: string, version: string): string =>
  `${group === '' ? 'core' : group.replace(/\.k8s\.io$/, '').replaceAll(/\.(.)/g, (_, letter: string) => letter.toUpperCase())}_${version}`

const basePath = (group: string, version: string): string =>
  group === '' ? `/api/${version}` : `/apis/${group}/${version}`

const kinds = new WeakMap<TypeTable, ReadonlyMap<string, string>>()
/** The definition of a kind; kinds that stand in every group, such as Status, are found by any. */
function definitionOf(
  types: TypeTable,
  group: string,
  version: string,
  kind: string,
): string | undefined {
  let found = kinds.get(types)
  if (found === undefined) {
    const map = new Map<string, string>()
    for (const [name, { gvk = [] }] of Object.entries(types))
      for (const each of gvk) map.set(each.join('/'), name)
    kinds.set(types, (found = map))
  }
  return found.get(`${group}/${version}/${kind}`)
}

export interface PathOptions {
  readonly queryParameters: QueryParameters
  /** Whether a resource's objects have no form but JSON: custom resources. */
  readonly isCustom: (resource: ResourceFact) => boolean
}

/** Everything that can be done with the resources of one group version, sorted by path. */
export function resourcePaths(
  types: TypeTable,
  resources: readonly ResourceFact[],
  options: PathOptions,
): readonly ApiPath[] {
  return resources
    .flatMap((resource) => [
      ...mainPaths(resource, options),
      ...(resource.subresources ?? []).flatMap((each) =>
        subresourcePaths(types, resource, each, options),
      ),
    ])
    .filter(({ operations }) => operations.length > 0)
    .toSorted((a, b) => (a.path < b.path ? -1 : 1))
}

/** The list of a group version's resources: `/apis/apps/v1/`. */
export function resourceListPath(group: string, version: string): ApiPath {
  return readPath(`${basePath(group, version)}/`, {
    id: `get${operationPrefix(group, version)}APIResources`,
    tag: tagOf(group, version),
    description: 'the resources of this version',
    answer: `${META}APIResourceList`,
  })
}

/** The versions of a group: `/apis/apps/`. */
export function groupPath(group: string): ApiPath {
  const core = group === ''
  return readPath(core ? '/api/' : `/apis/${group}/`, {
    id: `get${operationPrefix(group, '')}API${core ? 'Versions' : 'Group'}`,
    tag: core ? 'core' : tagOf(group, '').slice(0, -1),
    description: core ? 'the versions of the core group' : 'the versions of this group',
    answer: META + (core ? 'APIVersions' : 'APIGroup'),
  })
}

/** A path that is only read. */
export const readPath = (
  path: string,
  operation: Pick<ApiOperation, 'id' | 'tag' | 'description' | 'answer'>,
): ApiPath => ({
  path,
  segments: [],
  query: {},
  operations: [
    {
      ...operation,
      method: 'get',
      query: {},
      produces: operation.answer === undefined ? ['application/json'] : JSON_TYPES,
      codes: [200],
    },
  ],
})

interface Common {
  readonly tag: string
  readonly prefix: string
  readonly gvk: readonly [string, string, string]
  readonly produces: readonly string[]
}

function without(
  query: Readonly<Record<string, string>> | undefined,
  names: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(query ?? {}).filter(([name]) => names[name] === undefined),
  )
}

/** What `kubectl get --raw` shows of any path: line ends on request. */
const PRETTY = { pretty: 'string' }

function mainPaths(resource: ResourceFact, options: PathOptions): ApiPath[] {
  const { group, version, kind, namespaced, verbs, type } = resource
  const { queryParameters: query } = options
  const custom = options.isCustom(resource)
  const base = basePath(group, version)
  const prefix = operationPrefix(group, version)
  const inside = namespaced ? 'Namespaced' : ''
  const tag = tagOf(group, version)
  const produces = custom ? JSON_TYPES : [...JSON_TYPES, PROTOBUF]
  const common = { tag, gvk: [group, version, kind] as const, produces }
  const has = (verb: string): boolean => verbs.includes(verb)
  const plural = custom ? kind : `${kind} objects`
  const one = `a ${kind}`
  const body = { body: type, bodyRequired: true }

  const list = (id: string): ApiOperation => ({
    ...common,
    method: 'get',
    id,
    action: 'list',
    description: `list or watch ${plural}`,
    query: without(query['list'], PRETTY),
    produces: [...produces, ...(custom ? WATCH_TYPES.slice(0, 1) : WATCH_TYPES)],
    codes: [200],
    answer: resource.listType ?? `${type}List`,
  })
  const collection: ApiOperation[] = []
  if (has('list')) collection.push(list(`list${prefix}${inside}${kind}`))
  if (has('create'))
    collection.push({
      ...common,
      ...body,
      method: 'post',
      id: `create${prefix}${inside}${kind}`,
      action: 'post',
      description: `create ${one}`,
      query: without(query['create'], PRETTY),
      codes: [200, 201, 202],
      answer: type,
    })
  if (has('deletecollection'))
    collection.push({
      ...common,
      method: 'delete',
      id: `delete${prefix}Collection${inside}${kind}`,
      action: 'deletecollection',
      description: `delete ${plural}`,
      query: without(query['deletecollection'], PRETTY),
      body: `${META}DeleteOptions`,
      codes: [200],
      answer: `${META}Status`,
    })

  const object = objectOperations(`${prefix}${inside}${kind}`, verbs, {
    ...common,
    type,
    query,
    custom,
    about: one,
  })
  if (has('delete'))
    object.push({
      ...common,
      method: 'delete',
      id: `delete${prefix}${inside}${kind}`,
      action: 'delete',
      description: `delete ${one}`,
      query: without(query['delete'], PRETTY),
      body: `${META}DeleteOptions`,
      codes: [200, 202],
      answer: resource.deleteReturns === kind ? type : `${META}Status`,
    })

  const where = namespaced
    ? `/namespaces/{namespace}/${resource.resource}`
    : `/${resource.resource}`
  const segments = namespaced ? ['namespace'] : []
  const paths: ApiPath[] = [
    { path: base + where, segments, query: PRETTY, operations: collection },
    {
      path: `${base}${where}/{name}`,
      segments: ['name', ...segments],
      query: PRETTY,
      operations: object,
    },
  ]
  if (namespaced && has('list'))
    paths.push({
      path: `${base}/${resource.resource}`,
      segments: [],
      query: PRETTY,
      operations: [list(`list${prefix}${kind}ForAllNamespaces`)],
    })
  if (has('watch') && !custom) paths.push(...watchPaths())
  return paths

  /** The old way to watch, by path instead of by query. */
  function watchPaths(): ApiPath[] {
    const watch = (path: string, at: readonly string[], id: string, action: string): ApiPath => ({
      path: `${base}/watch${path}`,
      segments: at,
      query: query['list'] ?? {},
      operations: [
        {
          ...common,
          method: 'get',
          id,
          action,
          description: `watch ${action === 'watch' ? one : plural}; the list's watch parameter does the same`,
          query: {},
          produces: [...produces, ...WATCH_TYPES],
          codes: [200],
          answer: `${META}WatchEvent`,
          deprecated: true,
        },
      ],
    })
    return [
      watch(where, segments, `watch${prefix}${inside}${kind}List`, 'watchlist'),
      watch(`${where}/{name}`, ['name', ...segments], `watch${prefix}${inside}${kind}`, 'watch'),
      ...(namespaced
        ? [
            watch(
              `/${resource.resource}`,
              [],
              `watch${prefix}${kind}ListForAllNamespaces`,
              'watchlist',
            ),
          ]
        : []),
    ]
  }
}

/** Reading, replacing and patching one object. */
function objectOperations(
  name: string,
  verbs: readonly string[],
  {
    type,
    query,
    custom,
    about,
    ...common
  }: Omit<Common, 'prefix'> & {
    readonly type: string
    readonly query: QueryParameters
    readonly custom: boolean
    readonly about: string
  },
): ApiOperation[] {
  const operations: ApiOperation[] = []
  if (verbs.includes('get'))
    operations.push({
      ...common,
      method: 'get',
      id: `read${name}`,
      action: 'get',
      description: `read ${about}`,
      query: without(query['get'], PRETTY),
      codes: [200],
      answer: type,
    })
  if (verbs.includes('update'))
    operations.push({
      ...common,
      method: 'put',
      id: `replace${name}`,
      action: 'put',
      description: `replace ${about}`,
      query: without(query['update'], PRETTY),
      body: type,
      bodyRequired: true,
      codes: [200, 201],
      answer: type,
    })
  if (verbs.includes('patch'))
    operations.push({
      ...common,
      method: 'patch',
      id: `patch${name}`,
      action: 'patch',
      description: `change parts of ${about}`,
      query: without(query['patch'], PRETTY),
      body: `${META}Patch`,
      bodyRequired: true,
      consumes: custom ? PATCH_TYPES.filter((each) => !each.includes('strategic')) : PATCH_TYPES,
      codes: [200, 201],
      answer: type,
    })
  return operations
}

function subresourcePaths(
  types: TypeTable,
  resource: ResourceFact,
  subresource: SubresourceFact,
  options: PathOptions,
): ApiPath[] {
  const group = subresource.group ?? resource.group
  const version = subresource.version ?? resource.version
  const name = `${resource.namespaced ? 'Namespaced' : ''}${resource.kind}${capital(subresource.name)}`
  const prefix = operationPrefix(resource.group, resource.version)
  const common = {
    tag: tagOf(resource.group, resource.version),
    gvk: [group, version, subresource.kind] as const,
    produces: options.isCustom(resource) ? JSON_TYPES : [...JSON_TYPES, PROTOBUF],
  }
  const path = `${basePath(resource.group, resource.version)}${resource.namespaced ? '/namespaces/{namespace}' : ''}/${resource.resource}/{name}/${subresource.name}`
  const segments = ['name', ...(resource.namespaced ? ['namespace'] : [])]
  const about = `${subresource.name} of a ${resource.kind}`
  const own = subresource.query ?? {}

  if (subresource.connect === true) {
    const connect = (suffix: string): ApiOperation[] =>
      Object.entries(CONNECT_METHODS)
        .filter(([verb]) => subresource.verbs.includes(verb))
        .flatMap(([, method]) =>
          method === 'get' && subresource.hasPath === true ? ['get', 'head', 'options'] : [method],
        )
        .map((method) => ({
          ...common,
          method: method as ApiMethod,
          id: `connect${prefix}${capital(method)}${name}${suffix}`,
          action: 'connect',
          description: `connect ${method.toUpperCase()} requests to ${about}`,
          query: {},
          produces: ['*/*'],
          codes: [200],
          answer: undefined,
        }))
    const plain = { path, segments, query: own, operations: connect('') }
    if (subresource.hasPath !== true) return [plain]
    return [
      plain,
      {
        path: `${path}/{path}`,
        segments: [...segments, 'path'],
        query: own,
        operations: connect('WithPath'),
      },
    ]
  }
  if (subresource.name === 'log')
    return [
      {
        path,
        segments,
        query: own,
        operations: [
          {
            ...common,
            method: 'get',
            id: `read${prefix}${name}`,
            action: 'get',
            description: `read ${about}`,
            query: {},
            produces: ['text/plain', ...common.produces],
            codes: [200],
            answer: undefined,
          },
        ],
      },
    ]

  const type =
    subresource.kind === resource.kind
      ? resource.type
      : (definitionOf(types, group, version, subresource.kind) ?? resource.type)
  const query = options.queryParameters
  const operations = objectOperations(prefix + name, subresource.verbs, {
    ...common,
    type,
    query,
    custom: options.isCustom(resource),
    about,
  })
  if (subresource.verbs.includes('create'))
    operations.push({
      ...common,
      method: 'post',
      id: `create${prefix}${name}`,
      action: 'post',
      description: `create ${about}`,
      query: without(query['create'], PRETTY),
      body: type,
      bodyRequired: true,
      codes: [200, 201, 202],
      answer: type,
    })
  return [{ path, segments, query: { ...PRETTY, ...own }, operations }]
}

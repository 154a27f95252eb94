/** The paths of a resource itself: its collection, its objects, and the old way to watch them. */
import type { ResourceFact } from '../facts.ts'
import {
  JSON_TYPES,
  META,
  PRETTY,
  PROTOBUF,
  WATCH_TYPES,
  basePath,
  operationPrefix,
  tagOf,
  without,
  type ApiOperation,
  type ApiPath,
  type Common,
  type QueryParameters,
} from './path.ts'
import type { PathOptions } from './path.ts'

const PATCH_TYPES = [
  'application/apply-patch+yaml',
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
]

/** The collection in one namespace and in all of them, its objects, and their watches. */
export function mainPaths(resource: ResourceFact, options: PathOptions): ApiPath[] {
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
export function objectOperations(
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

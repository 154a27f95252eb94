/** The paths below an object. */
import type { ResourceFact, SubresourceFact, TypeTable } from '../facts.ts'
import {
  JSON_TYPES,
  PRETTY,
  PROTOBUF,
  basePath,
  capital,
  operationPrefix,
  tagOf,
  without,
  type ApiMethod,
  type ApiOperation,
  type ApiPath,
} from './path.ts'
import type { PathOptions } from './path.ts'
import { objectOperations } from './resource-paths.ts'

const CONNECT_METHODS = {
  get: 'get',
  create: 'post',
  update: 'put',
  patch: 'patch',
  delete: 'delete',
}

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

/** One path, or two where a proxy passes on what follows. */
export function subresourcePaths(
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

/** What another server says of its API, in the form of aggregated discovery. */
import type { JsonObject } from '#machinery'
import { isObject } from '../json.ts'

interface Listed {
  readonly name: string
  readonly singularName?: string
  readonly namespaced?: boolean
  readonly kind?: string
  readonly group?: string
  readonly version?: string
  readonly verbs?: readonly string[]
  readonly shortNames?: readonly string[]
  readonly categories?: readonly string[]
}

/** From an APIResourceList; undefined for what is none. */
export function resourcesOf(
  list: unknown,
  group: string,
  version: string,
): readonly JsonObject[] | undefined {
  if (!isObject(list) || !Array.isArray(list['resources'])) return undefined
  const listed = (list['resources'] as readonly unknown[]).filter(
    (each) => isObject(each) && typeof each['name'] === 'string',
  ) as readonly unknown[] as readonly Listed[]
  const kindOf = (each: Listed): JsonObject => ({
    group: each.group || group,
    version: each.version || version,
    kind: each.kind ?? '',
  })
  return listed
    .filter(({ name }) => !name.includes('/'))
    .map((each) => {
      const { name, shortNames = [], categories = [] } = each
      const subresources = listed
        .filter((other) => other.name.startsWith(`${name}/`))
        .map((other) => ({
          subresource: other.name.slice(name.length + 1),
          responseKind: kindOf(other),
          verbs: other.verbs ?? [],
        }))
      return {
        resource: name,
        responseKind: kindOf(each),
        scope: each.namespaced === true ? 'Namespaced' : 'Cluster',
        singularResource: each.singularName ?? '',
        verbs: each.verbs ?? [],
        ...(shortNames.length > 0 ? { shortNames } : {}),
        ...(categories.length > 0 ? { categories } : {}),
        ...(subresources.length > 0 ? { subresources } : {}),
      }
    })
}

/** What it describes of one group version, in OpenAPI v2. */
export interface Described {
  readonly paths: Readonly<Record<string, unknown>>
  readonly definitions: Readonly<Record<string, unknown>>
}

/** The paths of the group version, and the definitions that they lead to. */
export function describedOf(
  document: unknown,
  { group, version }: { readonly group: string; readonly version: string },
): Described | undefined {
  if (!isObject(document) || !isObject(document['paths'])) return undefined
  const all = isObject(document['definitions']) ? document['definitions'] : {}
  const prefix = `/apis/${group}/${version}`
  const paths = Object.fromEntries(
    Object.entries(document['paths']).filter(
      ([path]) => path === `${prefix}/` || path.startsWith(`${prefix}/`),
    ),
  )
  const definitions: Record<string, unknown> = {}
  const follow = (value: unknown): void => {
    if (Array.isArray(value)) value.forEach(follow)
    if (!isObject(value)) return
    for (const [key, part] of Object.entries(value)) {
      const name = key === '$ref' && typeof part === 'string' ? part.split('/').at(-1) : undefined
      if (name === undefined) follow(part)
      else if (!(name in definitions) && name in all) {
        definitions[name] = all[name]
        follow(all[name])
      }
    }
  }
  follow(paths)
  // Kinds that no path leads to are found by what they say they are.
  for (const [name, definition] of Object.entries(all)) {
    const kinds = isObject(definition) ? definition['x-kubernetes-group-version-kind'] : undefined
    const isOwn =
      Array.isArray(kinds) &&
      kinds.some((kind) => isObject(kind) && kind['group'] === group && kind['version'] === version)
    if (isOwn && !(name in definitions)) {
      definitions[name] = definition
      follow(definition)
    }
  }
  return { paths, definitions }
}

/** A path and what can be done there, and the names that such things go by. */
import type { ResourceFact } from '../facts.ts'

/** Query parameters by verb: name to `string`, `integer` or `boolean`. */
export type QueryParameters = Readonly<Record<string, Readonly<Record<string, string>>>>

/** A path with all that can be done there. */
export interface ApiPath {
  readonly path: string
  /** Parameters in the path, as they stand there. */
  readonly segments: readonly string[]
  /** Query parameters of all its operations. */
  readonly query: Readonly<Record<string, string>>
  readonly operations: readonly ApiOperation[]
}

/** The methods that OpenAPI knows. */
export type ApiMethod = 'get' | 'put' | 'post' | 'delete' | 'options' | 'head' | 'patch'

/** One method of a path. */
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

/** What the names of definitions of metadata begin with. */
export const META = 'io.k8s.apimachinery.pkg.apis.meta.v1.'
export const JSON_TYPES = ['application/json', 'application/yaml']
export const PROTOBUF = 'application/vnd.kubernetes.protobuf'
export const WATCH_TYPES = ['application/json;stream=watch', `${PROTOBUF};stream=watch`]

/** `pods` is `Pods` within a name. */
export const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1)

/** `apps` and `v1` are `AppsV1` in the names of operations. */
export function operationPrefix(group: string, version: string): string {
  const short = group === '' ? 'core' : group.replace(/\.k8s\.io$/, '')
  return [...short.split(/[.-]/), version].map(capital).join('')
}

/** Operations of one group version stand together: `apps_v1`. */
export const tagOf = (group: string, version: string): string =>
  `${group === '' ? 'core' : group.replace(/\.k8s\.io$/, '').replaceAll(/\.(.)/g, (_, letter: string) => letter.toUpperCase())}_${version}`

/** Where a group version begins: `/apis/apps/v1`. */
export const basePath = (group: string, version: string): string =>
  group === '' ? `/api/${version}` : `/apis/${group}/${version}`

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

/** What all operations of a resource share. */
export interface Common {
  readonly tag: string
  readonly prefix: string
  readonly gvk: readonly [string, string, string]
  readonly produces: readonly string[]
}

/** The parameters that are not told at the path already. */
export function without(
  query: Readonly<Record<string, string>> | undefined,
  names: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(query ?? {}).filter(([name]) => names[name] === undefined),
  )
}

/** What `kubectl get --raw` shows of any path: line ends on request. */
export const PRETTY = { pretty: 'string' }

/** What the facts of resources do not say. */
export interface PathOptions {
  readonly queryParameters: QueryParameters
  /** Whether a resource's objects have no form but JSON: custom resources. */
  readonly isCustom: (resource: ResourceFact) => boolean
}

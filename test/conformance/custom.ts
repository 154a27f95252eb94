/** Custom resources for mirrors: definitions with names of their own, and what is served for them. */
import type { Api, Json } from './api.ts'
import type { Fixture } from './mirror.ts'

export const DEFINITIONS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'

/** What every value passes. */
export const OPEN: Json = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true }

export interface Custom {
  readonly group: string
  readonly plural: string
  readonly kind: string
  /** Of the definition. */
  readonly name: string
  /** Of its objects, in the namespace of the test or in none. */
  path(version: string): string
  object(version: string, name: string, fields?: Json): Json
}

export const version = (name: string, schema: Json | undefined = OPEN, more: Json = {}): Json => ({
  name,
  served: true,
  storage: false,
  ...(schema === undefined ? {} : { schema: { openAPIV3Schema: schema } }),
  ...more,
})

/** Makes a definition, and waits until clients may use it. The first version is the stored one. */
export async function define(
  fixture: Fixture,
  versions: readonly Json[],
  options: {
    readonly scope?: 'Cluster' | 'Namespaced'
    readonly spec?: Json
    readonly group?: string
    readonly word?: string
  } = {},
): Promise<Custom> {
  const { api, unique, cleanUp, namespace } = fixture
  const { scope = 'Namespaced', spec = {} } = options
  const word = (options.word ?? unique('e2e-test-crd')).replaceAll(/[^a-z0-9-]/g, '')
  const group = options.group ?? `${unique('crd')}.example.com`
  const plural = `${word}s`
  const kind = word[0]!.toUpperCase() + word.slice(1)
  const name = `${plural}.${group}`
  await api.post(DEFINITIONS, {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name },
    spec: {
      group,
      scope,
      names: { plural, singular: word, kind, listKind: `${kind}List` },
      versions: versions.map((each, i) => ({ ...each, storage: i === 0 })),
      ...spec,
    },
  })
  cleanUp(() => api.delete(`${DEFINITIONS}/${name}`))
  await established(fixture, name)
  return {
    group,
    plural,
    kind,
    name,
    path: (of) =>
      scope === 'Cluster'
        ? `/apis/${group}/${of}/${plural}`
        : `/apis/${group}/${of}/namespaces/${namespace}/${plural}`,
    object: (of, objectName, fields = {}) => ({
      apiVersion: `${group}/${of}`,
      kind,
      ...fields,
      metadata: { name: objectName, ...fields['metadata'] },
    }),
  }
}

export const established = ({ until, api }: Fixture, name: string): Promise<Json> =>
  until(
    `${name} is established`,
    async () => {
      const found = await api.get(`${DEFINITIONS}/${name}`)
      return condition(found, 'Established') === 'True' && found
    },
    30_000,
  )

export const condition = (object: Json, type: string): string | undefined =>
  object['status']?.conditions?.find((each: Json) => each['type'] === type)?.status

/** `com.example.v1.Foo` of `example.com`. */
export const definitionName = ({ group, kind }: Custom, of: string): string =>
  [...group.split('.').toReversed(), of, kind].join('.')

export const openApi = async (api: Api): Promise<Json> =>
  (await api.get('/openapi/v2'))['definitions'] as Json

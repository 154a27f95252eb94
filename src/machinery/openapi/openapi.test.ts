import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import type { ResourceFact, TypeTable } from '../facts.ts'
import { customDefinitionName, customSchemas } from './custom.ts'
import { meaningOf } from './queries.ts'
import type { QueryParameters } from './path.ts'
import {
  definitionsOf,
  openApiName,
  openApiV2,
  openApiV3,
  openApiV3Discovery,
  openApiV3Index,
  type OpenApiOptions,
} from './openapi.ts'
import type { JsonObject } from '../object.ts'

const read = (file: string): unknown =>
  JSON.parse(readFileSync(new URL(file, import.meta.url), 'utf8'))
const { types } = read('../../../facts/types.json') as { types: TypeTable }
const { resources, queryParameters } = read('../../../facts/resources.json') as {
  resources: readonly ResourceFact[]
  queryParameters: QueryParameters
}
const options: OpenApiOptions = { queryParameters, version: 'v1.36.0' }
const groupVersions = Map.groupBy(resources, openApiName)
const resourcesOf = (name: string): readonly ResourceFact[] => groupVersions.get(name) ?? []

type Schema = JsonObject & {
  readonly properties?: Readonly<Record<string, Schema>>
  readonly items?: Schema
  readonly additionalProperties?: Schema
}
interface Operation {
  readonly operationId: string
  readonly parameters?: readonly { readonly name: string; readonly in: string }[]
  readonly requestBody?: { readonly content: JsonObject }
  readonly responses: Readonly<Record<string, { readonly content?: JsonObject }>>
  readonly 'x-kubernetes-action'?: string
  readonly 'x-kubernetes-group-version-kind'?: JsonObject
}
interface V3 {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> }
}
interface V2 {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly definitions: Readonly<Record<string, Schema>>
}
const v3 = (name: string, more: Partial<OpenApiOptions> = {}): V3 =>
  openApiV3(types, resourcesOf(name), { ...options, ...more }) as unknown as V3
const v2 = (name: string): V2 => openApiV2(types, resourcesOf(name), options) as unknown as V2

const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch']
const operationsOf = ({ paths }: Pick<V3, 'paths'>): readonly Operation[] =>
  Object.values(paths).flatMap((item) =>
    METHODS.map((method) => item[method]).filter((each) => each !== undefined),
  )

function* refs(value: unknown): Generator<string> {
  if (value === null || typeof value !== 'object') return
  for (const [key, member] of Object.entries(value)) {
    if (key === '$ref' && typeof member === 'string') yield member
    else yield* refs(member)
  }
}

const CORE = 'io.k8s.api.core.v1.'
const META = 'io.k8s.apimachinery.pkg.apis.meta.v1.'
const DEPLOYMENT = '/apis/apps/v1/namespaces/{namespace}/deployments/{name}'

test('what scripts look for is in the description of the API', () => {
  assert.match(meaningOf('watch').description ?? '', /Watch for changes to the described resources/)
  assert.match(meaningOf('fieldSelector').description ?? '', /list of returned objects/)
})

test('every reference leads to a definition of its document, and none is there for nothing', () => {
  for (const name of groupVersions.keys()) {
    const document = v3(name)
    const { schemas } = document.components
    const named = new Set(
      [...refs(document)].map((ref) => ref.replace('#/components/schemas/', '')),
    )
    assert.deepEqual([...named].toSorted(), Object.keys(schemas), name)
    const old = v2(name)
    const oldNamed = new Set([...refs(old)].map((ref) => ref.replace('#/definitions/', '')))
    assert.deepEqual([...oldNamed].toSorted(), Object.keys(old.definitions), name)
  }
})

test('no two operations have one name', () => {
  const ids = [...groupVersions.keys()].flatMap((name) =>
    operationsOf(v3(name)).map((each) => each.operationId),
  )
  assert.ok(ids.length > 1000)
  assert.deepEqual(
    ids.filter((id, i) => ids.indexOf(id) !== i),
    [],
  )
})

test('operations have the names that generated clients have as methods', () => {
  const ids = new Set(
    ['api/v1', 'apis/apps/v1', 'apis/rbac.authorization.k8s.io/v1'].flatMap((name) =>
      operationsOf(v3(name)).map((each) => each.operationId),
    ),
  )
  for (const id of [
    'getAppsV1APIResources',
    'listCoreV1NamespacedPod',
    'listCoreV1PodForAllNamespaces',
    'createCoreV1NamespacedPodEviction',
    'createCoreV1NamespacedServiceAccountToken',
    'readCoreV1NamespacedPodLog',
    'connectCoreV1GetNamespacedPodExec',
    'connectCoreV1PostNamespacedPodProxyWithPath',
    'deleteCoreV1CollectionNamespacedPod',
    'watchCoreV1NamespacedPodList',
    'readCoreV1Node',
    'replaceCoreV1NamespaceFinalize',
    'patchAppsV1NamespacedDeploymentScale',
    'listRbacAuthorizationV1ClusterRole',
  ])
    assert.ok(ids.has(id), id)
})

test('every patch names its kind and takes fieldValidation and dryRun: kubectl looks for them', () => {
  for (const name of groupVersions.keys()) {
    const patches = operationsOf(v3(name)).filter((each) => each['x-kubernetes-action'] === 'patch')
    for (const { operationId, parameters = [], requestBody, ...patch } of patches) {
      const query = parameters.filter((each) => each.in === 'query').map((each) => each.name)
      assert.deepEqual(query, ['dryRun', 'fieldManager', 'fieldValidation', 'force'], operationId)
      assert.ok(patch['x-kubernetes-group-version-kind'], operationId)
      assert.ok(requestBody?.content['application/strategic-merge-patch+json'], operationId)
      assert.ok(requestBody.content['application/apply-patch+yaml'], operationId)
    }
  }
})

test('each parameter of a query says what it means', () => {
  const meanings = operationsOf(v3('api/v1')).flatMap(({ parameters = [] }) =>
    parameters
      .filter((each) => each.in === 'query')
      .map((each) => [each.name, 'description' in each] as const),
  )
  assert.ok(meanings.length > 100)
  assert.deepEqual(
    meanings.filter(([, isTold]) => !isTold),
    [],
  )
})

test('a path has its verbs, and a subresource of another group that group as its kind', () => {
  const { paths } = v3('apis/apps/v1')
  const item = paths[DEPLOYMENT] ?? {}
  assert.deepEqual(Object.keys(item).toSorted(), ['delete', 'get', 'parameters', 'patch', 'put'])
  assert.deepEqual(paths[`${DEPLOYMENT}/scale`]?.['get']?.['x-kubernetes-group-version-kind'], {
    group: 'autoscaling',
    kind: 'Scale',
    version: 'v1',
  })
  const { responses } = item['delete'] ?? { responses: {} }
  assert.deepEqual(Object.keys(responses), ['200', '202', '401'])
  assert.deepEqual([...refs(responses)].slice(0, 1), [`#/components/schemas/${META}Status`])
})

test('a resource that is only created has no other verb', () => {
  const { paths } = v3('apis/authorization.k8s.io/v1')
  const item = paths['/apis/authorization.k8s.io/v1/subjectaccessreviews'] ?? {}
  assert.deepEqual(Object.keys(item), ['post', 'parameters'])
})

test('lists and maps say how they are merged', () => {
  const { schemas } = v3('api/v1').components
  const { containers, volumes, nodeSelector } = schemas[`${CORE}PodSpec`]?.properties ?? {}
  assert.deepEqual(
    { ...containers, description: undefined },
    {
      description: undefined,
      type: 'array',
      items: { allOf: [{ $ref: `#/components/schemas/${CORE}Container` }], default: {} },
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['name'],
      'x-kubernetes-patch-merge-key': 'name',
      'x-kubernetes-patch-strategy': 'merge',
    },
  )
  assert.equal(volumes?.['x-kubernetes-patch-strategy'], 'merge,retainKeys')
  assert.deepEqual(nodeSelector, {
    type: 'object',
    additionalProperties: { type: 'string', default: '' },
    'x-kubernetes-map-type': 'atomic',
  })
  assert.equal(schemas[`${CORE}ConfigMapKeySelector`]?.['x-kubernetes-map-type'], 'atomic')
  assert.deepEqual(schemas[`${CORE}Pod`]?.['x-kubernetes-group-version-kind'], [
    { group: '', kind: 'Pod', version: 'v1' },
  ])
  assert.deepEqual(schemas[`${CORE}PodSpec`]?.['required'], ['containers'])
})

test('what has two types is said in v3, and is text in v2', () => {
  const core = v3('api/v1').components.schemas
  const intOrString = 'io.k8s.apimachinery.pkg.util.intstr.IntOrString'
  const quantity = 'io.k8s.apimachinery.pkg.api.resource.Quantity'
  assert.deepEqual(core[intOrString], {
    format: 'int-or-string',
    oneOf: [{ type: 'integer' }, { type: 'string' }],
  })
  assert.deepEqual(core[quantity], { oneOf: [{ type: 'string' }, { type: 'number' }] })
  assert.deepEqual(core[`${META}Time`], { type: 'string', format: 'date-time' })
  const old = v2('api/v1').definitions
  assert.deepEqual(old[intOrString], { type: 'string', format: 'int-or-string' })
  assert.deepEqual(old[quantity], { type: 'string' })
})

test('values that are filled in stand beside references, by a wrapping in v3', () => {
  const { template, selector } =
    v3('apis/apps/v1').components.schemas['io.k8s.api.apps.v1.DeploymentSpec']?.properties ?? {}
  const to = (name: string): JsonObject => ({ $ref: `#/components/schemas/${name}` })
  assert.deepEqual(template, { default: {}, allOf: [to(`${CORE}PodTemplateSpec`)] })
  assert.deepEqual(selector, to(`${META}LabelSelector`))
  const port = v3('api/v1').components.schemas[`${CORE}ContainerPort`]?.properties ?? {}
  assert.deepEqual(port['protocol'], {
    type: 'string',
    enum: ['SCTP', 'TCP', 'UDP'],
    default: 'TCP',
  })
  assert.equal(port['containerPort']?.['default'], 0)
  const oldPort = v2('api/v1').definitions[`${CORE}ContainerPort`]?.properties ?? {}
  assert.equal(oldPort['containerPort']?.['default'], undefined)
  assert.equal(oldPort['protocol']?.['default'], 'TCP')
})

test('the words of an enumeration are said of each element', () => {
  const { accessModes, allocatedResourceStatuses } =
    v3('api/v1').components.schemas[`${CORE}PersistentVolumeClaimStatus`]?.properties ?? {}
  const enumOf = (schema: unknown): unknown => (schema as JsonObject | undefined)?.['enum']
  assert.ok(Array.isArray(enumOf(accessModes?.['items'])))
  assert.ok(Array.isArray(enumOf(allocatedResourceStatuses?.['additionalProperties'])))
  assert.equal(enumOf(accessModes), undefined)
  assert.equal(enumOf(allocatedResourceStatuses), undefined)
})

test('texts stand on definitions and on fields', () => {
  const document = v3('apis/apps/v1', {
    describe: (definition, field) => `${definition}#${field ?? ''}`,
  })
  const name = 'io.k8s.api.apps.v1.DeploymentSpec'
  const schema = document.components.schemas[name]
  assert.equal(schema?.['description'], `${name}#`)
  assert.deepEqual(schema?.properties?.['selector'], {
    description: `${name}#selector`,
    allOf: [{ $ref: `#/components/schemas/${META}LabelSelector` }],
  })
})

test('the definitions that need texts are those of the document', () => {
  const resources = resourcesOf('apis/batch/v1')
  const needed = new Set(definitionsOf(types, resources, options))
  for (const name of Object.keys(v3('apis/batch/v1').components.schemas))
    assert.ok(needed.has(name))
})

test('the index gives each document an address with its hash', () => {
  const index = openApiV3Index(
    new Map([
      ['apis/apps/v1', 'AB'],
      ['api/v1', 'CD'],
    ]),
  )
  assert.deepEqual(index, {
    paths: {
      'api/v1': { serverRelativeURL: '/openapi/v3/api/v1?hash=CD' },
      'apis/apps/v1': { serverRelativeURL: '/openapi/v3/apis/apps/v1?hash=AB' },
    },
  })
})

test('what says where things are has documents of its own', () => {
  const documents = openApiV3Discovery(types, ['', 'apps'], options)
  assert.deepEqual(Object.keys(documents).toSorted(), [
    '.well-known/openid-configuration',
    'api',
    'apis',
    'apis/apps',
    'openid/v1/jwks',
    'version',
  ])
  const group = documents['apis/apps']?.() as unknown as V3
  assert.equal(group.paths['/apis/apps/']?.['get']?.operationId, 'getAppsAPIGroup')
  assert.ok(group.components.schemas[`${META}APIGroup`])
})

// Custom resources

const foo = { group: 'stable.example.com', version: 'v1', kind: 'Foo', listKind: 'FooList' }
const FOO = customDefinitionName('stable.example.com', 'v1', 'Foo')
const fooFacts = (schemas: JsonObject): ResourceFact => {
  assert.ok(schemas[FOO])
  return {
    group: foo.group,
    version: foo.version,
    resource: 'foos',
    kind: 'Foo',
    singular: 'foo',
    namespaced: true,
    verbs: ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'],
    type: FOO,
    listType: `${FOO}List`,
    stage: 'ga',
    persisted: true,
  }
}
const schema = {
  type: 'object',
  description: 'A foo.',
  required: ['spec'],
  properties: {
    spec: {
      type: 'object',
      required: ['a', 'n'],
      properties: {
        a: { type: 'string', default: 'x', oneOf: [{ pattern: '^a' }] },
        n: { type: 'string', nullable: true },
        open: {
          type: 'object',
          'x-kubernetes-preserve-unknown-fields': true,
          properties: { q: {} },
        },
        list: { type: 'array', items: { type: 'object', 'x-kubernetes-embedded-resource': true } },
        either: { 'x-kubernetes-int-or-string': true },
      },
    },
  },
}

test('a custom resource is published under the reverse name of its group', () => {
  assert.equal(FOO, 'com.example.stable.v1.Foo')
  const { v3: schemas } = customSchemas({ ...foo, schema })
  const document = openApiV3(types, [fooFacts(schemas)], {
    ...options,
    schemas,
  }) as unknown as V3
  const patch =
    document.paths['/apis/stable.example.com/v1/namespaces/{namespace}/foos/{name}']?.['patch']
  assert.equal(patch?.operationId, 'patchStableExampleComV1NamespacedFoo')
  assert.equal(patch.requestBody?.content['application/strategic-merge-patch+json'], undefined)
  assert.ok(patch.requestBody?.content['application/merge-patch+json'])
  assert.ok(document.components.schemas[`${META}ObjectMeta`])
  assert.ok(document.components.schemas[`${FOO}List`])
  for (const ref of refs(document))
    assert.ok(document.components.schemas[ref.replace('#/components/schemas/', '')], ref)
})

test('v3 shows a custom schema as it is, with the fields of all objects', () => {
  const published = customSchemas({ ...foo, schema }).v3[FOO] as Schema
  const { spec, apiVersion, metadata } = published.properties ?? {}
  assert.deepEqual(apiVersion?.['type'], 'string')
  assert.deepEqual([...refs(metadata)], [`#/components/schemas/${META}ObjectMeta`])
  assert.deepEqual(published['x-kubernetes-group-version-kind'], [
    { group: 'stable.example.com', kind: 'Foo', version: 'v1' },
  ])
  const { list, ...others } = spec?.properties ?? {}
  const { list: _, ...given } = schema.properties.spec.properties
  assert.deepEqual(others, given)
  assert.deepEqual(Object.keys(list?.items?.properties ?? {}), ['apiVersion', 'kind', 'metadata'])
  assert.deepEqual(list?.items?.['required'], ['kind', 'apiVersion'])
})

test('v2 leaves out what its clients would misread', () => {
  const { spec } = (customSchemas({ ...foo, schema }).v2[FOO] as Schema).properties ?? {}
  assert.deepEqual(spec?.['required'], ['a'])
  const { a, n, open } = spec?.properties ?? {}
  assert.deepEqual(a, { type: 'string', default: 'x' })
  assert.deepEqual(n, {})
  assert.deepEqual(open, { 'x-kubernetes-preserve-unknown-fields': true })
})

test('a custom resource without a schema, or with an open one, is any object in v2', () => {
  const gvk = [{ group: 'stable.example.com', kind: 'Foo', version: 'v1' }]
  const any = { type: 'object', 'x-kubernetes-group-version-kind': gvk }
  assert.deepEqual(customSchemas(foo).v2[FOO], any)
  assert.deepEqual(customSchemas(foo).v3[FOO], any)
  const open = { ...schema, 'x-kubernetes-preserve-unknown-fields': true }
  assert.deepEqual(customSchemas({ ...foo, schema: open }).v2[FOO], any)
  assert.deepEqual(customSchemas({ ...foo, schema, preserveUnknownFields: true }).v2[FOO], any)
  const shown = customSchemas({ ...foo, schema: open }).v3[FOO] as Schema
  assert.ok(shown.properties?.['metadata'])
})

test('fields that selectors may name are published with the kind', () => {
  const { v3: schemas } = customSchemas({ ...foo, schema, selectableFields: ['.spec.a'] })
  assert.deepEqual(schemas[FOO]?.['x-kubernetes-selectable-fields'], [{ fieldPath: 'spec.a' }])
})

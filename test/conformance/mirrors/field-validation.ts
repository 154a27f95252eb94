import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { define, OPEN, version, type Custom } from '../custom.ts'
import { mirror, type Fixture } from '../mirror.ts'

const title = (what: string): string => `[sig-api-machinery] FieldValidation ${what} [Conformance]`

const STRICT = { fieldManager: 'field_validation_mgr', fieldValidation: 'Strict' }

const string = { type: 'string' }
const int32 = { type: 'integer', format: 'int32' }

const members: Json = {
  foo: string,
  cronSpec: { type: 'string', pattern: '^(\\d+|\\*)(/\\d+)?(\\s+(\\d+|\\*)(/\\d+)?){4}$' },
  ports: {
    type: 'array',
    'x-kubernetes-list-map-keys': ['containerPort', 'protocol'],
    'x-kubernetes-list-type': 'map',
    items: {
      type: 'object',
      properties: {
        containerPort: int32,
        hostIP: string,
        hostPort: int32,
        name: string,
        protocol: string,
      },
      required: ['containerPort', 'protocol'],
    },
  },
}

const schemaOf = (spec: Json): Json => ({
  type: 'object',
  properties: { spec: { type: 'object', ...spec } },
})

/** An object as people write it; it begins with an empty line, which counts. */
const manifest = (custom: Custom, lines: readonly string[]): string =>
  ['', `apiVersion: ${custom.group}/v1beta1`, `kind: ${custom.kind}`, ...lines].join('\n')

const METADATA = ['metadata:', '  name: mytest', '  finalizers:', '  - test-finalizer']
const PORTS = [
  '  cronSpec: "* * * * */5"',
  '  ports:',
  '  - name: x',
  '    containerPort: 80',
  '    protocol: TCP',
]

async function applied(
  fixture: Fixture,
  schema: Json | undefined,
  lines: readonly string[],
): Promise<{ readonly status: number; readonly text: string; readonly message: string }> {
  const { api, cleanUp } = fixture
  const custom = await define(fixture, [version('v1beta1', schema), version('v1', schema)], {
    scope: 'Cluster',
  })
  const path = `${custom.path('v1beta1')}/mytest`
  cleanUp(() => api.patch(path, { metadata: { finalizers: null } }, 'merge'))
  const answer = await api.call('PATCH', path, {
    body: manifest(custom, lines),
    headers: { 'content-type': 'application/apply-patch+yaml' },
    query: STRICT,
  })
  return { ...answer, message: String(answer.json['message']) }
}

mirror(
  title('should create/apply a valid CR for CRD with validation schema'),
  async (fixture) => {
    const { status, text } = await applied(fixture, schemaOf({ properties: members }), [
      ...METADATA,
      'spec:',
      '  foo: foo1',
      ...PORTS,
    ])
    assert.equal(status, 201, text)
  },
  'baseline',
)

mirror(
  title('should create/apply a CR with unknown fields for CRD with no validation schema'),
  async (fixture) => {
    const { status, text } = await applied(fixture, OPEN, [
      ...METADATA,
      'spec:',
      '  unknown: uk1',
      ...PORTS,
    ])
    assert.equal(status, 201, text)
  },
  'baseline',
)

mirror(
  title('should create/apply an invalid CR with extra properties for CRD with validation schema'),
  async (fixture) => {
    const { message } = await applied(fixture, schemaOf({ properties: members }), [
      ...METADATA,
      'unknownField: unknown',
      'spec:',
      '  foo: foo1',
      ...PORTS,
    ])
    assert.ok(message.includes('.unknownField: field not declared in schema'), message)
  },
  'baseline',
)

mirror(
  title('should detect unknown metadata fields in both the root and embedded object of a CR'),
  async (fixture) => {
    const template = {
      type: 'object',
      'x-kubernetes-embedded-resource': true,
      properties: {
        metadata: { type: 'object', properties: { name: string } },
        spec: { type: 'object' },
      },
    }
    const { message } = await applied(
      fixture,
      schemaOf({
        'x-kubernetes-preserve-unknown-fields': true,
        properties: { template, ...members },
      }),
      [
        'metadata:',
        '  name: mytest',
        '  unknownMeta: unknown',
        '  finalizers:',
        '  - test-finalizer',
        'spec:',
        '  template:',
        '    apiversion: foo/v1',
        '    kind: Sub',
        '    metadata:',
        '        unknownSubMeta: unknown',
        '        name: subobject',
        `        namespace: ${fixture.namespace}`,
        '  foo: foo1',
        ...PORTS,
      ],
    )
    assert.ok(message.includes('.metadata.unknownMeta: field not declared in schema'), message)
    assert.ok(
      message.includes('.spec.template.metadata.unknownSubMeta: field not declared in schema'),
      message,
    )
  },
  'baseline',
)

mirror(
  title('should detect duplicates in a CR when preserving unknown fields'),
  async (fixture) => {
    const { message } = await applied(
      fixture,
      schemaOf({ 'x-kubernetes-preserve-unknown-fields': true, properties: members }),
      [...METADATA, 'spec:', '  unknown: uk1', '  foo: foo1', '  foo: foo2', ...PORTS],
    )
    assert.ok(message.includes('line 11: key "foo" already set in map'), message)
  },
  'baseline',
)

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  CRDS,
  server,
  serving,
  specSchema,
  until,
  version,
  widgets,
} from './custom-resources.testing.ts'

/** What a server says of a definition. */
async function judged(definition: object): Promise<string> {
  const { request } = await server()
  const { status, json } = await request(`POST ${CRDS}`, definition)
  return status === 201 ? '' : String(json['message'])
}

const withSchema = (schema: object, more: object = {}): object =>
  widgets([version('v1', { schema, ...more })])

const SCHEMA = 'spec.validation.openAPIV3Schema'

test('names, groups, versions and conversions follow their rules', async () => {
  const cases: readonly (readonly [object, string])[] = [
    [
      { ...widgets(), metadata: { name: 'other.example.com' } },
      'metadata.name: Invalid value: "other.example.com": must be spec.names.plural+"."+spec.group',
    ],
    [widgets([version('v1'), version('v1')]), 'must contain unique version names'],
    [
      widgets([version('v1', { storage: false })]),
      'must have exactly one version marked as storage version',
    ],
    [widgets([version('V1')]), 'spec.versions[0].name: Invalid value: "V1": a DNS-1035 label'],
    [
      widgets(undefined, { scope: 'Galaxy' }),
      'spec.scope: Unsupported value: "Galaxy": supported values: "Cluster", "Namespaced"',
    ],
    [
      widgets(undefined, { names: { plural: 'widgets', kind: 'Widget', listKind: 'Widget' } }),
      'spec.names.listKind: Invalid value: "Widget": kind and listKind may not be the same',
    ],
    [
      widgets(undefined, { names: { plural: 'widgets', kind: 'My_Widget' } }),
      'spec.names.kind: Invalid value: "My_Widget": may have mixed case, but should otherwise match: a DNS-1035 label',
    ],
    [
      widgets([{ name: 'v1', served: true, storage: true }]),
      'spec.versions[0].schema.openAPIV3Schema: Required value',
    ],
    [
      widgets(undefined, { conversion: { strategy: 'Webhook' } }),
      'spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook',
    ],
    [
      widgets(undefined, {
        conversion: {
          strategy: 'Webhook',
          webhook: { clientConfig: { url: 'http://x' }, conversionReviewVersions: ['v9'] },
        },
      }),
      "'https' is the only allowed URL scheme; desired format: https://host[/path]",
    ],
    [
      widgets(undefined, { preserveUnknownFields: true }),
      'spec.preserveUnknownFields: Invalid value: true: cannot set to true',
    ],
    [
      {
        ...widgets(undefined, { group: 'x.k8s.io' }),
        metadata: { name: 'widgets.x.k8s.io' },
      },
      'metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation "api-approved.kubernetes.io"',
    ],
  ]
  for (const [definition, message] of cases) {
    const text = await judged(definition)
    assert.ok(text.includes(message), `${text}\n  lacks\n${message}`)
  }
})

test('what upstream takes is taken: nested conditions of what is not described, defaults that are null', async () => {
  const nested = specSchema(
    { a: { type: 'string' } },
    { anyOf: [{ properties: { b: { minLength: 1 } } }] },
  )
  assert.equal(await judged(withSchema(nested)), '')
  const items = { type: 'string', default: null }
  assert.equal(await judged(withSchema(specSchema({ a: { type: 'array', items } }))), '')
})

test('a schema that cannot be structural is told why, and nothing of its structure', async () => {
  const { properties } = specSchema({ a: { type: 'string', $ref: '#/x' } }) as {
    properties: object
  }
  const text = await judged(withSchema({ properties }))
  assert.match(text, /\$ref is not supported/)
  assert.doesNotMatch(text, /must not be empty at the root/)
})

test('values in messages are JSON as Go writes it', async () => {
  const rule = { rule: 'self > 1', message: 'm' }
  const schema = specSchema({ a: { type: 'boolean', 'x-kubernetes-validations': [rule] } })
  assert.match(await judged(withSchema(schema)), /"Rule":"self \\u003e 1"/)
})

test('schemas are structural', async () => {
  const cases: readonly (readonly [object, string])[] = [
    [{ properties: {} }, `${SCHEMA}.type: Required value: must not be empty at the root`],
    [
      { type: 'array', items: { type: 'string' } },
      `${SCHEMA}.type: Invalid value: "array": must be object at the root`,
    ],
    [
      specSchema({ a: {} }),
      `${SCHEMA}.properties[spec].properties[a].type: Required value: must not be empty for specified object fields`,
    ],
    [
      specSchema({ a: { type: 'array' } }),
      '.properties[a].items: Required value: must be specified',
    ],
    [
      specSchema({ a: { type: 'array', items: {} } }),
      '.items.type: Required value: must not be empty for specified array items',
    ],
    [
      { type: 'object', anyOf: [{ properties: { b: { minLength: 1 } } }] },
      `${SCHEMA}.properties[b]: Required value: because it is defined in ${SCHEMA}.anyOf[0].properties[b]`,
    ],
    [
      specSchema({ a: { type: 'string', allOf: [{ type: 'string' }] } }),
      '.properties[a].allOf[0].type: Forbidden: must be empty to be structural',
    ],
    [
      {
        type: 'object',
        properties: { metadata: { type: 'object', properties: { labels: { type: 'object' } } } },
      },
      `${SCHEMA}.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified`,
    ],
    [
      { type: 'object', additionalProperties: { type: 'string' } },
      `${SCHEMA}.additionalProperties: Forbidden: must not be used at the root`,
    ],
    [
      { type: 'object', additionalProperties: false },
      `${SCHEMA}.additionalProperties: Forbidden: must not be used at the root`,
    ],
    [
      specSchema({ a: { type: 'string', pattern: '(' } }),
      '.pattern: Invalid value: "(": must be a valid regular expression, but isn\'t',
    ],
    [
      specSchema({ a: { type: 'string', 'x-kubernetes-preserve-unknown-fields': false } }),
      'x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined',
    ],
    [specSchema({ a: { type: 'text' } }), '.properties[a].type: Unsupported value: "text"'],
    [
      specSchema({ a: { type: 'array', items: { type: 'string' }, uniqueItems: true } }),
      'uniqueItems cannot be set to true',
    ],
    [specSchema({ a: { $ref: '#/x', type: 'object' } }), '$ref: Forbidden: $ref is not supported'],
    [
      specSchema({
        a: {
          type: 'object',
          properties: { b: { type: 'string' } },
          additionalProperties: { type: 'string' },
        },
      }),
      'additionalProperties and properties are mutual exclusive',
    ],
    [
      specSchema({ a: { type: 'object', 'x-kubernetes-embedded-resource': true } }),
      'must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields',
    ],
    [
      specSchema({
        a: {
          type: 'array',
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['k'],
          items: { type: 'object', properties: { k: { type: 'string' } } },
        },
      }),
      'this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property',
    ],
  ]
  for (const [schema, message] of cases) {
    const text = await judged(withSchema(schema))
    assert.ok(text.includes(message), `${text}\n  lacks\n${message}`)
  }
})

test('what may be either an integer or a string may say so twice', async () => {
  const either = [{ type: 'integer' }, { type: 'string' }]
  const schema = specSchema({
    a: { 'x-kubernetes-int-or-string': true, anyOf: either },
    b: { 'x-kubernetes-int-or-string': true, allOf: [{ anyOf: either }, { minLength: 2 }] },
  })
  assert.equal(await judged(withSchema(schema)), '')
})

test('defaults must be values that their schemas allow', async () => {
  const wrong = await judged(withSchema(specSchema({ a: { type: 'integer', default: 'x' } })))
  assert.match(
    wrong,
    /properties\[a\]\.default: Invalid value: "string": .* must be of type integer: "string"/,
  )
  const unknown = await judged(
    withSchema(specSchema({ a: { type: 'object', properties: {}, default: { b: 1 } } })),
  )
  assert.match(unknown, /must not have unknown fields/)
  const top = await judged(
    withSchema({ type: 'object', properties: { kind: { type: 'string', default: 'X' } } }),
  )
  assert.match(top, /must not be set in top-level kind/)
  assert.equal(await judged(withSchema(specSchema({ a: { type: 'integer', default: 3 } }))), '')
})

test('a definition comes back as it was written', async () => {
  const schema = {
    description: 'A widget.',
    type: 'object',
    required: ['spec'],
    properties: {
      spec: {
        type: 'object',
        properties: {
          map: { type: 'object', additionalProperties: { type: 'integer', format: 'int64' } },
          any: { type: 'object', additionalProperties: true },
          list: { type: 'array', items: { type: 'string', enum: ['a', 'b'] }, default: [] },
          nothing: { type: 'object', nullable: true, default: {} },
          zero: { type: 'integer', minimum: 0, default: 0 },
        },
      },
    },
  }
  const { request } = await server()
  await request(`POST ${CRDS}`, withSchema(schema))
  const { json } = await request(`GET ${CRDS}/widgets.example.com`)
  const { versions } = json['spec'] as { versions: { schema: { openAPIV3Schema: object } }[] }
  assert.deepEqual(versions[0]?.schema.openAPIV3Schema, schema)
})

test('formats that mean nothing are told of', async () => {
  const { request } = await server()
  const { headers } = await request(
    `POST ${CRDS}`,
    withSchema(
      specSchema({
        a: { type: 'integer', format: 'int64' },
        b: { type: 'string', format: 'date-time' },
        c: { type: 'string', format: 'int32' },
        d: { type: 'number', format: 'double' },
        e: { type: 'boolean', format: 'yes-or-no' },
      }),
    ),
  )
  assert.deepEqual(headers['warning'], [
    '299 - "unrecognized format \\"int32\\""',
    '299 - "unrecognized format \\"yes-or-no\\""',
  ])
})

test('what is stored, and what it is called, does not change under its objects', async () => {
  const { request } = await serving(widgets())
  const path = `${CRDS}/widgets.example.com`
  const { json } = await request(`GET ${path}`)
  const spec = json['spec'] as Record<string, unknown>
  const refused = await request(`PUT ${path}`, { ...json, spec: { ...spec, scope: 'Cluster' } })
  assert.match(refused.text, /spec.scope: Invalid value: \\"Cluster\\": field is immutable/)
  const renamed = await request(`PUT ${path}`, {
    ...json,
    spec: { ...spec, versions: [version('v2')] },
  })
  assert.match(renamed.text, /missing from spec.versions; v1 was previously a storage version/)
})

test('the stored versions grow with the version that is stored, until someone says that they are migrated', async () => {
  const { request } = await serving(widgets([version('v1'), version('v2', { storage: false })]))
  const path = `${CRDS}/widgets.example.com`
  const { json } = await request(`GET ${path}`)
  const changed = await request(`PUT ${path}`, {
    ...json,
    spec: {
      ...(json['spec'] as object),
      versions: [version('v1', { storage: false }), version('v2')],
    },
  })
  assert.equal(changed.status, 200, changed.text)
  assert.deepEqual((changed.json['status'] as { storedVersions: unknown }).storedVersions, [
    'v1',
    'v2',
  ])
  await until(async () => {
    const { json: now } = await request(`GET ${path}`)
    const answer = await request(`PUT ${path}/status`, {
      ...now,
      status: { ...(now['status'] as object), storedVersions: ['v2'] },
    })
    return answer.status === 200
  })
  const { json: now } = await request(`GET ${path}`)
  assert.deepEqual((now['status'] as { storedVersions: unknown }).storedVersions, ['v2'])

  const spec = { ...(now['spec'] as object), versions: [version('v2')] }
  const ended = await request(`PUT ${path}`, { ...now, spec })
  assert.equal(ended.status, 200, ended.text)
})

test('parts that all versions have alike are told of as the definition’s own', async () => {
  const { request } = await server()
  const bad = { type: 'object', properties: { spec: { type: 'array' } } }
  const column = (jsonPath: string) => ({
    additionalPrinterColumns: [{ name: 'A', type: 'string', jsonPath }],
  })
  const problems = async (...versions: readonly object[]): Promise<readonly string[]> => {
    const { json } = await request(`POST ${CRDS}`, widgets(versions))
    const { causes } = json['details'] as { causes: { field: string }[] }
    return causes.map(({ field }) => field)
  }
  assert.deepEqual(
    await problems(
      version('v1', { schema: bad, ...column('x') }),
      version('v2', { schema: bad, ...column('x'), storage: false }),
    ),
    [
      'spec.validation.openAPIV3Schema.properties[spec].items',
      'spec.additionalPrinterColumns[0].JSONPath',
    ],
  )
  assert.deepEqual(
    await problems(
      version('v1', { schema: { type: 'object' }, ...column('.a') }),
      version('v2', { schema: bad, ...column('x'), storage: false }),
    ),
    [
      'spec.versions[1].schema.openAPIV3Schema.properties[spec].items',
      'spec.versions[1].additionalPrinterColumns[0].JSONPath',
    ],
  )
})

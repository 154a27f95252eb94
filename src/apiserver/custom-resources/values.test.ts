import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  CRDS,
  WIDGETS,
  established,
  specSchema,
  until,
  version,
  widget,
} from './custom-resources.testing.ts'
import { MERGE, refusals, withSchema } from './instances.testing.ts'

test('values are judged by their schema, in the words of OpenAPI validation', async () => {
  const made = await withSchema(
    specSchema(
      {
        replicas: { type: 'integer', minimum: 1, maximum: 9 },
        short: { type: 'integer', format: 'int32' },
        size: { type: 'string', enum: ['small', 'large'] },
        name: { type: 'string', maxLength: 5, minLength: 2, pattern: '^[a-z]+$' },
        when: { type: 'string', format: 'date-time' },
        ports: { type: 'array', maxItems: 2, minItems: 1, items: { type: 'integer' } },
        either: { 'x-kubernetes-int-or-string': true },
        ratio: { type: 'number', multipleOf: 0.1, exclusiveMinimum: true, minimum: 0 },
        labels: { type: 'object', maxProperties: 1, additionalProperties: { type: 'string' } },
        set: { type: 'array', 'x-kubernetes-list-type': 'set', items: { type: 'string' } },
      },
      { required: ['size'] },
    ),
  )
  const good = { size: 'small' }
  const cases: readonly (readonly [object, string])[] = [
    [
      { ...good, replicas: 'string' },
      'Widget.example.com "w" is invalid: spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string"',
    ],
    [
      { ...good, replicas: 0 },
      'spec.replicas: Invalid value: 0: spec.replicas in body should be greater than or equal to 1',
    ],
    [
      { ...good, replicas: 10 },
      'spec.replicas: Invalid value: 10: spec.replicas in body should be less than or equal to 9',
    ],
    [
      { ...good, replicas: 4.5 },
      '<nil>: Invalid value: "": Checked value must be of type integer (default format) in spec.replicas',
    ],
    [
      { ...good, short: 4.5 },
      'spec.short: Invalid value: "float64": spec.short in body must be of type int32: "float64"',
    ],
    [{}, 'spec.size: Required value'],
    [{ size: 'huge' }, 'spec.size: Unsupported value: "huge": supported values: "small", "large"'],
    [{ ...good, name: 'abcdef' }, 'spec.name: Too long: may not be more than 5 bytes'],
    [
      { ...good, name: 'a' },
      'spec.name: Invalid value: "a": spec.name in body should be at least 2 chars long',
    ],
    [
      { ...good, name: 'ABC' },
      'spec.name: Invalid value: "ABC": spec.name in body should match \'^[a-z]+$\'',
    ],
    [
      { ...good, when: 'today' },
      'spec.when: Invalid value: "today": spec.when in body must be of type date-time: "today"',
    ],
    [{ ...good, ports: [1, 2, 3] }, 'spec.ports: Too many: 3: must have at most 2 items'],
    [
      { ...good, ports: [] },
      'spec.ports: Invalid value: 0: spec.ports in body should have at least 1 items',
    ],
    [
      { ...good, ports: ['x'] },
      'spec.ports[0]: Invalid value: "string": spec.ports[0] in body must be of type integer: "string"',
    ],
    [{ ...good, either: true }, 'must be of type integer,string: "boolean"'],
    [{ ...good, ratio: 0.25 }, 'should be a multiple of 0.1'],
    [{ ...good, ratio: 0 }, 'should be greater than 0'],
    [{ ...good, labels: { a: '1', b: '2' } }, 'spec.labels: Too many: 2: must have at most 1 item'],
    [{ ...good, set: ['a', 'b', 'a'] }, 'spec.set[2]: Duplicate value: "a"'],
  ]
  for (const [spec, message] of cases) {
    const text = await refusals(made, spec)
    assert.ok(text.includes(message), `${text}\n  lacks\n${message}`)
  }
  assert.equal(await refusals(made, { ...good, ratio: 0.3, either: 'x', ports: [1] }), '')
})

test('alternatives are told as a whole', async () => {
  const made = await withSchema(
    specSchema(
      { a: { type: 'integer' }, b: { type: 'integer' } },
      { oneOf: [{ required: ['a'] }, { required: ['b'] }] },
    ),
  )
  assert.match(
    await refusals(made, { a: 1, b: 1 }),
    /"spec" must validate one and only one schema \(oneOf\)\. Found 2 valid alternatives/,
  )
  assert.match(await refusals(made, {}), /Found none valid/)
  assert.equal(await refusals(made, { a: 1 }), '')
})

test('what the schema does not know is taken out, unless it is kept', async () => {
  const { request } = await withSchema(
    specSchema({
      known: { type: 'string' },
      open: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
      map: {
        type: 'object',
        additionalProperties: { type: 'object', properties: { a: { type: 'string' } } },
      },
      list: { type: 'array', items: { type: 'object', properties: { a: { type: 'string' } } } },
    }),
  )
  const { json } = await request(`POST ${WIDGETS}`, {
    ...widget('w', {
      spec: {
        known: 'x',
        toString: 'y',
        open: { any: { thing: 1 } },
        map: { k: { a: 'x', b: 'y' } },
        list: [{ a: 'x', b: 'y' }],
      },
    }),
    more: 1,
  })
  assert.deepEqual(json['spec'], {
    known: 'x',
    open: { any: { thing: 1 } },
    map: { k: { a: 'x' } },
    list: [{ a: 'x' }],
  })
  assert.equal(json['more'], undefined)
})

test('a strict client hears of unknown and double fields, of the object and of resources in it', async () => {
  const { request } = await withSchema(
    specSchema({
      known: { type: 'string' },
      template: {
        type: 'object',
        'x-kubernetes-embedded-resource': true,
        'x-kubernetes-preserve-unknown-fields': true,
      },
    }),
  )
  const body = `{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"w","odd":1},
    "spec":{"known":"a","known":"b","other":1,
      "template":{"apiVersion":"v1","kind":"X","metadata":{"name":"x","strange":1}}}}`
  const { status, json } = await request(`POST ${WIDGETS}?fieldValidation=Strict`, body)
  assert.equal(status, 400)
  assert.ok(
    String(json['message']).endsWith(
      'strict decoding error: duplicate field "spec.known", unknown field "metadata.odd", unknown field "spec.other", unknown field "spec.template.metadata.strange"',
    ),
    String(json['message']),
  )
  const warned = await request(`POST ${WIDGETS}`, body)
  assert.equal(warned.status, 201, warned.text)
  assert.match(String(warned.headers['warning']), /unknown field \\"spec.other\\"/)
})

test('defaults are there on write, and on read of what was stored before they came', async () => {
  const made = await withSchema(specSchema({ a: { type: 'string' } }))
  const { request } = made
  await request(`POST ${WIDGETS}`, widget('old', { spec: { a: 'x' } }))
  const path = `${CRDS}/widgets.example.com`
  const { json } = await request(`GET ${path}`)
  const schema = specSchema({
    a: { type: 'string' },
    b: { type: 'string', default: 'B' },
    c: { type: 'string', nullable: true, default: 'C' },
    d: { type: 'object', default: {}, properties: { e: { type: 'integer', default: 5 } } },
  })
  await request(`PUT ${path}`, {
    ...json,
    spec: { ...(json['spec'] as object), versions: [version('v1', { schema })] },
  })
  const filled = { b: 'B', c: 'C', d: { e: 5 } }
  await until(async () => (await request(`GET ${WIDGETS}/old`)).text.includes('"B"'))
  assert.deepEqual((await request(`GET ${WIDGETS}/old`)).json['spec'], { a: 'x', ...filled })
  const list = await request(`GET ${WIDGETS}`)
  assert.deepEqual((list.json['items'] as { spec: unknown }[])[0]?.spec, { a: 'x', ...filled })
  const made2 = await request(
    `POST ${WIDGETS}`,
    widget('new', { spec: { a: null, b: null, c: null } }),
  )
  assert.deepEqual(made2.json['spec'], { ...filled, c: null })
})

test('defaults of resources within an object bring no metadata that there is not', async () => {
  const whole = { apiVersion: 'v1', kind: 'X', metadata: { name: 'x', strange: 'y' } }
  const embedded = { type: 'object', 'x-kubernetes-embedded-resource': true }
  const open = { ...embedded, 'x-kubernetes-preserve-unknown-fields': true }
  const { request } = await withSchema(
    specSchema({
      a: { ...open, default: whole },
      b: { type: 'object', properties: { in: open }, default: { in: whole } },
      c: {
        ...open,
        properties: {
          metadata: {
            type: 'object',
            properties: {
              name: { type: 'string', default: 'x' },
              strange: { type: 'string', default: 'y' },
            },
          },
        },
      },
    }),
  )
  const { json, status, text } = await request(
    `POST ${WIDGETS}`,
    widget('w', { spec: { c: { apiVersion: 'v1', kind: 'X', metadata: {} } } }),
  )
  assert.equal(status, 201, text)
  const formed = { apiVersion: 'v1', kind: 'X', metadata: { name: 'x' } }
  assert.deepEqual(json['spec'], { a: formed, b: { in: formed }, c: formed })
})

test('resources within an object say what they are, in the words of their fields', async () => {
  const embedded = {
    type: 'object',
    'x-kubernetes-embedded-resource': true,
    'x-kubernetes-preserve-unknown-fields': true,
  }
  const made = await withSchema(specSchema({ in: embedded }))
  const inner = { apiVersion: 'v1', kind: 'X' }
  assert.equal(
    await refusals(made, { in: { ...inner, metadata: { name: 'Not-A_Subdomain' } } }),
    '',
  )
  assert.match(
    await refusals(made, { in: { ...inner, metadata: { namespace: 42 } } }),
    /^Widget in version "v1" cannot be handled as a Widget: spec\.in\.metadata: Invalid value: .*: json: cannot unmarshal number into Go struct field ObjectMeta\.namespace of type string$/,
  )
  assert.match(
    await refusals(made, { in: { ...inner, kind: 7 } }),
    /spec\.in\.kind: .*must be a string$/,
  )
  assert.match(
    await refusals(made, { in: { apiVersion: '', metadata: { name: '..' } } }),
    /\[spec\.in\.apiVersion: Invalid value: "": must not be empty, spec\.in\.kind: Required value, spec\.in\.metadata\.name: Invalid value: "\.\.": may not be '\.\.'\]$/,
  )
})

test('a status that is wrong is told of as a value of its own', async () => {
  const { request } = await withSchema(
    {
      type: 'object',
      properties: {
        spec: { type: 'object', properties: { size: { type: 'integer', maximum: 5 } } },
        status: { type: 'object', properties: { size: { type: 'integer', maximum: 5 } } },
      },
    },
    { subresources: { status: {} } },
  )
  await request(`POST ${WIDGETS}`, widget('w'))
  const { json } = await request(`PATCH ${WIDGETS}/w/status`, { status: { size: 9 } }, MERGE)
  assert.equal(
    json['message'],
    'Widget.example.com "w" is invalid: status.size: Invalid value: 9: size in body should be less than or equal to 5',
  )
})

test('what does not change may be in another order, and is judged anew where no schema describes it', async () => {
  const schema = (more: object) => ({
    type: 'object',
    properties: {
      apiVersion: { type: 'string', ...more },
      spec: {
        type: 'object',
        properties: {
          ports: {
            type: 'array',
            'x-kubernetes-list-type': 'map',
            'x-kubernetes-list-map-keys': ['name'],
            items: {
              type: 'object',
              required: ['name'],
              properties: { name: { type: 'string' }, other: { type: 'string' } },
            },
            ...('pattern' in more ? { maxItems: 1 } : {}),
          },
        },
      },
    },
  })
  const { request } = await withSchema(schema({}))
  const ports = [{ name: 'a' }, { name: 'b' }]
  await request(`POST ${WIDGETS}`, widget('w', { spec: { ports } }))
  const stricter = async (pattern: string): Promise<void> => {
    const versions = [version('v1', { schema: schema({ pattern }) })]
    await request(`PATCH ${CRDS}/widgets.example.com`, { spec: { versions } }, MERGE)
    await until(async () => (await request(`GET ${WIDGETS}`)).status === 200)
  }
  await stricter('v1$')
  const reordered = { spec: { ports: ports.toReversed() } }
  assert.equal((await request(`PATCH ${WIDGETS}/w`, reordered, MERGE)).status, 200)
  const more = { spec: { ports: [...ports, { name: 'c' }] } }
  assert.match((await request(`PATCH ${WIDGETS}/w`, more, MERGE)).text, /Too many: 3/)
  await stricter('v2$')
  assert.match((await request(`PATCH ${WIDGETS}/w`, reordered, MERGE)).text, /apiVersion in body/)
})

test('what was wrong before may stay wrong as long as nobody touches it', async () => {
  const made = await withSchema(specSchema({ a: { type: 'string' }, b: { type: 'string' } }))
  const { request } = made
  await request(`POST ${WIDGETS}`, widget('w', { spec: { a: 'long', b: 'x' } }))
  const path = `${CRDS}/widgets.example.com`
  const { json } = await request(`GET ${path}`)
  const schema = specSchema({ a: { type: 'string', maxLength: 2 }, b: { type: 'string' } })
  await request(`PUT ${path}`, {
    ...json,
    spec: { ...(json['spec'] as object), versions: [version('v1', { schema })] },
  })
  await established(made, 'widgets.example.com')
  await until(
    async () =>
      (await request(`POST ${WIDGETS}`, widget('n', { spec: { a: 'long' } }))).status === 422,
  )
  assert.equal((await request(`PATCH ${WIDGETS}/w`, { spec: { b: 'y' } }, MERGE)).status, 200)
  assert.equal((await request(`PATCH ${WIDGETS}/w`, { spec: { a: 'longer' } }, MERGE)).status, 422)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { watchLines } from '../server.testing.ts'
import {
  CRDS,
  established,
  serving,
  specSchema,
  until,
  version,
  WIDGETS,
  widget,
  widgets,
  type Served,
} from './custom-resources.testing.ts'

const withSchema = (schema: object, more: object = {}): Promise<Served> =>
  serving(widgets([version('v1', { schema, ...more })]))
const MERGE = { 'content-type': 'application/merge-patch+json' }
const APPLY = { 'content-type': 'application/apply-patch+yaml' }

async function refusals(made: Served, spec: unknown): Promise<string> {
  const { status, json } = await made.request(`POST ${WIDGETS}`, widget('w', { spec }))
  return status === 201 ? '' : String(json['message'])
}

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

test('status has an endpoint of its own, which changes nothing else', async () => {
  const schema = {
    type: 'object',
    properties: {
      spec: { type: 'object', properties: { n: { type: 'integer' } } },
      status: { type: 'object', properties: { ready: { type: 'boolean' } } },
    },
  }
  const { request } = await withSchema(schema, { subresources: { status: {} } })
  const made = await request(
    `POST ${WIDGETS}`,
    widget('w', { spec: { n: 1 }, status: { ready: true } }),
  )
  assert.equal(made.json['status'], undefined)
  const put = await request(
    `PATCH ${WIDGETS}/w/status`,
    {
      metadata: { labels: { a: 'b' } },
      spec: { n: 2 },
      status: { ready: true },
    },
    MERGE,
  )
  assert.equal(put.status, 200, put.text)
  assert.deepEqual(put.json['spec'], { n: 1 })
  assert.deepEqual(put.json['status'], { ready: true })
  const metadata = put.json['metadata'] as Record<string, unknown>
  assert.equal(metadata['labels'], undefined)
  assert.equal(metadata['generation'], 1)
  const changed = await request(
    `PATCH ${WIDGETS}/w`,
    { spec: { n: 2 }, status: { ready: false } },
    MERGE,
  )
  assert.deepEqual(changed.json['status'], { ready: true })
  assert.equal((changed.json['metadata'] as Record<string, unknown>)['generation'], 2)
})

test('scale says and sets the number, wherever it is', async () => {
  const schema = {
    type: 'object',
    properties: {
      spec: { type: 'object', properties: { size: { type: 'integer' } } },
      status: {
        type: 'object',
        properties: { size: { type: 'integer' }, selector: { type: 'string' } },
      },
    },
  }
  const { request } = await withSchema(schema, {
    subresources: {
      status: {},
      scale: {
        specReplicasPath: '.spec.size',
        statusReplicasPath: '.status.size',
        labelSelectorPath: '.status.selector',
      },
    },
  })
  await request(`POST ${WIDGETS}`, widget('w', { spec: { size: 3 } }))
  await request(`PATCH ${WIDGETS}/w/status`, { status: { size: 2, selector: 'a=b' } }, MERGE)
  const { json } = await request(`GET ${WIDGETS}/w/scale`)
  assert.equal(json['kind'], 'Scale')
  assert.deepEqual(json['spec'], { replicas: 3 })
  assert.deepEqual(json['status'], { replicas: 2, selector: 'a=b' })
  const put = await request(`PATCH ${WIDGETS}/w/scale`, { spec: { replicas: 5 } }, MERGE)
  assert.equal(put.status, 200, put.text)
  assert.deepEqual((await request(`GET ${WIDGETS}/w`)).json['spec'], { size: 5 })
  await request(`POST ${WIDGETS}`, widget('none'))
  const none = await request(`GET ${WIDGETS}/none/scale`)
  assert.equal(none.status, 500)
  assert.match(none.text, /the spec replicas field \\".spec.size\\" does not exist/)
})

test('versions show the same object, each in its own form', async () => {
  const { request } = await serving(
    widgets([
      version('v1', { schema: specSchema({ a: { type: 'string' } }) }),
      version('v2', {
        storage: false,
        schema: specSchema({ a: { type: 'string' }, b: { type: 'string' } }),
      }),
    ]),
  )
  const v2 = WIDGETS.replace('/v1/', '/v2/')
  await request(`POST ${v2}`, widget('w', { spec: { a: 'x', b: 'y' } }, 'example.com/v2'))
  const { json } = await request(`GET ${WIDGETS}/w`)
  assert.equal(json['apiVersion'], 'example.com/v1')
  assert.deepEqual(json['spec'], { a: 'x' })
  assert.equal((await request(`GET ${v2}/w`)).json['apiVersion'], 'example.com/v2')
})

test('objects are selected by the fields that a version names, in lists and watches', async () => {
  const made = await withSchema(specSchema({ color: { type: 'string' }, n: { type: 'integer' } }), {
    selectableFields: [{ jsonPath: '.spec.color' }, { jsonPath: '.spec.n' }],
  })
  const { request } = made
  await request(`POST ${WIDGETS}`, widget('r', { spec: { color: 'red', n: 1 } }))
  await request(`POST ${WIDGETS}`, widget('b', { spec: { color: 'blue', n: 2 } }))
  const red = await request(`GET ${WIDGETS}?fieldSelector=spec.color%3Dred`)
  assert.deepEqual(namesOf(red.json), ['r'])
  assert.deepEqual(namesOf((await request(`GET ${WIDGETS}?fieldSelector=spec.n%3D2`)).json), ['b'])
  const wrong = await request(`GET ${WIDGETS}?fieldSelector=spec.other%3D1`)
  assert.equal(wrong.status, 400)
  assert.match(wrong.text, /field label not supported: spec.other/)
  const watching = watchLines(
    made.server,
    `${WIDGETS}?watch=true&fieldSelector=spec.color%3Dred`,
    3,
  )
  await request(`PATCH ${WIDGETS}/b`, { spec: { color: 'red' } }, MERGE)
  await request(`PATCH ${WIDGETS}/r`, { spec: { color: 'green' } }, MERGE)
  assert.deepEqual(
    (await watching).map(({ type }) => type),
    ['ADDED', 'ADDED', 'DELETED'],
  )
})

const namesOf = (list: Record<string, unknown>): readonly string[] =>
  (list['items'] as { metadata: { name: string } }[]).map(({ metadata }) => metadata.name)

test('tables have the columns that the version names', async () => {
  const { request } = await withSchema(
    specSchema({ n: { type: 'integer' }, list: { type: 'array', items: { type: 'string' } } }),
    {
      additionalPrinterColumns: [
        { name: 'N', type: 'integer', jsonPath: '.spec.n' },
        { name: 'List', type: 'string', jsonPath: '.spec.list', priority: 1 },
        { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
      ],
    },
  )
  await request(`POST ${WIDGETS}`, widget('w', { spec: { n: 3, list: ['a', 'b'] } }))
  await request(`POST ${WIDGETS}`, widget('x'))
  const { json } = await request(`GET ${WIDGETS}`, undefined, {
    accept: 'application/json;as=Table;g=meta.k8s.io;v=v1',
  })
  const columns = json['columnDefinitions'] as { name: string }[]
  assert.deepEqual(
    columns.map(({ name }) => name),
    ['Name', 'N', 'List', 'Age'],
  )
  const rows = json['rows'] as { cells: unknown[] }[]
  assert.deepEqual(rows[0]?.cells, ['w', 3, '["a","b"]', '0s'])
  assert.deepEqual(rows[1]?.cells, ['x', null, null, '0s'])
})

test('apply owns the items of lists by their keys', async () => {
  const { request } = await withSchema(
    specSchema({
      ports: {
        type: 'array',
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['name'],
        items: {
          type: 'object',
          required: ['name'],
          properties: { name: { type: 'string' }, port: { type: 'integer' } },
        },
      },
    }),
  )
  const apply = (manager: string, ports: object[]) =>
    request(`PATCH ${WIDGETS}/w?fieldManager=${manager}`, widget('w', { spec: { ports } }), APPLY)
  assert.equal((await apply('one', [{ name: 'a', port: 1 }])).status, 201)
  const both = await apply('two', [{ name: 'b', port: 2 }])
  assert.deepEqual((both.json['spec'] as { ports: unknown }).ports, [
    { name: 'a', port: 1 },
    { name: 'b', port: 2 },
  ])
  const clash = await apply('two', [{ name: 'a', port: 3 }])
  assert.equal(clash.status, 409)
  assert.match(clash.text, /\.spec\.ports\[name=\\"a\\"\]\.port/)
  const gone = await apply('two', [])
  assert.deepEqual((gone.json['spec'] as { ports: unknown }).ports, [{ name: 'a', port: 1 }])
  const unknown = await request(
    `PATCH ${WIDGETS}/w?fieldManager=x`,
    { ...widget('w'), odd: 1 },
    APPLY,
  )
  assert.match(unknown.text, /\.odd: field not declared in schema/)
})

test('a value of the wrong type is refused where it is applied, by its path', async () => {
  const { request } = await withSchema(
    specSchema({
      n: { type: 'integer' },
      on: { type: 'boolean' },
      any: { 'x-kubernetes-int-or-string': true },
      ports: {
        type: 'array',
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['name'],
        items: {
          type: 'object',
          required: ['name'],
          properties: { name: { type: 'string' }, port: { type: 'integer' } },
        },
      },
    }),
  )
  const refused = async (spec: object): Promise<string> => {
    const path = `PATCH ${WIDGETS}/w?fieldManager=one`
    const { status, json } = await request(path, widget('w', { spec }), APPLY)
    assert.deepEqual([status, json['reason']], [400, 'BadRequest'])
    return String(json['message']).replace(/^failed to create typed patch object \(.*?\): /, '')
  }
  assert.equal(await refused({ n: 'x' }), '.spec.n: expected numeric (int or float), got string')
  assert.equal(await refused({ n: 1, on: 1, any: 'x' }), '.spec.on: expected boolean, got &{1}')
  assert.equal(
    await refused({ ports: [{ name: 'a', port: true }] }),
    '.spec.ports[name="a"].port: expected numeric (int or float), got bool',
  )
  assert.equal(
    await refused({ n: [], odd: 1 }),
    'errors:\n  .spec.n: expected numeric (int or float), got []interface {}\n  .spec.odd: field not declared in schema',
  )
})

test('a null that is applied stays where one may be, and is refused elsewhere', async () => {
  const inner = { type: 'object', properties: { a: { type: 'string' } } }
  const { request } = await withSchema(
    specSchema({
      may: { ...inner, nullable: true },
      not: inner,
      filled: { ...inner, default: {} },
    }),
  )
  const apply = (spec: object) =>
    request(`PATCH ${WIDGETS}/w?fieldManager=one`, widget('w', { spec }), APPLY)
  await apply({ may: { a: 'x' }, not: { a: 'x' } })
  const cleared = await apply({ may: null, not: { a: 'x' }, filled: null })
  assert.deepEqual(cleared.json['spec'], { may: null, not: { a: 'x' }, filled: {} })
  const refused = await apply({ may: null, not: null })
  assert.equal(refused.status, 422)
  assert.match(refused.text, /spec\.not in body must be of type object: \\"null\\"/)
  const merged = await request(`PUT ${WIDGETS}/w`, {
    ...cleared.json,
    spec: { may: null, not: null },
  })
  assert.deepEqual(merged.json['spec'], { may: null, filled: {} })
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

test('an object of another kind is invalid, and other paths than those of a definition are not there', async () => {
  const { request } = await withSchema(specSchema({}))
  const { status, json } = await request(`POST ${WIDGETS}`, { ...widget('w'), kind: 'Wheel' })
  assert.equal(status, 422)
  assert.equal(
    json['message'],
    'Wheel.example.com "w" is invalid: kind: Invalid value: "Wheel": must be Widget',
  )
  const across = '/apis/example.com/v1/widgets'
  assert.equal((await request(`POST ${across}`, widget('w'))).status, 404)
  assert.equal((await request(`DELETE ${across}`)).status, 404)
  assert.equal((await request(`GET ${across}`)).status, 200)
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

test('a watch has no YAML', async () => {
  const { request } = await withSchema(specSchema({}))
  const { status, text } = await request(`GET ${WIDGETS}?watch=true`, undefined, {
    accept: 'application/yaml',
  })
  assert.equal(status, 406)
  assert.match(text, /reason: NotAcceptable/)
  assert.match(text, /accepted: application\/json;stream=watch/)
})

test('who applies below a field that no schema knows owns the field too', async () => {
  const { request } = await withSchema(
    { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
    {
      subresources: {
        scale: { specReplicasPath: '.spec.replicas', statusReplicasPath: '.status.replicas' },
      },
    },
  )
  await request(`POST ${WIDGETS}`, widget('w', { spec: { num: 1 } }))
  const path = `${WIDGETS}/w?fieldManager=applier`
  const applied = await request(`PATCH ${path}`, widget('w', { spec: { replicas: 3 } }), APPLY)
  const fieldsOf = ({ json }: { json: Record<string, unknown> }): unknown =>
    (
      json['metadata'] as { managedFields: { manager: string; fieldsV1: unknown }[] }
    ).managedFields.find(({ manager }) => manager === 'applier')?.fieldsV1
  assert.deepEqual(fieldsOf(applied), { 'f:spec': { '.': {}, 'f:replicas': {} } })
  await request(`PATCH ${WIDGETS}/w/scale?fieldManager=scaler`, { spec: { replicas: 5 } }, MERGE)
  assert.deepEqual(fieldsOf(await request(`GET ${WIDGETS}/w`)), { 'f:spec': {} })
})

test("an apply that takes over what an update owned keeps what is the server's", async () => {
  const { request } = await withSchema(specSchema({ a: { type: 'string' }, b: { type: 'string' } }))
  const labelled = {
    ...widget('w', { spec: { a: 'x', b: 'y' } }),
    metadata: { name: 'w', labels: { l: 'm' } },
  }
  const { json } = await request(`POST ${WIDGETS}?fieldManager=one`, labelled)
  const metadata = json['metadata'] as { managedFields: { fieldsV1: object; operation: string }[] }
  assert.deepEqual(metadata.managedFields[0]?.fieldsV1, {
    'f:metadata': { 'f:labels': { '.': {}, 'f:l': {} } },
    'f:spec': { '.': {}, 'f:a': {}, 'f:b': {} },
  })
  metadata.managedFields[0]!.operation = 'Apply'
  await request(`PUT ${WIDGETS}/w?fieldManager=one`, json)
  const applied = await request(
    `PATCH ${WIDGETS}/w?fieldManager=one&force=true`,
    widget('w', { spec: { a: 'x' } }),
    APPLY,
  )
  assert.equal(applied.status, 200, applied.text)
  assert.deepEqual(applied.json['spec'], { a: 'x' })
  assert.equal((applied.json['metadata'] as Record<string, unknown>)['labels'], undefined)
})

test('encodings and patches that need types are refused', async () => {
  const { request } = await withSchema(specSchema({}))
  const protobuf = 'application/vnd.kubernetes.protobuf'
  assert.equal((await request(`GET ${WIDGETS}`, undefined, { accept: protobuf })).status, 406)
  const either = await request(`GET ${WIDGETS}`, undefined, {
    accept: `${protobuf},application/json`,
  })
  assert.equal(either.status, 200)
  assert.equal(either.headers['content-type'], 'application/json')
  assert.equal(
    (await request(`POST ${WIDGETS}`, widget('w'), { 'content-type': protobuf })).status,
    415,
  )
  const strategic = await request(
    `PATCH ${WIDGETS}/w`,
    {},
    {
      'content-type': 'application/strategic-merge-patch+json',
    },
  )
  assert.equal(strategic.status, 415)
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

test('a version on its way out says so with every answer', async () => {
  const { request } = await serving(
    widgets([version('v1', { storage: false, deprecated: true }), version('v2')]),
  )
  const { headers } = await request(`GET ${WIDGETS}`)
  assert.match(
    String(headers['warning']),
    /example.com\/v1 Widget is deprecated; use example.com\/v2 Widget/,
  )
})

test('finalizers without a domain are warned of when they are added', async () => {
  const { request } = await serving(widgets())
  const finalizers = ['mine', 'example.com', 'example.com/hold', 'orphan']
  const made = await request(`POST ${WIDGETS}`, {
    ...widget('w'),
    metadata: { name: 'w', finalizers },
  })
  assert.deepEqual(made.headers['warning'], [
    '299 - "metadata.finalizers: \\"example.com\\": prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers"',
    '299 - "metadata.finalizers: \\"mine\\": prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers"',
  ])
  const again = await request(`PUT ${WIDGETS}/w`, { ...made.json, spec: { a: 1 } })
  assert.equal(again.status, 200)
  assert.equal(again.headers['warning'], undefined)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { watchLines } from '../server.testing.ts'
import {
  WIDGETS,
  serving,
  specSchema,
  version,
  widget,
  widgets,
} from './custom-resources.testing.ts'
import { MERGE, namesOf, withSchema } from './instances.testing.ts'

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

test('a watch has no YAML', async () => {
  const { request } = await withSchema(specSchema({}))
  const { status, text } = await request(`GET ${WIDGETS}?watch=true`, undefined, {
    accept: 'application/yaml',
  })
  assert.equal(status, 406)
  assert.match(text, /reason: NotAcceptable/)
  assert.match(text, /accepted: application\/json;stream=watch/)
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

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WIDGETS, specSchema, widget } from './custom-resources.testing.ts'
import { APPLY, MERGE, withSchema } from './instances.testing.ts'

/** A list whose items are told apart by their names. */
const PORTS = {
  type: 'array',
  'x-kubernetes-list-type': 'map',
  'x-kubernetes-list-map-keys': ['name'],
  items: {
    type: 'object',
    required: ['name'],
    properties: { name: { type: 'string' }, port: { type: 'integer' } },
  },
}

test('apply owns the items of lists by their keys', async () => {
  const { request } = await withSchema(
    specSchema({
      ports: PORTS,
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
      ports: PORTS,
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

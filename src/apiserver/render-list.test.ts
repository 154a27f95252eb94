import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parse } from 'yaml'
import { send, testServer } from './server.testing.ts'

const MAPS = '/api/v1/namespaces/shop/configmaps'
const text = 'a line\n\n  another, indented\n- not an item: "quoted"\n'

async function withMaps(count: number) {
  const t = await testServer()
  for (let i = 0; i < count; i++)
    await send(t.server, `POST ${MAPS}`, {
      metadata: { name: `m-${i}` },
      data: { text, i: `${i}` },
    })
  return t
}

for (const count of [0, 1, 3])
  test(`a list of ${count} says the same in every encoding`, async () => {
    const { server } = await withMaps(count)
    const { json } = await send(server, `GET ${MAPS}`)
    const pretty = await send(server, `GET ${MAPS}?pretty=true`)
    assert.deepEqual(pretty.json, json)
    assert.equal(pretty.text, `${JSON.stringify(pretty.json, undefined, 2)}\n`)
    const yaml = await send(server, `GET ${MAPS}`, undefined, { accept: 'application/yaml' })
    assert.deepEqual(parse(yaml.text), json)
  })

test('a table of many is one table', async () => {
  const { server } = await withMaps(3)
  const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io'
  const { json } = await send(server, `GET ${MAPS}`, undefined, { accept })
  assert.equal(json['kind'], 'Table')
  const rows = json['rows'] as { cells: unknown[]; object: { metadata: { name: string } } }[]
  assert.deepEqual(
    rows.map(({ cells, object }) => [cells[0], object.metadata.name]),
    ['m-0', 'm-1', 'm-2'].map((name) => [name, name]),
  )
  const columns = json['columnDefinitions'] as { name: string }[]
  assert.deepEqual(
    columns.map(({ name }) => name),
    ['Name', 'Data', 'Age'],
  )
})

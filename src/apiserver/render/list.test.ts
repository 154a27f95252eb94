import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parse } from 'yaml'
import { exchangeFor, send, testServer } from '../server.testing.ts'

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

test('whatever the metadata says: rows and partial objects have the same as the objects', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.dictionary(fc.stringMatching(/^[a-z]{1,5}$/), fc.oneof(fc.string(), fc.json()), {
          maxKeys: 3,
        }),
        { minLength: 1, maxLength: 3 },
      ),
      async (all) => {
        const { server } = await testServer()
        for (const [i, annotations] of all.entries())
          await send(server, `POST ${MAPS}`, { metadata: { name: `m-${i}`, annotations } })
        const list = async (accept: string, query = '') =>
          (await send(server, `GET ${MAPS}${query}`, undefined, { accept })).json
        const { items } = (await list('application/json')) as { items: { metadata: object }[] }
        const wanted = items.map(({ metadata }) => ({
          kind: 'PartialObjectMetadata',
          apiVersion: 'meta.k8s.io/v1',
          metadata,
        }))
        const as = (shape: string) => `application/json;as=${shape};v=v1;g=meta.k8s.io`
        assert.deepEqual((await list(as('PartialObjectMetadataList')))['items'], wanted)
        const objects = async (includeObject: string) =>
          ((await list(as('Table'), includeObject))['rows'] as { object: object }[]).map(
            ({ object }) => object,
          )
        assert.deepEqual(await objects(''), wanted)
        assert.deepEqual(
          await objects('?includeObject=Object'),
          items.map((item) => ({ kind: 'ConfigMap', apiVersion: 'v1', ...item })),
        )
        assert.deepEqual(
          await objects('?includeObject=None'),
          items.map(() => null),
        )
      },
    ),
    { numRuns: 30 },
  )
})

const long = 'x'.repeat(4096)
async function withLongList() {
  const t = await testServer()
  for (let i = 0; i < 100; i++)
    await send(t.server, `POST ${MAPS}`, { metadata: { name: `m-${i}` }, data: { long } })
  return t
}

for (const accept of ['application/json', 'application/vnd.kubernetes.protobuf'])
  test(`a list as ${accept} ends when nobody reads on`, async () => {
    const { server, env } = await withLongList()
    const { body, over } = await server.handler(exchangeFor(`GET ${MAPS}`, undefined, { accept }))
    const chunks = (body as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]()
    for (let i = 0; i < 3; i++) {
      await chunks.next()
      await env.advance(50_000)
      assert.equal(over?.aborted, false)
    }
    await env.advance(50_000)
    assert.equal(over?.aborted, true)
    await chunks.return?.()
  })

test('a list that nobody begins to read is left when the client has gone', async () => {
  const { server, env } = await withLongList()
  const client = new AbortController()
  const exchange = exchangeFor(`GET ${MAPS}`, undefined, {}, client.signal)
  const { body } = await server.handler(exchange)
  client.abort()
  await env.settle()
  const left = await Array.fromAsync(body as AsyncIterable<Uint8Array>)
  // Only what was made before.
  assert.equal(left.length, 2)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { definitions, typeTable } from '#api'
import {
  customDefinitionName,
  customSchemas,
  StatusError,
  type JsonObject,
  type ResourceDefinition,
} from '#machinery'
import type { Reply } from '../exchange.ts'
import { exchangeFor } from '../server.testing.ts'
import { ByteWriter, jsonParts } from './bytes.ts'
import { openApiPages, type OpenApiPages, type OpenApiSource } from './index.ts'

const FEW = new Set(['', 'apps', 'autoscaling'])
const few = definitions.filter(({ facts }) => FEW.has(facts.group))
const apps = few.filter(({ facts }) => facts.group === 'apps')

const pagesOf = (source: Partial<OpenApiSource> = {}): OpenApiPages =>
  openApiPages({ definitions: () => few, types: () => typeTable, version: 'v1.36.0', ...source })

const textOf = ({ body }: Reply): string => {
  assert.ok(body instanceof Uint8Array)
  return Buffer.from(body).toString()
}
const jsonOf = (reply: Reply): JsonObject => JSON.parse(textOf(reply)) as JsonObject
const get = (url: string, headers: Readonly<Record<string, string>> = {}) =>
  exchangeFor(`GET ${url}`, undefined, headers)

async function addresses(pages: OpenApiPages): Promise<Readonly<Record<string, string>>> {
  const { paths } = jsonOf(await pages.index(get('/openapi/v3')))
  return Object.fromEntries(
    Object.entries(paths as Record<string, { serverRelativeURL: string }>).map(
      ([name, { serverRelativeURL }]) => [name, serverRelativeURL],
    ),
  )
}
async function follow(pages: OpenApiPages, url: string): Promise<Reply> {
  const name = url.split('?')[0]!.replace('/openapi/v3/', '')
  const reply = await pages.document(name, get(url))
  assert.ok(reply)
  return reply
}

test('every address of the index leads to a document that may be kept for ever', async () => {
  const pages = pagesOf()
  const all = await addresses(pages)
  assert.ok(all['api/v1'] && all['apis/apps/v1'] && all['apis/apps'] && all['version'])
  for (const url of Object.values(all)) {
    const reply = await follow(pages, url)
    assert.equal(reply.status, 200, url)
    assert.equal(jsonOf(reply)['openapi'], '3.0.0')
    assert.match(String(reply.headers['cache-control']), /immutable/)
  }
})

test('without a hash a document is not kept, and with an old one it is elsewhere', async () => {
  const pages = pagesOf()
  const plain = await follow(pages, '/openapi/v3/apis/apps/v1')
  assert.equal(plain.status, 200)
  assert.doesNotMatch(String(plain.headers['cache-control']), /immutable/)
  const old = await follow(pages, '/openapi/v3/apis/apps/v1?hash=OLD')
  assert.equal(old.status, 301)
  assert.equal(old.headers['location'], (await addresses(pages))['apis/apps/v1'])
  assert.equal(
    await pages.document('apis/nothing/v1', get('/openapi/v3/apis/nothing/v1')),
    undefined,
  )
})

test('who has a document is told that it is still true', async () => {
  const pages = pagesOf()
  const { etag } = (await pages.v2(get('/openapi/v2'))).headers
  const tag = String(etag)
  for (const known of [tag, `W/${tag}`, `"x", ${tag}`, '*']) {
    const reply = await pages.v2(get('/openapi/v2', { 'if-none-match': known }))
    assert.equal(reply.status, 304, known)
    assert.equal(reply.body, undefined)
  }
  const other = await pages.v2(get('/openapi/v2', { 'if-none-match': '"x"' }))
  assert.equal(other.status, 200)
})

test('v2 is JSON, or protobuf for those who name it first', async () => {
  const pages = pagesOf()
  const typeFor = async (accept: string): Promise<unknown> =>
    (await pages.v2(get('/openapi/v2', { accept }))).headers['content-type']
  const protobuf = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf'
  assert.equal(await typeFor('application/json, */*'), 'application/json')
  assert.equal(await typeFor('*/*'), 'application/json')
  assert.equal(await typeFor(protobuf), protobuf)
  assert.equal(await typeFor(protobuf.replace('.v2.v1.0', '.v2@v1.0')), protobuf)
  assert.equal(await typeFor(`text/html, ${protobuf};q=0.5, application/json`), 'application/json')
  await assert.rejects(typeFor('text/html'), (error) => {
    assert.ok(error instanceof StatusError)
    return error.code === 406
  })
})

test('the whole of v2 has each path and definition of its parts once, in order', async () => {
  const { swagger, paths, definitions: schemas } = jsonOf(await pagesOf().v2(get('/openapi/v2')))
  assert.equal(swagger, '2.0')
  for (const part of [paths, schemas]) {
    const names = Object.keys(part as JsonObject)
    assert.deepEqual(names, names.toSorted())
  }
  assert.ok((paths as JsonObject)['/apis/apps/v1/namespaces/{namespace}/deployments/{name}'])
  assert.ok((paths as JsonObject)['/api/v1/namespaces/{namespace}/pods/{name}/log'])
  assert.ok((schemas as JsonObject)['io.k8s.api.autoscaling.v1.Scale'])
})

test('protobuf has what JSON has', async () => {
  const pages = pagesOf({ definitions: () => apps })
  const json = jsonOf(await pages.v2(get('/openapi/v2')))
  const accept = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf'
  const { body } = await pages.v2(get('/openapi/v2', { accept }))
  assert.ok(body instanceof Uint8Array)
  const document = fieldsOf(body)
  assert.equal(document.get(1)?.[0]?.toString(), '2.0')
  // 8 is paths and 2 the pairs in it; 9 is definitions and 1 the pairs; a pair is name and value.
  const names = (member: number, pair: number): readonly string[] =>
    (fieldsOf(document.get(member)![0]!).get(pair) ?? []).map((each) =>
      fieldsOf(each).get(1)![0]!.toString(),
    )
  assert.deepEqual(names(8, 2).toSorted(), Object.keys(json['paths'] as JsonObject))
  assert.deepEqual(names(9, 1).toSorted(), Object.keys(json['definitions'] as JsonObject))
  // What begins with x- is YAML in blocks.
  assert.ok(Buffer.from(body).includes('- group: apps\n  kind: Deployment\n  version: v1\n'))
})

test('the document of a group version comes in protobuf too, with its tag and redirects', async () => {
  const pages = pagesOf({ definitions: () => apps })
  const json = await pages.document('apis/apps/v1', get('/openapi/v3/apis/apps/v1'))
  for (const version of ['.v1.0', '@v1.0']) {
    const accept = `application/com.github.proto-openapi.spec.v3${version}+protobuf`
    const reply = await pages.document('apis/apps/v1', get('/openapi/v3/apis/apps/v1', { accept }))
    assert.equal(
      reply?.headers['content-type'],
      'application/com.github.proto-openapi.spec.v3.v1.0+protobuf',
    )
    assert.equal(reply.headers['etag'], json?.headers['etag'])
    assert.ok(reply.body instanceof Uint8Array)
    const document = fieldsOf(reply.body)
    assert.equal(document.get(1)?.[0]?.toString(), '3.0.0')
    const { paths, components } = jsonOf(json!)
    const namesIn = (message: Buffer): readonly string[] =>
      (fieldsOf(message).get(1) ?? []).map((each) => fieldsOf(each).get(1)![0]!.toString())
    assert.deepEqual(namesIn(document.get(4)![0]!), Object.keys(paths as JsonObject))
    // 5 is components and 1 its schemas.
    assert.deepEqual(
      namesIn(fieldsOf(document.get(5)![0]!).get(1)![0]!),
      Object.keys((components as JsonObject)['schemas'] as JsonObject),
    )
  }
})

/** The length-delimited fields of a message, by number. */
function fieldsOf(message: Uint8Array): ReadonlyMap<number, readonly Buffer[]> {
  const found = new Map<number, Buffer[]>()
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let factor = 1; ; factor *= 128) {
      const byte = message[at++]!
      value += (byte & 127) * factor
      if (byte < 128) return value
    }
  }
  while (at < message.length) {
    const tag = varint()
    assert.equal(tag & 7, 2, 'only such fields are at these levels')
    const length = varint()
    const bytes = Buffer.from(message.subarray(at, at + length))
    assert.equal(bytes.length, length)
    at += length
    const list = found.get(tag >> 3)
    if (list === undefined) found.set(tag >> 3, [bytes])
    else list.push(bytes)
  }
  return found
}

const CRON_TAB = customDefinitionName('example.com', 'v1', 'CronTab')
function cronTab(properties: JsonObject): {
  readonly definition: ResourceDefinition
  readonly schemas: ReturnType<typeof customSchemas>
} {
  const [{ facts, ...rest }] = [apps[0]!]
  return {
    definition: {
      ...rest,
      facts: {
        ...facts,
        group: 'example.com',
        version: 'v1',
        resource: 'crontabs',
        kind: 'CronTab',
        type: CRON_TAB,
        listType: `${CRON_TAB}List`,
        subresources: [],
      },
    },
    schemas: customSchemas({
      group: 'example.com',
      version: 'v1',
      kind: 'CronTab',
      listKind: 'CronTabList',
      schema: { type: 'object', properties },
    }),
  }
}

test('custom resources come, change and go, and the other documents stay as they are', async () => {
  let custom: ReturnType<typeof cronTab> | undefined
  const made: string[] = []
  const pages = pagesOf({
    definitions: () => (custom === undefined ? few : [...few, custom.definition]),
    types: (of) => {
      made.push(of[0]?.facts.group ?? '')
      return typeTable
    },
    schemas: (definition, dialect) =>
      definition === custom?.definition ? custom.schemas[dialect] : undefined,
  })
  const before = await addresses(pages)
  assert.equal(before['apis/example.com/v1'], undefined)
  const { etag } = (await pages.v2(get('/openapi/v2'))).headers

  custom = cronTab({ spec: { type: 'object' } })
  made.length = 0
  const during = await addresses(pages)
  assert.deepEqual(
    made.filter((group) => FEW.has(group) && group !== ''),
    [],
  )
  assert.equal(during['apis/apps/v1'], before['apis/apps/v1'])
  const first = jsonOf(await follow(pages, during['apis/example.com/v1']!))
  assert.ok(JSON.stringify(first).includes(CRON_TAB))
  const v2 = await pages.v2(get('/openapi/v2', { 'if-none-match': String(etag) }))
  assert.ok((jsonOf(v2)['definitions'] as JsonObject)[CRON_TAB])

  custom = cronTab({ spec: { type: 'object', properties: { a: { type: 'string' } } } })
  const after = await addresses(pages)
  assert.notEqual(after['apis/example.com/v1'], during['apis/example.com/v1'])

  custom = undefined
  assert.deepEqual(await addresses(pages), before)
  assert.equal(
    await pages.document('apis/example.com/v1', get('/openapi/v3/apis/example.com/v1')),
    undefined,
  )
})

test('texts are asked for by the names of the definitions that need them', async () => {
  const pages = pagesOf({
    definitions: () => apps,
    descriptions: {
      async load(names) {
        const known = new Set(names)
        return (definition) => (known.has(definition) ? `on ${definition}` : undefined)
      },
    },
  })
  const { components } = jsonOf(await follow(pages, '/openapi/v3/apis/apps/v1'))
  const { schemas } = components as { schemas: Record<string, JsonObject> }
  for (const [name, { description }] of Object.entries(schemas))
    assert.equal(description, `on ${name}`)
})

test('another server that describes itself in v2 only has a document of v3 as well', async () => {
  const described = {
    paths: {
      '/apis/toys.example.com/v1/toys': {
        get: { responses: { 200: { description: 'OK', schema: { $ref: '#/definitions/Toy' } } } },
      },
    },
    definitions: { Toy: { type: 'object' } },
  }
  const remote = { group: 'toys.example.com', version: 'v1', described, v3Hash: undefined }
  const pages = pagesOf({ definitions: () => apps, remotes: () => [remote] })
  const url = (await addresses(pages))['apis/toys.example.com/v1']
  assert.match(String(url), /\?hash=[0-9A-F]{64}$/)
  const { status, headers, body } = await follow(pages, String(url))
  assert.deepEqual([status, headers['content-type']], [200, 'application/json'])
  const document = jsonOf({ status, headers, body: body! })
  assert.deepEqual(document['components'], { schemas: { Toy: { type: 'object' } } })
  const schema = { $ref: '#/components/schemas/Toy' }
  const ok = { description: 'OK', content: { 'application/json': { schema } } }
  assert.deepEqual(document['paths'], {
    '/apis/toys.example.com/v1/toys': { get: { responses: { 200: ok } } },
  })
  // Who has one of its own is asked for it.
  const itself = pagesOf({ remotes: () => [{ ...remote, v3Hash: 'ABC' }] })
  assert.equal(await itself.document('apis/toys.example.com/v1', get(String(url))), undefined)
})

test('a document that could not be made is tried again', async () => {
  let fails = true
  const pages = pagesOf({
    definitions: () => apps,
    descriptions: {
      async load() {
        if (fails) throw new Error('disk')
        return () => undefined
      },
    },
  })
  await assert.rejects(follow(pages, '/openapi/v3/apis/apps/v1'), /disk/)
  fails = false
  assert.equal((await follow(pages, '/openapi/v3/apis/apps/v1')).status, 200)
})

test('inside the process a document is a value', async () => {
  const pages = pagesOf({ definitions: () => apps })
  const exchange = { ...get('/openapi/v3'), trustedUser: { name: 'a', groups: [] } }
  const { value } = await pages.index(exchange)
  assert.ok((value as { paths?: JsonObject }).paths?.['apis/apps/v1'])
})

test('the parts of a text are the text', () => {
  const values = [
    null,
    1,
    'a"b',
    [],
    {},
    { a: {} },
    { a: undefined, b: { c: { d: { e: [1, { f: undefined }] } } }, 'ü"': 'x' },
  ]
  for (const value of values) assert.equal([...jsonParts(value)].join(''), JSON.stringify(value))
})

test('large documents let others have their turn', async () => {
  let turns = 0
  const writer = new ByteWriter(async () => void turns++)
  for (let i = 0; i < 100; i++) await writer.text('x'.repeat(10_000))
  for (let i = 0; i < 100; i++) await writer.bytes(new Uint8Array(10_000))
  const { bytes } = await writer.end()
  assert.equal(bytes.length, 2_000_000)
  assert.ok(turns > 10, `${turns} turns`)
})

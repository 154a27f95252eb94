import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { JsonObject } from '#machinery'
import { watchLines } from '../server.testing.ts'
import type { CallWebhook } from '../webhook-client/index.ts'
import {
  CRDS,
  serving,
  until,
  version,
  WIDGETS,
  widget,
  widgets,
  type Served,
} from './custom-resources.testing.ts'

const V2 = WIDGETS.replace('/v1/', '/v2/')
const MERGE = { 'content-type': 'application/merge-patch+json' }

type Widget = JsonObject & { hostPort?: string; host?: string; port?: string }

/** v1 has `hostPort`, v2 has `host` and `port`. */
function converted(object: Widget, apiVersion: string): JsonObject {
  const { hostPort, host, port, ...rest } = object
  if (apiVersion === object['apiVersion']) return object
  if (apiVersion === 'example.com/v1') return { ...rest, apiVersion, hostPort: `${host}:${port}` }
  const [first = '', second = ''] = (hostPort ?? '').split(':')
  return { ...rest, apiVersion, host: first, port: second }
}

interface Asked {
  readonly calls: number[]
  answer: (review: JsonObject) => JsonObject
}

function webhook(): Asked & { readonly call: CallWebhook } {
  const asked: Asked = {
    calls: [],
    answer(review) {
      const { uid, desiredAPIVersion, objects } = review['request'] as {
        uid: string
        desiredAPIVersion: string
        objects: Widget[]
      }
      asked.calls.push(objects.length)
      return {
        kind: review['kind'],
        apiVersion: review['apiVersion'],
        response: {
          uid,
          result: { status: 'Success' },
          convertedObjects: objects.map((each) => converted(each, desiredAPIVersion)),
        },
      }
    },
  }
  return Object.assign(asked, {
    call: (async (_config, review) => asked.answer(structuredClone(review))) as CallWebhook,
  })
}

const open = (...fields: readonly string[]): object => ({
  type: 'object',
  properties: Object.fromEntries(fields.map((name) => [name, { type: 'string' }])),
})

const CONVERSION = {
  conversion: {
    strategy: 'Webhook',
    webhook: {
      clientConfig: { url: 'https://hook.test/convert' },
      conversionReviewVersions: ['v1'],
    },
  },
}

async function converting(): Promise<Served & { readonly hook: ReturnType<typeof webhook> }> {
  const hook = webhook()
  const versions = [
    version('v1', { schema: open('hostPort'), selectableFields: [{ jsonPath: '.hostPort' }] }),
    version('v2', {
      storage: false,
      schema: open('host', 'port'),
      selectableFields: [{ jsonPath: '.host' }],
    }),
  ]
  const made = await serving(widgets(versions, CONVERSION), {
    extensions: { callWebhook: hook.call },
  })
  return { ...made, hook }
}

test('a webhook converts what is stored into the version that is asked for, and back', async () => {
  const { request } = await converting()
  await request(`POST ${WIDGETS}`, widget('w', { hostPort: 'a:1' }))
  const { json } = await request(`GET ${V2}/w`)
  assert.deepEqual(
    [json['apiVersion'], json['host'], json['port'], json['hostPort']],
    ['example.com/v2', 'a', '1', undefined],
  )
  const made = await request(`POST ${V2}`, widget('x', { host: 'b', port: '2' }, 'example.com/v2'))
  assert.equal(made.status, 201, made.text)
  assert.equal(made.json['host'], 'b')
  assert.equal((await request(`GET ${WIDGETS}/x`)).json['hostPort'], 'b:2')
  const patched = await request(`PATCH ${V2}/x`, { port: '3' }, MERGE)
  assert.equal(patched.json['port'], '3', patched.text)
  assert.equal((await request(`GET ${WIDGETS}/x`)).json['hostPort'], 'b:3')
  const same = await request(`PATCH ${V2}/x`, { port: '3' }, MERGE)
  assert.equal(
    (same.json['metadata'] as JsonObject)['resourceVersion'],
    (patched.json['metadata'] as JsonObject)['resourceVersion'],
  )
  assert.equal((await request(`DELETE ${V2}/x`)).status, 200)
})

test('what is written in another version comes back as whoever reads it would see it', async () => {
  const { request, hook } = await converting()
  const { answer } = hook
  hook.answer = (review) => {
    const given = answer(review)
    const { convertedObjects } = given['response'] as { convertedObjects: JsonObject[] }
    for (const { metadata } of convertedObjects)
      (metadata as JsonObject)['labels'] = { converted: 'yes' }
    return given
  }
  const made = await request(`POST ${V2}`, widget('x', { host: 'b', port: '2' }, 'example.com/v2'))
  assert.deepEqual((made.json['metadata'] as JsonObject)['labels'], { converted: 'yes' })
  assert.equal(made.json['apiVersion'], 'example.com/v2')
})

test('defaults are those of the version that is written and of the version that is stored', async () => {
  const hook = webhook()
  const schema = (name: string) => ({
    type: 'object',
    properties: {
      d: {
        type: 'object',
        properties: {
          v1: { type: 'boolean' },
          v2: { type: 'boolean' },
          [name]: { type: 'boolean', default: true },
        },
      },
    },
  })
  const versions = [
    version('v1', { schema: schema('v1') }),
    version('v2', { storage: false, schema: schema('v2') }),
  ]
  for (const conversion of [CONVERSION, {}]) {
    const { request } = await serving(widgets(versions, conversion), {
      extensions: { callWebhook: hook.call },
    })
    const made = await request(`POST ${V2}`, widget('x', { d: {} }, 'example.com/v2'))
    assert.deepEqual(made.json['d'], { v1: true, v2: true })
    await request(`POST ${WIDGETS}`, widget('y', { d: {} }))
    assert.deepEqual((await request(`GET ${V2}/y`)).json['d'], { v1: true })
  }
})

test('a list is converted at once, and once for all who ask', async () => {
  const { request, hook } = await converting()
  for (const name of ['a', 'b', 'c'])
    await request(`POST ${WIDGETS}`, widget(name, { hostPort: `${name}:1` }))
  const { json } = await request(`GET ${V2}`)
  assert.deepEqual(
    (json['items'] as Widget[]).map(({ host }) => host),
    ['a', 'b', 'c'],
  )
  await request(`GET ${V2}`)
  assert.deepEqual(hook.calls, [3])
})

test('fields of a converted version select objects, in lists and in watches', async () => {
  const made = await converting()
  const { request } = made
  await request(`POST ${WIDGETS}`, widget('a', { hostPort: 'one:1' }))
  await request(`POST ${WIDGETS}`, widget('b', { hostPort: 'two:1' }))
  const { json } = await request(`GET ${V2}?fieldSelector=host%3Done`)
  assert.deepEqual(
    (json['items'] as Widget[]).map(({ host }) => host),
    ['one'],
  )
  const own = await request(`GET ${WIDGETS}?fieldSelector=hostPort%3Dtwo:1`)
  assert.equal((own.json['items'] as Widget[]).length, 1)
  assert.equal((await request(`GET ${WIDGETS}?fieldSelector=host%3Done`)).status, 400)
  const watching = watchLines(made.server, `${V2}?watch=true&fieldSelector=host%3Done`, 4)
  await request(`PATCH ${WIDGETS}/b`, { hostPort: 'one:2' }, MERGE)
  await request(`PATCH ${WIDGETS}/b`, { hostPort: 'one:3' }, MERGE)
  await request(`PATCH ${WIDGETS}/b`, { hostPort: 'three:3' }, MERGE)
  const events = await watching
  assert.deepEqual(
    events.map(({ type, object }) => [type, object['apiVersion'], object['port']]),
    [
      ['ADDED', 'example.com/v2', '1'],
      ['ADDED', 'example.com/v2', '2'],
      ['MODIFIED', 'example.com/v2', '3'],
      ['DELETED', 'example.com/v2', '3'],
    ],
  )
})

test('what a webhook gets wrong is told, and nothing is shown', async () => {
  const { request, hook } = await converting()
  await request(`POST ${WIDGETS}`, widget('w', { hostPort: 'a:1' }))
  const { answer } = hook
  const cases: readonly (readonly [(response: JsonObject) => void, RegExp])[] = [
    [(r) => (r['uid'] = 'x'), /expected response.uid/],
    [
      (r) => (r['result'] = { status: 'Failed', message: 'no way' }),
      /conversion webhook for example.com\/v1, Kind=Widget failed: no way/,
    ],
    [(r) => (r['convertedObjects'] = []), /Kind=Widget returned 0 objects, expected 1/],
    [
      (r) => {
        const [object] = r['convertedObjects'] as [JsonObject]
        ;(object['metadata'] as JsonObject)['name'] = 'other'
      },
      /returned invalid object: must have the same name: w != other/,
    ],
    [
      (r) => {
        const [object] = r['convertedObjects'] as [JsonObject]
        object['apiVersion'] = 'example.com/v3'
      },
      /index 0: invalid groupVersion \(expected example.com\/v2, received example.com\/v3\)/,
    ],
    [
      (r) => {
        const [object] = r['convertedObjects'] as [JsonObject]
        ;(object['metadata'] as JsonObject)['labels'] = { 'a b': '' }
      },
      /returned invalid metadata: metadata\.labels: Invalid value: \\"a b\\"/,
    ],
  ]
  for (const [spoil, message] of cases) {
    hook.answer = (review) => {
      const given = answer(review)
      spoil(given['response'] as JsonObject)
      return given
    }
    const refused = await request(`GET ${V2}/w`)
    assert.equal(refused.status, 500)
    assert.match(refused.text, message)
  }
  hook.answer = answer
  assert.equal((await request(`GET ${V2}/w`)).status, 200)
  assert.equal((await request(`GET ${WIDGETS}/w`)).status, 200)
})

test('a definition takes its objects with it when its webhook is gone already', async () => {
  const { request, hook } = await converting()
  await request(`POST ${WIDGETS}`, widget('w', { hostPort: 'a:1' }))
  const path = `${CRDS}/widgets.example.com`
  await request(
    `PATCH ${path}`,
    [
      { op: 'replace', path: '/spec/versions/0/storage', value: false },
      { op: 'replace', path: '/spec/versions/1/storage', value: true },
    ],
    { 'content-type': 'application/json-patch+json' },
  )
  hook.answer = () => {
    throw new Error('nobody is there')
  }
  await until(async () => (await request(`GET ${WIDGETS}/w`)).status === 200)
  await request(`DELETE ${path}`)
  await until(async () => (await request(`GET ${path}`)).status === 404)
})

test('a webhook may change labels, and nothing else of the metadata that is not its own', async () => {
  const { request, hook } = await converting()
  await request(`POST ${WIDGETS}`, widget('w', { hostPort: 'a:1' }))
  const { answer } = hook
  hook.answer = (review) => {
    const given = answer(review)
    const [object] = (given['response'] as JsonObject)['convertedObjects'] as [JsonObject]
    const metadata = object['metadata'] as JsonObject
    metadata['labels'] = { a: 'b' }
    metadata['generation'] = 77
    return given
  }
  const { json } = await request(`GET ${V2}/w`)
  const metadata = json['metadata'] as JsonObject
  assert.deepEqual(metadata['labels'], { a: 'b' })
  assert.equal(metadata['generation'], 1)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { definitions, pods, typeTable, type Pod } from '#api'
import { virtualEnv } from '#base'
import {
  encodeProtobuf,
  readEnvelope,
  splitMetadata,
  type JsonObject,
  type KubeObject,
} from '#machinery'
import { kindOf } from '../expected-kind.ts'
import { Codec } from './codec.ts'
import { builtInAdmission } from '../admission/index.ts'
import { send, testServer } from '../server.testing.ts'

const PODS = '/api/v1/namespaces/shop/pods'
const SPEC =
  '"spec":{"containers":[{"name":"c","image":"i","env":[{"name":"A","value":"metadata"}]}]}'
const withMetadata = (metadata: string): string =>
  `{"kind":"Pod","apiVersion":"v1","metadata":${metadata},${SPEC}}`

const definition = definitions.find(({ facts }) => facts.group === '' && facts.resource === 'pods')!

/** A codec that has seen the text with plain metadata often enough to know it. */
function practised(): Codec {
  const codec = new Codec(typeTable)
  for (const name of ['a', 'b']) read(codec, withMetadata(`{"name":"${name}"}`))
  return codec
}

const read = (codec: Codec, text: string) =>
  codec.decoder.decodeNew(Buffer.from(text), 'json', kindOf(definition))

test('the third object of a text comes from a template, with its defaults', () => {
  const { object, template, problems } = read(practised(), withMetadata('{"name":"c"}'))
  assert.notEqual(template, undefined)
  assert.deepEqual(problems, [])
  const whole = JSON.parse(withMetadata('{"name":"c"}')) as JsonObject
  definition.defaults(whole)
  assert.deepEqual(object['spec'], whole['spec'])
  assert.deepEqual(Object.keys(object), ['kind', 'apiVersion', 'metadata', 'spec', 'status'])
})

test('what an object has of a template cannot be changed, and it can have its own', () => {
  const codec = practised()
  const { object, template } = read(codec, withMetadata('{"name":"c"}'))
  const image = (each: JsonObject, value: string): void => {
    ;(each as unknown as { spec: { containers: { image: string }[] } }).spec.containers[0]!.image =
      value
  }
  assert.throws(() => image(object, 'other'), TypeError)
  image(template!.objectWith({}), 'other')
  const { object: next } = read(codec, withMetadata('{"name":"d"}'))
  assert.equal((next as unknown as Pod).spec.containers[0]!.image, 'i')
})

test('metadata is read as it is without a template, whatever is in it', () => {
  const codec = practised()
  const fresh = (): Codec => new Codec(typeTable)
  const outcome = (each: Codec, text: string): unknown => {
    try {
      const { object, problems } = read(each, text)
      definition.defaults(object)
      return { object, problems }
    } catch (error) {
      return String(error)
    }
  }
  const odd = [
    '{"name":"c","name":"d"}',
    '{"name":"c","nmae":"d"}',
    '{"name":"c","labels":{"a":1}}',
    '{"name":"c"},"metadata":{"name":"d"}',
    '{"name":"c"},"x":{}',
    '{"name":"c"',
    'null',
    '[]',
    '',
    ' { "name" : "c" } ',
    '{"name":"ä","annotations":{"a":"\\u0000","b":null}}',
    '{"creationTimestamp":null,"name":"c","labels":{"b":"1","a":"2"},"managedFields":[]}',
  ]
  for (const metadata of odd) {
    const text = withMetadata(metadata)
    assert.deepEqual(outcome(codec, text), outcome(fresh(), text), metadata)
  }
  fc.assert(
    fc.property(
      fc.record(
        {
          name: fc.string(),
          labels: fc.dictionary(fc.string(), fc.string()),
          annotations: fc.dictionary(fc.string(), fc.option(fc.string())),
          finalizers: fc.array(fc.string()),
          generation: fc.oneof(fc.integer(), fc.string()),
        },
        { requiredKeys: [] },
      ),
      (metadata) => {
        const text = withMetadata(JSON.stringify(metadata))
        assert.deepEqual(outcome(codec, text), outcome(fresh(), text))
      },
    ),
    { numRuns: 50 },
  )
})

const created = async (
  { server }: Awaited<ReturnType<typeof testServer>>,
  name: string,
  query = '',
) => send(server, `POST ${PODS}${query}`, withMetadata(`{"name":"${name}"}`))

test('objects of one template are the same to clients, and one in memory', async () => {
  const made = await testServer()
  const answers = []
  for (const name of ['a', 'b', 'c', 'd', 'e']) answers.push(await created(made, name))
  const [first, ...others] = answers.map(({ text }) => text)
  const plain = (text = ''): string =>
    text
      .replace(/"name":"[a-e]",/, '')
      .replace(/"uid":"[^"]*"/, '')
      .replace(/"resourceVersion":"\d+"/, '')
  for (const text of others) assert.equal(plain(text), plain(first))
  const specOf = (name: string) => made.server.inside.read.get(pods, 'shop', name)?.spec
  assert.equal(specOf('d'), specOf('e'))
})

test('changing one of them leaves the others alone', async () => {
  const made = await testServer()
  for (const name of ['a', 'b', 'c', 'd', 'e']) await created(made, name)
  const body = { spec: { containers: [{ name: 'c', image: 'new' }] } }
  const type = { 'content-type': 'application/strategic-merge-patch+json' }
  const patched = await send(made.server, `PATCH ${PODS}/e`, body, type)
  assert.equal(patched.status, 200, patched.text)
  const other = await send(made.server, `GET ${PODS}/d`)
  assert.equal((other.json as unknown as Pod).spec.containers[0]!.image, 'i')
  const status = { status: { phase: 'Running' } }
  const reported = await send(made.server, `PATCH ${PODS}/d/status`, status, type)
  assert.equal(reported.status, 200, reported.text)
  const last = (await created(made, 'f')).json as unknown as Pod
  assert.equal(last.status?.phase, 'Pending')
})

test('what admission makes of each object is what is stored of it', async () => {
  let count = 0
  const made = await testServer({
    extensions: {
      admission: [
        {
          name: 'Numbers',
          handles: ({ operation }) => operation === 'CREATE',
          mutate: async ({ object }) => {
            const { spec } = object as unknown as { spec: { nodeSelector: object } }
            spec.nodeSelector = { number: String(count++ % 3) }
          },
        },
      ],
    },
  })
  for (let i = 0; i < 20; i++) {
    const { json } = await created(made, `pod-${i}`)
    assert.deepEqual((json as unknown as Pod).spec.nodeSelector, { number: String(i % 3) })
    const { json: stored } = await send(made.server, `GET ${PODS}/pod-${i}`)
    assert.deepEqual(stored, json)
  }
})

test('warnings and refusals are told of every object', async () => {
  const made = await testServer()
  const text = (name: string, image: string): string =>
    `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"${name}"},"spec":{"nodeSelector":{"beta.kubernetes.io/os":"linux"},"containers":[{"name":"c","image":"${image}"}]}}`
  for (let i = 0; i < 6; i++) {
    const { headers } = await send(made.server, `POST ${PODS}`, text(`pod-${i}`, 'i'))
    assert.match(String(headers['warning']), /beta.kubernetes.io\/os/)
    const refused = await send(made.server, `POST ${PODS}`, text(`pod-${i}`, ''))
    assert.equal(refused.status, 422)
    const misspelt = withMetadata(`{"name":"odd-${i}","lables":{}}`)
    const strict = await send(made.server, `POST ${PODS}?fieldValidation=Strict`, misspelt)
    assert.match(strict.text, /unknown field \\"metadata.lables\\"/)
  }
})

test('the owned fields are those of the request, whoever made it', async () => {
  const made = await testServer()
  const owners = async (name: string, agent: string) => {
    const { json } = await send(made.server, `POST ${PODS}`, withMetadata(`{"name":"${name}"}`), {
      'user-agent': agent,
    })
    return (json as unknown as KubeObject).metadata.managedFields
  }
  const first = await owners('a', 'one')
  await owners('b', 'one')
  await owners('c', 'one')
  const [last] = (await owners('d', 'two'))!
  assert.deepEqual(
    [last],
    first?.map((entry) => ({ ...entry, manager: 'two' })),
  )
})

test('names are generated, and dry runs leave nothing, as without a template', async () => {
  const { server } = await testServer()
  const names = new Set<string>()
  for (let i = 0; i < 6; i++) {
    const text = withMetadata('{"generateName":"web-"}')
    const dry = await send(server, `POST ${PODS}?dryRun=All`, text)
    assert.equal(dry.status, 201, dry.text)
    assert.deepEqual(Object.keys(dry.json), ['kind', 'apiVersion', 'metadata', 'spec', 'status'])
    const { json } = await send(server, `POST ${PODS}`, text)
    const { name } = (json as unknown as KubeObject).metadata
    assert.match(name, /^web-[a-z0-9]{5}$/)
    names.add(name)
    assert.deepEqual({ ...json, metadata: 0 }, { ...dry.json, metadata: 0 })
  }
  assert.equal(names.size, 6)
  const { json } = await send(server, `GET ${PODS}`)
  assert.equal((json['items'] as readonly unknown[]).length, 6)
})

/** With the plugins that a stock cluster has. */
async function stockServer() {
  const env = virtualEnv()
  const made = await testServer({
    env,
    extensions: (inside) => ({
      admission: builtInAdmission(inside, {
        env,
        authorizer: { authorize: async () => ({ verdict: 'allow', reason: '' }) },
      }),
    }),
  })
  const ask = (line: string, body?: unknown) => send(made.server, line, body)
  await ask('POST /api/v1/namespaces', { metadata: { name: 'shop' } })
  await ask('POST /api/v1/namespaces/shop/serviceaccounts', { metadata: { name: 'default' } })
  let count = 0
  /** The spec of the next pod, as it is stored; its status code when it is refused. */
  const next = async (metadata: JsonObject = {}): Promise<Pod['spec'] | number> => {
    const text = withMetadata(JSON.stringify({ name: `pod-${count++}`, ...metadata }))
    const { status, json } = await ask(`POST ${PODS}`, text)
    return status === 201 ? (json as unknown as Pod).spec : status
  }
  /** The same again and again, so that it is known. */
  const settled = async (metadata?: JsonObject): Promise<Pod['spec']> => {
    const specs = []
    for (let i = 0; i < 5; i++) specs.push(await next(metadata))
    for (const spec of specs) assert.deepEqual(spec, specs[0])
    return specs[0] as Pod['spec']
  }
  return { env, ask, next, settled }
}

test('what admission changes follows what it comes from', async () => {
  const { env, ask, next, settled } = await stockServer()
  const before = await settled()
  assert.equal(before.volumes?.length, 1)
  assert.equal(before.priority, 0)
  const CLASSES = '/apis/scheduling.k8s.io/v1/priorityclasses'
  const high = { metadata: { name: 'high' }, value: 1000, globalDefault: true }
  await ask(`POST ${CLASSES}`, high)
  const { priority, priorityClassName } = await settled()
  assert.deepEqual([priority, priorityClassName], [1000, 'high'])
  await ask(`DELETE ${CLASSES}/high`)
  assert.deepEqual(await settled(), before)

  const ACCOUNT = '/api/v1/namespaces/shop/serviceaccounts/default'
  const { json: account } = await ask(`GET ${ACCOUNT}`)
  await ask(`PUT ${ACCOUNT}`, { ...account, automountServiceAccountToken: false })
  assert.equal((await settled()).volumes, undefined)
  await ask(`DELETE ${ACCOUNT}`)
  const refused = next()
  // It may be on its way.
  await env.advance(10_000)
  assert.equal(await refused, 403)
  await ask('POST /api/v1/namespaces/shop/serviceaccounts', { metadata: { name: 'default' } })
  assert.deepEqual(await settled(), before)

  const limit = { type: 'Container', default: { cpu: '1' } }
  await ask('POST /api/v1/namespaces/shop/limitranges', {
    metadata: { name: 'l' },
    spec: { limits: [limit] },
  })
  const limited = await settled()
  assert.deepEqual(limited.containers[0]?.resources?.limits, { cpu: '1' })
  await ask('DELETE /api/v1/namespaces/shop/limitranges/l')
  assert.deepEqual(await settled(), before)
})

test('pods of a template that are special are treated so', async () => {
  const { ask, next, settled } = await stockServer()
  const usual = await settled()
  // A mirror pod gets no account's volume.
  const annotations = { 'kubernetes.io/config.mirror': 'x' }
  assert.equal(((await next({ annotations })) as Pod['spec']).volumes, undefined)
  assert.deepEqual(await settled(), usual)
  await ask('DELETE /api/v1/namespaces/shop')
  assert.equal(await next(), 403)
})

const POD = 'io.k8s.api.core.v1.Pod'
const PROTOBUF = 'application/vnd.kubernetes.protobuf'

const messageOf = (metadata: object): Uint8Array =>
  encodeProtobuf(typeTable, POD, JSON.parse(withMetadata(JSON.stringify(metadata))) as JsonObject)

/** What does not differ between objects of one template. */
const common = (json: JsonObject): unknown => {
  const { name: _, uid: __, resourceVersion: ___, ...metadata } = json['metadata'] as JsonObject
  return { ...json, metadata }
}

test('objects that come as messages are those that come as text', async () => {
  const { server } = await testServer()
  const labels = { app: 'web' }
  const text = withMetadata(JSON.stringify({ name: 'text', labels }))
  const { json: wanted } = await send(server, `POST ${PODS}`, text)
  for (let i = 0; i < 6; i++) {
    const made = await send(server, `POST ${PODS}`, messageOf({ name: `pod-${i}`, labels }), {
      'content-type': PROTOBUF,
    })
    assert.equal(made.status, 201, made.text)
    assert.deepEqual(common(made.json), common(wanted))
    const { json: stored } = await send(server, `GET ${PODS}/pod-${i}`)
    assert.deepEqual(stored, made.json)
  }
  const specOf = (name: string) => server.inside.read.get(pods, 'shop', name)?.spec
  assert.equal(specOf('pod-4'), specOf('pod-5'))
})

test('a message is read as it is without a template, wherever its metadata is', () => {
  const decode = (codec: Codec, message: Uint8Array): unknown => {
    const { object } = codec.decoder.decodeNew(message, 'protobuf', kindOf(definition))
    const own = structuredClone(object)
    definition.defaults(own)
    return own
  }
  const known = new Codec(typeTable)
  for (const name of ['a', 'b']) decode(known, messageOf({ name }))
  const { template } = known.decoder.decodeNew(
    messageOf({ name: 'c' }),
    'protobuf',
    kindOf(definition),
  )
  assert.notEqual(template, undefined)
  const enveloped = (...fields: readonly Uint8Array[]): Uint8Array => {
    const raw = Buffer.concat(fields)
    const type = Buffer.from('\n\x09\n\x02v1\x12\x03Pod', 'latin1')
    const length = [0x12, (raw.length & 0x7f) | 0x80, raw.length >> 7]
    return Buffer.concat([Buffer.from('k8s\0'), type, Buffer.from(length), raw])
  }
  const { metadata, rest } = splitMetadata(readEnvelope(messageOf({ name: 'd' })).raw)!
  const field = Buffer.concat([Buffer.from([0x0a, metadata.length]), metadata])
  const other = splitMetadata(readEnvelope(messageOf({ name: 'e' })).raw)!.metadata
  const second = Buffer.concat([Buffer.from([0x0a, other.length]), other])
  const messages = [
    messageOf({ name: 'f', annotations: { a: 'b' }, finalizers: ['x/y'] }),
    messageOf({}),
    enveloped(field, rest),
    enveloped(rest, field),
    enveloped(field, second, rest),
    enveloped(field, rest, second),
    enveloped(rest),
    enveloped(field),
  ]
  // Again and again, so that each of them could be learned.
  for (let round = 0; round < 4; round++)
    for (const message of messages)
      assert.deepEqual(decode(known, message), decode(new Codec(typeTable), message))
})

test('objects of one owner that come from this process are those that come as text', async () => {
  const { server, api } = await testServer()
  const owner = {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    name: 'web',
    uid: 'u',
    controller: true,
  }
  const draft = JSON.parse(
    withMetadata(JSON.stringify({ generateName: 'web-', ownerReferences: [owner] })),
  ) as JsonObject & { spec: { containers: { image: string }[] } }
  const { json: wanted } = await send(server, `POST ${PODS}`, draft)
  const create = async (): Promise<JsonObject> =>
    (await api.request({ method: 'POST', path: PODS, body: draft })) as JsonObject
  const names = new Set<unknown>()
  const made: Pod[] = []
  const comparable = (json: JsonObject): unknown => {
    const { managedFields: _, ...metadata } = (common(json) as { metadata: JsonObject }).metadata
    return { ...json, metadata }
  }
  for (let i = 0; i < 6; i++) {
    const pod = await create()
    assert.deepEqual(comparable(pod), comparable(wanted))
    made.push(pod as unknown as Pod)
    names.add(made.at(-1)!.metadata.name)
  }
  assert.equal(names.size, 6)
  assert.equal(made[4]!.spec, made[5]!.spec)
  // What is sent stays its sender's.
  draft.spec.containers[0]!.image = 'other'
  const { spec } = (await create()) as unknown as Pod
  assert.equal(spec.containers[0]!.image, 'other')
  assert.equal(made[5]!.spec.containers[0]!.image, 'i')
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLogger, virtualEnv, type LogRecord } from '#base'
import { StatusError } from '#machinery'
import type { Attributes } from '../access.ts'
import { ADMIN, exchangeFor, send, testServer } from '../server.testing.ts'

const jane = { name: 'jane', groups: ['system:authenticated'] }
const PODS = '/api/v1/namespaces/shop/pods'

/** Everybody is jane, who may do what `may` says. */
const asJane = (may: (attributes: Attributes) => boolean, user = jane) =>
  testServer({
    extensions: {
      authenticator: { authenticate: async () => ({ user }) },
      authorizer: {
        authorize: async (attributes) => ({
          verdict: may(attributes) ? 'allow' : 'noOpinion',
          reason: '',
        }),
      },
    },
  })

test('a refusal says who may not do what, and where', async () => {
  const { server } = await asJane(() => false)
  const message = async (line: string) => {
    const { status, json } = await send(server, line)
    assert.equal(status, 403)
    assert.equal(json['reason'], 'Forbidden')
    return json['message']
  }
  assert.equal(
    await message(`GET ${PODS}`),
    'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "shop"',
  )
  assert.equal(
    await message('GET /apis/apps/v1/deployments'),
    'deployments.apps is forbidden: User "jane" cannot list resource "deployments" in API group "apps" at the cluster scope',
  )
  assert.equal(
    await message(`GET ${PODS}/web/log`),
    'pods "web" is forbidden: User "jane" cannot get resource "pods/log" in API group "" in the namespace "shop"',
  )
  assert.equal(await message('GET /metrics'), 'forbidden: User "jane" cannot get path "/metrics"')
  assert.equal(
    await message('GET /<b>&'),
    'forbidden: User "jane" cannot get path "/&lt;b&gt;&amp;"',
  )
})

test('nobody known is 401', async () => {
  const { server } = await testServer({
    extensions: { authenticator: { authenticate: async () => undefined } },
  })
  const { status, json } = await send(server, `GET ${PODS}`)
  assert.equal(status, 401)
  assert.equal(json['reason'], 'Unauthorized')
})

test('a certificate of another authority is not an anonymous visit', async () => {
  const user = { name: 'system:anonymous', groups: ['system:unauthenticated'] }
  const { server } = await asJane(() => true, user)
  const reply = await server.handler({ ...exchangeFor('GET /version'), untrustedCertificate: true })
  assert.equal(reply.status, 401)
  assert.equal((await send(server, 'GET /version')).status, 200)
})

test('who may impersonate acts as the other, with that one’s groups', async () => {
  const seen: Attributes[] = []
  const { server } = await asJane((attributes) => {
    seen.push(attributes)
    return attributes.verb !== 'impersonate' || attributes.name !== 'boss'
  })
  const headers = {
    'impersonate-user': 'system:serviceaccount:shop:web',
    'impersonate-extra-scopes': 'view',
  }
  assert.equal((await send(server, `GET ${PODS}`, undefined, headers)).status, 200)
  const [account, extra, list] = seen
  assert.equal(account?.resource, 'serviceaccounts')
  assert.equal(account?.namespace, 'shop')
  assert.equal(extra?.subresource, 'scopes')
  assert.equal(list?.user.name, 'system:serviceaccount:shop:web')
  assert.deepEqual(list?.user.groups, [
    'system:serviceaccounts',
    'system:serviceaccounts:shop',
    'system:authenticated',
  ])
  const refused = await send(server, `GET ${PODS}`, undefined, { 'impersonate-user': 'boss' })
  assert.equal(refused.status, 403)
  assert.match(String(refused.json['message']), /User "jane" cannot impersonate resource "users"/)
  assert.equal(
    (await send(server, `GET ${PODS}`, undefined, { 'impersonate-group': 'g' })).status,
    400,
  )
})

test('every failure is a Status, and none tells of the inside', async () => {
  const { server } = await testServer({
    extensions: {
      authorizer: {
        authorize: async () => {
          throw new Error('secret detail')
        },
      },
    },
  })
  const { status, json, text } = await send(server, `GET ${PODS}`)
  assert.equal(status, 500)
  assert.equal(json['kind'], 'Status')
  assert.doesNotMatch(text, /secret detail/)
})

test('unknown paths, resources, methods and media types are refused in the right words', async () => {
  const { server } = await testServer()
  const answer = async (line: string, headers = {}) => {
    const { status, json } = await send(server, line, undefined, headers)
    assert.equal(json['kind'], 'Status')
    return [status, json['reason']]
  }
  assert.deepEqual(await answer('GET /api/v1/things'), [404, 'NotFound'])
  assert.deepEqual(await answer(`GET ${PODS}/web/nothing`), [404, 'NotFound'])
  assert.deepEqual(await answer('PUT /api/v1/namespaces/shop/pods'), [405, 'MethodNotAllowed'])
  assert.deepEqual(await answer('POST /version'), [405, 'MethodNotAllowed'])
  assert.deepEqual(await answer('GET /api/v1/namespaces/shop/bindings'), [405, 'MethodNotAllowed'])
  assert.deepEqual(await answer('GET /api/v1/namespaces/shop/bindings/a'), [404, 'NotFound'])
  assert.deepEqual(await answer(`GET ${PODS}`, { accept: 'application/cbor' }), [
    406,
    'NotAcceptable',
  ])
  assert.deepEqual(await answer(`POST ${PODS}`, { 'content-type': 'application/cbor' }), [
    415,
    'UnsupportedMediaType',
  ])
  assert.deepEqual(await answer(`POST ${PODS}`), [400, 'BadRequest'])
})

test('methods that nobody routes are 405, also where a conversation would begin', async () => {
  const { server, api } = await testServer()
  const spec = { containers: [{ name: 'main', image: 'web:1' }] }
  await api.request({ method: 'POST', path: PODS, body: { metadata: { name: 'web' }, spec } })
  const lines = [`HEAD ${PODS}`, `HEAD ${PODS}/web`, `PUT ${PODS}/web/exec`, `POST ${PODS}/web/log`]
  for (const line of lines) assert.equal((await send(server, line)).status, 405, line)
})

test('what takes too long is 504', async () => {
  const never = Promise.withResolvers<never>()
  const { server, env } = await testServer({
    requestTimeoutMs: 60_000,
    extensions: {
      admission: [{ name: 'Slow', handles: () => true, mutate: () => never.promise }],
    },
  })
  const answer = send(server, 'POST /api/v1/namespaces', { metadata: { name: 'a' } })
  await env.settle()
  await env.advance(61_000)
  const { status, json } = await answer
  assert.equal(status, 504)
  assert.equal(json['reason'], 'Timeout')
})

test('who asks for less time gets it, and the work ends with it', async () => {
  let work: { readonly signal: AbortSignal; readonly deadline?: number | undefined } | undefined
  const { server, env } = await testServer({
    extensions: {
      admission: [
        {
          name: 'Slow',
          handles: () => true,
          mutate: (request) => {
            work = request
            return new Promise(() => undefined)
          },
        },
      ],
    },
  })
  const body = { metadata: { name: 'a' } }
  const began = env.clock.monotonic()
  const answer = send(server, 'POST /api/v1/namespaces/shop/configmaps?timeout=1.5s', body)
  await env.advance(1499)
  assert.equal(work?.deadline, began + 1500)
  assert.equal(work.signal.aborted, false)
  await env.advance(1)
  assert.equal((await answer).status, 504)
  assert.equal(work.signal.aborted, true)
  const refusedFor = async (timeout: string): Promise<unknown> => {
    const { status, json } = await send(server, `GET /api/v1/namespaces?timeout=${timeout}`)
    return [status, json['message']]
  }
  const words = 'invalid timeout specified in the request URL - time:'
  assert.deepEqual(await refusedFor('soon'), [400, `${words} invalid duration "soon"`])
  assert.deepEqual(await refusedFor('10'), [400, `${words} missing unit in duration "10"`])
})

test('too much at once is 429, but not for administrators', async () => {
  const hold = Promise.withResolvers<void>()
  const env = virtualEnv()
  let user = jane
  const { server } = await testServer({
    env,
    maxInFlight: { reading: 1, writing: 1 },
    extensions: {
      authenticator: { authenticate: async () => ({ user }) },
      admission: [{ name: 'Slow', handles: () => true, mutate: () => hold.promise }],
    },
  })
  const create = (name: string) => send(server, 'POST /api/v1/namespaces', { metadata: { name } })
  const first = [create('a'), create('b')]
  await env.settle()
  const more = await create('c')
  assert.equal(more.status, 429)
  assert.equal(more.headers['retry-after'], '1')
  user = ADMIN
  const admin = create('d')
  hold.resolve()
  for (const { status } of await Promise.all([...first, admin])) assert.equal(status, 201)
  user = jane
  assert.equal((await create('e')).status, 201)
})

test('an answer names its request and carries warnings', async () => {
  const { server } = await testServer({
    extensions: {
      admission: [
        {
          name: 'Warns',
          handles: () => true,
          async validate({ warn }) {
            warn('mind the "gap"\n')
          },
        },
      ],
    },
  })
  const { headers } = await send(server, 'POST /api/v1/namespaces', { metadata: { name: 'a' } })
  assert.equal(headers['audit-id'], 'test')
  assert.equal(headers['cache-control'], 'no-cache, private')
  assert.deepEqual(headers['warning'], ['299 - "mind the \\"gap\\" "'])
})

test('the log of a slow request says what its time went into', async () => {
  const said: LogRecord[] = []
  const log = createLogger({
    now: () => new Date(),
    level: () => 'warn',
    sink: (record) => said.push(record),
  })
  const env = virtualEnv({ log })
  const { server } = await testServer({
    env,
    extensions: {
      admission: [
        { name: 'Slow', handles: () => true, validate: () => env.clock.sleep(600) },
        { name: 'Quick', handles: () => true, validate: async () => undefined },
      ],
    },
  })
  const sent = send(server, 'POST /api/v1/namespaces', { metadata: { name: 'a' } })
  await env.advance(700)
  assert.equal((await sent).status, 201)
  const [record] = said
  assert.equal(record?.message, 'slow request')
  assert.deepEqual(record.fields, {
    id: 'test',
    verb: 'create',
    path: '/api/v1/namespaces',
    user: 'admin',
    code: 201,
    ms: 600,
    parts: 'validating admission 600 ms',
  })
})

test('admission changes, then refuses, and hears of deletes', async () => {
  const heard: string[] = []
  const { server } = await testServer({
    extensions: {
      admission: [
        {
          name: 'Labels',
          handles: ({ operation }) => operation === 'CREATE',
          async mutate({ object }) {
            const metadata = object?.['metadata'] as { labels?: Record<string, string> }
            metadata.labels = { ...metadata.labels, added: 'yes' }
          },
        },
        {
          name: 'Refuses',
          handles: () => true,
          async validate({ operation, name, old, object }) {
            heard.push(`${operation} ${name} ${old !== undefined} ${object !== undefined}`)
            if (name === 'bad') throw new StatusError('Forbidden', 'not this one')
          },
        },
      ],
    },
  })
  const made = await send(server, 'POST /api/v1/namespaces', { metadata: { name: 'a' } })
  const { labels } = made.json['metadata'] as { labels: Record<string, string> }
  assert.equal(labels['added'], 'yes')
  const bad = await send(server, 'POST /api/v1/namespaces', { metadata: { name: 'bad' } })
  assert.equal(bad.status, 403)
  await send(server, 'DELETE /api/v1/namespaces/a')
  assert.deepEqual(heard, ['CREATE a false true', 'CREATE bad false true', 'DELETE a true false'])
})

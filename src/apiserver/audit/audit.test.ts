import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualEnv } from '#base'
import { StatusError } from '#machinery'
import { ADMIN, exchangeFor, send, testServer } from '../server.testing.ts'
import type { AuditEvent } from './event.ts'
import { openAudit } from './index.ts'
import { detailFor, parseAuditPolicy } from './policy.ts'
import { auditLog, auditWebhook } from './sinks.ts'

const policyOf = (rules: string) =>
  parseAuditPolicy(`apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n${rules}`)

async function audited(rules: string) {
  const events: AuditEvent[] = []
  const tested = await testServer({
    audit: { policy: policyOf(rules), write: (event) => void events.push(event) },
  })
  return { ...tested, events }
}

const info = {
  isResource: true,
  verb: 'get',
  group: '',
  version: 'v1',
  namespace: 'shop',
  resource: 'secrets',
  subresource: '',
  name: 'a',
  rest: '',
  path: '/api/v1/namespaces/shop/secrets/a',
}
const levelOf = (rules: string, more: object = {}, groups: readonly string[] = []) =>
  detailFor(policyOf(rules), { name: 'jane', groups }, { ...info, ...more }).level

test('the first rule that fits decides, and what none fits is not written', () => {
  const rules = `
- {level: None, users: ["system:kube-proxy"]}
- {level: None, userGroups: [readers], verbs: [get]}
- {level: Metadata, resources: [{group: "", resources: [secrets, "pods/*", "*/scale"]}]}
- {level: Request, namespaces: [shop], resources: [{group: apps}]}
- {level: RequestResponse, nonResourceURLs: ["/healthz*"]}`
  assert.equal(levelOf(rules), 'Metadata')
  assert.equal(levelOf(rules, {}, ['readers']), 'None')
  assert.equal(levelOf(rules, { resource: 'pods' }), 'None')
  assert.equal(levelOf(rules, { resource: 'pods', subresource: 'exec' }), 'Metadata')
  assert.equal(levelOf(rules, { resource: 'widgets', subresource: 'scale' }), 'Metadata')
  assert.equal(levelOf(rules, { group: 'apps', resource: 'deployments' }), 'Request')
  assert.equal(
    levelOf(rules, { group: 'apps', resource: 'deployments', namespace: 'other' }),
    'None',
  )
  assert.equal(levelOf(rules, { isResource: false, path: '/healthz/etcd' }), 'RequestResponse')
  assert.equal(
    levelOf(
      '- {level: Metadata, resources: [{group: "", resources: [secrets], resourceNames: [b]}]}',
    ),
    'None',
  )
})

test('a policy that cannot be right is refused with the field', () => {
  assert.throws(() => parseAuditPolicy('kind: Pod'), /must have apiVersion "audit.k8s.io\/v1"/)
  assert.throws(() => policyOf('- {level: Everything}'), /rules\[0\]\.level: "Everything" is none/)
  assert.throws(() => policyOf('- {level: None, user: [a]}'), /rules\[0\]\.user: unknown field/)
  assert.throws(() => policyOf('- {level: None, omitStages: [Start]}'), /"Start" is none of/)
  assert.throws(() => policyOf('- {level: None, nonResourceURLs: ["a*b"]}'), /must begin with "\/"/)
})

test('a write leaves an event a stage, with what was sent and answered', async () => {
  const { server, events } = await audited('- {level: RequestResponse}')
  const sent = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } }
  await send(server, 'POST /api/v1/namespaces?fieldManager=me', sent, { 'user-agent': 'test/1' })
  assert.deepEqual(
    events.map(({ stage }) => stage),
    ['RequestReceived', 'ResponseComplete'],
  )
  const [, complete] = events
  assert.equal(complete?.verb, 'create')
  assert.equal(complete?.user.username, ADMIN.name)
  assert.equal(complete?.userAgent, 'test/1')
  assert.equal(complete?.requestURI, '/api/v1/namespaces?fieldManager=me')
  assert.deepEqual(complete?.objectRef, { resource: 'namespaces', name: 'shop', apiVersion: 'v1' })
  assert.deepEqual(complete?.requestObject, sent)
  assert.equal((complete?.responseObject as { kind: string } | undefined)?.kind, 'Namespace')
  assert.deepEqual(complete?.responseStatus, { metadata: {}, code: 201 })
  assert.equal(complete?.annotations?.['authorization.k8s.io/decision'], 'allow')
  assert.match(complete?.stageTimestamp ?? '', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
})

test('metadata says who and what, and nothing of the content', async () => {
  const { server, events } = await audited('- {level: Metadata, omitStages: [RequestReceived]}')
  await send(server, 'POST /api/v1/namespaces', { metadata: { name: 'shop' } })
  const [event, more] = events
  assert.equal(more, undefined)
  assert.equal(event?.stage, 'ResponseComplete')
  assert.deepEqual(event?.objectRef, { resource: 'namespaces', name: 'shop', apiVersion: 'v1' })
  assert.ok(!('requestObject' in event) && !('responseObject' in event))
})

test('a refusal is written with its status', async () => {
  const { server, events } = await audited('- {level: Metadata, omitStages: [RequestReceived]}')
  await send(server, 'GET /api/v1/namespaces/absent')
  assert.equal(events[0]?.responseStatus?.code, 404)
  assert.equal(events[0]?.responseStatus?.reason, 'NotFound')
})

test('a watch begins with ResponseStarted and completes when it ends', async () => {
  const { server, events } = await audited('- {level: Metadata, omitStages: [RequestReceived]}')
  const { body } = await server.handler(exchangeFor('GET /api/v1/namespaces?watch=true'))
  assert.ok(body !== undefined && !(body instanceof Uint8Array))
  assert.deepEqual(
    events.map(({ stage }) => stage),
    ['ResponseStarted'],
  )
  await body[Symbol.asyncIterator]().return?.()
  assert.deepEqual(
    events.map(({ stage }) => stage),
    ['ResponseStarted', 'ResponseComplete'],
  )
  assert.equal(events[0]?.verb, 'watch')
})

test('a login that failed is written without a user', async () => {
  const events: AuditEvent[] = []
  const { server } = await testServer({
    audit: { policy: policyOf('- {level: Metadata}'), write: (event) => void events.push(event) },
    extensions: {
      authenticator: {
        authenticate: () => Promise.reject(new StatusError('Unauthorized', 'Unauthorized')),
      },
    },
  })
  await send(server, 'GET /api/v1/namespaces')
  assert.equal(events.length, 1)
  assert.equal(events[0]?.user.username, '')
  assert.equal(events[0]?.responseStatus?.code, 401)
})

test('who acts as somebody else is written with both names', async () => {
  const { server, events } = await audited('- {level: Metadata, omitStages: [RequestReceived]}')
  await send(server, 'GET /api/v1/namespaces', undefined, { 'impersonate-user': 'jane' })
  assert.equal(events[0]?.user.username, ADMIN.name)
  assert.equal(events[0]?.impersonatedUser?.username, 'jane')
})

const event = (auditID: string): AuditEvent => ({
  kind: 'Event',
  apiVersion: 'audit.k8s.io/v1',
  level: 'Metadata',
  auditID,
  stage: 'ResponseComplete',
  requestURI: '/',
  verb: 'get',
  user: { username: 'x'.repeat(300_000) },
  sourceIPs: [],
  requestReceivedTimestamp: '',
  stageTimestamp: '',
})

test('the file is one event a line, rotated, and the oldest is given up', async () => {
  const env = virtualEnv()
  const sink = auditLog(env, { path: '/audit.log', maxSizeMb: 1, maxBackups: 2 })
  for (let n = 0; n < 20; n++) {
    sink.write(event(String(n)))
    await env.advance(1)
  }
  await sink.close()
  const ids = async (path: string) =>
    (await env.fs.readText(path))
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as AuditEvent).auditID)
  assert.deepEqual(await ids('/audit.log'), ['18', '19'])
  assert.deepEqual(await ids('/audit.log.1'), ['15', '16', '17'])
  assert.equal((await ids('/audit.log.2')).length, 3)
  assert.equal(await env.fs.stat('/audit.log.3'), undefined)
})

test('who has an answer finds the event in the log', async () => {
  const env = virtualEnv()
  await env.fs.write(
    '/policy.yaml',
    'apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]',
  )
  const audit = await openAudit(env, { policyFile: '/policy.yaml', log: { path: '/audit.log' } })
  const { server } = await testServer({ audit })
  const stages = async (): Promise<readonly string[]> =>
    (await env.fs.readText('/audit.log'))
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as AuditEvent).stage)
  let isAnswered = false
  const answer = send(server, 'GET /api/v1/namespaces').then(() => (isAnswered = true))
  await env.settle()
  assert.equal(isAnswered, false)
  await env.advance(1)
  await answer
  assert.deepEqual(await stages(), ['RequestReceived', 'ResponseComplete'])
  await audit.close()
})

test('a webhook gets batches, and one that fails is asked again', async () => {
  const env = virtualEnv()
  const batches: number[] = []
  let failures = 2
  const sink = auditWebhook(
    env,
    async (_config, body, options) => {
      assert.equal(options.credentials?.token, 'secret')
      if (failures-- > 0) throw new Error('down')
      batches.push((body['items'] as unknown[]).length)
      return {}
    },
    { config: { url: 'https://audit' }, credentials: { token: 'secret' } },
  )
  for (let n = 0; n < 500; n++) sink.write({ ...event(String(n)), user: { username: 'a' } })
  await env.advance(60_000)
  assert.deepEqual(batches, [400, 100])
  await sink.close()
})

test('policy and webhook are read from files, and a mistake names its file', async () => {
  const env = virtualEnv()
  await env.fs.write(
    '/policy.yaml',
    'apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: None}]',
  )
  await env.fs.write(
    '/hook.yaml',
    'current-context: a\ncontexts: [{name: a, context: {cluster: c}}]\nclusters: [{name: c, cluster: {server: "http://x"}}]',
  )
  const audit = await openAudit(env, { policyFile: '/policy.yaml', log: { path: '/a' } })
  await audit.close()
  await assert.rejects(
    openAudit(env, { policyFile: '/policy.yaml', webhookFile: '/hook.yaml' }),
    /\/hook\.yaml: the server must be an https:\/\/ URL/,
  )
  await env.fs.write('/policy.yaml', 'kind: Policy')
  await assert.rejects(openAudit(env, { policyFile: '/policy.yaml' }), /^Error: \/policy\.yaml: /)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualEnv } from '#base'
import type { JsonObject, StatusError } from '#machinery'
import { send, testServer } from '../../server.testing.ts'
import type { AuditEvent } from '../../audit/event.ts'
import { parseAuditPolicy } from '../../audit/policy.ts'
import { mutatingWebhooks } from './index.ts'
import {
  allow,
  asked,
  configure,
  create,
  patch,
  put,
  refusal,
  withWebhooks,
  type Asked,
  type Call,
} from './webhooks.testing.ts'

test('a validating webhook is shown the whole request, and its refusal is told in its words', async () => {
  const bench = await withWebhooks({
    check: () => ({
      allowed: false,
      status: { message: 'not on fridays', code: 403, reason: 'Forbidden' },
    }),
  })
  await configure(bench, 'Validating', 'policy', { hook: 'check', timeoutSeconds: 3 })
  await assert.rejects(
    create(bench, 'web', { data: { a: '1' } }),
    refusal('admission webhook "check.example.com" denied the request: not on fridays', 403),
  )
  const [{ request, options }] = bench.calls as [Call]
  assert.equal(options.timeoutMs, 3000)
  const { uid, object, ...rest } = request
  assert.match(String(uid), /^[0-9a-f-]{36}$/)
  const { uid: objectUid, ...metadata } = (object as JsonObject)['metadata'] as JsonObject
  assert.notEqual(objectUid, undefined, 'a validating webhook sees the object as it will be stored')
  assert.equal(metadata['name'], 'web')
  assert.deepEqual((object as JsonObject)['data'], { a: '1' })
  assert.deepEqual(rest, {
    kind: { group: '', version: 'v1', kind: 'ConfigMap' },
    resource: { group: '', version: 'v1', resource: 'configmaps' },
    requestKind: { group: '', version: 'v1', kind: 'ConfigMap' },
    requestResource: { group: '', version: 'v1', resource: 'configmaps' },
    name: 'web',
    namespace: 'default',
    operation: 'CREATE',
    userInfo: { username: 'admin', groups: ['system:masters', 'system:authenticated'] },
    oldObject: null,
    dryRun: false,
    options: { kind: 'CreateOptions', apiVersion: 'meta.k8s.io/v1' },
  })
})

test('a refusal without words is a refusal, whatever code it gives', async () => {
  const bench = await withWebhooks({
    silent: () => ({ allowed: false, status: { code: 200, status: 'Success' } }),
    reasoned: () => ({ allowed: false, status: { reason: 'Because' } }),
  })
  await configure(bench, 'Validating', 'a', { hook: 'silent' })
  await assert.rejects(
    create(bench, 'web'),
    refusal('admission webhook "silent.example.com" denied the request without explanation', 400),
  )
  await bench.api.request({
    method: 'DELETE',
    path: '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/a',
  })
  await configure(bench, 'Validating', 'b', { hook: 'reasoned' })
  await assert.rejects(
    create(bench, 'web'),
    refusal('admission webhook "reasoned.example.com" denied the request: Because', 400),
  )
})

test('a mutating webhook patches the object, which keeps the form of its type', async () => {
  const bench = await withWebhooks({
    first: () => put('first'),
    second: () =>
      patch(
        { op: 'add', path: '/data/second', value: 'yes' },
        { op: 'add', path: '/metadata/labels', value: { by: 'second' } },
        { op: 'add', path: '/unknown', value: 1 },
      ),
  })
  await configure(bench, 'Mutating', 'm', { hook: 'first' }, { hook: 'second' })
  const made = await create(bench, 'web', { data: { a: '1' } })
  assert.deepEqual(made['data'], { a: '1', first: 'yes', second: 'yes' })
  assert.deepEqual((made['metadata'] as JsonObject)['labels'], { by: 'second' })
  assert.equal('unknown' in made, false)
  assert.deepEqual(
    bench.calls.map(({ request }) => (request['object'] as JsonObject)['data']),
    [{ a: '1' }, { a: '1', first: 'yes' }],
  )
  // Neither asked for another look, and a change by another hook alone gives them none.
  assert.equal(bench.calls.length, 2)
})

test('a webhook that cannot be asked closes the way, unless its policy is to go on', async () => {
  const bench = await withWebhooks({
    broken: () => ({ kind: 'AdmissionReview', apiVersion: 'v1', response: {} }),
    stranger: () => ({ uid: 'x', allowed: true }),
  })
  await configure(bench, 'Validating', 'open', { hook: 'absent', failurePolicy: 'Ignore' })
  await create(bench, 'web')
  const cases: readonly (readonly [string, string])[] = [
    [
      'absent',
      'Internal error occurred: failed calling webhook "absent.example.com": failed to call webhook: Post "https://hook.test/absent": EOF',
    ],
    [
      'broken',
      'Internal error occurred: failed calling webhook "broken.example.com": received invalid webhook response: expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got v1, Kind=AdmissionReview',
    ],
  ]
  for (const [hook, message] of cases) {
    await configure(bench, 'Validating', hook, { hook })
    await assert.rejects(create(bench, `x-${hook}`), refusal(message, 500))
    await bench.api.request({
      method: 'DELETE',
      path: `/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/${hook}`,
    })
  }
  await configure(bench, 'Mutating', 'stranger', { hook: 'stranger' })
  await assert.rejects(create(bench, 'x'), (error: StatusError) => {
    assert.match(
      error.message,
      /received invalid webhook response: expected response\.uid=".*", got "x"$/,
    )
    return true
  })
})

test('warnings of a webhook reach the client', async () => {
  const bench = await withWebhooks({
    talk: () => ({ allowed: true, warnings: ['mind the gap'], auditAnnotations: { seen: 'yes' } }),
  })
  await configure(bench, 'Validating', 'v', { hook: 'talk', admissionReviewVersions: ['v1beta1'] })
  const { headers, status } = await send(
    bench.server,
    'POST /api/v1/namespaces/default/configmaps',
    { metadata: { name: 'web' } },
  )
  assert.equal(status, 201)
  assert.deepEqual(headers['warning'], ['299 - "mind the gap"'])
})

test('webhooks are counted by their name and by what they did', async () => {
  const bench = await withWebhooks({ yes: allow, no: () => ({ allowed: false }) })
  await configure(
    bench,
    'Validating',
    'v',
    { hook: 'yes' },
    { hook: 'no', objectSelector: { matchLabels: { refused: 'yes' } } },
    { hook: 'open', failurePolicy: 'Ignore' },
  )
  await create(bench, 'a')
  await assert.rejects(create(bench, 'b', { metadata: { name: 'b', labels: { refused: 'yes' } } }))
  const page = await bench.counted.text()
  const prefix = 'apiserver_admission_webhook_'
  for (const line of [
    `${prefix}request_total{name="yes.example.com",type="validating",operation="CREATE",code="200",rejected="false"} 2`,
    `${prefix}rejection_count{name="no.example.com",type="validating",operation="CREATE",error_type="no_error",rejection_code="400"} 1`,
    `${prefix}fail_open_count{name="open.example.com",type="validating"} 2`,
  ])
    assert.ok(page.includes(line), `${line}\n${page}`)
})

test('a webhook cannot make the object another one', async () => {
  const bench = await withWebhooks({
    move: ({ request }) => {
      const { data = {} } = request['object'] as { readonly data?: JsonObject }
      const [field] = Object.keys(data)
      return field === undefined
        ? { allowed: true }
        : patch({ op: 'add', path: `/metadata/${field}`, value: 'elsewhere' })
    },
  })
  await create(bench, 'web')
  await configure(bench, 'Mutating', 'm', { hook: 'move' })
  await assert.rejects(create(bench, 'x', { data: { namespace: '1' } }), { code: 400 })
  const update = (data: JsonObject) =>
    bench.api.request({
      method: 'PUT',
      path: '/api/v1/namespaces/default/configmaps/web',
      body: { metadata: { name: 'web' }, data },
    })
  for (const field of ['name', 'namespace', 'uid'])
    await assert.rejects(update({ [field]: '1' }), (error: StatusError) => {
      assert.ok([400, 409, 422].includes(error.code), `${field}: ${error.message}`)
      return true
    })
})

test('a webhook cannot make the object one of another kind', async () => {
  const bench = await withWebhooks({
    secret: () => patch({ op: 'replace', path: '/kind', value: 'Secret' }),
    text: () => patch({ op: 'replace', path: '/metadata', value: 'text' }),
  })
  for (const hook of ['secret', 'text']) {
    await configure(bench, 'Mutating', hook, { hook })
    await assert.rejects(create(bench, 'x'), { code: 500 })
    await bench.api.request({
      method: 'DELETE',
      path: `/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/${hook}`,
    })
  }
})

test('the options are those of what is done, whatever was asked', async () => {
  const bench = await withWebhooks({ check: allow })
  const rules = [{ operations: ['*'], apiGroups: [''], apiVersions: ['v1'], resources: ['*/*'] }]
  await configure(bench, 'Validating', 'a', { hook: 'check', rules })
  const { api, server } = bench
  const maps = '/api/v1/namespaces/default/configmaps'
  const said = async (line: string, body: unknown, type = 'application/json'): Promise<unknown> => {
    const { status, text } = await send(server, line, body, { 'content-type': type })
    assert.ok(status < 300, text)
    const { operation, resource, options } = asked(bench, -1) as Asked & {
      resource: { resource: string }
    }
    return [operation, resource.resource, options]
  }
  const meta = { apiVersion: 'meta.k8s.io/v1' }
  const configMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' } }
  const apply = 'application/apply-patch+yaml'
  assert.deepEqual(await said(`PATCH ${maps}/a?fieldManager=me&force=true`, configMap, apply), [
    'CREATE',
    'configmaps',
    { ...meta, kind: 'CreateOptions', fieldManager: 'me' },
  ])
  const data = { data: { a: 'b' } }
  assert.deepEqual(await said(`PATCH ${maps}/a`, data, 'application/merge-patch+json'), [
    'UPDATE',
    'configmaps',
    { ...meta, kind: 'UpdateOptions' },
  ])
  const deletion = { apiVersion: 'v1', kind: 'DeleteOptions', gracePeriodSeconds: 0 }
  assert.deepEqual(await said(`DELETE ${maps}/a`, deletion), [
    'DELETE',
    'configmaps',
    { ...deletion, ...meta },
  ])
  const pods = '/api/v1/namespaces/default/pods'
  const spec = { containers: [{ name: 'main', image: 'web:1' }] }
  await api.request({ method: 'POST', path: pods, body: { metadata: { name: 'p' }, spec } })
  await said(`POST ${pods}/p/attach`, undefined)
  assert.equal(asked(bench, -1)['options'], null)
  const binding = { metadata: { name: 'p' }, target: { kind: 'Node', name: 'n' } }
  assert.deepEqual(await said('POST /api/v1/namespaces/default/bindings', binding), [
    'CREATE',
    'bindings',
    { ...meta, kind: 'CreateOptions' },
  ])
  const before = bench.calls.length
  const eviction = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: 'p' } }
  assert.deepEqual(await said(`POST ${pods}/p/eviction`, eviction), [
    'CREATE',
    'pods',
    { ...meta, kind: 'CreateOptions' },
  ])
  assert.equal(bench.calls.length, before + 1)
})

test('what a webhook has changed is written down where the object is', async () => {
  const env = virtualEnv()
  const operation = { value: 'yes', op: 'add', path: '/data/a' }
  const response = { ...patch(operation), uid: '' }
  const annotationsAt = async (level: string): Promise<Readonly<Record<string, string>>> => {
    const events: AuditEvent[] = []
    const policy = parseAuditPolicy(
      `{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: ${level}}]}`,
    )
    const bench = await testServer({
      audit: { policy, write: (event) => void events.push(event) },
      extensions: (inside) => ({
        admission: [
          mutatingWebhooks({
            inside,
            env,
            authorizer: { authorize: async () => ({ verdict: 'allow', reason: '' }) },
            call: async (_config, body) => {
              const { uid } = body['request'] as JsonObject
              return {
                kind: 'AdmissionReview',
                apiVersion: body['apiVersion'],
                response: { ...response, uid },
              }
            },
          }),
        ],
      }),
    })
    await configure({ ...bench, calls: [], counted: env.metrics }, 'Mutating', 'set', { hook: 'a' })
    const body = { metadata: { name: 'a' }, data: { b: 'c' } }
    const { status } = await send(bench.server, 'POST /api/v1/namespaces/x/configmaps', body)
    assert.equal(status, 201)
    return events.at(-1)?.annotations ?? {}
  }
  const key = 'patch.webhook.admission.k8s.io/round_0_index_0'
  assert.equal(
    (await annotationsAt('Request'))[key],
    '{"configuration":"set","webhook":"a.example.com","patch":[{"op":"add","path":"/data/a","value":"yes"}],"patchType":"JSONPatch"}',
  )
  assert.equal((await annotationsAt('Metadata'))[key], undefined)
})

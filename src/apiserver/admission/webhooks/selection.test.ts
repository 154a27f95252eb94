import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { JsonObject } from '#machinery'
import { send } from '../../server.testing.ts'
import {
  allow,
  asked,
  configure,
  create,
  patch,
  put,
  refusal,
  withWebhooks,
} from './webhooks.testing.ts'

test('a webhook that asked for it looks again when a later one has changed the object', async () => {
  const bench = await withWebhooks({
    early: ({ request }) =>
      'late' in ((request['object'] as { data: JsonObject }).data ?? {})
        ? put('again')
        : { allowed: true },
    late: () => put('late'),
  })
  await configure(
    bench,
    'Mutating',
    'm',
    { hook: 'early', reinvocationPolicy: 'IfNeeded' },
    { hook: 'late' },
  )
  const made = await create(bench, 'web', { data: { a: '1' } })
  assert.deepEqual(made['data'], { a: '1', again: 'yes', late: 'yes' })
  assert.deepEqual(
    bench.calls.map(({ url }) => url.split('/').at(-1)),
    ['early', 'late', 'early'],
  )
})

test('namespaces and objects are chosen by their labels', async () => {
  const bench = await withWebhooks({ deny: () => ({ allowed: false }) })
  await configure(
    bench,
    'Validating',
    'v',
    { hook: 'deny', namespaceSelector: { matchLabels: { team: 'other' } } },
    { hook: 'deny', name: 'b.deny.example.com', objectSelector: { matchLabels: { picky: 'yes' } } },
  )
  await create(bench, 'web')
  assert.equal(bench.calls.length, 0)
  await assert.rejects(create(bench, 'web', { namespace: 'other' }))
  await assert.rejects(create(bench, 'web', { metadata: { name: 'p', labels: { picky: 'yes' } } }))
  assert.equal(bench.calls.length, 2)
})

test('deletes and connections are asked about too', async () => {
  const bench = await withWebhooks({
    deny: ({ request }) => ({ allowed: request['operation'] === 'CREATE' }),
  })
  await create(bench, 'web', { data: { a: '1' } })
  await configure(bench, 'Validating', 'v', {
    hook: 'deny',
    rules: [
      {
        operations: ['DELETE', 'CONNECT'],
        apiGroups: ['*'],
        apiVersions: ['*'],
        resources: ['configmaps', 'pods/attach'],
      },
    ],
  })
  await assert.rejects(
    bench.api.request({ method: 'DELETE', path: '/api/v1/namespaces/default/configmaps/web' }),
    refusal('admission webhook "deny.example.com" denied the request without explanation', 400),
  )
  assert.equal(asked(bench, 0).object, null)
  assert.deepEqual(asked(bench, 0).oldObject?.['data'], { a: '1' })
  await assert.rejects(
    bench.api.request({ method: 'DELETE', path: '/api/v1/namespaces/default/configmaps' }),
  )
  // One of many is named by what it was.
  assert.equal(asked(bench, -1).name ?? '', '')
  assert.deepEqual(asked(bench, -1).oldObject?.['data'], { a: '1' })
  await bench.api.request({
    method: 'POST',
    path: '/api/v1/namespaces/default/pods',
    body: { metadata: { name: 'p' }, spec: { containers: [{ name: 'c', image: 'i' }] } },
  })
  const answer = await send(
    bench.server,
    'POST /api/v1/namespaces/default/pods/p/attach?stdin=true&container=c',
  )
  assert.equal(answer.status, 400)
  const { kind, object, subResource } = asked(bench, -1)
  assert.deepEqual(kind, { group: '', version: 'v1', kind: 'PodAttachOptions' })
  assert.equal(subResource, 'attach')
  assert.deepEqual(object, {
    kind: 'PodAttachOptions',
    apiVersion: 'v1',
    stdin: true,
    container: 'c',
  })
})

test('a resource is found under its other version, unless the rule is to be taken exactly', async () => {
  const bench = await withWebhooks({
    scaled: ({ request }) => {
      const { spec } = request['object'] as { spec: JsonObject }
      return 'metrics' in spec
        ? patch({ op: 'replace', path: '/spec/maxReplicas', value: 7 })
        : { allowed: false }
    },
    exact: () => ({ allowed: false }),
  })
  const rules = [
    {
      operations: ['CREATE'],
      apiGroups: ['autoscaling'],
      apiVersions: ['v2'],
      resources: ['horizontalpodautoscalers'],
    },
  ]
  await configure(
    bench,
    'Mutating',
    'm',
    { hook: 'scaled', rules },
    { hook: 'exact', rules, matchPolicy: 'Exact' },
  )
  const made = (await bench.api.request({
    method: 'POST',
    path: '/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers',
    body: {
      metadata: { name: 'h' },
      spec: {
        maxReplicas: 3,
        scaleTargetRef: { kind: 'Deployment', name: 'd', apiVersion: 'apps/v1' },
        targetCPUUtilizationPercentage: 50,
      },
    },
  })) as { readonly apiVersion: string; readonly spec: JsonObject }
  assert.equal(made.apiVersion, 'autoscaling/v1')
  assert.equal(made.spec['maxReplicas'], 7)
  assert.equal(made.spec['targetCPUUtilizationPercentage'], 50)
  assert.equal(bench.calls.length, 1)
  const { kind, requestKind } = asked(bench, 0)
  assert.equal(kind['version'], 'v2')
  assert.equal(requestKind['version'], 'v1')
})

test('a change of scale is shown as a Scale', async () => {
  const bench = await withWebhooks({
    most: () => patch({ op: 'replace', path: '/spec/replicas', value: 2 }),
  })
  const path = '/apis/apps/v1/namespaces/default/deployments'
  const labels = { app: 'web' }
  await bench.api.request({
    method: 'POST',
    path,
    body: {
      metadata: { name: 'web' },
      spec: {
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'i' }] } },
      },
    },
  })
  await configure(bench, 'Mutating', 'm', {
    hook: 'most',
    rules: [
      {
        operations: ['UPDATE'],
        apiGroups: ['apps'],
        apiVersions: ['v1'],
        resources: ['deployments/scale'],
      },
    ],
  })
  const scale = (await bench.api.request({
    method: 'PUT',
    path: `${path}/web/scale`,
    body: { metadata: { name: 'web' }, spec: { replicas: 9 } },
  })) as { readonly spec: JsonObject }
  assert.equal(scale.spec['replicas'], 2)
  const { kind, object, oldObject } = asked(bench, 0)
  assert.deepEqual(kind, { group: 'autoscaling', version: 'v1', kind: 'Scale' })
  assert.deepEqual(object?.['spec'], { replicas: 9 })
  assert.deepEqual(oldObject?.['spec'], { replicas: 1 })
})

test('configurations of admission are never put before a webhook', async () => {
  const rules = [
    { operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*'], scope: '*' },
  ]
  const bench = await withWebhooks({ deny: () => ({ allowed: false }), rewrite: () => put('x') })
  await configure(bench, 'Validating', 'v', { hook: 'deny', rules })
  await configure(bench, 'Mutating', 'm', { hook: 'rewrite', rules })
  const path = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/v'
  await bench.api.request({ method: 'DELETE', path })
  assert.equal(bench.calls.length, 0)
})

test('a dry run asks only those who have no side effects', async () => {
  const bench = await withWebhooks({ check: allow })
  await configure(bench, 'Validating', 'v', { hook: 'check' })
  const dryRun = () =>
    bench.api.request({
      method: 'POST',
      path: '/api/v1/namespaces/default/configmaps',
      query: { dryRun: 'All' },
      body: { metadata: { name: 'web' } },
    })
  await dryRun()
  assert.equal(asked(bench, 0).dryRun, true)
})

test('a webhook is asked only when all its conditions are true', async () => {
  const bench = await withWebhooks({ deny: () => ({ allowed: false }) })
  const conditions = (...expressions: readonly string[]): JsonObject => ({
    matchConditions: expressions.map((expression, i) => ({ name: `c${i}`, expression })),
  })
  await configure(bench, 'Validating', 'v', {
    hook: 'deny',
    ...conditions(
      "object.metadata.name.startsWith('x')",
      "request.operation == 'CREATE' && oldObject == null",
      "!authorizer.requestResource.check('bypass').allowed()",
    ),
  })
  await create(bench, 'web')
  assert.equal(bench.calls.length, 0)
  await assert.rejects(create(bench, 'x'))
  assert.equal(bench.calls.length, 1)
  await configure(bench, 'Mutating', 'm', {
    hook: 'deny',
    ...conditions('object.absent == 1'),
  })
  await assert.rejects(
    create(bench, 'web-2'),
    refusal(
      'configmaps "web-2" is forbidden: expression \'object.absent == 1\' resulted in error: no such key: absent',
      403,
    ),
  )
})

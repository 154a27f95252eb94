/** Whatever a client sends, the answer is a Status with a client's error: never a crash, a hang or a 500. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { definitions } from '#api'
import { send, testServer } from './server.testing.ts'

const RUNS = 2000
const SEED = 20_260

const word = fc.constantFrom(
  'api',
  'apis',
  'v1',
  'apps',
  'v2',
  'namespaces',
  'shop',
  'pods',
  'web',
  'status',
  'scale',
  'binding',
  'eviction',
  'token',
  'finalize',
  'watch',
  'proxy',
  'log',
  'exec',
  'deployments',
  'configmaps',
  'services',
  'events',
  'events.k8s.io',
  'openapi',
  'healthz',
  'metrics',
  '..',
  '.',
  '%2e',
  '%',
  '',
  '\u0000',
  'x'.repeat(300),
)
const real = fc.constantFrom(...definitions).chain(({ facts }) => {
  const base = facts.group === '' ? '/api/v1' : `/apis/${facts.group}/${facts.version}`
  const folder = facts.namespaced
    ? `${base}/namespaces/shop/${facts.resource}`
    : `${base}/${facts.resource}`
  const subresources = (facts.subresources ?? []).map(({ name }) => `${folder}/web/${name}`)
  return fc.constantFrom(folder, `${folder}/web`, ...subresources)
})
const path = fc.oneof(
  real,
  fc.array(word, { maxLength: 8 }).map((parts) => `/${parts.join('/')}`),
)
const method = fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS', 'BREW')
const query = fc.array(
  fc.tuple(
    fc.constantFrom(
      'watch',
      'limit',
      'continue',
      'labelSelector',
      'fieldSelector',
      'resourceVersion',
      'resourceVersionMatch',
      'sendInitialEvents',
      'dryRun',
      'fieldManager',
      'fieldValidation',
      'force',
      'gracePeriodSeconds',
      'propagationPolicy',
      'pretty',
      'includeObject',
    ),
    fc.oneof(
      fc.constantFrom(
        '',
        '0',
        '1',
        '-1',
        'true',
        'All',
        'Exact',
        'NotOlderThan',
        'a in (b',
        'metadata.name=x',
        '99',
        'Strict',
        'Orphan',
      ),
      fc.string({ maxLength: 10 }),
    ),
  ),
  { maxLength: 4 },
)
const value = fc.letrec((tie) => ({
  any: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(null, true, 0, -1, 1e300, '', 'x', 'web', [], {}),
    fc.array(tie('any'), { maxLength: 3 }),
    tie('object'),
  ),
  object: fc.dictionary(
    fc.constantFrom(
      'metadata',
      'spec',
      'status',
      'name',
      'namespace',
      'kind',
      'apiVersion',
      'labels',
      'containers',
      'template',
      'selector',
      'matchLabels',
      'ports',
      'data',
      'type',
      'items',
      'op',
      'path',
      'value',
      'managedFields',
      'finalizers',
      'ownerReferences',
      'rules',
      'subjects',
      'roleRef',
      'target',
      'replicas',
      '__proto__',
      'constructor',
      'metadata',
      'x',
    ),
    tie('any'),
    { maxKeys: 6 },
  ),
})).any
/** Objects that could be right, with something wrong put somewhere. */
const pod = {
  metadata: { name: 'web', labels: { app: 'web' }, finalizers: [], ownerReferences: [] },
  spec: {
    containers: [
      {
        name: 'main',
        image: 'web:1',
        ports: [{ containerPort: 80 }],
        env: [{ name: 'A', value: 'b' }],
        resources: { requests: { cpu: '1' } },
        volumeMounts: [{ name: 'v', mountPath: '/v' }],
      },
    ],
    volumes: [{ name: 'v', emptyDir: {} }],
  },
}
const workload = {
  metadata: { name: 'web' },
  spec: { replicas: 1, selector: { matchLabels: { app: 'web' } }, template: pod },
}
const others = {
  metadata: { name: 'web' },
  spec: { ports: [{ port: 80, targetPort: 80 }], type: 'NodePort', rules: [], minAvailable: 1 },
  data: { a: 'b' },
  rules: [{ verbs: ['get'], resources: ['pods'], apiGroups: [''] }],
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'r' },
  subjects: [{ kind: 'User', name: 'jane' }],
  status: { replicas: 1, conditions: [{ type: 'Ready', status: 'True' }] },
  value: 1,
  target: { kind: 'Node', name: 'n1' },
}
const pathsIn = (object: unknown, at: readonly string[] = []): (readonly string[])[] =>
  typeof object !== 'object' || object === null
    ? [at]
    : [at, ...Object.entries(object).flatMap(([key, each]) => pathsIn(each, [...at, key]))]
function withAt(object: unknown, [first, ...rest]: readonly string[], wrong: unknown): unknown {
  if (first === undefined) return wrong
  const copy: Record<string, unknown> | unknown[] = Array.isArray(object)
    ? [...(object as unknown[])]
    : { ...(object as object) }
  const fields = copy as Record<string, unknown>
  fields[first] = withAt(fields[first], rest, wrong)
  return copy
}
const nearlyRight = fc
  .constantFrom<unknown>(pod, workload, others)
  .chain((object) =>
    fc
      .tuple(fc.constantFrom(...pathsIn(object)), value)
      .map(([at, wrong]) => JSON.stringify(withAt(object, at, wrong) ?? null)),
  )
const body = fc.oneof(
  { weight: 12, arbitrary: nearlyRight },
  { weight: 6, arbitrary: value.map((each) => JSON.stringify(each)) },
  { weight: 1, arbitrary: fc.string() },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 60 }) },
)
const headers = fc.record({
  'content-type': fc.constantFrom(
    'application/json',
    'application/yaml',
    'application/vnd.kubernetes.protobuf',
    'application/json-patch+json',
    'application/merge-patch+json',
    'application/strategic-merge-patch+json',
    'application/apply-patch+yaml',
    'text/html',
    ';',
  ),
  accept: fc.constantFrom(
    'application/json',
    '*/*',
    'application/yaml',
    'application/vnd.kubernetes.protobuf',
    'application/json;as=Table;v=v1;g=meta.k8s.io',
    'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io',
    ';q=x,,=',
  ),
})

test('hostile requests are answered as mistakes of the client', async () => {
  const { server, env } = await testServer()
  await send(server, 'POST /api/v1/namespaces/shop/pods', {
    metadata: { name: 'web' },
    spec: { containers: [{ name: 'main', image: 'web:1' }] },
  })
  await fc.assert(
    fc.asyncProperty(method, path, query, body, headers, async (m, p, q, b, h) => {
      const parameters = new URLSearchParams(q)
      // An endless answer is no hang; here it would only take time.
      if (parameters.has('watch') || p.includes('/watch/') || p.endsWith('/watch')) return
      const sent = b instanceof Uint8Array ? Buffer.from(b) : b
      const answer = send(server, `${m} ${p}?${parameters.toString()}`, sent, h)
      let done = false
      answer.then(
        () => (done = true),
        () => (done = true),
      )
      // Reads of a revision to come wait for it a while.
      for (let i = 0; i < 10 && !done; i++) await env.settle()
      if (!done) await env.advance(4000)
      const { status, text } = await answer
      const allowed = status < 500 || [503, 504].includes(status)
      assert.ok(
        allowed,
        `${m} ${p}?${parameters.toString()} answered ${status}: ${text.slice(0, 300)}`,
      )
    }),
    { numRuns: RUNS, seed: SEED },
  )
})

test('what is nested deep is stored or refused, never too much', async () => {
  const { server } = await testServer()
  for (const levels of [400, 990, 20_000]) {
    for (const [open, close] of [
      ['{"a":', '}'],
      ['[', ']'],
      ['{"not":', '}'],
      ['{"items":', '}'],
    ] as const) {
      const deep = `${open.repeat(levels)}null${close.repeat(levels)}`
      const bodies = [
        ['configmaps', `{"metadata":{"name":"a"},"data":${deep}}`],
        ['controllerrevisions', `{"metadata":{"name":"a"},"data":${deep},"revision":1}`],
        ['pods', deep],
      ] as const
      for (const [resource, sent] of bodies) {
        const root =
          resource.startsWith('c') && resource !== 'configmaps' ? 'apis/apps/v1' : 'api/v1'
        for (const type of ['json', 'yaml', 'apply-patch+yaml', 'merge-patch+json']) {
          const verb = type.includes('patch') ? 'PATCH' : 'POST'
          const { status, text } = await send(
            server,
            `${verb} /${root}/namespaces/shop/${resource}${verb === 'PATCH' ? '/a?fieldManager=x' : ''}`,
            sent,
            { 'content-type': `application/${type}` },
          )
          assert.ok(status < 500, `${type} of ${levels}: ${status} ${text.slice(0, 300)}`)
        }
      }
    }
  }
})

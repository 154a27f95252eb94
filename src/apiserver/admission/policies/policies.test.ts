import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ValidatingAdmissionPolicy } from '#api'
import { virtualEnv } from '#base'
import { StatusError, type JsonObject } from '#machinery'
import type { Authorizer } from '../../access.ts'
import { send, testServer, type TestServer } from '../../server.testing.ts'
import { mutatingPolicies } from './mutating.ts'
import { followPolicies } from './status.ts'
import { validatingPolicies } from './validating.ts'

const GROUP = '/apis/admissionregistration.k8s.io/v1'

interface Bench extends TestServer {
  /** Notes for the audit log, of all requests. */
  readonly annotations: Record<string, string>
  post(path: string, body: JsonObject): Promise<JsonObject>
}

async function bench(): Promise<Bench> {
  const authorizer: Authorizer = {
    authorize: async ({ verb, name }) => ({
      verdict: verb === 'bypass' && name !== 'mine' ? 'noOpinion' : 'allow',
      reason: '',
    }),
  }
  const annotations: Record<string, string> = {}
  const made = await testServer({
    extensions: (inside) => ({
      admission: [
        mutatingPolicies({ inside, authorizer }),
        validatingPolicies({ inside, authorizer, env: virtualEnv() }),
        {
          name: 'notes',
          handles: () => true,
          // Notes are seen where the plugins before have made them.
          async mutate(request) {
            const { annotate } = request
            Object.defineProperty(request, 'annotate', {
              configurable: true,
              value: (key: string, value: string) => {
                annotations[key] = value
                annotate(key, value)
              },
            })
          },
        },
      ],
    }),
  })
  const post: Bench['post'] = async (path, body) =>
    structuredClone(await made.api.request({ method: 'POST', path, body })) as JsonObject
  await post('/api/v1/namespaces', { metadata: { name: 'shop', labels: { team: 'a' } } })
  return { ...made, annotations, post }
}

const rules = (resource: string, group = '', operations = ['CREATE', 'UPDATE']): JsonObject => ({
  resourceRules: [{ operations, apiGroups: [group], apiVersions: ['v1'], resources: [resource] }],
})

/** A policy for ConfigMaps and its binding, both of this name. */
async function validating(
  { post }: Bench,
  name: string,
  spec: JsonObject,
  binding: JsonObject = {},
): Promise<void> {
  await post(`${GROUP}/validatingadmissionpolicies`, {
    metadata: { name },
    spec: { matchConstraints: rules('configmaps'), ...spec },
  })
  await post(`${GROUP}/validatingadmissionpolicybindings`, {
    metadata: { name },
    spec: { policyName: name, validationActions: ['Deny'], ...binding },
  })
}

async function mutating({ post }: Bench, name: string, spec: JsonObject): Promise<void> {
  await post(`${GROUP}/mutatingadmissionpolicies`, {
    metadata: { name },
    spec: { matchConstraints: rules('configmaps'), reinvocationPolicy: 'Never', ...spec },
  })
  await post(`${GROUP}/mutatingadmissionpolicybindings`, {
    metadata: { name },
    spec: { policyName: name },
  })
}

const create = (
  { post }: Bench,
  name: string,
  data: JsonObject = {},
  more: JsonObject = {},
): Promise<JsonObject> =>
  post('/api/v1/namespaces/shop/configmaps', { metadata: { name, ...more }, data })

const refusal =
  (message: string, code = 422, reason = 'Invalid') =>
  (error: unknown) => {
    assert.ok(error instanceof StatusError, String(error))
    assert.equal(error.message, message)
    assert.equal(error.code, code)
    assert.equal(error.reason, reason)
    return true
  }
const deniedBy = (policy: string, why: string, name = 'x'): string =>
  `configmaps "${name}" is forbidden: ValidatingAdmissionPolicy '${policy}' with binding '${policy}' denied request: ${why}`

test('a policy refuses with its message, its reason, and the code of that', async () => {
  const b = await bench()
  await validating(b, 'p', {
    variables: [{ name: 'size', expression: 'size(object.data)' }],
    validations: [
      { expression: 'variables.size != 1' },
      { expression: 'variables.size != 2', message: ' two is too many ', reason: 'Forbidden' },
      {
        expression: 'variables.size != 3',
        message: 'fallback',
        messageExpression: "'found ' + string(variables.size)",
      },
      { expression: 'variables.size != 4', message: 'fallback', messageExpression: "'a\\nb'" },
    ],
  })
  const data = (count: number): JsonObject =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, 'v']))
  await assert.rejects(
    create(b, 'x', data(1)),
    refusal(deniedBy('p', 'failed expression: variables.size != 1')),
  )
  await assert.rejects(
    create(b, 'x', data(2)),
    refusal(deniedBy('p', 'two is too many'), 403, 'Forbidden'),
  )
  await assert.rejects(create(b, 'x', data(3)), refusal(deniedBy('p', 'found 3')))
  await assert.rejects(create(b, 'x', data(4)), refusal(deniedBy('p', 'fallback')))
  await create(b, 'x', data(5))
})

test('what cannot be evaluated refuses, unless the policy is passed over then', async () => {
  const b = await bench()
  const validations = [{ expression: "object.data.absent == 'x'" }]
  await validating(b, 'open', { validations, failurePolicy: 'Ignore' })
  await create(b, 'free')
  await validating(b, 'closed', { validations })
  await assert.rejects(
    create(b, 'x', { a: '1' }),
    refusal(
      deniedBy(
        'closed',
        "expression 'object.data.absent == 'x'' resulted in error: no such key: absent",
      ),
    ),
  )
})

test('an expression that costs too much is stopped', async () => {
  const b = await bench()
  const list = JSON.stringify(Array.from({ length: 60 }, (_, i) => i))
  await validating(b, 'p', {
    validations: [
      {
        expression: `${list}.all(a, ${list}.all(b, ${list}.all(c, ${list}.all(d, a + b + c + d >= 0))))`,
      },
    ],
  })
  await assert.rejects(create(b, 'x'), (error: StatusError) => {
    assert.match(
      error.message,
      /resulted in error: operation cancelled: actual cost limit exceeded$/,
    )
    return true
  })
})

test('a binding says what is done: warn, note, refuse', async () => {
  const b = await bench()
  await validating(
    b,
    'p',
    {
      validations: [{ expression: "object.metadata.name != 'x'", message: 'not x' }],
      auditAnnotations: [
        { key: 'who', valueExpression: "'user ' + request.userInfo.username" },
        { key: 'silent', valueExpression: 'null' },
      ],
    },
    { validationActions: ['Warn', 'Audit'] },
  )
  const { status, headers } = await send(b.server, 'POST /api/v1/namespaces/shop/configmaps', {
    metadata: { name: 'x' },
  })
  assert.equal(status, 201)
  assert.deepEqual(headers['warning'], [
    `299 - "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'p': not x"`,
  ])
  assert.deepEqual(b.annotations, {
    'p/who': 'user admin',
    'validation.policy.admission.k8s.io/validation_failure': JSON.stringify([
      {
        message: 'not x',
        policy: 'p',
        binding: 'p',
        expressionIndex: 0,
        validationActions: ['Warn', 'Audit'],
      },
    ]),
  })
})

test('parameters come by name or by labels, and their absence may be a refusal', async () => {
  const b = await bench()
  const paramKind = { apiVersion: 'v1', kind: 'ConfigMap' }
  const spec = {
    paramKind,
    matchConditions: [
      { name: 'not-a-limit', expression: "!object.metadata.name.startsWith('limit')" },
    ],
    validations: [
      {
        expression: 'size(object.data) <= int(params.data.most)',
        messageExpression: "'at most ' + params.data.most",
      },
    ],
  }
  await validating(b, 'named', spec, {
    paramRef: { name: 'limit', parameterNotFoundAction: 'Deny' },
  })
  await assert.rejects(
    create(b, 'x', { a: '1' }),
    refusal(
      deniedBy(
        'named',
        'failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction',
      ),
    ),
  )
  // The parameter itself has none.
  await b.api.request({
    method: 'PATCH',
    path: `${GROUP}/validatingadmissionpolicybindings/named`,
    contentType: 'application/merge-patch+json',
    body: { spec: { paramRef: { parameterNotFoundAction: 'Allow' } } },
  })
  await create(b, 'limit', { most: '1' })
  await create(b, 'one', { a: '1' })
  await assert.rejects(
    create(b, 'two', { a: '1', b: '2' }),
    refusal(deniedBy('named', 'at most 1', 'two')),
  )
  await b.api.request({
    method: 'DELETE',
    path: `${GROUP}/validatingadmissionpolicybindings/named`,
  })
  await validating(b, 'chosen', spec, {
    paramRef: { selector: { matchLabels: { limit: 'yes' } }, parameterNotFoundAction: 'Allow' },
  })
  await create(b, 'three', { a: '1', b: '2', c: '3' })
  await create(b, 'limit-2', { most: '2' }, { labels: { limit: 'yes' } })
  await assert.rejects(
    create(b, 'four', { a: '1', b: '2', c: '3' }),
    refusal(deniedBy('chosen', 'at most 2', 'four')),
  )
})

test('expressions know the old object, the namespace, the request, and what its user may do', async () => {
  const b = await bench()
  await validating(b, 'p', {
    matchConstraints: rules('configmaps', '', ['*']),
    validations: [
      {
        expression: "request.operation != 'DELETE' || oldObject.data.keep != 'yes'",
        message: 'kept',
      },
      { expression: "namespaceObject.metadata.labels.team == 'a'", message: 'team' },
      // A reserved word, and the name of a field all the same.
      { expression: "request.namespace == 'shop'", message: 'elsewhere' },
      {
        expression:
          "request.operation != 'CREATE' || authorizer.requestResource.check('bypass').allowed()",
        message: 'no bypass',
      },
      {
        expression:
          "request.operation != 'CREATE' || authorizer.group('').resource('pods').namespace('shop').name('mine').check('bypass').allowed()",
        message: 'not mine',
      },
    ],
  })
  await assert.rejects(create(b, 'x', { keep: 'yes' }), refusal(deniedBy('p', 'no bypass')))
  await create(b, 'mine', { keep: 'yes' })
  await assert.rejects(
    b.api.request({ method: 'DELETE', path: '/api/v1/namespaces/shop/configmaps/mine' }),
    refusal(deniedBy('p', 'kept', 'mine')),
  )
})

test('a binding narrows its policy, and rules may leave something out', async () => {
  const b = await bench()
  await validating(
    b,
    'p',
    {
      matchConstraints: {
        ...rules('*'),
        excludeResourceRules: [
          { operations: ['*'], apiGroups: [''], apiVersions: ['*'], resources: ['secrets'] },
        ],
      },
      validations: [{ expression: 'false', message: 'no' }],
    },
    { matchResources: { objectSelector: { matchLabels: { judged: 'yes' } } } },
  )
  await create(b, 'free')
  await assert.rejects(create(b, 'x', {}, { labels: { judged: 'yes' } }))
  await b.post('/api/v1/namespaces/shop/secrets', {
    metadata: { name: 's', labels: { judged: 'yes' } },
  })
})

test('policies are not judged by policies, nor are questions of permission', async () => {
  const b = await bench()
  await validating(b, 'p', {
    matchConstraints: {
      resourceRules: [
        { operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*/*'] },
      ],
    },
    validations: [{ expression: 'false' }],
  })
  await assert.rejects(create(b, 'x'))
  await b.api.request({ method: 'DELETE', path: `${GROUP}/validatingadmissionpolicies/p` })
  await create(b, 'x')
})

test('an expression that cannot be compiled is refused with its policy', async () => {
  const b = await bench()
  await assert.rejects(
    validating(b, 'p', {
      variables: [{ name: 'v', expression: '1 +' }],
      validations: [
        { expression: 'object.x', messageExpression: '1' },
        { expression: '1' },
        { expression: 'variables.absent' },
      ],
    }),
    (error: StatusError) => {
      const fields = error.status.details?.causes?.map(({ field }) => field)
      assert.deepEqual(fields, [
        'spec.variables[0].expression',
        // Of nobody knows what, it may be no bool.
        'spec.validations[0].expression',
        'spec.validations[0].messageExpression',
        'spec.validations[1].expression',
        'spec.validations[2].expression',
      ])
      assert.match(error.message, /compilation failed: ERROR: <input>:1:/)
      assert.match(error.message, /must evaluate to bool/)
      return true
    },
  )
})

// --- Mutating ------------------------------------------------------------------------------------------

test('a configuration is laid over the object, and operations are done upon it', async () => {
  const b = await bench()
  await mutating(b, 'p', {
    variables: [{ name: 'name', expression: 'object.metadata.name' }],
    mutations: [
      {
        patchType: 'ApplyConfiguration',
        applyConfiguration: {
          expression:
            "Object{metadata: Object.metadata{labels: {'app.kubernetes.io/name': variables.name}}, data: {'applied': 'yes'}}",
        },
      },
      {
        patchType: 'JSONPatch',
        jsonPatch: {
          expression:
            "[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b'), value: object.data.applied}]",
        },
      },
    ],
  })
  const made = await create(b, 'x', { own: '1' })
  assert.deepEqual(made['data'], { own: '1', applied: 'yes' })
  assert.deepEqual((made['metadata'] as JsonObject)['labels'], {
    'app.kubernetes.io/name': 'x',
    'a/b': 'yes',
  })
})

test('items of lists are found by their keys, and get their defaults', async () => {
  const b = await bench()
  await mutating(b, 'sidecar', {
    matchConstraints: rules('pods'),
    matchConditions: [
      {
        name: 'absent',
        expression: "!object.spec.?initContainers.orValue([]).exists(c, c.name == 'proxy')",
      },
    ],
    mutations: [
      {
        patchType: 'ApplyConfiguration',
        applyConfiguration: {
          expression: `Object{spec: Object.spec{
            initContainers: [Object.spec.initContainers{name: 'proxy', image: 'p', restartPolicy: 'Always'}],
            containers: [Object.spec.containers{name: 'c', workingDir: '/w'}]
          }}`,
        },
      },
    ],
  })
  const pod = (await b.post('/api/v1/namespaces/shop/pods', {
    metadata: { name: 'p' },
    spec: {
      containers: [
        { name: 'a', image: 'i' },
        { name: 'c', image: 'i' },
      ],
    },
  })) as { spec: { containers: JsonObject[]; initContainers: JsonObject[] } }
  const [a, c] = pod.spec.containers
  assert.deepEqual(
    [a?.['name'], c?.['name'], c?.['image'], c?.['workingDir']],
    ['a', 'c', 'i', '/w'],
  )
  assert.equal(pod.spec.initContainers[0]?.['terminationMessagePath'], '/dev/termination-log')
})

test('a mutation that cannot be made refuses, unless the policy is passed over then', async () => {
  const b = await bench()
  const broken = (expression: string, more: JsonObject = {}): JsonObject => ({
    mutations: [{ patchType: 'ApplyConfiguration', applyConfiguration: { expression } }],
    ...more,
  })
  await mutating(b, 'open', broken('Object{data: object.absent}', { failurePolicy: 'Ignore' }))
  await create(b, 'free', { a: '1' })
  const cases: readonly (readonly [string, string])[] = [
    [
      "Object{data: {'a': object.absent}}",
      "expression 'Object{data: {'a': object.absent}}' resulted in error: no such key: absent",
    ],
    [
      'Object{metadata: Object.spec{}}',
      'unexpected type name "Object.spec", expected "Object.metadata", which matches field name path from root Object type',
    ],
    [
      "Object{metadata: Object.metadata{managedFields: [Object.metadata.managedFields{manager: 'me'}]}}",
      'error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .metadata.managedFields',
    ],
  ]
  for (const [i, [expression, why]] of cases.entries()) {
    await mutating(b, `p${i}`, broken(expression))
    await assert.rejects(
      create(b, 'x'),
      refusal(`policy 'p${i}' with binding 'p${i}' denied request: ${why}`, 403),
    )
    await b.api.request({
      method: 'DELETE',
      path: `${GROUP}/mutatingadmissionpolicybindings/p${i}`,
    })
  }
})

test('a policy that asked for it looks again when a later one has changed the object', async () => {
  const b = await bench()
  const count = (name: string): JsonObject => ({
    mutations: [
      {
        patchType: 'ApplyConfiguration',
        applyConfiguration: {
          expression: `Object{data: {'${name}': string(size(object.data))}}`,
        },
      },
    ],
  })
  await mutating(b, 'a', { ...count('a'), reinvocationPolicy: 'IfNeeded' })
  await mutating(b, 'b', count('b'))
  const { data } = await create(b, 'x', { own: '1' })
  // First it saw one, and at last three.
  assert.deepEqual(data, { own: '1', a: '3', b: '2' })
})

// --- Type checking -------------------------------------------------------------------------------------

test('expressions are held against the types that the rules name', async () => {
  const b = await bench()
  const stop = new AbortController()
  const { server, env, api } = b
  followPolicies({ inside: server.inside, transport: api, env, signal: stop.signal })
  const events = await api.watch({
    method: 'GET',
    path: `${GROUP}/validatingadmissionpolicies`,
    signal: stop.signal,
  })
  await validating(b, 'p', {
    matchConstraints: rules('deployments', 'apps'),
    variables: [{ name: 'replicas', expression: 'object.spec.replicas' }],
    validations: [
      { expression: 'object.spec.replicas > 1', messageExpression: "'got ' + variables.replicas" },
      { expression: 'object.spec.replica > 1' },
      { expression: "object.spec.template.spec.containers.all(c, c.name != '')" },
    ],
  })
  for await (const batch of events)
    for (const { object } of batch) {
      const { status } = object as ValidatingAdmissionPolicy
      if (status?.observedGeneration === undefined) continue
      stop.abort()
      assert.equal(status.observedGeneration, 1)
      assert.deepEqual(
        status.typeChecking?.expressionWarnings?.map(({ fieldRef, warning }) => [
          fieldRef,
          warning.split('\n')[0],
        ]),
        [
          [
            'spec.validations[0].messageExpression',
            "apps/v1, Kind=Deployment: ERROR: <input>:1:8: found no matching overload for '_+_' applied to '(string, int)'",
          ],
          [
            'spec.validations[1].expression',
            "apps/v1, Kind=Deployment: ERROR: <input>:1:12: undefined field 'replica'",
          ],
        ],
      )
      return
    }
  assert.fail('no status was written')
})

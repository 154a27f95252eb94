import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { configMap, mirror, type Fixture } from '../mirror.ts'
import {
  allowed,
  configuration,
  denied,
  inEffect,
  patched,
  pathOf,
  register,
  rule,
  startWebhooks,
  type Answer,
  type Hook,
} from '../webhooks.ts'

const title = (what: string): string =>
  `[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] ${what} [Conformance]`

const UNWANTED = { 'webhook-e2e-test': 'webhook-disallow' }

const denyConfigMaps: Answer = ({ object, oldObject }) =>
  Object.values((object ?? oldObject)?.data ?? {}).includes('webhook-disallow')
    ? denied('the configmap contains unwanted key and value')
    : allowed

const add = (key: string): Json => ({ op: 'add', path: `/data/${key}`, value: 'yes' })

/** The second stage builds upon the first: both take part only in what was marked to begin. */
const mutateData: Answer = ({ object }) => {
  const { data = {} } = object as Json
  return patched(
    ...(data['mutation-start'] === 'yes' ? [add('mutation-stage-1')] : []),
    ...(data['mutation-stage-1'] === 'yes' ? [add('mutation-stage-2')] : []),
  )
}

async function refused(
  { api }: Pick<Fixture, 'api'>,
  method: string,
  path: string,
  body: unknown,
  ...texts: readonly string[]
): Promise<Json> {
  const answer = await api.call(method, path, {
    body,
    ...(method === 'PATCH' ? { headers: { 'content-type': 'application/merge-patch+json' } } : {}),
  })
  assert.ok(answer.status >= 400, `${method} ${path} was not refused`)
  for (const text of texts)
    assert.ok(
      String(answer.json['message']).includes(text),
      `${String(answer.json['message'])} does not include ${text}`,
    )
  return answer.json
}

mirror(title('should include webhook resources in discovery documents'), async ({ api }) => {
  const group = 'admissionregistration.k8s.io'
  const groups = await api.get('/apis')
  const found = groups['groups'].find(({ name }: Json) => name === group)
  assert.ok(found?.versions.some(({ version }: Json) => version === 'v1'))
  const one = await api.get(`/apis/${group}`)
  assert.ok(one['versions'].some(({ groupVersion }: Json) => groupVersion === `${group}/v1`))
  const resources = await api.get(`/apis/${group}/v1`)
  const names = resources['resources'].map(({ name }: Json) => name)
  assert.ok(names.includes('mutatingwebhookconfigurations'))
  assert.ok(names.includes('validatingwebhookconfigurations'))
})

mirror(title('should be able to deny pod and configmap creation'), async (fixture) => {
  const { api, ns, unique, cleanUp } = fixture
  const server = await startWebhooks(fixture, {
    '/pods': ({ object }) => {
      const { metadata, spec } = object as Json
      const containers = spec.containers as Json[]
      if (containers.some(({ name }) => name === 'wait-forever'))
        return new Promise(() => undefined)
      const reasons = [
        ...(containers.some(({ name }) => String(name).includes('webhook-disallow'))
          ? ['the pod contains unwanted container name']
          : []),
        ...(metadata.labels?.['webhook-e2e-test'] === 'webhook-disallow'
          ? ['the pod contains unwanted label']
          : []),
      ]
      return reasons.length === 0 ? allowed : denied(reasons.join('; '))
    },
    '/configmaps': denyConfigMaps,
  })
  await register(fixture, server, 'Validating', [
    {
      name: 'deny-unwanted-pod-container-name-and-label.k8s.io',
      path: '/pods',
      rules: [rule(['CREATE'], 'pods')],
      timeoutSeconds: 5,
    },
    {
      name: 'deny-unwanted-configmap-data.k8s.io',
      path: '/configmaps',
      rules: [rule(['CREATE', 'UPDATE', 'DELETE'], 'configmaps')],
      namespaceSelector: {
        matchLabels: { [server.label]: 'true' },
        matchExpressions: [{ key: 'skip-webhook-admission', operator: 'NotIn', values: ['yes'] }],
      },
    },
  ])
  const pod = (name: string, container: string, labels: Json = {}): Json => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels },
    spec: { containers: [{ name: container, image: 'registry.k8s.io/pause:3.10.1' }] },
  })
  await refused(
    fixture,
    'POST',
    ns('pods'),
    pod('disallowed-pod', 'webhook-disallow', UNWANTED),
    'the pod contains unwanted container name',
    'the pod contains unwanted label',
  )
  const hanging = await refused(fixture, 'POST', ns('pods'), pod('hanging-pod', 'wait-forever'))
  assert.match(String(hanging['message']), /deadline|timeout/)
  assert.equal((await api.call('GET', ns('pods/hanging-pod'))).status, 404)

  const why = 'the configmap contains unwanted key and value'
  const bad = configMap('disallowed-configmap', { data: UNWANTED })
  await refused(fixture, 'POST', ns('configmaps'), bad, why)
  await api.post(ns('configmaps'), configMap('allowed-configmap', { data: { a: 'admitted' } }))
  const path = ns('configmaps/allowed-configmap')
  await refused(
    fixture,
    'PUT',
    path,
    configMap('allowed-configmap', { data: { a: 'admitted', ...UNWANTED } }),
    why,
  )
  await refused(fixture, 'PATCH', path, { data: UNWANTED }, why)
  const exempt = unique('exempted')
  await api.post('/api/v1/namespaces', {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: {
      name: exempt,
      labels: { [server.label]: 'true', 'skip-webhook-admission': 'yes' },
    },
  })
  cleanUp(() => api.delete(`/api/v1/namespaces/${exempt}`))
  await api.post(`/api/v1/namespaces/${exempt}/configmaps`, bad)
})

mirror(title('should be able to deny attaching pod'), async (fixture) => {
  const { api, ns, until } = fixture
  const server = await startWebhooks(fixture, {
    '/pods/attach': ({ name }) => denied(`attaching to pod '${String(name)}' is not allowed`),
  })
  await register(fixture, server, 'Validating', [
    {
      name: 'deny-attaching-pod.k8s.io',
      path: '/pods/attach',
      rules: [rule(['CONNECT'], 'pods/attach')],
    },
  ])
  await api.post(ns('pods'), {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'to-be-attached-pod' },
    spec: { containers: [{ name: 'container1', image: 'registry.k8s.io/pause:3.10.1' }] },
  })
  await until('the pod runs', async () => {
    const pod = await api.get(ns('pods/to-be-attached-pod'))
    return pod['status']?.phase === 'Running'
  })
  await refused(
    fixture,
    'POST',
    ns('pods/to-be-attached-pod/attach?container=container1&stdin=true&stdout=true'),
    undefined,
    "attaching to pod 'to-be-attached-pod' is not allowed",
  )
})

mirror(
  title('should unconditionally reject operations on fail closed webhook'),
  async (fixture) => {
    const { api, unique, cleanUp } = fixture
    const server = await startWebhooks(fixture, { '/configmaps': denyConfigMaps })
    const label = unique('fail-closed')
    const { caBundle: _none, ...unverified } = server.client('/configmaps')
    await register(fixture, server, 'Validating', [
      {
        name: 'fail-closed.k8s.io',
        path: '/configmaps',
        rules: [rule(['CREATE'], 'configmaps')],
        // Nobody vouches for its certificate: it cannot be reached.
        clientConfig: unverified,
        failurePolicy: 'Fail',
        namespaceSelector: { matchLabels: { [label]: 'true' } },
      },
    ])
    const namespace = unique('fail-closed-namespace')
    await api.post('/api/v1/namespaces', {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: namespace, labels: { [label]: 'true' } },
    })
    cleanUp(() => api.delete(`/api/v1/namespaces/${namespace}`))
    const answer = await refused(
      fixture,
      'POST',
      `/api/v1/namespaces/${namespace}/configmaps`,
      configMap('foo'),
    )
    assert.equal(answer['reason'], 'InternalError')
  },
)

const stages = (rules: readonly Json[], path: string): readonly Hook[] =>
  [1, 2].map((stage) => ({ name: `adding-data-stage-${stage}.k8s.io`, path, rules }))

mirror(title('should mutate configmap'), async (fixture) => {
  const { api, ns } = fixture
  const server = await startWebhooks(fixture, { '/mutating-configmaps': mutateData })
  const rules = [rule(['CREATE'], 'configmaps')]
  await register(fixture, server, 'Mutating', stages(rules, '/mutating-configmaps'))
  const made = await api.post(
    ns('configmaps'),
    configMap('to-be-mutated', { data: { 'mutation-start': 'yes' } }),
  )
  assert.deepEqual(made['data'], {
    'mutation-start': 'yes',
    'mutation-stage-1': 'yes',
    'mutation-stage-2': 'yes',
  })
})

mirror(
  title('should not be able to mutate or prevent deletion of webhook configuration objects'),
  async (fixture) => {
    const { api, unique, cleanUp } = fixture
    const added = { op: 'add', path: '/metadata/labels', value: { touched: 'yes' } }
    const server = await startWebhooks(fixture, { '/add-label': () => patched(added) })
    const rules = [
      {
        operations: ['*'],
        apiGroups: ['admissionregistration.k8s.io'],
        apiVersions: ['*'],
        resources: ['validatingwebhookconfigurations', 'mutatingwebhookconfigurations'],
      },
    ]
    const objectSelector = {}
    await register(fixture, server, 'Validating', [
      {
        name: 'deny-webhook-configuration-deletions.k8s.io',
        path: '/always-deny',
        rules,
        objectSelector,
        namespaceSelector: {},
      },
    ])
    await register(fixture, server, 'Mutating', [
      {
        name: 'add-label-to-webhook-configurations.k8s.io',
        path: '/add-label',
        rules,
        objectSelector,
        namespaceSelector: {},
      },
    ])
    for (const kind of ['Validating', 'Mutating'] as const) {
      const name = unique('dummy')
      cleanUp(() => api.delete(`${pathOf(kind)}/${name}`))
      const made = await api.post(pathOf(kind), {
        apiVersion: 'admissionregistration.k8s.io/v1',
        kind: `${kind}WebhookConfiguration`,
        metadata: { name },
        webhooks: [
          {
            name: 'dummy.k8s.io',
            rules: [rule(['CREATE'], 'invalid', 'webhooktest.example.com')],
            clientConfig: server.client('/'),
            sideEffects: 'None',
            failurePolicy: 'Ignore',
            admissionReviewVersions: ['v1', 'v1beta1'],
          },
        ],
      })
      assert.equal(made['metadata'].labels?.touched, undefined)
      await api.delete(`${pathOf(kind)}/${name}`)
    }
  },
)

mirror(title('should mutate pod and apply defaults after mutation'), async (fixture) => {
  const { api, ns } = fixture
  const server = await startWebhooks(fixture, {
    '/mutating-pods': () =>
      patched({
        op: 'add',
        path: '/spec/initContainers',
        value: [
          {
            image: 'webhook-added-image',
            name: 'webhook-added-init-container',
            resources: {},
          },
        ],
      }),
  })
  await register(fixture, server, 'Mutating', [
    {
      name: 'adding-init-container.k8s.io',
      path: '/mutating-pods',
      rules: [rule(['CREATE'], 'pods')],
    },
  ])
  const made = await api.post(ns('pods'), {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'webhook-to-be-mutated' },
    spec: { containers: [{ name: 'example', image: 'registry.k8s.io/pause:3.10.1' }] },
  })
  const [container] = made['spec'].initContainers
  assert.equal(container.name, 'webhook-added-init-container')
  assert.equal(container.terminationMessagePolicy, 'File')
})

mirror(title('should deny crd creation'), async (fixture) => {
  const { unique } = fixture
  const server = await startWebhooks(fixture, {
    '/crd': ({ object }) =>
      object.metadata.labels?.['webhook-e2e-test'] === 'webhook-disallow'
        ? denied('the crd contains unwanted label')
        : allowed,
  })
  const key = unique('crd')
  await register(fixture, server, 'Validating', [
    {
      name: 'deny-crd-with-unwanted-label.k8s.io',
      path: '/crd',
      rules: [rule(['CREATE'], 'customresourcedefinitions', 'apiextensions.k8s.io', '*')],
      namespaceSelector: {},
      objectSelector: { matchLabels: { [key]: 'true' } },
    },
  ])
  await refused(
    fixture,
    'POST',
    '/apis/apiextensions.k8s.io/v1/customresourcedefinitions',
    definition(`${key}.example.com`, { labels: { ...UNWANTED, [key]: 'true' } }),
    'the crd contains unwanted label',
  )
})

mirror(title('should honor timeout'), async (fixture) => {
  const { api, ns, profile } = fixture
  const latencyMs = profile === 'stock' ? 5000 : 1500
  const server = await startWebhooks(fixture, {
    '/always-allow-delay-5s': () =>
      new Promise((resolve) => {
        const timer = setInterval(() => {
          clearInterval(timer)
          resolve(allowed)
        }, latencyMs)
      }),
  })
  let count = 0
  const attempt = async (hook: Json) => {
    const name = await register(fixture, server, 'Validating', [
      {
        name: 'allow-configmap-with-delay-webhook.k8s.io',
        path: '/always-allow-delay-5s',
        rules: [rule(['CREATE'], 'configmaps')],
        ...hook,
      },
    ])
    const answer = await api.call('POST', ns('configmaps'), {
      body: configMap(`e2e-test-slow-${count++}`),
    })
    await api.delete(`${pathOf('Validating')}/${name}`)
    return answer
  }
  const early = await attempt({ timeoutSeconds: 1, failurePolicy: 'Fail' })
  assert.ok(early.status >= 400)
  assert.match(early.text, /context deadline exceeded|timeout/)
  assert.ok(early.text.includes('/always-allow-delay-5s?timeout=1s'), early.text)
  assert.equal((await attempt({ timeoutSeconds: 1, failurePolicy: 'Ignore' })).status, 201)
  assert.equal((await attempt({ timeoutSeconds: 10, failurePolicy: 'Fail' })).status, 201)
  assert.equal((await attempt({ failurePolicy: 'Fail' })).status, 201)
})

// --- Configurations that change ------------------------------------------------------------------------

mirror(title('patching/updating a validating webhook should work'), async (fixture) => {
  const { api, ns, unique, until } = fixture
  const server = await startWebhooks(fixture, { '/configmaps': denyConfigMaps })
  const name = await register(fixture, server, 'Validating', [
    {
      name: 'deny-unwanted-configmap-data.k8s.io',
      path: '/configmaps',
      rules: [rule(['CREATE'], 'configmaps')],
    },
  ])
  const path = `${pathOf('Validating')}/${name}`
  const create = async () =>
    api.call('POST', ns('configmaps'), { body: configMap(unique('bad'), { data: UNWANTED }) })
  assert.equal((await create()).status, 400)
  const now = await api.get(path)
  now['webhooks'][0].rules[0].operations = ['UPDATE']
  await api.put(path, now)
  await until('creating is not asked about any more', async () => (await create()).status === 201)
  await api.patch(
    path,
    [{ op: 'replace', path: '/webhooks/0/rules/0/operations/0', value: 'CREATE' }],
    'json',
  )
  await until('creating is asked about again', async () => (await create()).status === 400)
})

mirror(title('patching/updating a mutating webhook should work'), async (fixture) => {
  const { api, ns, unique, until } = fixture
  const server = await startWebhooks(fixture, { '/mutating-configmaps': mutateData })
  const name = await register(fixture, server, 'Mutating', [
    {
      name: 'adding-configmap-data-stage-1.k8s.io',
      path: '/mutating-configmaps',
      rules: [rule(['CREATE'], 'configmaps')],
    },
  ])
  const path = `${pathOf('Mutating')}/${name}`
  const isMutated = async (): Promise<boolean> => {
    const made = await api.post(
      ns('configmaps'),
      configMap(unique('m'), { data: { 'mutation-start': 'yes' } }),
    )
    return made['data']['mutation-stage-1'] === 'yes'
  }
  assert.equal(await isMutated(), true)
  const now = await api.get(path)
  now['webhooks'][0].rules[0].operations = ['UPDATE']
  await api.put(path, now)
  await until('creating is not asked about any more', async () => !(await isMutated()))
  await api.patch(
    path,
    [{ op: 'replace', path: '/webhooks/0/rules/0/operations/0', value: 'CREATE' }],
    'json',
  )
  await until('creating is asked about again', isMutated)
})

const listing = async (fixture: Fixture, kind: 'Mutating' | 'Validating'): Promise<void> => {
  const { api, ns, unique, until, cleanUp } = fixture
  const path = kind === 'Validating' ? '/configmaps' : '/mutating-configmaps'
  const server = await startWebhooks(fixture, {
    '/configmaps': denyConfigMaps,
    '/mutating-configmaps': mutateData,
  })
  const mark = unique('e2e-list')
  const names = Array.from({ length: 10 }, () => unique('e2e-list-config'))
  const selected = { labelSelector: `e2e-list-test=${mark}` }
  cleanUp(() => api.delete(pathOf(kind), undefined, selected))
  for (const name of names)
    await api.post(
      pathOf(kind),
      configuration(
        server,
        kind,
        name,
        [
          {
            name: 'one-of-many.k8s.io',
            path,
            rules: [rule(['CREATE'], 'configmaps')],
          },
        ],
        { 'e2e-list-test': mark },
      ),
    )
  assert.equal((await api.get(pathOf(kind), selected))['items'].length, 10)
  await inEffect(fixture, server, names.at(-1) ?? '')
  const worksOn = async (): Promise<boolean> => {
    const data = kind === 'Validating' ? UNWANTED : { 'mutation-start': 'yes' }
    const answer = await api.call('POST', ns('configmaps'), {
      body: configMap(unique('listed'), { data }),
    })
    return kind === 'Validating'
      ? answer.status === 400
      : answer.json['data']['mutation-stage-1'] === 'yes'
  }
  assert.equal(await worksOn(), true)
  await api.delete(pathOf(kind), undefined, selected)
  await until('nobody is asked any more', async () => !(await worksOn()))
}
mirror(title('listing validating webhooks should work'), (fixture) =>
  listing(fixture, 'Validating'),
)
mirror(title('listing mutating webhooks should work'), (fixture) => listing(fixture, 'Mutating'))

// --- Match conditions ----------------------------------------------------------------------------------

const withConditions = async (fixture: Fixture, kind: 'Mutating' | 'Validating'): Promise<void> => {
  const { api } = fixture
  const server = await startWebhooks(fixture, { '/x': () => allowed })
  const conditions = [{ name: 'expression-1', expression: 'object.metadata.name == "x"' }]
  const name = await register(fixture, server, kind, [
    {
      name: 'match-conditions.k8s.io',
      path: '/x',
      rules: [rule(['CREATE'], 'configmaps')],
      matchConditions: conditions,
    },
  ])
  const made = await api.get(`${pathOf(kind)}/${name}`)
  assert.deepEqual(made['webhooks'][0].matchConditions, conditions)
  const more = [...conditions, { name: 'expression-2', expression: "object.metadata.name != 'y'" }]
  made['webhooks'][0].matchConditions = more
  await api.put(`${pathOf(kind)}/${name}`, made)
  const now = await api.get(`${pathOf(kind)}/${name}`)
  assert.deepEqual(now['webhooks'][0].matchConditions, more)
}
const withWrongConditions = async (
  fixture: Fixture,
  kind: 'Mutating' | 'Validating',
): Promise<void> => {
  const server = await startWebhooks(fixture, {})
  const body = configuration(server, kind, fixture.unique('invalid'), [
    {
      name: 'invalid-conditions.k8s.io',
      path: '/x',
      rules: [rule(['CREATE'], 'configmaps')],
      matchConditions: [{ name: 'invalid-expression-1', expression: '... [] bad expression' }],
    },
  ])
  await refused(fixture, 'POST', pathOf(kind), body, 'compilation failed')
}
for (const kind of ['Validating', 'Mutating'] as const) {
  const configurations = `${kind.toLowerCase()} webhook configurations`
  mirror(
    title(`should be able to create and update ${configurations} with match conditions`),
    (fixture) => withConditions(fixture, kind),
  )
  mirror(title(`should reject ${configurations} with invalid match conditions`), (fixture) =>
    withWrongConditions(fixture, kind),
  )
}

mirror(title("should mutate everything except 'skip-me' configmaps"), async (fixture) => {
  const { api, ns } = fixture
  const server = await startWebhooks(fixture, { '/mutating-configmaps': mutateData })
  await register(fixture, server, 'Mutating', [
    {
      name: 'adding-configmap-data-stage-1.k8s.io',
      path: '/mutating-configmaps',
      rules: [rule(['CREATE'], 'configmaps')],
      matchConditions: [{ name: 'skip-me', expression: "object.metadata.name != 'skip-me'" }],
    },
  ])
  const data = { 'mutation-start': 'yes' }
  const skipped = await api.post(ns('configmaps'), configMap('skip-me', { data }))
  assert.deepEqual(skipped['data'], data)
  const mutated = await api.post(ns('configmaps'), configMap('mutate-me', { data }))
  assert.equal(mutated['data']['mutation-stage-1'], 'yes')
})

// --- Custom resources ----------------------------------------------------------------------------------

const OPEN = {
  openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
}
const PRUNING = {
  openAPIV3Schema: {
    type: 'object',
    properties: {
      data: {
        type: 'object',
        properties: {
          'mutation-start': { type: 'string' },
          'mutation-stage-1': { type: 'string' },
          // What the second stage adds is not here.
        },
      },
    },
  },
}

const definition = (
  group: string,
  { labels = {}, schema = OPEN, second = false }: Json = {},
): Json => ({
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: `e2e-test-crds.${group}`, labels },
  spec: {
    group,
    scope: 'Namespaced',
    names: {
      plural: 'e2e-test-crds',
      singular: 'e2e-test-crd',
      kind: 'E2e-test-crd',
      listKind: 'E2e-test-crdList',
    },
    versions: [
      { name: 'v1', served: true, storage: true, schema },
      ...(second === true ? [{ name: 'v2', served: true, storage: false, schema }] : []),
    ],
  },
})

const DEFINITIONS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'

/** The group of a new custom resource that is served. */
async function custom(
  { api, unique, cleanUp, until }: Fixture,
  options: Json = {},
): Promise<string> {
  const group = `${unique('webhook-crd')}.example.com`
  const made = await api.post(DEFINITIONS, definition(group, options))
  cleanUp(() => api.delete(`${DEFINITIONS}/${made['metadata'].name}`))
  await until('the custom resource is served', async () => {
    const now = await api.get(`${DEFINITIONS}/${made['metadata'].name}`)
    const isEstablished = now['status']?.conditions?.some(
      ({ type, status }: Json) => type === 'Established' && status === 'True',
    )
    return isEstablished && (await api.call('GET', `/apis/${group}/v1`)).status === 200
  })
  return group
}

const instance = (group: string, name: string, data: Json, version = 'v1'): Json => ({
  apiVersion: `${group}/${version}`,
  kind: 'E2e-test-crd',
  metadata: { name },
  data,
})
const instances = (group: string, namespace: string, version = 'v1'): string =>
  `/apis/${group}/${version}/namespaces/${namespace}/e2e-test-crds`

mirror(
  title('should be able to deny custom resource creation, update and deletion'),
  async (fixture) => {
    const { api, namespace } = fixture
    const why = 'the custom resource contains unwanted data'
    const group = await custom(fixture)
    const server = await startWebhooks(fixture, {
      '/custom-resource': ({ object, oldObject }) =>
        Object.values((object ?? oldObject)?.data ?? {}).includes('webhook-disallow')
          ? denied(why)
          : allowed,
    })
    await register(fixture, server, 'Validating', [
      {
        name: 'deny-unwanted-custom-resource-data.k8s.io',
        path: '/custom-resource',
        rules: [rule(['CREATE', 'UPDATE', 'DELETE'], 'e2e-test-crds', group)],
        // What is marked to be let go is the way out of the test.
        objectSelector: {
          matchExpressions: [{ key: 'let-go', operator: 'DoesNotExist' }],
        },
      },
    ])
    const path = instances(group, namespace)
    await refused(fixture, 'POST', path, instance(group, 'cr-1', UNWANTED), why)
    await api.post(path, instance(group, 'cr-2', { a: 'admitted' }))
    await refused(fixture, 'PATCH', `${path}/cr-2`, { data: UNWANTED }, why)
    const hidden = instance(group, 'cr-3', UNWANTED)
    hidden['metadata'].labels = { 'let-go': 'yes' }
    await api.post(path, hidden)
    const shown = await refused(
      fixture,
      'PATCH',
      `${path}/cr-3`,
      { metadata: { labels: { 'let-go': null } } },
      why,
    )
    assert.equal(shown['code'], 400)
    await api.delete(`${path}/cr-2`)
  },
)

const mutatesCustom = async (fixture: Fixture, schema: Json, expected: Json): Promise<void> => {
  const { api, namespace } = fixture
  const group = await custom(fixture, { schema })
  const server = await startWebhooks(fixture, { '/mutating-custom-resource': mutateData })
  await register(
    fixture,
    server,
    'Mutating',
    stages([rule(['CREATE', 'UPDATE'], 'e2e-test-crds', group)], '/mutating-custom-resource'),
  )
  const made = await api.post(
    instances(group, namespace),
    instance(group, 'cr-instance-1', { 'mutation-start': 'yes' }),
  )
  assert.deepEqual(made['data'], expected)
}
mirror(title('should mutate custom resource'), (fixture) =>
  mutatesCustom(fixture, OPEN, {
    'mutation-start': 'yes',
    'mutation-stage-1': 'yes',
    'mutation-stage-2': 'yes',
  }),
)
mirror(title('should mutate custom resource with pruning'), (fixture) =>
  mutatesCustom(fixture, PRUNING, { 'mutation-start': 'yes', 'mutation-stage-1': 'yes' }),
)

mirror(title('should mutate custom resource with different stored version'), async (fixture) => {
  const { api, namespace } = fixture
  const group = await custom(fixture, { second: true })
  const server = await startWebhooks(fixture, { '/mutating-custom-resource': mutateData })
  await register(
    fixture,
    server,
    'Mutating',
    stages([rule(['CREATE', 'UPDATE'], 'e2e-test-crds', group)], '/mutating-custom-resource'),
  )
  await api.post(
    instances(group, namespace),
    instance(group, 'cr-instance-1', { 'mutation-start': 'yes' }),
  )
  await api.patch(
    `${DEFINITIONS}/e2e-test-crds.${group}`,
    {
      spec: {
        versions: [
          { name: 'v1', served: true, storage: false, schema: OPEN },
          { name: 'v2', served: true, storage: true, schema: OPEN },
        ],
      },
    },
    'merge',
  )
  const patchedNow = await api.patch(
    `${instances(group, namespace, 'v2')}/cr-instance-1`,
    [{ op: 'add', path: '/dummy', value: 'test' }],
    'json',
  )
  assert.equal(patchedNow['dummy'], 'test')
  assert.deepEqual(patchedNow['data'], {
    'mutation-start': 'yes',
    'mutation-stage-1': 'yes',
    'mutation-stage-2': 'yes',
  })
  assert.equal(patchedNow['apiVersion'], `${group}/v2`)
})

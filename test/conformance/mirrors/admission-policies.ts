import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { mirror, type Fixture } from '../mirror.ts'
import { operate } from '../operations.ts'

type Kind = 'ValidatingAdmissionPolicy' | 'MutatingAdmissionPolicy'

const GROUP_VERSION = 'admissionregistration.k8s.io/v1'
const title = (kind: Kind, what: string): string =>
  `[sig-api-machinery] ${kind} [Privileged:ClusterAdmin] ${what} [Conformance]`
const resourceOf = (kind: Kind): string =>
  kind === 'ValidatingAdmissionPolicy' ? 'validatingadmissionpolicies' : 'mutatingadmissionpolicies'
const pathOf = (kind: Kind): string => `/apis/${GROUP_VERSION}/${resourceOf(kind)}`
const bindingsOf = (kind: Kind): string => `${pathOf(kind).replace(/ies$/, 'y')}bindings`

const deployments = {
  operations: ['CREATE', 'UPDATE'],
  apiGroups: ['apps'],
  apiVersions: ['v1'],
  resources: ['deployments'],
}

const deployment = (name: string, replicas: number, more: Json = {}): Json => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name, ...more },
  spec: {
    replicas,
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: { containers: [{ name: 'c', image: 'registry.k8s.io/pause:3.10.1' }] },
    },
  },
})

/** A policy that is about this test's namespace alone, and its binding. */
async function bound(
  { api, namespace, unique, cleanUp }: Fixture,
  kind: Kind,
  spec: Json,
): Promise<string> {
  const label = unique('policies')
  await api.patch(
    `/api/v1/namespaces/${namespace}`,
    { metadata: { labels: { [label]: 'true' } } },
    'merge',
  )
  const name = `${label}.policy.example.com`
  const selector = { matchLabels: { [label]: 'true' } }
  cleanUp(() => api.delete(`${pathOf(kind)}/${name}`))
  cleanUp(() => api.delete(`${bindingsOf(kind)}/${name}`))
  await api.post(pathOf(kind), {
    apiVersion: GROUP_VERSION,
    kind,
    metadata: { name },
    spec: {
      ...spec,
      matchConstraints: { namespaceSelector: selector, resourceRules: [deployments] },
    },
  })
  await api.post(bindingsOf(kind), {
    apiVersion: GROUP_VERSION,
    kind: `${kind}Binding`,
    metadata: { name },
    spec: {
      policyName: name,
      matchResources: { namespaceSelector: selector },
      ...(kind === 'ValidatingAdmissionPolicy' ? { validationActions: ['Deny'] } : {}),
    },
  })
  return name
}

const DEPLOYMENTS = (namespace: string): string =>
  `/apis/apps/v1/namespaces/${namespace}/deployments`

/** Waits until the policy refuses what it is to refuse. */
const refused = async (
  { api, namespace, until }: Fixture,
  body: Json,
  withinMs?: number,
): Promise<Json> =>
  until(
    'the policy is in effect',
    async () => {
      const answer = await api.call('POST', DEPLOYMENTS(namespace), {
        body,
        query: { dryRun: 'All' },
      })
      return answer.status === 201 ? undefined : answer.json
    },
    withinMs,
  )

mirror(
  title('ValidatingAdmissionPolicy', 'should validate against a Deployment'),
  async (fixture) => {
    const { api, namespace } = fixture
    const name = await bound(fixture, 'ValidatingAdmissionPolicy', {
      validations: [
        {
          expression: 'object.spec.replicas > 1',
          // Not the type that it takes for the text: what is shown is the rule.
          messageExpression: "'wants replicas > 1, got ' + object.spec.replicas",
        },
        {
          expression: `namespaceObject.metadata.name == '${namespace}'`,
          message: 'Internal error! Other namespace should not be allowed.',
        },
      ],
    })
    const answer = await refused(fixture, deployment('replicated', 1))
    assert.equal(answer['code'], 422)
    assert.equal(answer['reason'], 'Invalid')
    assert.equal(
      answer['message'],
      `deployments.apps "replicated" is forbidden: ValidatingAdmissionPolicy '${name}' with binding '${name}' denied request: failed expression: object.spec.replicas > 1`,
    )
    await api.post(DEPLOYMENTS(namespace), deployment('replicated', 2))
  },
)

mirror(
  title('ValidatingAdmissionPolicy', 'should allow expressions to refer variables.'),
  async (fixture) => {
    const { api, namespace } = fixture
    await bound(fixture, 'ValidatingAdmissionPolicy', {
      variables: [
        { name: 'replicas', expression: 'object.spec.replicas' },
        { name: 'oddReplicas', expression: 'variables.replicas % 2 == 1' },
      ],
      validations: [
        { expression: 'variables.replicas > 1' },
        { expression: 'variables.oddReplicas' },
      ],
    })
    const one = await refused(fixture, deployment('one', 1))
    assert.ok(
      String(one['message']).endsWith('denied request: failed expression: variables.replicas > 1'),
    )
    const even = await refused(fixture, deployment('even', 2))
    assert.ok(String(even['message']).endsWith('failed expression: variables.oddReplicas'))
    await api.post(DEPLOYMENTS(namespace), deployment('odd', 3))
  },
)

/** A policy of one expression, tried with a deployment of one name: it must be gone when the next is made. */
async function mutated(
  fixture: Fixture,
  expression: string,
  shows: (deployment: Json) => boolean,
): Promise<Json> {
  const { api, namespace, until } = fixture
  await bound(fixture, 'MutatingAdmissionPolicy', {
    reinvocationPolicy: 'Never',
    mutations: [{ patchType: 'ApplyConfiguration', applyConfiguration: { expression } }],
  })
  return until('the policy is in effect', async () => {
    const made = await api.post(DEPLOYMENTS(namespace), deployment('marker-deployment', 1))
    await api.delete(`${DEPLOYMENTS(namespace)}/marker-deployment`)
    return shows(made) && made
  })
}

mirror(title('MutatingAdmissionPolicy', 'should mutate a Deployment'), async (fixture) => {
  // So many that the deployment must be gone before they are all made.
  const made = await mutated(
    fixture,
    'Object{spec: Object.spec{replicas: 1337}}',
    (each) => each['spec'].replicas === 1337,
  )
  assert.equal(made['spec'].template.spec.containers.length, 1)
})

mirror(
  title('MutatingAdmissionPolicy', 'should mutate a Deployment with annotations'),
  async (fixture) => {
    await mutated(
      fixture,
      `
        Object{
          metadata: Object.metadata{
            annotations: {
              "mutated-by": "admission-policy"
            }
          }
        }`,
      (each) => each['metadata'].annotations?.['mutated-by'] === 'admission-policy',
    )
    const { api, namespace, until, unique } = fixture
    await bound(fixture, 'MutatingAdmissionPolicy', {
      reinvocationPolicy: 'IfNeeded',
      variables: [{ name: 'image', expression: 'object.spec.template.spec.containers[0].image' }],
      matchConditions: [
        {
          name: 'new',
          expression:
            "!has(object.metadata.annotations) || !('e2e/image' in object.metadata.annotations)",
        },
      ],
      mutations: [
        {
          patchType: 'JSONPatch',
          jsonPatch: {
            expression: `[
              JSONPatch{op: "test", path: "/spec/replicas", value: object.spec.replicas},
              JSONPatch{op: "add", path: "/metadata/annotations", value: {}},
              JSONPatch{op: "add", path: "/metadata/annotations/" + jsonpatch.escapeKey("e2e/image"), value: variables.image}
            ]`,
          },
        },
      ],
    })
    const made = await until('the policy is in effect', async () => {
      const each = await api.post(DEPLOYMENTS(namespace), deployment(unique('annotated'), 1))
      return each['metadata'].annotations?.['e2e/image'] !== undefined && each
    })
    assert.equal(made['metadata'].annotations['e2e/image'], 'registry.k8s.io/pause:3.10.1')
  },
)

// --- The resources themselves --------------------------------------------------------------------------

const validations = [{ expression: 'object.spec.replicas <= 100' }]
const mutations = [
  {
    patchType: 'ApplyConfiguration',
    applyConfiguration: { expression: 'Object{}' },
  },
]
const condition = {
  type: 'StatusUpdate',
  status: 'True',
  reason: 'E2E',
  message: 'Set from e2e test',
  lastTransitionTime: '2026-01-01T00:00:00Z',
}

for (const kind of ['ValidatingAdmissionPolicy', 'MutatingAdmissionPolicy'] as const) {
  const isValidating = kind === 'ValidatingAdmissionPolicy'
  mirror(title(kind, `should support ${kind} API operations`), (fixture) =>
    operate(fixture, {
      groupVersion: GROUP_VERSION,
      resource: resourceOf(kind),
      kind,
      namespaced: false,
      body: {
        spec: {
          matchConstraints: {
            resourceRules: [{ ...deployments, apiGroups: ['nobody.example.com'] }],
          },
          ...(isValidating ? { validations } : { mutations, reinvocationPolicy: 'Never' }),
        },
      },
      ...(isValidating
        ? {
            status: {
              value: { conditions: [condition] },
              look: (status: Json) =>
                status['conditions']?.some(({ type }: Json) => type === 'StatusUpdate'),
              expected: true,
              keepsMetadata: false,
            } as const,
          }
        : {}),
    }),
  )
  mirror(title(kind, `should support ${kind}Binding API operations`), (fixture) =>
    operate(fixture, {
      groupVersion: GROUP_VERSION,
      resource: bindingsOf(kind).split('/').at(-1) ?? '',
      kind: `${kind}Binding`,
      namespaced: false,
      body: {
        spec: {
          policyName: 'nobody.example.com',
          ...(isValidating ? { validationActions: ['Deny'] } : {}),
        },
      },
    }),
  )
}

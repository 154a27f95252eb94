import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { JsonObject } from '#machinery'
import { trying } from '../definitions.testing.ts'

const GROUP = 'admissionregistration.k8s.io'
const hooks = trying(GROUP, 'v1', 'validatingwebhookconfigurations')

const hook = (more: JsonObject = {}): JsonObject => ({
  name: 'a.example.com',
  clientConfig: { url: 'https://hook.test' },
  sideEffects: 'None',
  admissionReviewVersions: ['v1'],
  ...more,
})
const wrong = (more: JsonObject): readonly string[] =>
  hooks.errors({ webhooks: [hook(more)] }).map((each) => each.replace(/^webhooks\[0\]\.?/, ''))

test('a webhook that is right is let in, and one that is wrong is told why', () => {
  assert.deepEqual(wrong({}), [])
  assert.deepEqual(wrong({ name: 'short.name' }), [
    'name: Invalid value: "short.name": should be a domain with at least three segments separated by dots',
  ])
  assert.deepEqual(wrong({ name: '' }), ['name: Required value'])
  assert.deepEqual(wrong({ sideEffects: 'Some' }), [
    'sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"',
  ])
  assert.deepEqual(wrong({ sideEffects: undefined }), [
    'sideEffects: Required value: must specify one of None, NoneOnDryRun',
  ])
  assert.deepEqual(wrong({ admissionReviewVersions: [] }), [
    'admissionReviewVersions: Required value: must specify one of v1, v1beta1',
  ])
  assert.deepEqual(wrong({ admissionReviewVersions: ['v1', 'v1'] }), [
    'admissionReviewVersions[1]: Invalid value: "v1": duplicate version',
  ])
  assert.deepEqual(wrong({ admissionReviewVersions: ['v9'] }), [
    'admissionReviewVersions: Invalid value: ["v9"]: must include at least one of v1, v1beta1',
  ])
  assert.deepEqual(wrong({ timeoutSeconds: 31 }), [
    'timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds',
  ])
  assert.deepEqual(hooks.errors({ webhooks: [hook(), hook()] }), [
    'webhooks[1].name: Duplicate value: "a.example.com"',
  ])
})

test('a webhook is reached by one way, and that must be a way', () => {
  const client = (config: JsonObject): readonly string[] => wrong({ clientConfig: config })
  const service = (more: JsonObject): readonly string[] =>
    client({ service: { name: 's', namespace: 'n', ...more } })
  assert.deepEqual(client({}), [
    'clientConfig: Required value: exactly one of url or service is required',
  ])
  assert.deepEqual(client({ url: 'http://user@x/?a#b' }), [
    `clientConfig.url: Invalid value: "http": 'https' is the only allowed URL scheme; desired format: https://host[/path]`,
    'clientConfig.url: Invalid value: "user": user information is not permitted in the URL',
    'clientConfig.url: Invalid value: "b": fragments are not permitted in the URL',
    'clientConfig.url: Invalid value: "a": query parameters are not permitted in the URL',
  ])
  assert.deepEqual(service({ path: '/a/b/' }), [])
  assert.deepEqual(service({ path: '/a//b' }), [
    'clientConfig.service.path: Invalid value: "/a//b": segment[1] may not be empty',
  ])
  assert.deepEqual(service({ port: 0 }), [
    'clientConfig.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive',
  ])
})

test('a rule says each thing once', () => {
  const rule = (more: JsonObject): readonly string[] =>
    wrong({
      rules: [
        {
          operations: ['CREATE'],
          apiGroups: [''],
          apiVersions: ['v1'],
          resources: ['pods'],
          ...more,
        },
      ],
    }).map((each) => each.replace('rules[0].', ''))
  assert.deepEqual(rule({}), [])
  assert.deepEqual(rule({ operations: ['*', 'CREATE'], apiGroups: ['*', 'a'], apiVersions: [] }), [
    `operations: Invalid value: ["*","CREATE"]: if '*' is present, must not specify other operations`,
    `apiGroups: Invalid value: ["*","a"]: if '*' is present, must not specify other API groups`,
    'apiVersions: Required value',
  ])
  assert.deepEqual(rule({ resources: ['*/*', 'pods/exec'] }), [
    `resources: Invalid value: ["*/*","pods/exec"]: if '*/*' is present, must not specify other resources`,
  ])
  assert.deepEqual(rule({ resources: ['pods/*', 'pods/exec', '*', 'nodes'] }), [
    `resources[1]: Invalid value: "pods/exec": if 'pods/*' is present, must not specify pods/exec`,
    `resources: Invalid value: ["pods/*","pods/exec","*","nodes"]: if '*' is present, must not specify other resources without subresources`,
  ])
})

test('a policy must say of what it speaks, and what it wants', () => {
  const policies = trying(GROUP, 'v1', 'validatingadmissionpolicies')
  const constraints = {
    resourceRules: [
      {
        operations: ['CREATE'],
        apiGroups: ['apps'],
        apiVersions: ['v1'],
        resources: ['deployments'],
      },
    ],
  }
  const policy = (spec: JsonObject): readonly string[] =>
    policies
      .errors({ spec: { matchConstraints: constraints, ...spec } })
      .map((each) => each.replace('spec.', ''))
  const validations = [{ expression: ' object.spec.replicas > 1 ' }]
  assert.deepEqual(policy({ validations }), [])
  assert.deepEqual(policy({}), [
    'validations: Required value: validations or auditAnnotations must be non-empty',
    'auditAnnotations: Required value: validations or auditAnnotations must be non-empty',
  ])
  assert.deepEqual(policy({ validations, matchConstraints: {} }), [
    'matchConstraints.resourceRules: Required value',
  ])
  assert.deepEqual(
    policy({
      validations: [{ expression: '', message: 'a\nb', messageExpression: ' ', reason: 'Because' }],
    }),
    [
      'validations[0].expression: Required value: expression is not specified',
      'validations[0].messageExpression: Invalid value: " ": must be non-empty if specified',
      'validations[0].message: Invalid value: "a\\nb": message must not contain line breaks',
      'validations[0].reason: Unsupported value: "Because": supported values: "Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"',
    ],
  )
  assert.deepEqual(
    policy({
      validations,
      variables: [
        { name: '1x', expression: '1' },
        { name: '', expression: '' },
      ],
    }),
    [
      'variables[0].name: Invalid value: "1x": name is not a valid CEL identifier',
      'variables[1].name: Required value: name is not specified',
      'variables[1].expression: Required value: expression is not specified',
    ],
  )
  assert.deepEqual(policy({ validations, paramKind: { apiVersion: 'a/b/c', kind: 'X_Y' } }), [
    'paramKind.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c',
    `paramKind.kind: Invalid value: "X_Y": may have mixed case, but should otherwise match: a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')`,
  ])
})

test('a mutation has the body that its type names, and no other', () => {
  const policies = trying(GROUP, 'v1', 'mutatingadmissionpolicies')
  const errors = policies.errors({
    spec: {
      matchConstraints: {
        resourceRules: [
          { operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] },
        ],
      },
      reinvocationPolicy: 'Never',
      mutations: [
        { patchType: 'JSONPatch', applyConfiguration: { expression: 'Object{}' } },
        { patchType: 'ApplyConfiguration', applyConfiguration: { expression: ' ' } },
      ],
    },
  })
  assert.deepEqual(errors, [
    'spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch',
    'spec.mutations[0].applyConfiguration: Invalid value: "{applyConfiguration}": must not be specified when patchType is JSONPatch',
    'spec.mutations[1].applyConfiguration.expression: Required value: expression is not specified',
  ])
})

test('a binding names its policy and its parameters in one way', () => {
  const bindings = trying(GROUP, 'v1', 'validatingadmissionpolicybindings')
  assert.deepEqual(
    bindings.errors({
      spec: {
        policyName: '',
        paramRef: { name: 'p', selector: {} },
        validationActions: ['Deny', 'Warn', 'Deny'],
      },
    }),
    [
      'spec.policyName: Required value',
      'spec.paramRef.name: Forbidden: name and selector are mutually exclusive',
      'spec.paramRef.selector: Forbidden: name and selector are mutually exclusive',
      'spec.paramRef.parameterNotFoundAction: Required value',
      'spec.validationActions[2]: Duplicate value: "Deny"',
      'spec.validationActions: Invalid value: ["Deny","Warn","Deny"]: must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)',
    ],
  )
})

/** The group admissionregistration.k8s.io: who else is asked before a write. */
import {
  FieldPath,
  duplicate,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
  type FieldError,
} from '#machinery'
import { UNSET } from './columns.ts'
import { defineResource } from './define.ts'
import type { Mutable } from './mutable.ts'
import {
  mutatingAdmissionPolicies as mutatingPoliciesRef,
  mutatingAdmissionPolicyBindings as mutatingBindingsRef,
  mutatingWebhookConfigurations as mutatingWebhooksRef,
  validatingAdmissionPolicies as validatingPoliciesRef,
  validatingAdmissionPolicyBindings as validatingBindingsRef,
  validatingWebhookConfigurations as validatingWebhooksRef,
} from './resources.gen.ts'
import { check, dnsSubdomain, qualifiedName, validateLabelSelector } from './rules.ts'
import type {
  MatchCondition,
  MatchResources,
  MutatingAdmissionPolicyBinding,
  MutatingWebhook,
  ParamKind,
  RuleWithOperations,
  ValidatingAdmissionPolicy,
  ValidatingAdmissionPolicyBinding,
  ValidatingWebhook,
} from './types.gen.ts'

type Webhook = ValidatingWebhook | MutatingWebhook

const MAX_TIMEOUT_SECONDS = 30
const MAX_CONDITIONS = 64
const REVIEW_VERSIONS = ['v1', 'v1beta1']

function defaultWebhook(webhook: Mutable<Webhook>): void {
  webhook.failurePolicy ??= 'Fail'
  webhook.matchPolicy ??= 'Equivalent'
  webhook.namespaceSelector ??= {}
  webhook.objectSelector ??= {}
  webhook.timeoutSeconds ??= 10
  for (const rule of webhook.rules ?? []) rule.scope ??= '*'
  if (webhook.clientConfig?.service) webhook.clientConfig.service.port ??= 443
}

function validateWebhooks(webhooks: readonly Webhook[]): readonly FieldError[] {
  const errors: FieldError[] = []
  const names = new Set<string>()
  for (const [i, webhook] of webhooks.entries()) {
    const at = FieldPath.of('webhooks').index(i)
    errors.push(...validateWebhook(webhook, at))
    if (names.has(webhook.name)) errors.push(duplicate(at.child('name'), webhook.name))
    names.add(webhook.name)
  }
  return errors
}

function validateWebhook(webhook: Webhook, path: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  const { name, clientConfig, admissionReviewVersions: versions, timeoutSeconds: seconds } = webhook
  if (name === '') errors.push(required(path.child('name')))
  else if (name.split('.').length < 3) {
    errors.push(
      invalidValue(
        path.child('name'),
        name,
        'should be a domain with at least three segments separated by dots',
      ),
    )
  } else errors.push(...check(path.child('name'), name, dnsSubdomain))
  if (versions.length > 0 && !versions.some((version) => REVIEW_VERSIONS.includes(version))) {
    errors.push(
      invalidValue(
        path.child('admissionReviewVersions'),
        versions,
        `must include at least one of ${REVIEW_VERSIONS.join(', ')}`,
      ),
    )
  }
  const effects: string | undefined = webhook.sideEffects
  if (effects === 'Some' || effects === 'Unknown') {
    errors.push(notSupported(path.child('sideEffects'), effects, ['None', 'NoneOnDryRun']))
  }
  if (seconds !== undefined && (seconds < 1 || seconds > MAX_TIMEOUT_SECONDS)) {
    errors.push(
      invalidValue(
        path.child('timeoutSeconds'),
        seconds,
        `the timeout value must be between 1 and ${MAX_TIMEOUT_SECONDS} seconds`,
      ),
    )
  }
  for (const [i, rule] of (webhook.rules ?? []).entries()) {
    errors.push(...validateRule(rule, path.child('rules').index(i)))
  }
  errors.push(...validateLabelSelector(webhook.namespaceSelector, path.child('namespaceSelector')))
  errors.push(...validateLabelSelector(webhook.objectSelector, path.child('objectSelector')))
  errors.push(...validateConditions(webhook.matchConditions ?? [], path.child('matchConditions')))
  const client = path.child('clientConfig')
  const { url, service } = clientConfig ?? {}
  if ((url === undefined) === (service === undefined)) {
    return [...errors, required(client, 'exactly one of url or service is required')]
  }
  if (url !== undefined) errors.push(...validateUrl(url, client.child('url')))
  const at = client.child('service')
  if (service?.path !== undefined && !service.path.startsWith('/')) {
    errors.push(invalidValue(at.child('path'), service.path, "must start with a '/'"))
  }
  if (service?.port !== undefined && (service.port < 1 || service.port > 65_535)) {
    errors.push(
      invalidValue(
        at.child('port'),
        service.port,
        'port is not valid: must be between 1 and 65535, inclusive',
      ),
    )
  }
  return errors
}

function validateUrl(url: string, path: FieldPath): readonly FieldError[] {
  const form = '; desired format: https://host[/path]'
  let parsed: URL
  try {
    parsed = new URL(url)
  } catch {
    return [required(path, `url must be a valid URL: ${JSON.stringify(url)}${form}`)]
  }
  const errors: FieldError[] = []
  if (parsed.protocol !== 'https:') {
    errors.push(
      invalidValue(
        path,
        parsed.protocol.slice(0, -1),
        `'https' is the only allowed URL scheme${form}`,
      ),
    )
  }
  if (parsed.host === '')
    errors.push(invalidValue(path, parsed.host, `host must be specified${form}`))
  if (parsed.username !== '') {
    errors.push(invalidValue(path, parsed.username, 'user information is not permitted in the URL'))
  }
  if (parsed.hash !== '') {
    errors.push(invalidValue(path, parsed.hash, 'fragments are not permitted in the URL'))
  }
  if (parsed.search !== '') {
    errors.push(invalidValue(path, parsed.search, 'query parameters are not permitted in the URL'))
  }
  return errors
}

function validateRule(rule: RuleWithOperations, path: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  const lists = {
    operations: rule.operations ?? [],
    apiGroups: rule.apiGroups ?? [],
    apiVersions: rule.apiVersions ?? [],
    resources: rule.resources ?? [],
  }
  for (const [name, list] of Object.entries(lists) as [string, readonly string[]][]) {
    if (list.length === 0) errors.push(required(path.child(name)))
    // Resources are paths, and have their own way of saying all.
    else if (name !== 'resources' && list.length > 1 && list.includes('*')) {
      errors.push(
        invalidValue(
          path.child(name),
          list,
          `if '*' is present, must not specify other ${name === 'operations' ? 'operations' : name === 'apiGroups' ? 'API groups' : 'API versions'}`,
        ),
      )
    }
  }
  for (const [i, version] of lists.apiVersions.entries()) {
    if (version === '') errors.push(required(path.child('apiVersions').index(i)))
  }
  for (const [i, resource] of lists.resources.entries()) {
    const at = path.child('resources').index(i)
    if (resource === '') errors.push(required(at))
    else if (resource.startsWith('*/') && lists.resources.includes('*/*') && resource !== '*/*') {
      errors.push(
        invalidValue(at, resource, "if '*/*' is present, must not specify other resources"),
      )
    }
  }
  return errors
}

function validateConditions(
  conditions: readonly MatchCondition[],
  path: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  if (conditions.length > MAX_CONDITIONS) {
    errors.push({
      type: 'FieldValueTooMany',
      field: path.toString(),
      detail: `Too many: ${conditions.length}: must have at most ${MAX_CONDITIONS} items`,
    })
  }
  for (const [i, { name }] of conditions.entries()) {
    const at = path.index(i).child('name')
    if (name === '') errors.push(required(at))
    else errors.push(...check(at, name, qualifiedName))
    if (conditions.findIndex((each) => each.name === name) < i) errors.push(duplicate(at, name))
  }
  return errors
}

const validatingWebhookConfigurations = defineResource(validatingWebhooksRef, {
  defaults: ({ webhooks }) => webhooks?.forEach(defaultWebhook),
  validate: ({ webhooks = [] }) => validateWebhooks(webhooks),
  cells: { Webhooks: ({ webhooks = [] }) => webhooks.length },
})

const mutatingWebhookConfigurations = defineResource(mutatingWebhooksRef, {
  defaults({ webhooks }) {
    for (const webhook of webhooks ?? []) {
      defaultWebhook(webhook)
      webhook.reinvocationPolicy ??= 'Never'
    }
  },
  validate: ({ webhooks = [] }) => validateWebhooks(webhooks),
  cells: { Webhooks: ({ webhooks = [] }) => webhooks.length },
})

function defaultMatch(match: Mutable<MatchResources> | undefined): void {
  if (match === undefined) return
  match.matchPolicy ??= 'Equivalent'
  match.namespaceSelector ??= {}
  match.objectSelector ??= {}
  for (const rule of [...(match.resourceRules ?? []), ...(match.excludeResourceRules ?? [])]) {
    rule.scope ??= '*'
  }
}

function validateMatch(match: MatchResources, path: FieldPath): readonly FieldError[] {
  return [
    ...validateLabelSelector(match.namespaceSelector, path.child('namespaceSelector')),
    ...validateLabelSelector(match.objectSelector, path.child('objectSelector')),
    ...(match.resourceRules ?? []).flatMap((rule, i) =>
      validateRule(rule, path.child('resourceRules').index(i)),
    ),
    ...(match.excludeResourceRules ?? []).flatMap((rule, i) =>
      validateRule(rule, path.child('excludeResourceRules').index(i)),
    ),
  ]
}

function validateParamKind(kind: ParamKind | undefined, path: FieldPath): readonly FieldError[] {
  if (kind === undefined) return []
  return [
    ...((kind.apiVersion ?? '') === '' ? [required(path.child('apiVersion'))] : []),
    ...((kind.kind ?? '') === '' ? [required(path.child('kind'))] : []),
  ]
}

const specPath = FieldPath.of('spec')

interface Constrained {
  readonly paramKind?: ParamKind
  readonly matchConstraints?: MatchResources
  readonly matchConditions?: readonly MatchCondition[]
  readonly variables?: readonly { readonly name: string }[]
}

function validateConstraints(spec: Constrained): readonly FieldError[] {
  const match = specPath.child('matchConstraints')
  const errors: FieldError[] = [...validateParamKind(spec.paramKind, specPath.child('paramKind'))]
  if (spec.matchConstraints === undefined) errors.push(required(match))
  else {
    errors.push(...validateMatch(spec.matchConstraints, match))
    if ((spec.matchConstraints.resourceRules ?? []).length === 0) {
      errors.push(required(match.child('resourceRules')))
    }
  }
  errors.push(...validateConditions(spec.matchConditions ?? [], specPath.child('matchConditions')))
  const names = (spec.variables ?? []).map(({ name }) => name)
  for (const [i, name] of names.entries()) {
    const at = specPath.child('variables').index(i).child('name')
    if (name === '') errors.push(required(at, 'name is required'))
    else if (!/^[_a-zA-Z][_a-zA-Z0-9]*$/.test(name)) {
      errors.push(invalidValue(at, name, 'name is not a valid CEL identifier'))
    }
    if (names.indexOf(name) < i) errors.push(duplicate(at, name))
  }
  return errors
}

function validatePolicy({ spec }: ValidatingAdmissionPolicy): readonly FieldError[] {
  const errors = [...validateConstraints(spec)]
  const { validations = [], auditAnnotations = [] } = spec
  if (validations.length === 0 && auditAnnotations.length === 0) {
    errors.push(
      required(specPath.child('validations'), 'validations or auditAnnotations must be non-empty'),
    )
  }
  for (const [i, { expression, message = '', reason }] of validations.entries()) {
    const at = specPath.child('validations').index(i)
    if (expression.trim() !== expression) {
      errors.push(
        invalidValue(
          at.child('expression'),
          expression,
          'must not have leading or trailing whitespace',
        ),
      )
    }
    if (message.includes('\n')) {
      errors.push(
        invalidValue(at.child('message'), message, 'message must not contain line breaks'),
      )
    }
    const reasons = ['Forbidden', 'Invalid', 'RequestEntityTooLarge', 'Unauthorized']
    if (reason !== undefined && !reasons.includes(reason)) {
      errors.push(notSupported(at.child('reason'), reason, reasons))
    }
  }
  const keys = auditAnnotations.map(({ key }) => key)
  for (const [i, key] of keys.entries()) {
    const at = specPath.child('auditAnnotations').index(i).child('key')
    if (key === '') errors.push(required(at))
    else errors.push(...check(at, key, qualifiedName))
    if (keys.indexOf(key) < i) errors.push(duplicate(at, key))
  }
  return errors
}

const paramKindCell = ({ spec }: { readonly spec: { readonly paramKind?: ParamKind } }): string =>
  spec.paramKind === undefined
    ? UNSET
    : `${spec.paramKind.apiVersion ?? ''}/${spec.paramKind.kind ?? ''}`

const validatingAdmissionPolicies = defineResource(validatingPoliciesRef, {
  statusKeepsMetadata: true,
  defaults({ spec }) {
    spec.failurePolicy ??= 'Fail'
    defaultMatch(spec.matchConstraints)
  },
  validate: validatePolicy,
  cells: {
    Validations: ({ spec }) => spec.validations?.length ?? 0,
    ParamKind: paramKindCell,
  },
})

const mutatingAdmissionPolicies = defineResource(mutatingPoliciesRef, {
  defaults({ spec }) {
    spec.failurePolicy ??= 'Fail'
    defaultMatch(spec.matchConstraints)
  },
  validate: ({ spec }) => {
    const errors = [...validateConstraints(spec)]
    const at = specPath.child('mutations')
    if ((spec.mutations ?? []).length === 0) errors.push(required(at))
    for (const [i, { patchType, applyConfiguration, jsonPatch }] of (
      spec.mutations ?? []
    ).entries()) {
      const each = at.index(i)
      if (patchType === 'ApplyConfiguration') {
        if (applyConfiguration === undefined) {
          errors.push(
            required(
              each.child('applyConfiguration'),
              'must be specified when patchType is ApplyConfiguration',
            ),
          )
        }
        if (jsonPatch) {
          errors.push(
            invalidValue(each.child('jsonPatch'), jsonPatch, 'patchType is ApplyConfiguration'),
          )
        }
      } else if (patchType === 'JSONPatch') {
        if (jsonPatch === undefined) {
          errors.push(
            required(each.child('jsonPatch'), 'must be specified when patchType is JSONPatch'),
          )
        }
        if (applyConfiguration) {
          errors.push(
            invalidValue(
              each.child('applyConfiguration'),
              applyConfiguration,
              'patchType is JSONPatch',
            ),
          )
        }
      }
    }
    if ((spec.reinvocationPolicy ?? '') === '') {
      errors.push(required(specPath.child('reinvocationPolicy')))
    }
    return errors
  },
  cells: {
    Mutations: ({ spec }) => spec.mutations?.length ?? 0,
    ParamKind: paramKindCell,
  },
})

type Binding = ValidatingAdmissionPolicyBinding | MutatingAdmissionPolicyBinding

function validateBinding({ spec }: Binding): readonly FieldError[] {
  const errors: FieldError[] = []
  const at = specPath.child('paramRef')
  const { policyName = '', paramRef, matchResources } = spec
  if (policyName !== '')
    errors.push(...check(specPath.child('policyName'), policyName, dnsSubdomain))
  else errors.push(required(specPath.child('policyName')))
  if (paramRef) {
    const byName = (paramRef.name ?? '') !== ''
    if (byName && paramRef.selector) {
      errors.push(forbiddenField(at.child('name'), 'name and selector are mutually exclusive'))
    }
    if (!byName && paramRef.selector === undefined) {
      errors.push(required(at, 'one of name or selector must be specified'))
    }
    if ((paramRef.parameterNotFoundAction ?? '') === '') {
      errors.push(required(at.child('parameterNotFoundAction')))
    } else if (!['Allow', 'Deny'].includes(paramRef.parameterNotFoundAction ?? '')) {
      errors.push(
        notSupported(at.child('parameterNotFoundAction'), paramRef.parameterNotFoundAction, [
          'Allow',
          'Deny',
        ]),
      )
    }
  }
  if (matchResources)
    errors.push(...validateMatch(matchResources, specPath.child('matchResources')))
  return errors
}

function validateActions({ spec }: ValidatingAdmissionPolicyBinding): readonly FieldError[] {
  const at = specPath.child('validationActions')
  const actions = spec.validationActions ?? []
  if (actions.length === 0) return [required(at)]
  const errors = actions.flatMap((action, i) =>
    actions.indexOf(action) < i ? [duplicate(at.index(i), action)] : [],
  )
  if (actions.includes('Deny') && actions.includes('Warn')) {
    errors.push(
      invalidValue(
        at,
        actions,
        'must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)',
      ),
    )
  }
  return errors
}

const bindingCells = {
  PolicyName: ({ spec }: Binding) => spec.policyName ?? '',
  ParamRef: ({ spec: { paramRef } }: Binding) => {
    if (paramRef === undefined) return UNSET
    const name = (paramRef.name ?? '') === '' ? '*' : (paramRef.name ?? '')
    return (paramRef.namespace ?? '') === '' ? name : `${paramRef.namespace}/${name}`
  },
}

const validatingAdmissionPolicyBindings = defineResource(validatingBindingsRef, {
  defaults: ({ spec }) => defaultMatch(spec.matchResources),
  validate: (binding) => [...validateBinding(binding), ...validateActions(binding)],
  cells: bindingCells,
})

const mutatingAdmissionPolicyBindings = defineResource(mutatingBindingsRef, {
  defaults: ({ spec }) => defaultMatch(spec.matchResources),
  validate: validateBinding,
  cells: bindingCells,
})

export const admissionRegistration = [
  mutatingAdmissionPolicies,
  mutatingAdmissionPolicyBindings,
  mutatingWebhookConfigurations,
  validatingAdmissionPolicies,
  validatingAdmissionPolicyBindings,
  validatingWebhookConfigurations,
]

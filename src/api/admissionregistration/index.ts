/** The group admissionregistration.k8s.io: who else is asked before a write. */
import { UNSET } from '../columns.ts'
import { defineResource } from '../define.ts'
import type { Mutable } from '../mutable.ts'
import {
  mutatingAdmissionPolicies as mutatingPoliciesRef,
  mutatingAdmissionPolicyBindings as mutatingBindingsRef,
  mutatingWebhookConfigurations as mutatingWebhooksRef,
  validatingAdmissionPolicies as validatingPoliciesRef,
  validatingAdmissionPolicyBindings as validatingBindingsRef,
  validatingWebhookConfigurations as validatingWebhooksRef,
} from '../resources.gen.ts'
import type {
  MatchResources,
  MutatingAdmissionPolicyBinding,
  ParamKind,
  ValidatingAdmissionPolicyBinding,
} from '../types.gen.ts'
import {
  validateActions,
  validateBinding,
  validateMutatingPolicy,
  validatePolicy,
} from './policies.ts'
import { validateWebhooks, type Webhook } from './webhooks.ts'

function defaultWebhook(webhook: Mutable<Webhook>): void {
  webhook.failurePolicy ??= 'Fail'
  webhook.matchPolicy ??= 'Equivalent'
  webhook.namespaceSelector ??= {}
  webhook.objectSelector ??= {}
  webhook.timeoutSeconds ??= 10
  for (const rule of webhook.rules ?? []) rule.scope ??= '*'
  if (webhook.clientConfig?.service) webhook.clientConfig.service.port ??= 443
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
  for (const rule of [...(match.resourceRules ?? []), ...(match.excludeResourceRules ?? [])])
    rule.scope ??= '*'
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
  validate: validateMutatingPolicy,
  cells: {
    Mutations: ({ spec }) => spec.mutations?.length ?? 0,
    ParamKind: paramKindCell,
  },
})

type Binding = ValidatingAdmissionPolicyBinding | MutatingAdmissionPolicyBinding

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

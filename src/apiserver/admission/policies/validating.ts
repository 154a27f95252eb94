/** ValidatingAdmissionPolicy (KEP-3488): requests are judged by expressions. */
import {
  validatingAdmissionPolicies,
  validatingAdmissionPolicyBindings,
  type ValidatingAdmissionPolicy,
  type ValidatingAdmissionPolicyBinding,
} from '#api'
import type { Env } from '#base'
import type { AdmissionPlugin, AdmissionRequest } from '../../admission.ts'
import { isUnjudged } from '../dynamic/match.ts'
import { viewOf } from '../dynamic/view.ts'
import { boundTo, type Inside } from './bound.ts'
import { evaluate, type Decision } from './evaluate.ts'
import { policyMetrics } from './metrics.ts'
import { activation, budgetsFor, type PolicyAdmission } from './values.ts'
import { denied, type Denial } from './verdicts.ts'

const MAX_ANNOTATION_BYTES = 10 * 1024
const FAILURE_ANNOTATION = 'validation.policy.admission.k8s.io/validation_failure'

export function validatingPolicies(
  options: PolicyAdmission & {
    readonly inside: Inside
    readonly env: Pick<Env, 'clock' | 'metrics'>
  },
): AdmissionPlugin {
  const {
    inside,
    env: { clock },
  } = options
  const { read } = inside
  const metrics = policyMetrics(options.env)
  return {
    name: 'ValidatingAdmissionPolicy',
    handles: (request) =>
      read.list(validatingAdmissionPolicyBindings).length > 0 && !isUnjudged(request),
    async validate(request) {
      const denials: Denial[] = []
      const failures: JsonFailure[] = []
      const annotations = new Map<string, Set<string>>()
      const all = boundTo(
        inside,
        request,
        read.list(validatingAdmissionPolicies),
        read.list(validatingAdmissionPolicyBindings),
      )
      for (const bound of all) {
        const { policy, binding } = bound
        const names = { policy: policy.metadata.name, binding: binding?.metadata.name }
        if (bound.error !== undefined) {
          if (policy.spec.failurePolicy !== 'Ignore')
            denials.push({ ...names, message: bound.error })
          continue
        }
        const view = await viewOf(request, bound.definition)
        for (const params of bound.params) {
          const values = activation(options, request, view, params)
          const started = clock.monotonic()
          const result = await evaluate(policy, values, budgetsFor(options, request))
          const seconds = (clock.monotonic() - started) / 1000
          const count = (decision: Decision, action: 'allow' | 'deny' | 'audit' | 'warn'): void =>
            metrics.told(
              { ...names, binding: bound.binding.metadata.name },
              decision,
              action,
              seconds,
            )
          for (const [i, decision] of result.decisions.entries())
            if (decision.admits) count(decision, 'allow')
            else
              for (const action of act(request, bound, decision, i, { denials, failures }))
                count(decision, action)
          for (const message of result.annotationErrors) denials.push({ ...names, message })
          for (const { key, value } of result.auditAnnotations) {
            const full = `${policy.metadata.name}/${key}`
            const known = annotations.get(full) ?? new Set()
            annotations.set(full, known.add(value.slice(0, MAX_ANNOTATION_BYTES)))
          }
        }
      }
      for (const [key, texts] of annotations) request.annotate(key, [...texts].join(', '))
      if (failures.length > 0) request.annotate(FAILURE_ANNOTATION, JSON.stringify(failures))
      if (denials[0] !== undefined) throw denied(request, denials[0])
    },
  }
}

interface JsonFailure {
  readonly message: string
  readonly policy: string
  readonly binding: string
  readonly expressionIndex: number
  readonly validationActions: readonly string[]
}

/** Does with a refusal what the binding says, and says what that was. */
function* act(
  request: AdmissionRequest,
  bound: {
    readonly policy: ValidatingAdmissionPolicy
    readonly binding: ValidatingAdmissionPolicyBinding
  },
  { message, reason }: Extract<Decision, { admits: false }>,
  expressionIndex: number,
  found: { readonly denials: Denial[]; readonly failures: JsonFailure[] },
): Generator<'deny' | 'audit' | 'warn'> {
  const policy = bound.policy.metadata.name
  const binding = bound.binding.metadata.name
  const { validationActions } = bound.binding.spec
  for (const action of validationActions)
    switch (action) {
      case 'Deny':
        found.denials.push({
          policy,
          binding,
          message,
          ...(reason === undefined ? {} : { reason }),
        })
        yield 'deny'
        break
      case 'Warn':
        request.warn(
          `Validation failed for ValidatingAdmissionPolicy '${policy}' with binding '${binding}': ${message}`,
        )
        yield 'warn'
        break
      case 'Audit':
        found.failures.push({ message, policy, binding, expressionIndex, validationActions })
        yield 'audit'
        break
    }
}

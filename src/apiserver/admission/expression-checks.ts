/** Expressions in configurations of admission, and those that choose devices, are compiled before they are stored: what cannot be compiled is refused. */
import type {
  MutatingAdmissionPolicy,
  ValidatingAdmissionPolicy,
  ValidatingWebhookConfiguration,
} from '#api'
import {
  FieldPath,
  invalidValue,
  type FieldError,
  type JsonObject,
  type ResourceDefinition,
} from '#machinery'
import { DEVICE_CHECKS } from './device-selectors.ts'
import { conditionExpressions, type Condition } from './dynamic/conditions.ts'
import { WEBHOOK_ENVIRONMENT, type Expression } from './dynamic/expressions.ts'
import { compileMutating, compileValidating, type NamedExpression } from './policies/compile.ts'

type Check = (object: JsonObject) => readonly FieldError[]

/** The same definition with its expressions judged as well. */
export function withExpressionChecks(definition: ResourceDefinition): ResourceDefinition {
  const { group, resource } = definition.facts
  const check =
    group === 'admissionregistration.k8s.io'
      ? CHECKS[resource]
      : group === 'resource.k8s.io'
        ? DEVICE_CHECKS[resource]
        : undefined
  if (check === undefined) return definition
  const { validate } = definition
  return { ...definition, validate: (object) => [...validate(object), ...check(object)] }
}

const failures = (expression: Expression, path: FieldPath): readonly FieldError[] =>
  expression.failure === undefined || expression.source.trim() === ''
    ? []
    : [invalidValue(path, expression.source, expression.failure)]

const named = (
  expressions: readonly (NamedExpression | Condition)[],
  path: FieldPath,
): readonly FieldError[] =>
  expressions.flatMap(({ expression }, i) =>
    failures(expression, path.index(i).child('expression')),
  )

const webhooks: Check = (object) => {
  const { webhooks: all = [] } = object as unknown as ValidatingWebhookConfiguration
  return all.flatMap(({ matchConditions = [] }, i) =>
    named(
      conditionExpressions(matchConditions, WEBHOOK_ENVIRONMENT),
      FieldPath.of('webhooks').index(i).child('matchConditions'),
    ),
  )
}

const SPEC = FieldPath.of('spec')

const CHECKS: Readonly<Record<string, Check>> = {
  validatingwebhookconfigurations: webhooks,
  mutatingwebhookconfigurations: webhooks,
  validatingadmissionpolicies(object) {
    const { spec } = object as unknown as ValidatingAdmissionPolicy
    const { conditions, variables, validations, auditAnnotations } = compileValidating(spec)
    return [
      ...named(conditions, SPEC.child('matchConditions')),
      ...named(variables, SPEC.child('variables')),
      ...validations.flatMap(({ expression, messageExpression }, i) => {
        const at = SPEC.child('validations').index(i)
        return [
          ...failures(expression, at.child('expression')),
          ...(messageExpression === undefined
            ? []
            : failures(messageExpression, at.child('messageExpression'))),
        ]
      }),
      ...auditAnnotations.flatMap((expression, i) =>
        failures(expression, SPEC.child('auditAnnotations').index(i).child('valueExpression')),
      ),
    ]
  },
  mutatingadmissionpolicies(object) {
    const { spec } = object as unknown as MutatingAdmissionPolicy
    const { conditions, variables, mutations } = compileMutating(spec)
    return [
      ...named(conditions, SPEC.child('matchConditions')),
      ...named(variables, SPEC.child('variables')),
      ...mutations.flatMap((expression, i) => {
        const body = spec.mutations?.[i]?.jsonPatch ? 'jsonPatch' : 'applyConfiguration'
        return failures(expression, SPEC.child('mutations').index(i).child(body, 'expression'))
      }),
    ]
  },
}

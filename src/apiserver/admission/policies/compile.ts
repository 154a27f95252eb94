/** Policies with their expressions compiled, once for each version of a policy. */
import type { MutatingAdmissionPolicy, ValidatingAdmissionPolicy } from '#api'
import type { CelDeclaration } from '#cel'
import { conditionExpressions, type Condition } from '../dynamic/conditions.ts'
import { expression, type Environment, type Expression } from '../dynamic/expressions.ts'

export interface NamedExpression {
  readonly name: string
  readonly expression: Expression
}

interface Common {
  readonly conditions: readonly Condition[]
  readonly variables: readonly NamedExpression[]
}

export interface CompiledValidation {
  readonly expression: Expression
  readonly messageExpression: Expression | undefined
}

export interface CompiledValidating extends Common {
  readonly validations: readonly CompiledValidation[]
  readonly auditAnnotations: readonly Expression[]
}

export interface CompiledMutating extends Common {
  readonly mutations: readonly Expression[]
}

type Spec = Pick<ValidatingAdmissionPolicy['spec'], 'paramKind' | 'matchConditions' | 'variables'>

const validating = new WeakMap<ValidatingAdmissionPolicy['spec'], CompiledValidating>()
const mutating = new WeakMap<MutatingAdmissionPolicy['spec'], CompiledMutating>()

/** What every expression of the policy can name. `object` and `params` may be given types, to find mistakes with. */
export const environmentOf = (
  { paramKind }: Pick<Spec, 'paramKind'>,
  types: { readonly object?: CelDeclaration; readonly params?: CelDeclaration } = {},
): Environment => ({
  object: types.object ?? 'dyn',
  namespaceObject: true,
  authorizer: true,
  ...(paramKind === undefined ? {} : { params: types.params ?? 'dyn' }),
})

/** Each variable sees those before it. */
export function compileVariables(
  variables: Spec['variables'] = [],
  environment: Environment,
): { readonly variables: readonly NamedExpression[]; readonly environment: Environment } {
  const compiled: NamedExpression[] = []
  const types: Record<string, CelDeclaration> = {}
  const withThem = (): Environment => ({ ...environment, variables: { ...types } })
  for (const { name, expression: source } of variables) {
    const one = expression(source, withThem())
    compiled.push({ name, expression: one })
    types[name] = one.type
  }
  return { variables: compiled, environment: withThem() }
}

export function compiledValidating({ spec }: ValidatingAdmissionPolicy): CompiledValidating {
  let found = validating.get(spec)
  if (found === undefined) validating.set(spec, (found = compileValidating(spec)))
  return found
}

export function compileValidating(spec: ValidatingAdmissionPolicy['spec']): CompiledValidating {
  const own = environmentOf(spec)
  const { variables, environment } = compileVariables(spec.variables, own)
  return {
    conditions: conditionExpressions(spec.matchConditions ?? [], environment),
    variables,
    validations: (spec.validations ?? []).map(({ expression: source, messageExpression = '' }) => ({
      expression: expression(source, environment, 'bool'),
      // Who refuses must not ask who may do what only to say why.
      messageExpression:
        messageExpression.trim() === ''
          ? undefined
          : expression(messageExpression, { ...environment, authorizer: false }, 'string'),
    })),
    auditAnnotations: (spec.auditAnnotations ?? []).map(({ valueExpression }) =>
      expression(valueExpression, environment, ['string', 'null']),
    ),
  }
}

export function compiledMutating({ spec }: MutatingAdmissionPolicy): CompiledMutating {
  let found = mutating.get(spec)
  if (found === undefined) mutating.set(spec, (found = compileMutating(spec)))
  return found
}

export function compileMutating(spec: MutatingAdmissionPolicy['spec']): CompiledMutating {
  const own = { ...environmentOf(spec), mutates: true }
  const { variables, environment } = compileVariables(spec.variables, own)
  return {
    conditions: conditionExpressions(spec.matchConditions ?? [], environment),
    variables,
    mutations: (spec.mutations ?? []).map(({ patchType, applyConfiguration, jsonPatch }) =>
      patchType === 'JSONPatch'
        ? expression(jsonPatch?.expression ?? '', environment, 'list<JSONPatch>')
        : expression(applyConfiguration?.expression ?? '', environment, 'Object'),
    ),
  }
}

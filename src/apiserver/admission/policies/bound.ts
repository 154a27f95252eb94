/** Which policies, by which bindings and with which parameters, are about a request. */
import type { MatchResources, ParamKind, ParamRef } from '#api'
import type { KubeObject, ResourceDefinition } from '#machinery'
import type { AdmissionRequest } from '../../admission.ts'
import type { ServerInside } from '../../inside.ts'
import { matchingDefinition, type Criteria } from '../dynamic/match.ts'
import { namespaceOf } from '../dynamic/view.ts'
import type { AdmissionLookups } from '../words.ts'
import { ConfigurationError, paramsOf } from './params.ts'

export type Inside = Pick<ServerInside, 'definitions'> & { readonly read: AdmissionLookups }

export interface AnyPolicy extends KubeObject {
  readonly spec: {
    readonly paramKind?: ParamKind
    readonly matchConstraints?: MatchResources
    readonly failurePolicy?: string
  }
}
export interface AnyBinding extends KubeObject {
  readonly spec: {
    readonly policyName?: string
    readonly paramRef?: ParamRef
    readonly matchResources?: MatchResources
  }
}

/** What is to be evaluated, or why it cannot be. */
export type Bound<P extends AnyPolicy, B extends AnyBinding> =
  | {
      readonly policy: P
      readonly binding: B
      /** In whose version the objects are shown. */
      readonly definition: ResourceDefinition
      readonly params: readonly (KubeObject | undefined)[]
      readonly error?: never
    }
  | { readonly policy: P; readonly binding: B | undefined; readonly error: string }

const criteriaOf = (
  { matchPolicy, namespaceSelector, objectSelector, ...match }: MatchResources = {},
  rules: Criteria['rules'] = match.resourceRules ?? [],
): Criteria => ({
  rules,
  excluded: match.excludeResourceRules ?? [],
  matchPolicy: matchPolicy ?? 'Equivalent',
  namespaceSelector,
  objectSelector,
})

const ANYTHING: Criteria['rules'] = [
  { operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*/*'] },
]

export function* boundTo<P extends AnyPolicy, B extends AnyBinding>(
  inside: Inside,
  request: AdmissionRequest,
  policies: readonly P[],
  bindings: readonly B[],
): Generator<Bound<P, B>> {
  for (const policy of policies) {
    const own = bindings.filter(({ spec }) => spec.policyName === policy.metadata.name)
    if (own.length === 0) continue
    const { spec } = policy
    let definition: ResourceDefinition | undefined
    try {
      definition = matchingDefinition(inside, request, criteriaOf(spec.matchConstraints))
    } catch (error) {
      yield { policy, binding: undefined, error: `failed to configure policy: ${textOf(error)}` }
      continue
    }
    if (definition === undefined) continue
    for (const binding of own) {
      try {
        const { matchResources, paramRef } = binding.spec
        if (matchResources !== undefined && !matches(inside, request, matchResources)) continue
        const params = paramsOf(inside, spec.paramKind, paramRef, namespaceOf(request))
        yield { policy, binding, definition, params }
      } catch (error) {
        yield { policy, binding, error: `failed to configure binding: ${textOf(error)}` }
      }
    }
  }
}

/** A binding without rules is about all that its policy is about. */
const matches = (inside: Inside, request: AdmissionRequest, match: MatchResources): boolean => {
  const { resourceRules = [] } = match
  const rules = resourceRules.length === 0 ? ANYTHING : resourceRules
  return matchingDefinition(inside, request, criteriaOf(match, rules)) !== undefined
}

const textOf = (error: unknown): string => {
  if (error instanceof ConfigurationError || error instanceof Error) return error.message
  return String(error)
}

/** What the names in a policy's expressions stand for, in one request. */
import { namespaces } from '#api'
import type { CelAuthorizer, CelBudget } from '#cel'
import type { KubeObject } from '#machinery'
import type { Authorizer } from '../../access.ts'
import type { AdmissionRequest } from '../../admission.ts'
import { celAuthorizer, requestResource } from '../dynamic/authorizer.ts'
import { newBudget, type Activation } from '../dynamic/expressions.ts'
import { namespaceValue, requestValue } from '../dynamic/request-value.ts'
import { namespaceOf, type View } from '../dynamic/view.ts'
import type { AdmissionLookups } from '../words.ts'

export interface PolicyAdmission {
  readonly inside: { readonly read: AdmissionLookups }
  readonly authorizer: Authorizer
}

export interface Budgets {
  readonly conditions: CelBudget
  readonly validations: CelBudget
}

const authorizers = new WeakMap<AdmissionRequest, CelAuthorizer>()

/** Of one policy with one set of parameters. */
export function budgetsFor(
  { authorizer }: Pick<PolicyAdmission, 'authorizer'>,
  request: AdmissionRequest,
): Budgets {
  let own = authorizers.get(request)
  if (own === undefined) authorizers.set(request, (own = celAuthorizer(authorizer, request)))
  const more = { authorizer: own, requestResource: requestResource(request) }
  return { conditions: newBudget('conditions', more), validations: newBudget('policy', more) }
}

export function activation(
  { inside: { read } }: Pick<PolicyAdmission, 'inside'>,
  request: AdmissionRequest,
  view: View,
  params?: KubeObject,
): Activation {
  const { group, resource } = request.definition.facts
  // A Namespace is in none, whatever its path says.
  const isNamespace = group === '' && resource === 'namespaces'
  const name = isNamespace ? '' : namespaceOf(request)
  const namespace = name === '' ? undefined : read.get(namespaces, '', name)
  return {
    object: view.object ?? null,
    oldObject: view.old ?? null,
    request: requestValue(request, view),
    params: params ?? null,
    namespaceObject: namespace === undefined ? null : namespaceValue(namespace),
  }
}

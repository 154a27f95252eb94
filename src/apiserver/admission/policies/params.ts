/** The objects that a binding gives to its policy as parameters. */
import type { ParamKind, ParamRef } from '#api'
import { apiVersionOf, selectorMatches, type KubeObject, type ResourceDefinition } from '#machinery'
import type { ServerInside } from '../../inside.ts'
import type { AdmissionLookups } from '../words.ts'

type Inside = Pick<ServerInside, 'definitions'> & { readonly read: AdmissionLookups }

/** A policy or binding that cannot be carried out: what that means is for the failure policy to say. */
export class ConfigurationError extends Error {}

/** One evaluation each; undefined stands for an evaluation without parameters. */
export function paramsOf(
  inside: Inside,
  paramKind: ParamKind | undefined,
  paramRef: ParamRef | undefined,
  namespace: string,
): readonly (KubeObject | undefined)[] {
  if (paramKind === undefined || paramRef === undefined) return [undefined]
  const definition = definitionOf(inside, paramKind)
  if (definition === undefined)
    throw new ConfigurationError(
      `paramKind kind \`${paramKind.apiVersion}, Kind=${paramKind.kind}\` not known`,
    )
  const found = lookUp(inside.read, definition, paramRef, namespace)
  if (found.length === 0 && paramRef.parameterNotFoundAction === 'Deny')
    throw new ConfigurationError(
      'no params found for policy binding with `Deny` parameterNotFoundAction',
    )
  return found
}

export const definitionOf = (
  { definitions }: Pick<ServerInside, 'definitions'>,
  { apiVersion, kind }: ParamKind,
): ResourceDefinition | undefined =>
  definitions().find(
    ({ facts }) => facts.kind === kind && apiVersionOf(facts) === apiVersion && facts.persisted,
  )

function lookUp(
  read: AdmissionLookups,
  { facts }: ResourceDefinition,
  { name = '', namespace: wanted = '', selector }: ParamRef,
  requested: string,
): readonly KubeObject[] {
  if (!facts.namespaced && wanted !== '')
    throw new ConfigurationError(
      'paramRef.namespace must not be provided for a cluster-scoped `paramKind`',
    )
  const namespace = !facts.namespaced ? '' : wanted === '' ? requested : wanted
  if (facts.namespaced && namespace === '')
    throw new ConfigurationError(
      'cannot use namespaced paramRef in policy binding that matches cluster-scoped resources',
    )
  if (selector !== undefined)
    return read
      .list(facts, namespace)
      .filter(({ metadata }) => selectorMatches(selector, metadata.labels))
  const param = read.get(facts, namespace, name)
  return param === undefined ? [] : [param]
}

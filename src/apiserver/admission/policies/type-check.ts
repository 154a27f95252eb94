/** Mistakes in a policy's expressions that show when they are held against the types that it is about. */
import {
  customResourceDefinitions,
  type ExpressionWarning,
  type ParamKind,
  type ValidatingAdmissionPolicy,
} from '#api'
import type { CelDeclaration } from '#cel'
import { apiVersionOf, type JsonObject, type ResourceDefinition } from '#machinery'
import type { ServerInside } from '../../inside.ts'
import { expression, type Environment } from '../dynamic/expressions.ts'
import type { AdmissionLookups } from '../words.ts'
import { compileVariables, environmentOf } from './compile.ts'
import { definitionOf } from './params.ts'
import { typeSchema } from './type-schema.ts'

type Inside = Pick<ServerInside, 'definitions'> & { readonly read: AdmissionLookups }

/** A policy that is about more types is held against these many. */
const MAX_TYPES = 10

export function typeWarnings(
  inside: Inside,
  { spec }: ValidatingAdmissionPolicy,
): readonly ExpressionWarning[] {
  const params = paramsOf(inside, spec.paramKind)
  const environments = typesOf(inside, spec).map((definition) => {
    const types = { object: declarationOf(inside, definition), ...(params && { params }) }
    const { environment } = compileVariables(spec.variables, environmentOf(spec, types))
    return { shown: shownKind(definition), environment }
  })
  const check = (
    source: string,
    fieldRef: string,
    change: (environment: Environment) => Environment = (same) => same,
  ): readonly ExpressionWarning[] => {
    const texts = environments.flatMap(({ shown, environment }) => {
      const { failure } = expression(source, change(environment))
      return failure === undefined
        ? []
        : [`${shown}: ${failure.replace('compilation failed: ', '')}\n`]
    })
    return texts.length === 0 ? [] : [{ fieldRef, warning: texts.join('\n') }]
  }
  return (spec.validations ?? []).flatMap(({ expression: source, messageExpression = '' }, i) => [
    ...check(source, `spec.validations[${i}].expression`),
    ...(messageExpression === ''
      ? []
      : check(messageExpression, `spec.validations[${i}].messageExpression`, (environment) => ({
          ...environment,
          authorizer: false,
        }))),
  ])
}

const shownKind = ({ facts }: ResourceDefinition): string =>
  `${facts.group === '' ? '/' : ''}${apiVersionOf(facts)}, Kind=${facts.kind}`

/** Those that the rules name: what a rule leaves open is not guessed. */
function typesOf(
  { definitions }: Inside,
  { matchConstraints }: ValidatingAdmissionPolicy['spec'],
): readonly ResourceDefinition[] {
  const named = (list: readonly string[] = []): readonly string[] =>
    list.includes('*') ? [] : list.filter((each) => !each.includes('/'))
  const found = new Set<ResourceDefinition>()
  for (const rule of matchConstraints?.resourceRules ?? []) {
    const [versions, resources] = [named(rule.apiVersions), named(rule.resources)]
    const groups = rule.apiGroups?.includes('*') === true ? [] : (rule.apiGroups ?? [])
    for (const definition of definitions()) {
      const { group, version, resource } = definition.facts
      if (groups.includes(group) && versions.includes(version) && resources.includes(resource))
        found.add(definition)
    }
  }
  const keyOf = ({ facts }: ResourceDefinition): string =>
    `${facts.group}/${facts.version}/${facts.kind}`
  return [...found].toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1)).slice(0, MAX_TYPES)
}

function paramsOf(inside: Inside, paramKind: ParamKind | undefined): CelDeclaration | undefined {
  const definition = paramKind && definitionOf(inside, paramKind)
  return definition && declarationOf(inside, definition)
}

const META = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta'

function declarationOf({ read }: Inside, { facts }: ResourceDefinition): CelDeclaration {
  const { group, version, kind, resource } = facts
  const custom = read.get(customResourceDefinitions, '', `${resource}.${group}`)
  const own = custom?.spec.versions.find(({ name }) => name === version)?.schema
    ?.openAPIV3Schema as JsonObject | undefined
  if (own === undefined) return { schema: typeSchema(facts.type), name: kind }
  const schema = {
    ...own,
    properties: {
      ...(own['properties'] as JsonObject | undefined),
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: typeSchema(META),
    },
  }
  return { schema, name: kind }
}

/** Rules in CEL that a schema has at a value (x-kubernetes-validations, KEP-2876): compiled once, when first needed. */
import { compileCel, type CelFailure, type CelProgram } from '#cel'
import type { JsonObject } from '#machinery'
import { isEmbedded, someSchema, type Schema } from './schema.ts'

export type RuleText = NonNullable<Schema['x-kubernetes-validations']>[number]

/** Of one expression while it runs, in units of cost. */
export const PER_CALL = 1_000_000
/** Of all rules of an object together. */
export const RUNTIME_BUDGET = 10_000_000

export interface Rule {
  readonly text: RuleText
  readonly program: CelProgram | CelFailure
  readonly message: CelProgram | CelFailure | undefined
  readonly usesOldSelf: boolean
}

export const hasRules = (schema: Schema): boolean =>
  someSchema(schema, (each) => (each['x-kubernetes-validations'] ?? []).length > 0)

const compiled = new WeakMap<Schema, readonly Rule[]>()

/** The rules of a schema, not of those within it. A whole object, unlike its parts, has a name and a kind. */
export function rulesOf(schema: Schema, isRoot: boolean): readonly Rule[] {
  let rules = compiled.get(schema)
  if (rules === undefined) {
    const self = (isRoot && !isEmbedded(schema)
      ? { ...schema, 'x-kubernetes-embedded-resource': true }
      : schema) as unknown as JsonObject
    rules = (schema['x-kubernetes-validations'] ?? []).map((text) => compileRule(text, self))
    compiled.set(schema, rules)
  }
  return rules
}

function compileRule(text: RuleText, schema: JsonObject): Rule {
  const variables = {
    self: { schema },
    // What was not there before is an optional value without one.
    oldSelf: { schema, optional: text.optionalOldSelf === true },
  }
  const program = compileCel(text.rule, { variables, returns: 'bool' })
  const { messageExpression = '' } = text
  return {
    text,
    program,
    message:
      messageExpression.trim() === ''
        ? undefined
        : compileCel(messageExpression, { variables, returns: 'string' }),
    usesOldSelf: !('failure' in program) && program.uses('oldSelf'),
  }
}

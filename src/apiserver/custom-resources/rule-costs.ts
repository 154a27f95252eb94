/** Whether the rules of a definition compile, make sense where they stand, and cannot cost too much. */
import type { CelProgram } from '#cel'
import { forbiddenField, invalidValue, type FieldError, type FieldPath } from '#machinery'
import { rulesOf, type Rule, type RuleText } from './rules.ts'
import { isIntOrString, isMap, itemsOf, valuesOf, type Schema } from './schema.ts'

/** Of one rule, over all values that it can be evaluated for. */
const RULE_LIMIT = 10_000_000
/** Of all rules of a version. */
const TOTAL_LIMIT = 100_000_000
/** As many rules are blamed for a total that is too high. */
const BLAMED = 4

/** `wrong`: the fields that something else is wrong with; what holds them is not looked at. */
export function expressionProblems(
  schema: Schema,
  path: FieldPath,
  wrong: ReadonlySet<string>,
): readonly FieldError[] {
  const total: Total = { cost: 0, rules: [], wrong: [...wrong] }
  const errors = problemsWithin(schema, path, total, {
    isRoot: true,
    count: 1,
    uncorrelated: undefined,
  })
  if (total.cost <= TOTAL_LIMIT) return errors
  const most = total.rules
    .filter(({ cost }) => cost >= TOTAL_LIMIT / 100)
    .toSorted((a, b) => b.cost - a.cost)
    .slice(0, BLAMED)
  return [
    ...errors,
    ...most.map(({ at }) =>
      forbiddenField(
        at,
        'contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema',
      ),
    ),
    forbiddenField(
      path,
      exceeds(
        'x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema',
        total.cost,
        TOTAL_LIMIT,
      ),
    ),
  ]
}

interface Total {
  cost: number
  readonly wrong: readonly string[]
  readonly rules: { readonly at: FieldPath; readonly cost: number }[]
}

interface Place {
  readonly isRoot: boolean
  /** How many such values an object can have; undefined when nothing limits it but the size of a request. */
  readonly count: number | undefined
  /** Where values begin that cannot be told apart over time. */
  readonly uncorrelated: FieldPath | undefined
}

function problemsWithin(schema: Schema, path: FieldPath, total: Total, place: Place): FieldError[] {
  const errors: FieldError[] = []
  const isWrong = total.wrong.some((field) => field.startsWith(path.text))
  // Where nothing else limits how many there are, the size of a request does.
  const times = place.count ?? Math.floor(REQUEST_BYTES / (leastBytes(schema) + 1))
  for (const [i, rule] of isWrong ? [] : rulesOf(schema, place.isRoot).entries())
    errors.push(
      ...ruleProblems(rule, path.child('x-kubernetes-validations').index(i), total, {
        times,
        uncorrelated: place.uncorrelated,
      }),
    )
  const { properties = {} } = schema
  const isAtomic = schema['x-kubernetes-map-type'] === 'atomic'
  for (const [name, each] of Object.entries(properties))
    errors.push(
      ...problemsWithin(each, path.child('properties').key(name), total, {
        isRoot: false,
        count: place.count,
        uncorrelated: place.uncorrelated ?? (isAtomic ? path : undefined),
      }),
    )
  const items = itemsOf(schema)
  if (items !== undefined)
    errors.push(
      ...problemsWithin(items, path.child('items'), total, {
        count: product(place.count, schema.maxItems),
        isRoot: false,
        uncorrelated:
          place.uncorrelated ?? (schema['x-kubernetes-list-type'] === 'map' ? undefined : path),
      }),
    )
  const values = valuesOf(schema)
  if (values !== undefined)
    errors.push(
      ...problemsWithin(values, path.child('additionalProperties'), total, {
        count: product(place.count, schema.maxProperties),
        isRoot: false,
        uncorrelated: place.uncorrelated ?? (isAtomic ? path : undefined),
      }),
    )
  return errors
}

const product = (count: number | undefined, most: number | undefined): number | undefined =>
  count === undefined || most === undefined ? undefined : count * Number(most)

const REQUEST_BYTES = 3 * 1024 * 1024

/** The shortest JSON of a value, by its type alone: so much, and no more, is looked at upstream. */
function leastBytes(schema: Schema): number {
  if (isIntOrString(schema)) return 1
  const { properties = {}, required = [] } = schema
  switch (schema.type) {
    case 'boolean':
      return 4
    case 'integer':
    case 'number':
      return 1
    case 'string':
      return LEAST_TEXT[schema.format ?? ''] ?? 2
    case 'object':
      if (isMap(schema)) return 2
      return Object.entries(properties)
        .filter(([name, each]) => required.includes(name) && each.default === undefined)
        .reduce((sum, [name, each]) => sum + Buffer.byteLength(name) + 4 + leastBytes(each), 2)
    default:
      return 2
  }
}
const LEAST_TEXT: Readonly<Record<string, number>> = { duration: 3, date: 12, 'date-time': 21 }

function ruleProblems(
  { program, message, text, usesOldSelf }: Rule,
  at: FieldPath,
  total: Total,
  place: { readonly times: number; readonly uncorrelated: FieldPath | undefined },
): readonly FieldError[] {
  const errors: FieldError[] = []
  if ('failure' in program)
    errors.push(invalidValue(at.child('rule'), asWritten(text), boolText(program.failure)))
  else errors.push(...costProblems(program, 'rule', at, total, place.times))
  if (message !== undefined && !('failure' in program)) {
    if ('failure' in message)
      errors.push(
        invalidValue(at.child('messageExpression'), asWritten(text), stringText(message.failure)),
      )
    else errors.push(...costProblems(message, 'messageExpression', at, total, place.times))
  }
  // Of what does not compile nobody knows what it uses.
  if (usesOldSelf && !('failure' in program)) {
    if (place.uncorrelated !== undefined)
      errors.push(
        invalidValue(
          at.child('rule'),
          text.rule,
          `oldSelf cannot be used on the uncorrelatable portion of the schema within ${place.uncorrelated.text}`,
        ),
      )
  } else if (text.optionalOldSelf !== undefined)
    errors.push(
      invalidValue(
        at.child('optionalOldSelf'),
        text.optionalOldSelf,
        'may not be set if oldSelf is not used in rule',
      ),
    )
  return errors
}

function costProblems(
  program: CelProgram,
  name: 'rule' | 'messageExpression',
  at: FieldPath,
  total: Total,
  times: number,
): readonly FieldError[] {
  const { max } = program.estimate()
  // A message is made once for each value that is refused, and is not counted for each that could be.
  const cost = name === 'rule' ? max * times : max
  const where = at.child(name)
  total.cost += cost
  total.rules.push({ at: where, cost })
  return cost > RULE_LIMIT
    ? [forbiddenField(where, exceeds(`estimated ${name} cost`, cost, RULE_LIMIT))]
    : []
}

function exceeds(what: string, cost: number, limit: number): string {
  const by = cost / limit
  const factor = by > 100 ? 'more than 100x' : by < 1.5 ? `${by.toFixed(6)}x` : `${by.toFixed(1)}x`
  return `${what} exceeds budget by factor of ${factor} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)`
}

/** The rule as the server's own type has it. */
const asWritten = (text: RuleText): object => ({
  Rule: text.rule,
  Message: text.message ?? '',
  MessageExpression: text.messageExpression ?? '',
  Reason: text.reason ?? null,
  FieldPath: text.fieldPath ?? '',
  OptionalOldSelf: text.optionalOldSelf ?? null,
})

/** A rule gives a truth; upstream says so in its own words. */
export const boolText = (failure: string): string =>
  failure.startsWith('must evaluate to bool ') ? 'cel expression must evaluate to a bool' : failure
const stringText = (failure: string): string =>
  failure.startsWith('must evaluate to string ')
    ? 'messageExpression must evaluate to a string'
    : failure.replace(/^compilation failed/, 'messageExpression compilation failed')

/** Rules against an object and what it was before, within what they may cost. */
import { shownValue } from './found.ts'
import type { CelBudget, CelProgram } from '#cel'
import { FieldPath, type FieldError } from '#machinery'
import { isObject } from '../json.ts'
import { fieldPathParts } from './field-paths.ts'
import { boolText } from './rule-costs.ts'
import { PER_CALL, RUNTIME_BUDGET, rulesOf, type Rule } from './rules.ts'
import { itemsOf, own, valuesOf, type Schema } from './schema.ts'
import { fieldBefore, isUnchanged, itemsBefore, type Before } from './validate-value.ts'

/** What rules find. */
interface Findings {
  readonly errors: readonly FieldError[]
  /** What was so before, and is only warned of. */
  readonly tolerated: readonly FieldError[]
}

/** The problems that the rules of a schema, and of all within it, find. */
export function validateRules(
  schema: Schema,
  value: unknown,
  options: {
    readonly path?: FieldPath
    readonly before?: Before
    /** Whether it is a whole object. */
    readonly isRoot: boolean
  },
): Findings {
  const run: Run = {
    budget: { perCall: PER_CALL, remaining: RUNTIME_BUDGET },
    errors: [],
    tolerated: [],
    isOver: false,
  }
  const isSame = sameness(schema, value, options.before)
  const site = {
    schema,
    value,
    path: options.path ?? FieldPath.root,
    before: options.before,
    isSame,
  }
  visit(run, site, options.isRoot)
  return run
}

interface Run {
  readonly budget: CelBudget
  readonly errors: FieldError[]
  readonly tolerated: FieldError[]
  /** The budget is spent: nothing more is evaluated. */
  isOver: boolean
}

function visit(run: Run, site: Site, isRoot: boolean): void {
  const { schema, value, path, before } = site
  if (value === null || value === undefined || run.isOver) return
  for (const rule of rulesOf(schema, isRoot)) {
    if (run.isOver) return
    evaluate(run, rule, site)
  }
  /** What has no past of its own did not change where what it is in did not. */
  const inner = (each: Schema, item: unknown, at: FieldPath, past: Before): void => {
    const isSame = past === undefined ? site.isSame : sameness(each, item, past)
    visit(run, { schema: each, value: item, path: at, before: past, isSame }, false)
  }
  if (Array.isArray(value)) {
    const items = itemsOf(schema)
    if (items === undefined) return
    const earlier = itemsBefore(schema, before)
    for (const [i, item] of value.entries()) inner(items, item, path.index(i), earlier(item))
    return
  }
  if (!isObject(value)) return
  const values = valuesOf(schema)
  // An atomic map is replaced as a whole: its parts have no past.
  const past = schema['x-kubernetes-map-type'] === 'atomic' ? undefined : before
  for (const [key, item] of Object.entries(value)) {
    const known = own(schema.properties, key)
    const each = known ?? values
    if (each === undefined) continue
    inner(each, item, known === undefined ? path.key(key) : path.child(key), fieldBefore(past, key))
  }
}

/** Compared when somebody asks, and once. */
function sameness(schema: Schema, value: unknown, before: Before): () => boolean {
  let known: boolean | undefined
  return () => (known ??= isUnchanged(schema, value, before))
}

interface Site {
  readonly schema: Schema
  readonly value: unknown
  readonly path: FieldPath
  readonly before: Before
  /** Whether it is as it was, or what it is in where it has no past. */
  readonly isSame: () => boolean
}

const problem = (path: FieldPath, { type = '' }: Schema, why: string): FieldError => ({
  type: 'FieldValueInvalid',
  field: path.toString(),
  detail: `Invalid value: ${JSON.stringify(type)}: ${why}`,
})

const NO_BUDGET =
  'validation failed due to running out of cost budget, no further validation rules will be run'
const TOO_EXPENSIVE = 'operation cancelled: actual cost limit exceeded'

function evaluate(run: Run, rule: Rule, site: Site): void {
  const { budget, errors } = run
  const { program, text, usesOldSelf } = rule
  const { schema, value, path, before } = site
  const isOptional = text.optionalOldSelf === true
  if ('failure' in program) {
    errors.push(problem(path, schema, `rule compile error: ${boolText(program.failure)}`))
    return
  }
  // Null is no past either.
  const old = before?.value ?? undefined
  if (usesOldSelf && old === undefined && !isOptional) return
  const values = { self: value, oldSelf: old }
  const left = budget.remaining
  let result: unknown
  try {
    result = program.evaluate(values, budget).value
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    const what = shown(rule)
    if (why.startsWith(TOO_EXPENSIVE)) {
      run.isOver = true
      errors.push(
        problem(
          path,
          schema,
          left < PER_CALL
            ? NO_BUDGET
            : `'${why}': no further validation rules will be run due to call cost exceeds limit for rule: ${what}`,
        ),
      )
    } else if (why.startsWith('no such overload'))
      errors.push(
        problem(
          path,
          schema,
          `'${why}': call arguments did not match a supported operator, function or macro signature for rule: ${what}`,
        ),
      )
    else errors.push(problem(path, schema, `${why} evaluating rule: ${what}`))
    return
  }
  // What did not change, and does not speak of changes, is not judged anew (KEP-4008).
  if (result === true) return
  const found = !usesOldSelf && site.isSame() ? run.tolerated : errors
  found.push(refusal(run, rule, site, values))
}

const shown = ({ text }: Rule): string => {
  const message = text.message?.trim() ?? ''
  return message === '' ? text.rule.trim() : message
}

function refusal(
  run: Run,
  rule: Rule,
  { schema, value, path }: Site,
  values: Readonly<Record<string, unknown>>,
): FieldError {
  const { text, message } = rule
  const given = text.message?.trim() ?? ''
  const plain = given === '' ? `failed rule: ${text.rule.trim()}` : given
  const why = (message !== undefined && madeMessage(run, message, values)) || plain
  const at = fieldPathOf(path, text.fieldPath)
  const field = at.toString()
  // Objects and lists are not shown.
  const isLarge = schema.type === 'object' || schema.type === 'array'
  const subject = isLarge ? '' : `: ${shownValue(value)}`
  switch (text.reason) {
    case 'FieldValueRequired':
      return { type: 'FieldValueRequired', field, detail: `Required value: ${why}` }
    case 'FieldValueForbidden':
      return { type: 'FieldValueForbidden', field, detail: `Forbidden: ${why}` }
    case 'FieldValueDuplicate':
      return {
        type: 'FieldValueDuplicate',
        field,
        detail: `Duplicate value${subject}`,
      }
    default:
      return { type: 'FieldValueInvalid', field, detail: `Invalid value${subject}: ${why}` }
  }
}

const LONGEST_MESSAGE = 5 * 1024

/** Undefined when the expression fails or gives no message: then the fixed one counts. */
function madeMessage(
  run: Run,
  message: NonNullable<Rule['message']>,
  values: Readonly<Record<string, unknown>>,
): string | undefined {
  if ('failure' in message) return undefined
  try {
    const { value } = (message as CelProgram).evaluate(values, run.budget)
    const text = typeof value === 'string' ? value.trim() : ''
    return text === '' || text.length > LONGEST_MESSAGE || /[\n\r]/.test(text) ? undefined : text
  } catch {
    if (run.budget.remaining <= 0) run.isOver = true
    return undefined
  }
}

function fieldPathOf(path: FieldPath, text: string | undefined): FieldPath {
  const parts = text === undefined || text === '' ? [] : (fieldPathParts(text) ?? [])
  return parts.reduce((at, { name, isKey }) => (isKey ? at.key(name) : at.child(name)), path)
}

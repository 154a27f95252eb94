/** Kubernetes' dialect of CEL (cel-spec; KEP-2876, KEP-3488): parsed, typed by schemas, compiled, its cost counted. */
import type { JsonObject } from '#machinery'
import { issueText, type Expr, type Issue } from './ast.ts'
import {
  authorizerValue,
  PendingDecision,
  requestResourceValue,
  type Asked,
  type CelAuthorizer,
  type CelAuthorizerAttributes,
} from './authorizer.ts'
import { assignable, check, mentions } from './checker.ts'
import { compile, type Frame } from './compile.ts'
import { CelCostError } from './errors.ts'
import { estimateCost, type Estimate } from './estimate.ts'
import { mutationTypes } from './mutation.ts'
import { parse } from './parser.ts'
import { parseType } from './signatures.ts'
import { opaque, typeOfSchema, typeText, type CelType, type ObjectType } from './types.ts'
import { fromJson, toJson, type CelValue } from './values.ts'

export { CelError } from './errors.ts'
export {
  isMapping as isCelMapping,
  List as CelList,
  toJson as celToJson,
  type CelValue,
  type Mapping as CelMapping,
} from './values.ts'
export type { CelAuthorizer, CelAuthorizerAttributes, CelDecision } from './authorizer.ts'

/** What a variable is: of a schema, or of a type by name (`string`, `list<string>`, `authorizer`, `dyn`). */
export type CelDeclaration = string | { readonly schema: JsonObject; readonly name?: string }

export interface CelOptions {
  readonly variables: Readonly<Record<string, CelDeclaration>>
  /** What the expression must give: a type, or one of several. Absent: anything. */
  readonly returns?: string | readonly string[]
  /** Whether `Object{…}` and `JSONPatch{…}` may be built: for mutating policies. */
  readonly mutates?: boolean
}

export interface CelFailure {
  /** `compilation failed: ERROR: <input>:1:6: …` */
  readonly failure: string
}

/** Counted down over several expressions. Costs are cel-go's units, about a nanosecond each. */
export interface CelBudget {
  /** Of one expression. */
  readonly perCall: number
  /** Of all that share this budget. */
  remaining: number
  readonly authorizer?: CelAuthorizer
  /** What `authorizer.requestResource` asks about. */
  readonly requestResource?: Partial<CelAuthorizerAttributes>
}

export interface CelOutcome {
  /** Plain JSON; ints beyond 2^53 are bigint. */
  readonly value: unknown
  /** As expressions know it: it may be given to others as a variable. */
  readonly raw: CelValue
  readonly cost: number
}

export interface CelProgram {
  readonly source: string
  /** As cel-go writes the type. */
  readonly returns: string
  estimate(): Estimate
  /** Throws a CelError when it cannot be evaluated or costs too much. */
  evaluate(values: Readonly<Record<string, unknown>>, budget: CelBudget): CelOutcome
  /** The same with an authorizer that answers later. */
  evaluateAsync(values: Readonly<Record<string, unknown>>, budget: CelBudget): Promise<CelOutcome>
  /** Whether the expression mentions the variable. */
  uses(variable: string): boolean
}

const NO_STRUCTS: ReadonlyMap<string, ObjectType> = new Map()
const AUTHORIZER = 'kubernetes.authorization.Authorizer'
const REQUEST_RESOURCE = 'authorizer.requestResource'

export function compileCel(source: string, options: CelOptions): CelProgram | CelFailure {
  const parsed = parse(source)
  if ('issues' in parsed) return failed(source, parsed.issues)
  const { expr } = parsed
  const variables = new Map<string, CelType>()
  for (const [name, declaration] of Object.entries(options.variables))
    variables.set(name, typeOfDeclaration(name, declaration))
  if (variables.get('authorizer')?.kind === 'opaque')
    variables.set(REQUEST_RESOURCE, opaque('kubernetes.authorization.ResourceCheck'))
  const structs = options.mutates === true ? mutationTypes : NO_STRUCTS
  const { type, types, issues } = check(withRequestResource(expr), { variables, structs })
  const root = withRequestResource(expr)
  if (issues.length > 0) return failed(source, issues)
  const wrong = wrongResult(type, options.returns)
  if (wrong !== undefined) return { failure: wrong }

  const checked = root === expr ? { types } : check(root, { variables, structs })
  const slots = new Map([...variables.keys()].map((name, i) => [name, i]))
  const next = { count: slots.size }
  const run = compile(root, { slots, structs, types: checked.types, next })
  const names = [...variables.entries()]

  const evaluate = (
    values: Readonly<Record<string, unknown>>,
    budget: CelBudget,
    answers: Asked['answers'],
  ): CelOutcome => {
    const asked: Asked = { authorizer: budget.authorizer, answers }
    const frame: Frame = {
      slots: names.map(([name, declared]) => {
        if (declared.kind === 'opaque' && declared.name === AUTHORIZER)
          return authorizerValue(asked)
        if (name === REQUEST_RESOURCE)
          return requestResourceValue(asked, budget.requestResource ?? {})
        return Object.hasOwn(values, name) && values[name] !== undefined
          ? fromJson(values[name], declared)
          : undefined
      }),
      cost: 0,
      limit: Math.min(budget.perCall, budget.remaining),
      asked,
    }
    try {
      const raw = run(frame)
      budget.remaining -= frame.cost
      return {
        raw,
        cost: frame.cost,
        get value() {
          return toJson(raw)
        },
      }
    } catch (error) {
      if (!(error instanceof PendingDecision))
        budget.remaining -= error instanceof CelCostError ? frame.limit : frame.cost
      throw error
    }
  }
  return {
    source,
    returns: typeText(type),
    estimate: () => estimateCost(root, checked.types, (each) => maxLengthOf(each, checked.types)),
    evaluate: (values, budget) => evaluate(values, budget, new Map()),
    async evaluateAsync(values, budget) {
      const answers: Asked['answers'] = new Map()
      for (;;)
        try {
          return evaluate(values, budget, answers)
        } catch (error) {
          if (!(error instanceof PendingDecision)) throw error
          answers.set(error.key, await error.answer)
        }
    },
    uses: (variable) => mentions(expr, variable),
  }
}

const failed = (source: string, issues: readonly Issue[]): CelFailure => ({
  failure: `compilation failed: ${issueText(
    source,
    issues.toSorted((a, b) => a.at - b.at),
  )}`,
})

/** `authorizer.requestResource` is a variable of its own. */
function withRequestResource(expr: Expr): Expr {
  if (
    expr.kind === 'select' &&
    expr.field === 'requestResource' &&
    expr.operand.kind === 'ident' &&
    expr.operand.name === 'authorizer'
  )
    return { kind: 'ident', name: REQUEST_RESOURCE, at: expr.at }
  const map = (each: Expr): Expr => withRequestResource(each)
  switch (expr.kind) {
    case 'select':
      return { ...expr, operand: map(expr.operand) }
    case 'call':
      return { ...expr, args: expr.args.map(map) }
    case 'list':
      return { ...expr, items: expr.items.map(map) }
    case 'map':
      return {
        ...expr,
        entries: expr.entries.map((entry) => ({
          ...entry,
          key: map(entry.key),
          value: map(entry.value),
        })),
      }
    case 'struct':
      return { ...expr, fields: expr.fields.map((each) => ({ ...each, value: map(each.value) })) }
    case 'loop':
      return {
        ...expr,
        range: map(expr.range),
        condition: expr.condition && map(expr.condition),
        body: map(expr.body),
      }
    case 'bind':
      return { ...expr, init: map(expr.init), body: map(expr.body) }
    case 'optional-map':
      return { ...expr, operand: map(expr.operand), body: map(expr.body) }
    default:
      return expr
  }
}

function typeOfDeclaration(name: string, declaration: CelDeclaration): CelType {
  if (typeof declaration !== 'string')
    return typeOfSchema(declaration.schema, declaration.name ?? name)
  return declaration === 'authorizer' ? opaque(AUTHORIZER) : parseType(declaration)
}

function wrongResult(type: CelType, returns: CelOptions['returns']): string | undefined {
  if (returns === undefined) return undefined
  const wanted = typeof returns === 'string' ? [returns] : returns
  if (wanted.includes('any')) return undefined
  const types = wanted.map((each) => parseType(each))
  if (type.kind === 'dyn' || types.some((each) => assignable(each, type, new Map())))
    return undefined
  // Types that are built are known by their name alone.
  if (types.some((each) => typeText(each) === typeText(type))) return undefined
  return types.length === 1
    ? `must evaluate to ${typeText(types[0]!)}`
    : `must evaluate to one of [${types.map(typeText).join(' ')}]`
}

function maxLengthOf(expr: Expr, types: ReadonlyMap<Expr, CelType>): number | undefined {
  if (expr.kind !== 'select') return undefined
  const operand = types.get(expr.operand)
  return operand?.kind === 'object' ? operand.fields.get(expr.field)?.maxLength : undefined
}

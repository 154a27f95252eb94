/** Compiles an expression once, to be evaluated many times. */
import type { JsonObject } from '#machinery'
import type { Expression } from './ast.ts'
import {
  AUTHORIZER,
  PendingDecision,
  Question,
  RESOURCE_CHECK,
  type Asked,
  type CelAuthorizer,
  type CelAuthorizerAttributes,
} from './authorizer.ts'
import { check, type Checked } from './checker.ts'
import { Compiler } from './compile.ts'
import { CelError, describeIssues, SyntaxIssue } from './errors.ts'
import { estimateCost } from './estimate.ts'
import { overBudget, type Eval, type Frame } from './frame.ts'
import type { Functions } from './functions.ts'
import { toJson } from './json.ts'
import { kubernetesFunctions } from './library/index.ts'
import { parse } from './parser.ts'
import { typeOfSchema } from './schema.ts'
import { DYN, opaque, optionalOf, parseType, typeText, type CelType } from './types.ts'
import { CelOptional } from './values.ts'

/** What a variable of an expression may be. */
export type CelDeclaration =
  | {
      /** Structural or OpenAPI v3. */
      readonly schema: JsonObject
      /** A whole resource: apiVersion, kind, metadata.name and generateName can always be read. */
      readonly isResource?: boolean
      /** It may be absent: `oldSelf` where `optionalOldSelf` is set. Given as it is, or not at all. */
      readonly optional?: boolean
      /** How errors call its type. */
      readonly name?: string
    }
  /** An object of these fields; the value's properties may be getters. */
  | { readonly fields: Readonly<Record<string, CelDeclaration>> }
  | { readonly type: CelType }
  /** `dyn`, `string`, `list<string>`, `map<string, int>`, `authorizer`, … */
  | string

/** What an expression may speak of, and what it has to give. */
export interface CelOptions {
  readonly variables: Readonly<Record<string, CelDeclaration>>
  /** What the expression must give: `bool`, `string`, `list<string>`; `any` is everything. */
  readonly returns?: string | readonly string[]
  /** Whether `Object{…}` and `JSONPatch{…}` may be built, and `jsonpatch.escapeKey` called: for mutating policies. */
  readonly mutates?: boolean
  /** Whether `cel.bind` is known: for what selects devices. */
  readonly bindings?: boolean
  /** As CEL is by itself: lists and maps of several types may be written, and names in backticks. */
  readonly plain?: boolean
}

/** Why an expression cannot be used, in upstream's words. */
export interface CelFailure {
  /** In upstream's words. */
  readonly failure: string
  /** It does not compile, or gives something else than was asked for. */
  readonly kind: 'compile' | 'returns'
}

/** What is left to spend, shared by all expressions of one request. */
export interface CelBudget {
  /** Of one evaluation. */
  readonly perCall: number
  /** Of all that share it: counted down. */
  remaining: number
  readonly authorizer?: CelAuthorizer
  /** What `authorizer.requestResource` asks about. */
  readonly requestResource?: Partial<CelAuthorizerAttributes>
}

/** What an expression came to, and what it cost in units of CEL. */
export interface CelOutcome {
  /** JSON. */
  readonly value: unknown
  /** As CEL has it: to give it to another expression. */
  readonly raw: unknown
  readonly cost: number
}

/** An expression that has been compiled; it can be evaluated at any time, by anybody. */
export interface CelProgram {
  readonly source: string
  /** The name of its type. */
  readonly returns: string
  readonly type: CelType
  estimate(): { readonly min: number; readonly max: number }
  /** Throws CelError. */
  evaluate(values: Readonly<Record<string, unknown>>, budget: CelBudget): CelOutcome
  /** The same with an authorizer that has to be waited for. */
  evaluateAsync(values: Readonly<Record<string, unknown>>, budget: CelBudget): Promise<CelOutcome>
  uses(variable: string): boolean
}

const REQUEST_RESOURCE = 'authorizer.requestResource'
const isOpaque = (type: CelType, name: string): boolean =>
  type.kind === 'opaque' && type.name === name

/** Reads, checks and compiles; nothing is evaluated. */
export function compileCel(source: string, options: CelOptions): CelProgram | CelFailure {
  return compileWith(kubernetesFunctions(options), source, options)
}

function compileWith(
  functions: Functions,
  source: string,
  options: CelOptions,
): CelProgram | CelFailure {
  const variables = new Map<string, CelType>(
    Object.entries(options.variables).map(([name, declaration]) => [
      name,
      declaredType(name, declaration),
    ]),
  )
  if ([...variables.values()].some((type) => isOpaque(type, AUTHORIZER)))
    variables.set(REQUEST_RESOURCE, opaque(RESOURCE_CHECK))
  let expression: Expression
  try {
    expression = parse(source, { ...options, quotedNames: options.plain === true })
  } catch (error) {
    if (!(error instanceof SyntaxIssue)) throw error
    return failed(source, [error.issue])
  }
  const checked = check(expression, {
    functions,
    variables,
    mixedLiterals: options.plain ?? false,
    builds: options.mutates ?? false,
  })
  if (checked.issues.length > 0) return failed(source, checked.issues)
  const type = checked.types.get(expression) ?? DYN
  const unwanted = wrongType(type, options.returns)
  if (unwanted !== undefined) return { failure: unwanted, kind: 'returns' }
  const impossible = impossibleConversion(checked)
  if (impossible !== undefined)
    return { failure: `program instantiation failed: ${impossible}`, kind: 'compile' }
  return new Program(source, expression, checked, type, variables)
}

const CONVERSIONS = new Set([
  'bool',
  'bytes',
  'double',
  'duration',
  'int',
  'string',
  'timestamp',
  'uint',
])
/** What is written down is converted once, before anything is evaluated. */
function impossibleConversion({ overloads }: Checked): string | undefined {
  for (const [{ name, target, args }, [only, ...others]] of overloads) {
    const [arg] = args
    if (!CONVERSIONS.has(name) || target !== undefined || arg?.kind !== 'literal') continue
    if (only === undefined || others.length > 0) continue
    try {
      only.run(arg.value)
    } catch (error) {
      if (error instanceof CelError) return error.message
      throw error
    }
  }
  return undefined
}

const failed = (
  source: string,
  issues: readonly { readonly offset: number; readonly message: string }[],
): CelFailure => ({
  failure: `compilation failed: ${describeIssues(source, issues)}`,
  kind: 'compile',
})

function declaredType(name: string, declaration: CelDeclaration): CelType {
  if (declaration === 'authorizer') return opaque(AUTHORIZER)
  if (typeof declaration === 'string') return parseType(declaration)
  if ('type' in declaration) return declaration.type
  if ('schema' in declaration) {
    const type = typeOfSchema(declaration.schema, {
      name: declaration.name ?? name,
      isResource:
        declaration.isResource ?? declaration.schema['x-kubernetes-embedded-resource'] === true,
    })
    return declaration.optional === true ? optionalOf(type ?? DYN) : (type ?? DYN)
  }
  const fields = new Map(
    Object.entries(declaration.fields).map(([key, each]) => [
      key,
      { key, type: declaredType(`${name}.${key}`, each) },
    ]),
  )
  return { kind: 'object', name, field: (field) => fields.get(field) }
}

function wrongType(
  type: CelType,
  returns: string | readonly string[] | undefined,
): string | undefined {
  if (returns === undefined) return undefined
  const wanted = typeof returns === 'string' ? [returns] : returns
  if (wanted.some((each) => each === 'any' || typeText(parseType(each)) === typeText(type)))
    return undefined
  const names = wanted.map((each) => typeText(parseType(each)))
  return names.length === 1
    ? `must evaluate to ${names[0]} but got ${typeText(type)}`
    : `must evaluate to one of [${names.join(' ')}] but got ${typeText(type)}`
}

class Program implements CelProgram {
  readonly source: string
  readonly type: CelType
  readonly returns: string
  readonly #expression: Expression
  readonly #checked: Checked
  readonly #variables: readonly Variable[]
  readonly #used: ReadonlySet<string>
  readonly #root: CelType
  #compiled: { readonly run: Eval; readonly empty: readonly unknown[] } | undefined

  constructor(
    source: string,
    expression: Expression,
    checked: Checked,
    type: CelType,
    variables: ReadonlyMap<string, CelType>,
  ) {
    this.source = source
    this.type = type
    this.returns = typeText(type)
    this.#expression = expression
    this.#checked = checked
    this.#used = usedNames(checked)
    this.#root = variables.get('self') ?? DYN
    this.#variables = Array.from(variables, ([name, declared]) => ({
      name,
      type: declared,
      isPlain:
        !isOpaque(declared, AUTHORIZER) &&
        !isOpaque(declared, RESOURCE_CHECK) &&
        !isOpaque(declared, 'optional_type'),
    })).filter(({ name }) => this.#used.has(name))
  }

  estimate(): { readonly min: number; readonly max: number } {
    return estimateCost(this.#expression, this.#checked, this.#root)
  }

  uses(variable: string): boolean {
    return this.#used.has(variable)
  }

  evaluate(values: Readonly<Record<string, unknown>>, budget: CelBudget): CelOutcome {
    return this.#evaluate(values, budget)
  }

  #evaluate(
    values: Readonly<Record<string, unknown>>,
    budget: CelBudget,
    answers?: Asked['answers'],
  ): CelOutcome {
    const { run, empty } = this.#compile()
    const slots = empty.slice()
    const frame: Frame = { slots, cost: 0, limit: Math.min(budget.perCall, budget.remaining) }
    for (let slot = 0; slot < this.#variables.length; slot++) {
      const variable = this.#variables[slot]
      if (variable !== undefined)
        slots[slot] = variable.isPlain
          ? values[variable.name]
          : special(variable, values, budget, answers)
    }
    try {
      const raw = run(frame)
      if (frame.cost > frame.limit) throw overBudget()
      budget.remaining -= frame.cost
      return new Outcome(raw, frame.cost)
    } catch (error) {
      if (!(error instanceof PendingDecision)) budget.remaining -= frame.cost
      if (error instanceof RangeError) throw new CelError('evaluation nests too deeply')
      throw error
    }
  }

  async evaluateAsync(
    values: Readonly<Record<string, unknown>>,
    budget: CelBudget,
  ): Promise<CelOutcome> {
    const answers: Asked['answers'] = new Map()
    for (;;)
      try {
        return this.#evaluate(values, budget, answers)
      } catch (error) {
        // Expressions do the same each time: what was not known is asked, then all is done again.
        if (!(error instanceof PendingDecision)) throw error
        answers.set(error.key, await error.answer)
      }
  }

  #compile(): { readonly run: Eval; readonly empty: readonly unknown[] } {
    if (this.#compiled !== undefined) return this.#compiled
    const slots = new Map(this.#variables.map(({ name }, slot) => [name, slot]))
    const compiler = new Compiler(this.#checked, slots)
    const run = compiler.compile(this.#expression)
    this.#compiled = { run, empty: Array.from({ length: compiler.slots }) }
    return this.#compiled
  }
}

interface Variable {
  readonly name: string
  readonly type: CelType
  /** Its value is taken as it is given. */
  readonly isPlain: boolean
}

/** The authorizer, what it is asked first, and what may be absent. */
function special(
  { name, type }: Variable,
  values: Readonly<Record<string, unknown>>,
  budget: CelBudget,
  answers: Asked['answers'] = new Map(),
): unknown {
  const asked: Asked = { authorizer: budget.authorizer, answers }
  if (isOpaque(type, AUTHORIZER)) return new Question(AUTHORIZER, asked)
  if (name === REQUEST_RESOURCE) return new Question(RESOURCE_CHECK, asked, budget.requestResource)
  const value = values[name]
  if (value instanceof CelOptional || type.kind !== 'opaque') return value
  if (value === undefined) return CelOptional.none
  const convert = type.parameters[0]?.schema?.convert
  return CelOptional.of(convert === undefined ? value : convert(value))
}

/** JSON is made only where it is asked for. */
class Outcome implements CelOutcome {
  readonly raw: unknown
  readonly cost: number
  constructor(raw: unknown, cost: number) {
    this.raw = raw
    this.cost = cost
  }
  get value(): unknown {
    return toJson(this.raw)
  }
}

/** Names of identifiers, whatever they mean where they stand. */
function usedNames(checked: Checked): ReadonlySet<string> {
  const names = new Set<string>()
  for (const expression of checked.types.keys())
    if (expression.kind === 'ident') names.add(expression.name.replace(/^\./, ''))
  for (const name of checked.names.values()) names.add(name)
  return names
}

/** Calls that are not calls: they become folds and tests while the expression is read. */
import type { Call, Expression, Fold, Gathering, Ident } from './ast.ts'
import { SyntaxIssue } from './errors.ts'
import { BOOL, INT } from './types.ts'

const ACCUMULATOR = '@result'

type Expand = (
  offset: number,
  target: Expression,
  args: readonly [Expression, ...Expression[]],
) => Expression

const literal = (offset: number, value: unknown): Expression => ({
  kind: 'literal',
  type: typeof value === 'boolean' ? BOOL : INT,
  value,
  offset,
})
const call = (offset: number, name: string, ...args: readonly Expression[]): Call => ({
  kind: 'call',
  name,
  target: undefined,
  args,
  offset,
})
const ident = (offset: number, name: string): Ident => ({ kind: 'ident', name, offset })
const list = (offset: number, ...elements: readonly Expression[]): Expression => ({
  kind: 'list',
  elements,
  optional: new Set(),
  offset,
})
const emptyMap = (offset: number): Expression => ({ kind: 'map', entries: [], offset })

function variableOf(expression: Expression): string {
  if (expression.kind !== 'ident' || expression.name.startsWith('.'))
    throw new SyntaxIssue(expression.offset, 'argument must be a simple name')
  if (expression.name === ACCUMULATOR || expression.name === '__result__')
    throw new SyntaxIssue(expression.offset, 'iteration variable overwrites accumulator variable')
  return expression.name
}

interface FoldParts {
  readonly start: Expression
  readonly condition?: Expression
  readonly step: Expression
  readonly result?: Expression
}

function fold(
  gathering: Gathering,
  offset: number,
  range: Expression,
  variables: readonly [string, string?],
  { start, condition, step, result }: FoldParts,
): Fold {
  return {
    kind: 'fold',
    gathering,
    offset,
    range,
    variable: variables[0],
    variable2: variables[1],
    accumulator: ACCUMULATOR,
    start,
    condition: condition ?? literal(offset, true),
    step,
    result: result ?? ident(offset, ACCUMULATOR),
  }
}

/** The variables at the front of the arguments, then the rest. */
function bound(
  args: readonly Expression[],
  count: 1 | 2,
): readonly [variables: readonly [string, string?], rest: readonly Expression[]] {
  const [first, second] = args
  const variables: [string, string?] =
    count === 2 && second !== undefined && first !== undefined
      ? [variableOf(first), variableOf(second)]
      : [variableOf(first ?? literal(0, true))]
  if (count === 2 && variables[0] === variables[1])
    throw new SyntaxIssue(second?.offset ?? 0, `duplicate variable name: ${variables[0]}`)
  return [variables, args.slice(count)]
}

const at = (expressions: readonly Expression[], index: number): Expression => {
  const found = expressions[index]
  if (found === undefined) throw new SyntaxIssue(0, 'macro argument missing')
  return found
}

const all =
  (count: 1 | 2): Expand =>
  (offset, range, args) => {
    const [variables, rest] = bound(args, count)
    const result = ident(offset, ACCUMULATOR)
    return fold('all', offset, range, variables, {
      start: literal(offset, true),
      condition: call(offset, '@not_strictly_false', result),
      step: call(offset, '_&&_', result, at(rest, 0)),
    })
  }

const exists =
  (count: 1 | 2): Expand =>
  (offset, range, args) => {
    const [variables, rest] = bound(args, count)
    const result = ident(offset, ACCUMULATOR)
    return fold('exists', offset, range, variables, {
      start: literal(offset, false),
      condition: call(offset, '@not_strictly_false', call(offset, '!_', result)),
      step: call(offset, '_||_', result, at(rest, 0)),
    })
  }

const existsOne =
  (count: 1 | 2): Expand =>
  (offset, range, args) => {
    const [variables, rest] = bound(args, count)
    const result = ident(offset, ACCUMULATOR)
    const more = call(offset, '_+_', result, literal(offset, 1))
    return fold('exists_one', offset, range, variables, {
      start: literal(offset, 0),
      step: call(offset, '_?_:_', at(rest, 0), more, result),
      result: call(offset, '_==_', result, literal(offset, 1)),
    })
  }

/** `condition ? step : result so far`, or the step alone. */
const when = (offset: number, condition: Expression | undefined, step: Expression): Expression =>
  condition === undefined
    ? step
    : call(offset, '_?_:_', condition, step, ident(offset, ACCUMULATOR))

const gatherList =
  (gathering: Gathering, count: 1 | 2): Expand =>
  (offset, range, args) => {
    const [variables, rest] = bound(args, count)
    const condition = rest.length === 2 ? at(rest, 0) : undefined
    const value = at(rest, rest.length - 1)
    const step = call(offset, '_+_', ident(offset, ACCUMULATOR), list(offset, value))
    return fold(gathering, offset, range, variables, {
      start: list(offset),
      step: when(offset, condition, step),
    })
  }

const filter: Expand = (offset, range, args) => {
  const [variables, rest] = bound(args, 1)
  const step = call(offset, '_+_', ident(offset, ACCUMULATOR), list(offset, args[0]))
  return fold('filter', offset, range, variables, {
    start: list(offset),
    step: when(offset, at(rest, 0), step),
  })
}

const transformMap: Expand = (offset, range, args) => {
  const [variables, rest] = bound(args, 2)
  const condition = rest.length === 2 ? at(rest, 0) : undefined
  const step = call(
    offset,
    '@insert',
    ident(offset, ACCUMULATOR),
    args[0],
    at(rest, rest.length - 1),
  )
  return fold('transformMap', offset, range, variables, {
    start: emptyMap(offset),
    step: when(offset, condition, step),
  })
}

const transformMapEntry: Expand = (offset, range, args) => {
  const [variables, rest] = bound(args, 2)
  const condition = rest.length === 2 ? at(rest, 0) : undefined
  const step = call(offset, '@insert', ident(offset, ACCUMULATOR), at(rest, rest.length - 1))
  return fold('transformMapEntry', offset, range, variables, {
    start: emptyMap(offset),
    step: when(offset, condition, step),
  })
}

const letBe = (
  gathering: Gathering,
  offset: number,
  variable: string,
  value: Expression,
  result: Expression,
): Fold => ({
  kind: 'fold',
  gathering,
  offset,
  range: list(offset),
  variable: '#unused',
  variable2: undefined,
  accumulator: variable,
  start: value,
  condition: literal(offset, false),
  step: ident(offset, variable),
  result,
})

const optional =
  (flat: boolean): Expand =>
  (offset, target, args) => {
    const variable = variableOf(args[0])
    const body = at(args, 1)
    const value: Call = {
      kind: 'call',
      name: 'value',
      target,
      args: [],
      offset,
    }
    const bound = letBe('optMap', offset, variable, value, body)
    return call(
      offset,
      '_?_:_',
      { kind: 'call', name: 'hasValue', target, args: [], offset },
      flat ? bound : call(offset, 'optional.of', bound),
      call(offset, 'optional.none'),
    )
  }

const SORTED = '@__sortBy_input__'
/** The list, and beside it what each element is sorted by. */
const sortBy: Expand = (offset, target, args) => {
  if (target.kind === 'literal' || target.kind === 'map' || target.kind === 'struct')
    throw new SyntaxIssue(
      target.offset,
      'sortBy can only be applied to a list, identifier, comprehension, call or select expression',
    )
  const input = ident(offset, SORTED)
  const keys = gatherList('map', 1)(offset, input, args)
  const sorted: Call = {
    kind: 'call',
    name: '@sortByAssociatedKeys',
    target: input,
    args: [keys],
    offset,
  }
  return letBe('bind', offset, SORTED, target, sorted)
}

const RECEIVER_MACROS: Readonly<Record<string, Expand>> = {
  'all/2': all(1),
  'all/3': all(2),
  'exists/2': exists(1),
  'exists/3': exists(2),
  'exists_one/2': existsOne(1),
  'existsOne/2': existsOne(1),
  'existsOne/3': existsOne(2),
  'map/2': gatherList('map', 1),
  'map/3': gatherList('map', 1),
  'filter/2': filter,
  'transformList/3': gatherList('transformList', 2),
  'transformList/4': gatherList('transformList', 2),
  'transformMap/3': transformMap,
  'transformMap/4': transformMap,
  'transformMapEntry/3': transformMapEntry,
  'transformMapEntry/4': transformMapEntry,
  'sortBy/2': sortBy,
  'optMap/2': optional(false),
  'optFlatMap/2': optional(true),
}

/**
 * What the macro of this name makes of its arguments; undefined when it is a call like others.
 * `bindings`: whether `cel.bind` is one.
 */
export function expandMacro(
  name: string,
  offset: number,
  target: Expression | undefined,
  args: readonly Expression[],
  bindings = false,
): Expression | undefined {
  const [first, ...others] = args
  if (first === undefined) return undefined
  if (target === undefined) {
    if (name !== 'has' || args.length !== 1) return undefined
    if (first.kind !== 'select' || first.test)
      throw new SyntaxIssue(first.offset, 'invalid argument to has() macro')
    return { ...first, test: true, offset }
  }
  const isBind = name === 'bind' && args.length === 3
  if (bindings && isBind && target.kind === 'ident' && target.name === 'cel')
    return letBe('bind', offset, variableOf(first), at(args, 1), at(args, 2))
  const key = `${name}/${args.length}`
  if (!Object.hasOwn(RECEIVER_MACROS, key)) return undefined
  return RECEIVER_MACROS[key]?.(offset, target, [first, ...others])
}

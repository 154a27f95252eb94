/** Macros over lists and maps. What they cost is what their loops would cost, step by step. */
import type { Expression, Fold } from './ast.ts'
import type { Compiling } from './compiling.ts'
import { isConstant } from './constant.ts'
import { CelError } from './errors.ts'
import { charge, isAbsorbed, noOverload, type Eval, type Frame } from './frame.ts'
import { CelMap, kindOf, mapEntries } from './values.ts'

export function compileFold(compiler: Compiling, fold: Fold): Eval {
  if (fold.gathering === 'bind' || fold.gathering === 'optMap')
    return compileBinding(compiler, fold)
  const range = compiler.access(fold.range)
  const two = fold.variable2 !== undefined
  return compiler.scoped(fold.accumulator, false, () =>
    compiler.scoped(fold.variable, range.raw, (slot) =>
      compiler.scoped(fold.variable2 ?? '#none', range.raw, (slot2) => {
        const body = gather(compiler, fold)
        const each: Step = body.step
        return (frame) => {
          const over = range.run(frame)
          const state = body.start()
          if (Array.isArray(over)) {
            for (let i = 0; i < over.length; i++) {
              frame.slots[slot] = two ? i : over[i]
              if (two) frame.slots[slot2] = over[i]
              if (!each(frame, state)) break
            }
          } else if (kindOf(over) === 'map') {
            for (const [key, value] of mapEntries(over)) {
              frame.slots[slot] = key
              if (two) frame.slots[slot2] = value
              if (!each(frame, state)) break
            }
          } else throw noOverload()
          return body.finish(frame, state)
        }
      }),
    ),
  )
}

interface State {
  decided: boolean
  failure: unknown
  count: number
  readonly list: unknown[]
  readonly map: CelMap
}
/** False ends the loop. */
type Step = (frame: Frame, state: State) => boolean
interface Body {
  readonly start: () => State
  readonly step: Step
  readonly finish: (frame: Frame, state: State) => unknown
}

const fresh = (): State => ({
  decided: false,
  failure: undefined,
  count: 0,
  list: [],
  map: new CelMap(),
})

function gather(compiler: Compiling, fold: Fold): Body {
  switch (fold.gathering) {
    case 'all':
      return quantifier(compiler, fold, { decides: false, before: 2 })
    case 'exists':
      return quantifier(compiler, fold, { decides: true, before: 3 })
    case 'exists_one':
      return counter(compiler, fold)
    case 'map':
    case 'filter':
    case 'transformList':
      return lister(compiler, fold)
    case 'transformMap':
    case 'transformMapEntry':
      return mapper(compiler, fold)
    case 'bind':
    case 'optMap':
      throw new CelError('a binding is no loop')
  }
}

/** The arguments of the step, which is a call. */
function argumentsOf(step: Expression): readonly Expression[] {
  return step.kind === 'call' ? step.args : []
}

/** `before` is what the loop's condition costs each time. */
function quantifier(
  compiler: Compiling,
  { step }: Fold,
  { decides, before }: { readonly decides: boolean; readonly before: number },
): Body {
  const [, predicate] = argumentsOf(step)
  const run = predicate === undefined ? failing : compiler.compile(predicate)
  return {
    start: fresh,
    step: (frame, state) => {
      charge(frame, before)
      if (state.decided) return false
      frame.cost++
      try {
        const value = run(frame)
        if (value === decides) {
          state.decided = true
          // The condition is looked at once more, when there is a next element.
          return true
        }
        if (value !== !decides) throw noOverload()
      } catch (error) {
        if (!isAbsorbed(error)) throw error
        state.failure ??= error
      }
      return true
    },
    finish: (frame, { decided, failure }) => {
      charge(frame, 1)
      if (decided) return decides
      if (failure !== undefined) throw failure
      return !decides
    },
  }
}

const failing: Eval = () => {
  throw noOverload()
}

function counter(compiler: Compiling, { step }: Fold): Body {
  const [predicate] = argumentsOf(step)
  const run = predicate === undefined ? failing : compiler.compile(predicate)
  return {
    start: fresh,
    step: (frame, state) => {
      const value = run(frame)
      if (typeof value !== 'boolean') throw noOverload()
      charge(frame, value ? 2 : 1)
      if (value) state.count++
      return true
    },
    finish: (frame, { count }) => {
      charge(frame, 2)
      return count === 1
    },
  }
}

/** The condition, if there is one, and the call that adds. */
function conditional(step: Expression): readonly [Expression | undefined, Expression] {
  if (step.kind !== 'call' || step.name !== '_?_:_') return [undefined, step]
  const [condition, adding] = step.args
  return adding === undefined ? [undefined, step] : [condition, adding]
}

function holds(condition: Eval | undefined, frame: Frame): boolean {
  if (condition === undefined) return true
  const value = condition(frame)
  if (typeof value !== 'boolean') throw noOverload()
  return value
}

function lister(compiler: Compiling, { step }: Fold): Body {
  const [condition, adding] = conditional(step)
  const list = argumentsOf(adding)[1]
  const element = list?.kind === 'list' ? list.elements[0] : undefined
  const when = condition === undefined ? undefined : compiler.compile(condition)
  const run = element === undefined ? failing : compiler.compile(element)
  const cost = element !== undefined && isConstant(element) ? 2 : 12
  return {
    start: fresh,
    step: (frame, state) => {
      if (!holds(when, frame)) {
        charge(frame, 1)
        return true
      }
      state.list.push(run(frame))
      charge(frame, cost)
      return true
    },
    finish: (frame, state) => {
      charge(frame, 1)
      return state.list
    },
  }
}

function mapper(compiler: Compiling, { step }: Fold): Body {
  const [condition, adding] = conditional(step)
  const [, first, second] = argumentsOf(adding)
  const when = condition === undefined ? undefined : compiler.compile(condition)
  const left = first === undefined ? failing : compiler.compile(first)
  const right = second === undefined ? undefined : compiler.compile(second)
  return {
    start: fresh,
    step: (frame, state) => {
      if (!holds(when, frame)) {
        charge(frame, 1)
        return true
      }
      const value = left(frame)
      if (right !== undefined) insert(state.map, value, right(frame))
      else for (const [key, each] of entriesOf(value)) insert(state.map, key, each)
      charge(frame, 2)
      return true
    },
    finish: (frame, state) => {
      charge(frame, 1)
      return state.map
    },
  }
}

function entriesOf(value: unknown): Iterable<readonly [unknown, unknown]> {
  if (kindOf(value) !== 'map') throw noOverload()
  return mapEntries(value)
}
function insert(map: CelMap, key: unknown, value: unknown): void {
  if (!map.insert(key, value))
    throw new CelError(`insert failed: key ${String(key)} already exists`)
}

/** `cel.bind` and `optMap`: a name for a value. */
function compileBinding(compiler: Compiling, fold: Fold): Eval {
  const value = compiler.compile(fold.start)
  return compiler.scoped(fold.accumulator, false, (slot) => {
    const result = compiler.compile(fold.result)
    return (frame) => {
      frame.slots[slot] = value(frame)
      return result(frame)
    }
  })
}

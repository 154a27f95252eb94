/** Calls: control flow first, then the overload that the arguments decide. */
import type { Call } from './ast.ts'
import type { Compiling } from './compiling.ts'
import { isConstant } from './constant.ts'
import { charge, isAbsorbed, noOverload, optionalField, type Eval, type Frame } from './frame.ts'
import type { Overload } from './functions.ts'
import { listAt, mapAt } from './library/standard.ts'
import { listEquality, listSum } from './list-types.ts'
import type { CelType } from './types.ts'
import { CelOptional, equals, isOf, kindOf, typeNameOf } from './values.ts'

export function compileCall(compiler: Compiling, call: Call, operand?: Eval): Eval {
  const namespaced = compiler.checked.namespaced.has(call)
  const parts = call.target === undefined || namespaced ? call.args : [call.target, ...call.args]
  const runs = parts.map((part, i) =>
    i === 0 && operand !== undefined ? operand : compiler.compile(part),
  )
  const [first = missing, second = missing, third = missing] = runs
  switch (call.name) {
    case '_&&_':
      return logical(first, second, false)
    case '_||_':
      return logical(first, second, true)
    case '_?_:_':
      return (frame) => {
        const condition = first(frame)
        if (typeof condition !== 'boolean') throw noOverload()
        return condition ? second(frame) : third(frame)
      }
    case '@not_strictly_false':
      return notStrictlyFalse(first)
    case '_[_]':
      return index(first, second)
    case '_?._':
    case '_[?_]':
      return (frame) => {
        const value = first(frame)
        const key = second(frame)
        frame.cost++
        return optionalField(value instanceof CelOptional ? value : CelOptional.of(value), key)
      }
    case 'orValue':
    case 'or':
      if (call.target !== undefined && call.args.length === 1)
        return (frame) => {
          const option = first(frame)
          if (!(option instanceof CelOptional)) throw noOverload()
          frame.cost++
          if (!option.present) return second(frame)
          return call.name === 'or' ? option : option.value
        }
      break
    case '@in':
      if (parts[1] !== undefined && isConstant(parts[1]) && kindOf(second(EMPTY)) === 'list')
        return membership(first, second)
      break
    case '_+_': {
      const special = listSum(compiler, parts)
      if (special !== undefined) return special
      break
    }
    case '_==_':
    case '_!=_': {
      const special = listEquality(compiler, parts, call.name === '_!=_')
      if (special !== undefined) return special
      break
    }
    default:
      break
  }
  const overloads = compiler.checked.overloads.get(call) ?? []
  const types = parts.map((part) => compiler.typeOf(part))
  const [only] = overloads
  if (only === undefined) return missing
  return overloads.length === 1 && isCertain(only, types)
    ? direct(only, runs)
    : dispatched(overloads, runs)
}

const EMPTY: Frame = { slots: [], cost: 0, limit: Number.POSITIVE_INFINITY }
const missing: Eval = () => {
  throw noOverload()
}

/** A failure on one side does not matter when the other side decides. */
function logical(left: Eval, right: Eval, decides: boolean): Eval {
  return (frame) => {
    let failure: unknown
    try {
      const value = left(frame)
      if (value === decides) return decides
      if (value === !decides) {
        const other = right(frame)
        if (typeof other !== 'boolean') throw noOverload()
        return other
      }
      failure = noOverload()
    } catch (error) {
      if (!isAbsorbed(error)) throw error
      failure = error
    }
    return decided(right, frame, decides, failure)
  }
}

function decided(right: Eval, frame: Frame, decides: boolean, failure: unknown): boolean {
  try {
    if (right(frame) === decides) return decides
  } catch (error) {
    if (!isAbsorbed(error)) throw error
  }
  throw failure
}

const notStrictlyFalse =
  (run: Eval): Eval =>
  (frame) => {
    frame.cost++
    try {
      return run(frame) !== false
    } catch (error) {
      if (!isAbsorbed(error)) throw error
      return true
    }
  }

function index(operand: Eval, key: Eval): Eval {
  return (frame) => {
    const value = operand(frame)
    const at = key(frame)
    charge(frame, 1)
    if (Array.isArray(value)) return listAt(value, at)
    if (value instanceof CelOptional) return optionalField(value, at)
    if (kindOf(value) !== 'map') throw noOverload()
    return mapAt(value, at)
  }
}

/** In a list that is written down: a set when it holds one simple kind. */
function membership(value: Eval, list: Eval): Eval {
  const all = list(EMPTY)
  const elements: readonly unknown[] = Array.isArray(all) ? all : []
  const simple = elements.every((each) => typeof each === 'string')
  const set = simple ? new Set<unknown>(elements) : undefined
  if (set !== undefined) return (frame) => set.has(value(frame))
  return (frame) => {
    const wanted = value(frame)
    return elements.some((each) => equals(each, wanted))
  }
}

/** Nothing about the arguments is open until run time. */
const isCertain = (overload: Overload, types: readonly CelType[]): boolean =>
  overload.args.every(
    (arg, i) => arg.kind === 'parameter' || arg.kind === 'dyn' || types[i]?.kind === arg.kind,
  )

function direct({ run, cost }: Overload, runs: readonly Eval[]): Eval {
  const [first = missing, second = missing] = runs
  if (cost === undefined) {
    if (runs.length === 1)
      return (frame) => {
        const a = first(frame)
        charge(frame, 1)
        return run(a)
      }
    if (runs.length === 2)
      return (frame) => {
        const a = first(frame)
        const b = second(frame)
        charge(frame, 1)
        return run(a, b)
      }
  }
  return (frame) => {
    const args = runs.map((each) => each(frame))
    return charged(frame, run, cost, args)
  }
}

function dispatched(overloads: readonly Overload[], runs: readonly Eval[]): Eval {
  return (frame) => {
    const args = runs.map((each) => each(frame))
    const found = overloads.find((each) => each.args.every((type, i) => isOf(type, args[i])))
    if (found === undefined) throw noOverload(unfit(overloads[0]?.name, args))
    return charged(frame, found.run, found.cost, args)
  }
}

/** A function is named with the types that it was given; an operator of two sides is not. */
const unfit = (name: string | undefined, args: readonly unknown[]): string | undefined =>
  name === undefined || /[_@]/.test(name)
    ? undefined
    : `${name}(${args.map(typeNameOf).join(', ')})`

function charged(
  frame: Frame,
  run: Overload['run'],
  cost: Overload['cost'],
  args: readonly unknown[],
): unknown {
  if (cost?.isAhead === true) charge(frame, cost.actual(args, undefined))
  const result = run(...args)
  if (cost?.isAhead !== true) charge(frame, cost === undefined ? 1 : cost.actual(args, result))
  return result
}

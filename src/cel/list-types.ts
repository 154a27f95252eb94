/** Lists of a schema that are sets or maps: their order says nothing. */
import type { Expression } from './ast.ts'
import type { Compiler } from './compile.ts'
import { charge, type Eval } from './frame.ts'
import { TRAVERSAL } from './functions.ts'
import type { CelType } from './types.ts'
import { costSize, equals, kindOf, mapGet } from './values.ts'

/** Undefined when the lists are plain ones. */
export function listEquality(
  compiler: Compiler,
  [left, right]: readonly Expression[],
  negated: boolean,
): Eval | undefined {
  if (left === undefined || right === undefined) return undefined
  const type = [left, right].map((each) => compiler.typeOf(each)).find(hasListTypes)
  if (type === undefined) return undefined
  const [a, b] = [compiler.compile(left), compiler.compile(right)]
  return (frame) => {
    const [x, y] = [a(frame), b(frame)]
    charge(frame, Math.ceil(Math.min(costSize(x), costSize(y)) * TRAVERSAL))
    return equalAs(type, x, y) !== negated
  }
}

function hasListTypes(type: CelType): boolean {
  if (type.schema === undefined) return false
  if (type.schema.listType !== undefined) return true
  if (type.kind === 'list') return hasListTypes(type.element)
  return type.kind === 'map' && hasListTypes(type.value)
}

function equalAs(type: CelType, a: unknown, b: unknown): boolean {
  if (type.kind !== 'list' || !Array.isArray(a) || !Array.isArray(b)) return equals(a, b)
  if (a.length !== b.length) return false
  const { element } = type
  const how = type.schema?.listType
  if (how === 'set') return a.every((each) => b.some((other) => equalAs(element, each, other)))
  if (how !== undefined)
    return a.every((each) => b.some((other) => sameKeys(how, each, other) && equals(each, other)))
  return a.every((each, i) => equalAs(element, each, b[i]))
}

const sameKeys = (keys: readonly string[], a: unknown, b: unknown): boolean =>
  kindOf(a) === 'map' && kindOf(b) === 'map' && keys.every((key) => equalKey(a, b, key))

function equalKey(a: unknown, b: unknown, key: string): boolean {
  const [left, right] = [mapGet(a, key), mapGet(b, key)]
  return left === undefined || right === undefined ? left === right : equals(left, right)
}

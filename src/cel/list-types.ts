/** Lists of a schema that are sets or maps: their order says nothing, and each element is in them once. */
import type { Expression } from './ast.ts'
import type { Compiling } from './compiling.ts'
import { charge, noOverload, type Eval } from './frame.ts'
import { TRAVERSAL } from './functions.ts'
import { escapeProperty } from './schema.ts'
import type { CelType } from './types.ts'
import { costSize, equals, kindOf, mapEntries, mapGet, mapSize } from './values.ts'

/** Undefined when nothing in the values is such a list. */
export function listEquality(
  compiler: Compiling,
  [left, right]: readonly Expression[],
  negated: boolean,
): Eval | undefined {
  if (left === undefined || right === undefined) return undefined
  const type = [left, right]
    .map((each) => compiler.typeOf(each))
    .find(({ schema }) => schema?.hasListTypes === true)
  if (type === undefined) return undefined
  const [a, b] = [compiler.compile(left), compiler.compile(right)]
  return (frame) => {
    const [x, y] = [a(frame), b(frame)]
    charge(frame, Math.ceil(Math.min(costSize(x), costSize(y)) * TRAVERSAL))
    return equalAs(type, x, y) !== negated
  }
}

/** Undefined when the list on the left is a plain one. */
export function listSum(
  compiler: Compiling,
  [left, right]: readonly Expression[],
): Eval | undefined {
  if (left === undefined || right === undefined) return undefined
  const type = compiler.typeOf(left)
  const how = type.schema?.listType
  if (how === undefined) return undefined
  const [a, b] = [compiler.compile(left), compiler.compile(right)]
  return (frame) => {
    const [x, y]: readonly unknown[] = [a(frame), b(frame)]
    if (!Array.isArray(x) || !Array.isArray(y)) throw noOverload()
    charge(frame, 1)
    return merged(how, x, y)
  }
}

/** What is in both stays where it was; of maps with the later value. */
function merged(
  how: 'set' | readonly string[],
  first: readonly unknown[],
  second: readonly unknown[],
): readonly unknown[] {
  const all = [...first]
  for (const each of second) {
    const at = all.findIndex((known) => isSameElement(how, known, each))
    if (at < 0) all.push(each)
    else if (how !== 'set') all[at] = each
  }
  return all
}

const isSameElement = (how: 'set' | readonly string[], a: unknown, b: unknown): boolean =>
  how === 'set' ? equals(a, b) : sameKeys(how, a, b)

function equalAs(type: CelType, a: unknown, b: unknown): boolean {
  if (type.schema?.hasListTypes !== true) return equals(a, b)
  if (type.kind === 'list') return equalLists(type, a, b)
  if (kindOf(a) !== 'map' || kindOf(b) !== 'map' || mapSize(a) !== mapSize(b)) return equals(a, b)
  for (const [key, value] of mapEntries(a)) {
    const other = mapGet(b, key)
    if (other === undefined) return false
    const inner = type.kind === 'map' ? type.value : fieldType(type, String(key))
    if (inner === undefined ? !equals(value, other) : !equalAs(inner, value, other)) return false
  }
  return true
}

const fieldType = (type: CelType, key: string): CelType | undefined =>
  type.kind === 'object' ? type.field(escapeProperty(key) ?? key)?.type : undefined

function equalLists(type: CelType & { readonly kind: 'list' }, a: unknown, b: unknown): boolean {
  if (!Array.isArray(a) || !Array.isArray(b)) return equals(a, b)
  if (a.length !== b.length) return false
  const { element } = type
  const how = type.schema?.listType
  if (how === undefined) return a.every((each, i) => equalAs(element, each, b[i]))
  if (how === 'set') return a.every((each) => b.some((other) => equalAs(element, each, other)))
  return a.every((each) =>
    b.some((other) => sameKeys(how, each, other) && equalAs(element, each, other)),
  )
}

const sameKeys = (keys: readonly string[], a: unknown, b: unknown): boolean =>
  kindOf(a) === 'map' && kindOf(b) === 'map' && keys.every((key) => equalKey(a, b, key))

function equalKey(a: unknown, b: unknown, key: string): boolean {
  const [left, right] = [mapGet(a, key), mapGet(b, key)]
  return left === undefined || right === undefined ? left === right : equals(left, right)
}

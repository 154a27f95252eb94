/**
 * Sets of fields in the form that `managedFields` carries them (FieldsV1): `f:name` a field, `k:{…}` the
 * item with these keys, `v:…` the item of this value, `.` the thing itself. A leaf is an empty object.
 */
import { parseJson } from '../integers.ts'
import type { Item } from './elements.ts'

/** Its elements, each with what lies below it. */
export interface FieldSet {
  readonly [element: string]: FieldSet
}

/** A set while it is made. */
export interface Mutable {
  [element: string]: Mutable
}

/** The element that stands for the thing itself. */
export const SELF = '.'
export const EMPTY: FieldSet = {}

/** A leaf, or nothing at all. */
export const isEmptySet = (set: FieldSet): boolean => {
  for (const _ in set) return false
  return true
}

/** A set with nothing but `.` is a leaf. */
export const normalize = (set: Mutable): Mutable => {
  for (const key in set) if (key !== SELF) return set
  return {}
}

/** The same set with its elements in the order of their texts, so that equal sets give equal bytes. */
export function inOrder(set: FieldSet): FieldSet {
  let last = ''
  let sorted = true
  let changed = false
  const parts: [string, Mutable][] = []
  for (const key in set) {
    const before = set[key] as Mutable
    const after = inOrder(before) as Mutable
    if (key < last) sorted = false
    if (before !== after) changed = true
    last = key
    parts.push([key, after])
  }
  if (sorted && !changed) return set
  return Object.fromEntries(
    sorted ? parts : parts.toSorted(([a], [b]) => (a < b ? -1 : 1)),
  ) as Mutable
}

/** Whether the thing itself is a member, and not only what lies below it. */
export const hasSelf = (set: FieldSet): boolean => isEmptySet(set) || SELF in set

/** Fields of either. What both share may be shared by the result. */
export function union(a: FieldSet, b: FieldSet): FieldSet {
  if (isEmptySet(a)) return b
  if (isEmptySet(b)) return a
  const result: Mutable = { ...(a as Mutable) }
  for (const key in b) {
    const [left, right] = [result[key], b[key] as Mutable]
    if (left === undefined) result[key] = right
    else if (left !== right) {
      const below = unionBelow(left, right)
      result[key] = below
    }
  }
  return result
}

function unionBelow(a: FieldSet, b: FieldSet): Mutable {
  const below = {
    ...(isEmptySet(a) || isEmptySet(b)
      ? { ...(a as Mutable), ...(b as Mutable) }
      : (union(a, b) as Mutable)),
  }
  if (hasSelf(a) || hasSelf(b)) below[SELF] = {}
  return normalize(below)
}

/** Fields of `a` that are not in `b`. */
export function difference(a: FieldSet, b: FieldSet): FieldSet {
  const result: Mutable = {}
  for (const key in a) {
    const [left, right] = [a[key] as Mutable, b[key]]
    if (right === undefined) {
      result[key] = left
      continue
    }
    if (key === SELF) continue
    const { [SELF]: _self, ...rest } = difference(left, right) as Mutable
    const below = hasSelf(left) && !hasSelf(right) ? { [SELF]: {}, ...rest } : rest
    if (!isEmptySet(below)) result[key] = normalize(below)
  }
  return result
}

/** Fields of both. */
export function intersection(a: FieldSet, b: FieldSet): FieldSet {
  const result: Mutable = {}
  for (const key in a) {
    const [left, right] = [a[key] as Mutable, b[key]]
    if (right === undefined || key === SELF) continue
    const below = { ...(intersection(left, right) as Mutable) }
    const both = hasSelf(left) && hasSelf(right)
    if (both) below[SELF] = {}
    if (!isEmptySet(below)) result[key] = normalize(below)
  }
  return result
}

/** Everything at or below a path, by its elements, taken out: `['f:metadata', 'f:name']`. */
export function withoutPath(set: FieldSet, path: readonly string[], at = 0): FieldSet {
  const first = path[at]
  const inner = first === undefined ? undefined : set[first]
  if (first === undefined || inner === undefined) return set
  const isLast = at === path.length - 1
  const below = isLast ? EMPTY : withoutPath(inner, path, at + 1)
  if (below === inner && !isLast) return set
  const result: Mutable = { ...(set as Mutable) }
  if (isLast || isEmptySet(below)) delete result[first]
  else result[first] = below as Mutable
  return result
}

/** Paths of the members as conflicts show them: `.spec.containers[name="web"].image`. */
export function pathsOf(set: FieldSet, prefix = ''): readonly string[] {
  const own: string[] = []
  const below: string[] = []
  for (const key of Object.keys(set).toSorted(byElement)) {
    if (key === SELF) continue
    const inner = set[key] as FieldSet
    const path = prefix + shownElement(key)
    if (hasSelf(inner)) own.push(path)
    below.push(...pathsOf(inner, path))
  }
  // What is a member itself comes before what is within others.
  return [...own, ...below]
}

/** Fields, then items by their keys, then items by their value: as it happens, in the order of their letters. */
const byElement = (a: string, b: string): number => (a < b ? -1 : 1)

/** As a path shows it: `.name`, `[name="web"]`, `[="web"]`. */
export function shownElement(element: string): string {
  const rest = element.slice(2)
  if (element.startsWith('f:')) return `.${rest}`
  if (element.startsWith('v:')) return `[=${rest}]`
  const keys = Object.entries(parseJson(rest) as Item).map(
    ([name, value]) => `${name}=${JSON.stringify(value)}`,
  )
  return `[${keys.join(',')}]`
}

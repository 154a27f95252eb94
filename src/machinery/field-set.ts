/**
 * Sets of fields in the form that `managedFields` carries them (FieldsV1): `f:name` a field, `k:{…}` the
 * item with these keys, `v:…` the item of this value, `.` the thing itself. A leaf is an empty object.
 */
import { parseJson } from './integers.ts'
import { equal } from './patch/json.ts'
import { LEAF, type Shape } from './shape.ts'

export interface FieldSet {
  readonly [element: string]: FieldSet
}
interface Mutable {
  [element: string]: Mutable
}

const SELF = '.'
export const EMPTY: FieldSet = {}

export const isEmptySet = (set: FieldSet): boolean => {
  for (const _ in set) return false
  return true
}

type Item = Record<string, unknown>
const isRecord = (value: unknown): value is Item =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const absent = (value: unknown): value is undefined | null => value === undefined || value === null

type ListMap = Extract<Shape, { type: 'listMap' }>

function elementOf(shape: Shape, item: unknown): string {
  if (shape.type === 'listSet') return `v:${JSON.stringify(item)}`
  return shape.type === 'listMap' ? `k:${keyValues(shape, item)}` : ''
}

/** What tells the item from its neighbours: `{"containerPort":80,"protocol":"TCP"}`. */
export function keyValues(shape: ListMap, item: unknown): string {
  const keys: Item = {}
  for (const { name, default: standard } of inNameOrder(shape)) {
    const value = isRecord(item) ? item[name] : undefined
    const used = value ?? standard
    if (used !== undefined) keys[name] = used
  }
  return JSON.stringify(keys)
}

const sortedKeys = new WeakMap<ListMap, ListMap['keys']>()
function inNameOrder(shape: ListMap): ListMap['keys'] {
  let keys = sortedKeys.get(shape)
  if (keys === undefined) {
    keys = shape.keys.toSorted((a, b) => (a.name < b.name ? -1 : 1))
    sortedKeys.set(shape, keys)
  }
  return keys
}

const isEmptyValue = (value: unknown): boolean =>
  Array.isArray(value) ? value.length === 0 : isRecord(value) && Object.keys(value).length === 0

const isNothing = (value: unknown): boolean => value === null || isEmptyValue(value)

/** Whether the value is taken apart; an empty one is not. */
export function divides(shape: Shape, value: unknown): boolean {
  if (shape.type === 'leaf' || absent(value)) return false
  if (shape.type === 'struct' || shape.type === 'map') return isRecord(value)
  return Array.isArray(value)
}

const childShape = (shape: Shape, name: string): Shape =>
  shape.type === 'struct'
    ? (shape.field(name) ?? { type: 'leaf' })
    : shape.type === 'map'
      ? shape.value
      : { type: 'leaf' }

/** All fields of an applied configuration. */
export function setOf(shape: Shape, value: unknown): FieldSet {
  const set: Mutable = {}
  if (shape.type === 'struct' || shape.type === 'map') {
    for (const [name, item] of Object.entries((value ?? {}) as Item)) {
      if (item === undefined) continue
      const inner = childShape(shape, name)
      const element = `f:${name}`
      if (divides(inner, item)) {
        const below = setOf(inner, item) as Mutable
        const emptyMap = isRecord(item) && Object.keys(item).length === 0
        const isUndeclared = inner.type === 'map' && inner.isUndeclared === true
        if (emptyMap || isUndeclared || shape.type === 'map') below[SELF] = {}
        if (!isEmptySet(below)) set[element] = normalize(below)
      } else set[element] = {}
    }
  } else if (shape.type === 'listSet') {
    for (const item of value as readonly unknown[]) set[elementOf(shape, item)] = {}
  } else if (shape.type === 'listMap') {
    for (const item of value as readonly unknown[]) {
      set[elementOf(shape, item)] = normalize({
        [SELF]: {},
        ...(isRecord(item) ? (setOf(shape.item, item) as Mutable) : {}),
      })
    }
  }
  return set
}

/** A set with nothing but `.` is a leaf. */
const normalize = (set: Mutable): Mutable => {
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

/** Items that are in their list twice, and items without a key: lists that are maps cannot hold them. */
export function itemProblems(shape: Shape, value: unknown, path = ''): readonly string[] {
  if (!divides(shape, value)) return []
  if (shape.type === 'struct' || shape.type === 'map')
    return Object.entries(value as Item).flatMap(([name, item]) =>
      itemProblems(childShape(shape, name), item, `${path}.${name}`),
    )
  const seen = new Set<string>()
  return (value as readonly unknown[]).flatMap((item, i) => {
    const element = elementOf(shape, item)
    const shown = shownElement(element)
    const inner =
      shape.type === 'listMap'
        ? [
            ...shape.keys
              .filter(
                ({ name, default: standard }) =>
                  isRecord(item) && absent(item[name]) && standard === undefined,
              )
              .map(
                ({ name }) =>
                  `${path}: element ${i}: associative list with keys has an element that omits key field ${JSON.stringify(name)} (and doesn't have default value)`,
              ),
            ...itemProblems(shape.item, item, `${path}${shown}`),
          ]
        : []
    if (seen.has(element)) return [`${path}: duplicate entries for key ${shown}`, ...inner]
    seen.add(element)
    return inner
  })
}

export interface Comparison {
  readonly added: FieldSet
  readonly modified: FieldSet
  readonly removed: FieldSet
}

/** What became of the fields between two states. */
export function compare(shape: Shape, before: unknown, after: unknown): Comparison {
  const found: Found = { added: undefined, modified: undefined, removed: undefined }
  walk(shape, before, after, found)
  return {
    added: found.added ?? EMPTY,
    modified: found.modified ?? EMPTY,
    removed: found.removed ?? EMPTY,
  }
}

/** Sets are made when something is to go into them: most of two states is the same. */
interface Found {
  added: Mutable | undefined
  modified: Mutable | undefined
  removed: Mutable | undefined
}

const NOTHING: Item = {}

function walk(shape: Shape, before: unknown, after: unknown, found: Found): void {
  if (before === after) return
  if (shape.type === 'struct' || shape.type === 'map') {
    const [old, now] = [isRecord(before) ? before : NOTHING, isRecord(after) ? after : NOTHING]
    for (const name in now) {
      if (old[name] !== now[name])
        visit('f:', name, childShape(shape, name), old[name], now[name], found)
    }
    for (const name in old)
      if (now[name] === undefined)
        visit('f:', name, childShape(shape, name), old[name], undefined, found)
    return
  }
  if (shape.type === 'listMap' || shape.type === 'listSet') {
    if (sameItems(before, after)) return
    const index = (list: unknown): Map<string, unknown> =>
      new Map(
        Array.isArray(list)
          ? list.map((item): [string, unknown] => [elementOf(shape, item), item])
          : [],
      )
    const [old, now] = [index(before), index(after)]
    const inner = shape.type === 'listMap' ? shape.item : LEAF
    for (const [element, item] of now) visit('', element, inner, old.get(element), item, found)
    for (const [element, item] of old)
      if (!now.has(element)) visit('', element, inner, item, undefined, found)
  }
}

const sameItems = (a: unknown, b: unknown): boolean =>
  Array.isArray(a) &&
  Array.isArray(b) &&
  a.length === b.length &&
  a.every((item, i) => equal(item, b[i]))

function visit(
  kind: 'f:' | '',
  name: string,
  shape: Shape,
  before: unknown,
  after: unknown,
  found: Found,
): void {
  if (before === after) return
  // Null is a value: it says that a field is there, and that it is empty.
  const [was, is] = [before !== undefined, after !== undefined]
  const [wasDivided, isDivided] = [divides(shape, before), divides(shape, after)]
  const tellsNullFromEmpty = was && is && isNothing(before) && isNothing(after)
  if ((wasDivided || isDivided) && !tellsNullFromEmpty) {
    const below: Found = { added: undefined, modified: undefined, removed: undefined }
    walk(shape, wasDivided ? before : undefined, isDivided ? after : undefined, below)
    // A field that is always written was there, if empty: only what was not at all is new itself.
    if (before === undefined) (below.added ??= {})[SELF] = {}
    if (after === undefined) (below.removed ??= {})[SELF] = {}
    const { added, modified, removed } = below
    if (added !== undefined) (found.added ??= {})[kind + name] = normalize(added)
    if (modified !== undefined) (found.modified ??= {})[kind + name] = normalize(modified)
    if (removed !== undefined) (found.removed ??= {})[kind + name] = normalize(removed)
    return
  }
  if (!was) (found.added ??= {})[kind + name] = {}
  else if (!is) (found.removed ??= {})[kind + name] = {}
  else if (!equal(before, after)) (found.modified ??= {})[kind + name] = {}
}

const hasSelf = (set: FieldSet): boolean => isEmptySet(set) || SELF in set

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

function shownElement(element: string): string {
  const rest = element.slice(2)
  if (element.startsWith('f:')) return `.${rest}`
  if (element.startsWith('v:')) return `[=${rest}]`
  const keys = Object.entries(parseJson(rest) as Item).map(
    ([name, value]) => `${name}=${JSON.stringify(value)}`,
  )
  return `[${keys.join(',')}]`
}

/** The applied configuration laid over the live object. */
export function mergeApplied(shape: Shape, live: unknown, applied: unknown): unknown {
  if (applied === undefined) return live
  // Who applies null to what has parts applies none of them.
  if (applied === null && divides(shape, live) && !isEmptyValue(live)) return live
  if (absent(live) || !divides(shape, applied)) return applied
  if ((shape.type === 'struct' || shape.type === 'map') && isRecord(live)) {
    const merged: Item = { ...live }
    for (const [name, value] of Object.entries(applied as Item))
      merged[name] = mergeApplied(childShape(shape, name), live[name], value)
    return merged
  }
  if ((shape.type === 'listMap' || shape.type === 'listSet') && Array.isArray(live)) {
    const list = applied as readonly unknown[]
    const wanted = new Map(list.map((item) => [elementOf(shape, item), item]))
    const old = new Map(live.map((item): [string, unknown] => [elementOf(shape, item), item]))
    const mergedItem = (element: string, item: unknown): unknown => {
      const before = old.get(element)
      return shape.type === 'listMap' && before !== undefined
        ? mergeApplied(shape.item, before, item)
        : item
    }
    // The applied order, with those that only the live object has staying behind their neighbours.
    const result: unknown[] = []
    const placed = new Set<string>()
    let next = 0
    const appliedElements = [...wanted.keys()]
    for (const item of live) {
      const element = elementOf(shape, item)
      if (!wanted.has(element)) {
        result.push(item)
        continue
      }
      while (next < appliedElements.length) {
        const each = appliedElements[next++] ?? ''
        if (placed.has(each)) continue
        placed.add(each)
        result.push(mergedItem(each, wanted.get(each)))
        if (each === element) break
      }
    }
    for (const each of appliedElements)
      if (!placed.has(each)) result.push(mergedItem(each, wanted.get(each)))
    return result
  }
  return applied
}

/** The value without the members of the set; what remains of a thing whose parts all went goes too when it is itself a member. */
export function removeFields(shape: Shape, value: unknown, set: FieldSet, kept: FieldSet): unknown {
  if (isEmptySet(set) || !divides(shape, value)) return value
  if (shape.type === 'struct' || shape.type === 'map') {
    const result: Item = { ...(value as Item) }
    for (const key in set) {
      if (!key.startsWith('f:')) continue
      const name = key.slice(2)
      const [gone, owned] = [set[key] as FieldSet, kept[key]]
      // A key that no schema names goes as a whole, whoever has filled it: its own owners would keep it.
      const isNamed = shape.type === 'struct' && shape.field(name) !== undefined
      if (hasSelf(gone) && (owned === undefined || !isNamed)) {
        delete result[name]
        continue
      }
      const before = result[name]
      if (before === undefined) continue
      const left = removeFields(childShape(shape, name), before, gone, owned ?? EMPTY)
      // What held nothing else goes with what it held.
      if (owned === undefined && isEmptyValue(left) && !isEmptyValue(before)) delete result[name]
      else result[name] = left
    }
    return result
  }
  if (shape.type === 'listMap' || shape.type === 'listSet') {
    return (value as readonly unknown[]).flatMap((item) => {
      const element = elementOf(shape, item)
      const gone = set[element]
      if (gone === undefined) return [item]
      // Whoever has changed a part of an item does not keep it: only owners of the item itself do.
      if (hasSelf(gone)) return []
      const owned = kept[element] ?? EMPTY
      return [shape.type === 'listMap' ? removeFields(shape.item, item, gone, owned) : item]
    })
  }
  return value
}

/** Where null was applied to a thing of which nothing is left, it is null. */
export function withAppliedNulls(applied: unknown, value: unknown): unknown {
  if (applied === null) return isNothing(value) ? null : value
  if (!isRecord(applied) || !isRecord(value)) return value
  let copy: Item | undefined
  for (const name in applied) {
    const before = value[name]
    const after = withAppliedNulls(applied[name], before)
    if (after !== before) (copy ??= { ...value })[name] = after
  }
  return copy ?? value
}

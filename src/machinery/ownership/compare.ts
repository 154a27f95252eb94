/** The fields of a value, and what became of them between two states. */
import { equal } from '../patch/json.ts'
import { LEAF, type Shape } from '../shape.ts'
import { childShape, divides, elementOf, isNothing, isRecord, type Item } from './elements.ts'
import { EMPTY, SELF, isEmptySet, normalize, type FieldSet, type Mutable } from './field-set.ts'

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

/** Fields that came, that have another value, and that went. */
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

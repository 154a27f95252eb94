/** Laying an applied configuration over the live object, and taking out of it what was given up. */
import type { Shape } from '../shape.ts'
import {
  absent,
  childShape,
  divides,
  elementOf,
  isEmptyValue,
  isNothing,
  isRecord,
  type Item,
} from './elements.ts'
import { EMPTY, hasSelf, isEmptySet, type FieldSet } from './field-set.ts'

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

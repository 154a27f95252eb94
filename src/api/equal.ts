/** Equality as the API means it: an absent field equals an empty list or map. */
import { FieldPath } from '#machinery'

const isEmpty = (value: unknown): boolean => {
  if (value === undefined || value === null) return true
  if (typeof value !== 'object') return false
  return Array.isArray(value) && value.length === 0
}

/** Deep equality of JSON values; undefined, null and an empty list are the same. */
export function equal(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (isEmpty(a) && isEmpty(b)) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false
    return a.every((item, i) => equal(item, b[i]))
  }
  const left = a as Readonly<Record<string, unknown>>
  const right = b as Readonly<Record<string, unknown>>
  for (const key in left) if (!equal(left[key], right[key])) return false
  for (const key in right) if (!(key in left) && !isEmpty(right[key])) return false
  return true
}

export interface Difference {
  readonly path: string
  readonly before: unknown
  readonly after: unknown
}
const MAX_DIFFERENCES = 10

/** Where two values differ, deepest paths first to differ; at most ten. */
export function differences(before: unknown, after: unknown, root: string): readonly Difference[] {
  const found: Difference[] = []
  const visit = (a: unknown, b: unknown, path: FieldPath): void => {
    if (found.length >= MAX_DIFFERENCES || equal(a, b)) return
    if (typeof a === 'object' && typeof b === 'object' && a !== null && b !== null) {
      if (Array.isArray(a) && Array.isArray(b) && a.length === b.length) {
        for (const [i, item] of a.entries()) visit(item, b[i], path.index(i))
        return
      }
      if (!Array.isArray(a) && !Array.isArray(b)) {
        const left = a as Readonly<Record<string, unknown>>
        const right = b as Readonly<Record<string, unknown>>
        for (const key of new Set([...Object.keys(left), ...Object.keys(right)])) {
          visit(left[key], right[key], path.child(key))
        }
        return
      }
    }
    found.push({ path: path.text, before: a, after: b })
  }
  visit(before, after, FieldPath.of(root))
  return found
}

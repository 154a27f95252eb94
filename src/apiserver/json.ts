/** Small operations on JSON values. */
import type { JsonObject } from '#machinery'

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** A value that should be text, as text: what is none is shown as JSON. */
export const textOf = (value: unknown): string =>
  typeof value === 'string' ? value : value === undefined ? '' : JSON.stringify(value)

/** A copy that shares nothing: what came from the same process may be frozen, and is its sender's. */
export function copyJson<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) {
    const copy: unknown[] = []
    for (const part of value as readonly unknown[]) copy.push(copyJson(part))
    return copy as T
  }
  // What a JSON encoder would show is what counts.
  if (value instanceof Date) return value.toJSON() as T
  const copy: JsonObject = {}
  for (const key in value) {
    const part: unknown = (value as JsonObject)[key]
    if (part !== undefined) copy[key] = copyJson(part)
  }
  return copy as T
}

/** Whether two JSON values say the same; the order of fields does not count. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a)) {
    if (!Array.isArray(b) || a.length !== b.length) return false
    for (let i = 0; i < a.length; i++) if (!sameJson(a[i], b[i])) return false
    return true
  }
  if (Array.isArray(b)) return false
  return sameFields(a as JsonObject, b as JsonObject)
}

/** The same for objects, leaving out some of their fields. */
export function sameFields(a: JsonObject, b: JsonObject, except?: ReadonlySet<string>): boolean {
  let count = 0
  for (const key in a) {
    const value = a[key]
    if (value === undefined || except?.has(key) === true) continue
    if (!sameJson(value, b[key])) return false
    count++
  }
  for (const key in b) if (b[key] !== undefined && except?.has(key) !== true) count--
  return count === 0
}

/** The value at a path of names. */
export function valueAt(object: unknown, path: readonly string[]): unknown {
  let value = object
  for (const name of path) {
    if (!isObject(value)) return undefined
    value = value[name]
  }
  return value
}

/** Sets it, making objects on the way. */
export function setAt(object: JsonObject, path: readonly string[], value: unknown): void {
  let at = object
  for (const name of path.slice(0, -1)) {
    const next = at[name]
    if (isObject(next)) at = next
    else at = at[name] = {} as JsonObject
  }
  at[path.at(-1)!] = value
}

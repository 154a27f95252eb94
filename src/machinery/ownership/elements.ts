/** How values of a shape come apart into what somebody may own. */
import type { Shape } from '../shape.ts'

/** A JSON object. */
export type Item = Record<string, unknown>
export const isRecord = (value: unknown): value is Item =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
export const absent = (value: unknown): value is undefined | null =>
  value === undefined || value === null

type ListMap = Extract<Shape, { type: 'listMap' }>

/** The item as an element of a set. */
export function elementOf(shape: Shape, item: unknown): string {
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

/** A list or an object without anything in it. */
export const isEmptyValue = (value: unknown): boolean =>
  Array.isArray(value) ? value.length === 0 : isRecord(value) && Object.keys(value).length === 0

/** What Go may leave out when it writes. */
export const isNothing = (value: unknown): boolean => value === null || isEmptyValue(value)

/** Whether the value is taken apart; an empty one is not. */
export function divides(shape: Shape, value: unknown): boolean {
  if (shape.type === 'leaf' || absent(value)) return false
  if (shape.type === 'struct' || shape.type === 'map') return isRecord(value)
  return Array.isArray(value)
}

/** The shape of a field, or of a map's values. */
export const childShape = (shape: Shape, name: string): Shape =>
  shape.type === 'struct'
    ? (shape.field(name) ?? { type: 'leaf' })
    : shape.type === 'map'
      ? shape.value
      : { type: 'leaf' }

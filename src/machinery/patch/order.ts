/** The order of lists that strategic merge patches change. */
import { goText } from '../go-text.ts'
import { ownValue } from '../own-key.ts'
import { equal } from './json.ts'
import { StatusError } from '../status.ts'

type List = readonly unknown[]

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** What Go calls a value of JSON; `typed` names the type that holds it. */
export function kindInGo(value: unknown, { typed = false } = {}): string {
  if (value === null || value === undefined) return typed ? '%!s(<nil>)' : 'null'
  if (Array.isArray(value)) return typed ? '[]interface {}' : 'array'
  switch (typeof value) {
    case 'object':
      return typed ? 'map[string]interface {}' : 'object'
    case 'boolean':
      return 'bool'
    case 'string':
      return 'string'
    default:
      if (!typed) return 'number'
      return typeof value === 'number' && !Number.isSafeInteger(value) ? 'float64' : 'int64'
  }
}

/** Why an item cannot be found by its key. */
export function keyProblem(item: unknown, mergeKey: string): string | undefined {
  if (!isRecord(item))
    return `expected a map[string]interface {}, but received a ${kindInGo(item, { typed: true })}`
  return Object.hasOwn(item, mergeKey)
    ? undefined
    : `map: ${goText(item)} does not contain declared merge key: ${mergeKey}`
}

const keyOf = (mergeKey: string | undefined, item: unknown): unknown =>
  mergeKey === undefined ? item : isRecord(item) ? ownValue(item, mergeKey) : undefined

/** Whether two items are the same one. */
export const isSameItem = (mergeKey: string | undefined, a: unknown, b: unknown): boolean =>
  equal(keyOf(mergeKey, a), keyOf(mergeKey, b))

/**
 * Items that the order names come in it, others in the order they had. Where the old list does not say which of two
 * goes first, it is the named one: what a patch adds comes before what it does not speak of.
 */
export function inElementOrder(
  list: List,
  order: List,
  old: List,
  mergeKey: string | undefined,
): unknown[] {
  const all = [...list, ...order, ...old]
  if (mergeKey !== undefined || all.some(isRecord))
    for (const item of all) {
      const problem = keyProblem(item, mergeKey ?? '')
      if (problem !== undefined) throw new StatusError('', problem)
    }
  const placeIn = (places: List): ((item: unknown) => number) => {
    const keys = places.map((item) => keyOf(mergeKey, item))
    return (item) => keys.findIndex((each) => equal(each, keyOf(mergeKey, item)))
  }
  const [wanted, before] = [placeIn(order), placeIn(old)]
  const placed = list.map((item) => ({ item, wanted: wanted(item), before: before(item) }))
  const named = placed.filter((each) => each.wanted >= 0).toSorted((a, b) => a.wanted - b.wanted)
  const others = placed.filter((each) => each.wanted < 0).toSorted((a, b) => a.before - b.before)
  const result: unknown[] = []
  let next = 0
  for (const each of named) {
    for (let other = others[next]; other !== undefined; other = others[++next]) {
      if (each.before < 0 || other.before < 0 || each.before < other.before) break
      result.push(other.item)
    }
    result.push(each.item)
  }
  return [...result, ...others.slice(next).map(({ item }) => item)]
}

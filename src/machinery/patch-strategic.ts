/** Strategic merge patch: a merge patch that knows which lists are maps by a key, from the facts. */
import type { FieldFact, SchemaFact, TypeTable } from './facts.ts'
import { goText } from './go-text.ts'
import { ownValue, setOwn } from './own-key.ts'
import { equal } from './patch-json.ts'
import { badRequest } from './status.ts'

type Item = Record<string, unknown>

const DELETE_LIST = '$deleteFromPrimitiveList/'
const ORDER = '$setElementOrder/'
const RETAIN = '$retainKeys'
const DIRECTIVE = '$patch'

const isRecord = (value: unknown): value is Item =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** A new value; what did not change is shared with the target. Throws 400 for directives that cannot be. */
export function applyStrategicPatch(
  types: TypeTable,
  definition: string,
  target: unknown,
  patch: unknown,
): unknown {
  if (!isRecord(patch)) throw badRequest('a strategic merge patch must be an object')
  return mergeObject(types, { ref: definition }, isRecord(target) ? target : {}, patch)
}

function fieldOf(
  types: TypeTable,
  schema: SchemaFact | undefined,
  name: string,
): FieldFact | SchemaFact | undefined {
  if (schema?.ref !== undefined)
    return types[schema.ref]?.fields?.find((field) => field.name === name)
  return schema?.values
}

function mergeObject(
  types: TypeTable,
  schema: SchemaFact | undefined,
  target: Item,
  patch: Item,
): Item {
  const directive = patch[DIRECTIVE]
  if (directive === 'replace') return clean(without(patch, DIRECTIVE)) as Item
  if (directive === 'delete') return {}
  if (directive !== undefined && directive !== 'merge')
    throw badRequest(`unrecognized type: $patch: ${JSON.stringify(directive)}`)
  const result: Item = { ...target }
  retainKeys(result, patch)
  for (const key of Object.keys(patch)) {
    if (!key.startsWith(DELETE_LIST)) continue
    const name = key.slice(DELETE_LIST.length)
    const gone = patch[key]
    if (!Array.isArray(gone)) throw badRequest('invalid patch format of primitive list')
    const list = ownValue(result, name)
    if (Array.isArray(list))
      result[name] = list.filter((item) => !gone.some((each) => equal(each, item)))
  }
  for (const key of Object.keys(patch)) {
    const given = patch[key]
    if (given === undefined || isDirective(key)) continue
    if (given === null) {
      delete result[key]
      continue
    }
    const field = fieldOf(types, schema, key)
    const old = ownValue(result, key)
    if (Array.isArray(given))
      setOwn(
        result,
        key,
        mergeList(types, field, Array.isArray(old) ? old : [], given, patch[`${ORDER}${key}`]),
      )
    else if (isRecord(given)) {
      const strategy = (field as FieldFact | undefined)?.patchStrategy ?? ''
      if (strategy.includes('replace')) setOwn(result, key, clean(without(given, DIRECTIVE)))
      else if (given[DIRECTIVE] === 'delete') delete result[key]
      else setOwn(result, key, mergeObject(types, field, isRecord(old) ? old : {}, given))
    } else setOwn(result, key, given)
  }
  // An order alone rearranges what is there.
  for (const key of Object.keys(patch)) {
    if (!key.startsWith(ORDER)) continue
    const order = patch[key]
    if (!Array.isArray(order)) throw badRequest('invalid patch format of setElementOrder list')
    const name = key.slice(ORDER.length)
    const list = ownValue(result, name)
    const field = fieldOf(types, schema, name) as FieldFact | undefined
    if (Array.isArray(list) && !(name in patch) && field?.patchStrategy?.includes('merge') === true)
      setOwn(result, name, inOrder(list, order, list, field.patchMergeKey))
  }
  return result
}

const isDirective = (key: string): boolean =>
  key === DIRECTIVE || key === RETAIN || key.startsWith(DELETE_LIST) || key.startsWith(ORDER)

/** Of a union only the named members stay; what the patch sets must be among them. */
function retainKeys(result: Item, patch: Item): void {
  const retain = patch[RETAIN]
  if (retain === undefined) return
  const isSet = (key: string): boolean => !isDirective(key) && patch[key] !== null
  if (
    !Array.isArray(retain) ||
    Object.keys(patch).some((key) => isSet(key) && !retain.includes(key))
  )
    throw badRequest('invalid patch format of retainKeys')
  for (const key of Object.keys(result)) if (!retain.includes(key)) delete result[key]
}

function mergeList(
  types: TypeTable,
  field: FieldFact | SchemaFact | undefined,
  old: readonly unknown[],
  given: readonly unknown[],
  order: unknown,
): unknown[] {
  const { patchStrategy = '', patchMergeKey } = (field ?? {}) as Partial<FieldFact>
  if (!patchStrategy.includes('merge')) {
    return given.filter((item) => !(isRecord(item) && item[DIRECTIVE] !== undefined)).map(clean)
  }
  if (patchMergeKey === undefined) {
    const result = [...old]
    for (const item of given) if (!result.some((each) => equal(each, item))) result.push(item)
    return inOrder(result, order ?? given, old, undefined)
  }
  if (given.some((item) => isRecord(item) && item[DIRECTIVE] === 'replace')) {
    return given.filter((item) => !(isRecord(item) && item[DIRECTIVE] === 'replace')).map(clean)
  }
  let result = [...old]
  for (const item of given) {
    if (!isRecord(item))
      throw badRequest(`a list that merges by ${JSON.stringify(patchMergeKey)} must hold objects`)
    const value = item[patchMergeKey]
    if (value === undefined)
      throw badRequest(`map: ${goText(item)} does not contain declared merge key: ${patchMergeKey}`)
    const at = result.findIndex((each) => isRecord(each) && equal(each[patchMergeKey], value))
    if (item[DIRECTIVE] === 'delete') {
      result = result.filter((each) => !(isRecord(each) && equal(each[patchMergeKey], value)))
    } else if (at < 0) result.push(mergeObject(types, field?.items, {}, item))
    else result[at] = mergeObject(types, field?.items, result[at] as Item, item)
  }
  return inOrder(result, order ?? given, old, patchMergeKey)
}

/**
 * Items that the order names come in it, others in the order they had. Where the old list does not say which of two
 * goes first, it is the named one: what a patch adds comes before what it does not speak of.
 */
function inOrder(
  list: readonly unknown[],
  order: unknown,
  old: readonly unknown[],
  mergeKey: string | undefined,
): unknown[] {
  if (!Array.isArray(order)) throw badRequest('invalid patch format of setElementOrder list')
  const keyOf = (item: unknown): unknown =>
    mergeKey === undefined ? item : isRecord(item) ? item[mergeKey] : undefined
  const placeIn = (all: readonly unknown[]): ((item: unknown) => number) => {
    const keys = all.map(keyOf)
    return (item) => keys.findIndex((each) => equal(each, keyOf(item)))
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

const without = (item: Item, key: string): Item =>
  Object.fromEntries(Object.entries(item).filter(([name]) => name !== key))

/** A value that goes in as it is must not carry directives or nulls. */
function clean(value: unknown): unknown {
  if (Array.isArray(value))
    return value.filter((item) => !(isRecord(item) && item[DIRECTIVE] === 'delete')).map(clean)
  if (!isRecord(value)) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key, item]) => item !== null && !isDirective(key))
      .map(([key, item]) => [key, clean(item)]),
  )
}

/** Strategic merge patch: a merge patch that knows which lists are maps by a key, from the facts. */
import type { FieldFact, SchemaFact, TypeTable } from './facts.ts'
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

  const retain = patch[RETAIN]
  if (retain !== undefined) {
    if (!Array.isArray(retain)) throw badRequest('$retainKeys must be a list of field names')
    for (const key of Object.keys(result)) if (!retain.includes(key)) delete result[key]
  }
  for (const key of Object.keys(patch)) {
    if (!key.startsWith(DELETE_LIST)) continue
    const name = key.slice(DELETE_LIST.length)
    const gone = patch[key]
    const list = result[name]
    if (Array.isArray(list) && Array.isArray(gone))
      result[name] = list.filter((item) => !gone.includes(item))
  }
  for (const key of Object.keys(patch)) {
    if (key === DIRECTIVE || key === RETAIN || key.startsWith(DELETE_LIST) || key.startsWith(ORDER))
      continue
    const given = patch[key]
    if (given === undefined) continue
    if (given === null) {
      delete result[key]
      continue
    }
    const field = fieldOf(types, schema, key)
    const old = result[key]
    if (Array.isArray(given))
      result[key] = mergeList(
        types,
        field,
        Array.isArray(old) ? old : [],
        given,
        patch[`${ORDER}${key}`],
      )
    else if (isRecord(given)) {
      const strategy = (field as FieldFact | undefined)?.patchStrategy ?? ''
      if (strategy.includes('replace')) result[key] = clean(without(given, DIRECTIVE))
      else {
        const merged = mergeObject(types, field, isRecord(old) ? old : {}, given)
        if (given[DIRECTIVE] === 'delete') delete result[key]
        else result[key] = merged
      }
    } else result[key] = given
  }
  // An order alone rearranges what is there.
  for (const key of Object.keys(patch)) {
    if (!key.startsWith(ORDER)) continue
    const name = key.slice(ORDER.length)
    const list = result[name]
    if (Array.isArray(list) && !(name in patch)) {
      const field = fieldOf(types, schema, name) as FieldFact | undefined
      result[name] = inOrder(list, patch[key], field?.patchMergeKey)
    }
  }
  return result
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
    return inOrder(result, order, undefined)
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
      throw badRequest(
        `map: ${JSON.stringify(item)} does not contain declared merge key: ${patchMergeKey}`,
      )
    const at = result.findIndex((each) => isRecord(each) && equal(each[patchMergeKey], value))
    if (item[DIRECTIVE] === 'delete') {
      result = result.filter((each) => !(isRecord(each) && equal(each[patchMergeKey], value)))
    } else if (at < 0) result.push(mergeObject(types, field?.items, {}, item))
    else result[at] = mergeObject(types, field?.items, result[at] as Item, item)
  }
  return inOrder(result, order, patchMergeKey)
}

/** Items named by the order come in it; others stay behind the neighbour they had. */
function inOrder(
  list: readonly unknown[],
  order: unknown,
  mergeKey: string | undefined,
): unknown[] {
  if (!Array.isArray(order)) return [...list]
  const keyOf = (item: unknown): unknown =>
    mergeKey === undefined ? item : isRecord(item) ? item[mergeKey] : undefined
  const wanted = order.map((item) => keyOf(item))
  const place = (item: unknown): number => wanted.findIndex((each) => equal(each, keyOf(item)))
  const named = list.filter((item) => place(item) >= 0).toSorted((a, b) => place(a) - place(b))
  const result: unknown[] = []
  let next = 0
  // Walk the present order: a named item gives its place to the next named one of the wanted order.
  for (const item of list) result.push(place(item) >= 0 ? named[next++] : item)
  return result
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
      .filter(
        ([key, item]) =>
          item !== null &&
          key !== DIRECTIVE &&
          key !== RETAIN &&
          !key.startsWith(DELETE_LIST) &&
          !key.startsWith(ORDER),
      )
      .map(([key, item]) => [key, clean(item)]),
  )
}

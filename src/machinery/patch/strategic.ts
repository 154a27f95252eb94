/**
 * Strategic merge patch: a merge patch that knows which lists are maps by a key, from the facts. What a patch adds goes
 * in as it is; the form of the type drops what is null in it, and tells of what nobody knows.
 */
import type { FieldFact, SchemaFact, TypeTable } from '../facts.ts'
import { goText } from '../go-text.ts'
import { ownValue, setOwn } from '../own-key.ts'
import { equal } from './json.ts'
import { inElementOrder, keyProblem, kindInGo, isSameItem } from './order.ts'
import { badRequest, StatusError } from '../status.ts'

type Item = Record<string, unknown>
type List = readonly unknown[]

const DELETE_LIST = '$deleteFromPrimitiveList/'
const ORDER = '$setElementOrder/'
const RETAIN = '$retainKeys'
const DIRECTIVE = '$patch'

const isRecord = (value: unknown): value is Item =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Mistakes that upstream has no status for: they are told without a reason. */
const failure = (message: string): StatusError => new StatusError('', message)

/** A new value; what did not change is shared with the target and the patch. Throws for directives that cannot be. */
export function applyStrategicPatch(
  types: TypeTable,
  definition: string,
  target: unknown,
  patch: unknown,
): unknown {
  const object = isRecord(target) ? target : {}
  if (patch === null) return object
  if (!isRecord(patch))
    throw badRequest(
      `json: cannot unmarshal ${kindInGo(patch)} into Go value of type map[string]interface {}`,
    )
  return mergeObject({ types, schema: { ref: definition } }, object, patch)
}

/** A type, and the table that it is from. */
interface Place {
  readonly types: TypeTable
  readonly schema: SchemaFact | undefined
}

interface Member {
  readonly place: Place
  /** `merge`, `replace`, or nothing said. */
  readonly strategy: string
  readonly mergeKey: string | undefined
}

/** Undefined for what its type does not have. */
function memberOf({ types, schema }: Place, name: string): Member | undefined {
  const held = (schema?.ref === undefined ? undefined : types[schema.ref]?.alias) ?? schema
  const field =
    held?.ref === undefined
      ? held?.values
      : types[held.ref]?.fields?.find((each) => each.name === name)
  if (field === undefined) return undefined
  const { patchStrategy = '', patchMergeKey } = field as Partial<FieldFact>
  const [strategy = ''] = patchStrategy.split(',').filter((each) => each !== 'retainKeys')
  return { place: { types, schema: field }, strategy, mergeKey: patchMergeKey }
}

const itemsOf = ({ types, schema }: Place): Place => {
  const held = (schema?.ref === undefined ? undefined : types[schema.ref]?.alias) ?? schema
  return { types, schema: held?.items }
}

/** Where nothing is known, maps are merged and lists replaced. */
const UNKNOWN = (types: TypeTable): Member => ({
  place: { types, schema: undefined },
  strategy: '',
  mergeKey: undefined,
})

function mergeObject(place: Place, target: Item, patch: Item): Item {
  if (Object.hasOwn(patch, DIRECTIVE)) return directed(patch)
  const result: Item = { ...target }
  retainKeys(result, patch)
  const done = new Set<string>()
  for (const key of Object.keys(patch))
    if (key.startsWith(ORDER)) {
      const name = key.slice(ORDER.length)
      orderList(place, name, result, patch, patch[key])
      done.add(name)
    }
  // Values that a patch takes out and puts in are in.
  const keys = Object.keys(patch).filter((key) => !done.has(key) && !isDone(key))
  for (const key of keys.toSorted((a, b) => Number(isDeletion(b)) - Number(isDeletion(a))))
    mergeField(place, key, result, patch[key])
  return result
}

const isDone = (key: string): boolean => key === RETAIN || key.startsWith(ORDER)
const isDeletion = (key: string): boolean => key.startsWith(DELETE_LIST)

function directed(patch: Item): Item {
  const directive = patch[DIRECTIVE]
  if (directive === 'replace') {
    const { [DIRECTIVE]: _, ...rest } = patch
    return rest
  }
  if (directive === 'delete') return {}
  throw unknownDirective(patch)
}

const unknownDirective = (patch: Item): StatusError =>
  failure(`unknown patch type: ${goText(patch[DIRECTIVE])} in map: ${goText(patch)}`)

/** Of a union only the named members stay; what the patch sets must be among them. */
function retainKeys(result: Item, patch: Item): void {
  if (!Object.hasOwn(patch, RETAIN)) return
  const retain = patch[RETAIN]
  const isSet = (key: string): boolean =>
    !isDone(key) && !isDeletion(key) && patch[key] !== null && patch[key] !== undefined
  if (
    !Array.isArray(retain) ||
    Object.keys(patch).some((key) => isSet(key) && !retain.includes(key))
  )
    throw badRequest('invalid patch format of retainKeys')
  for (const key of Object.keys(result)) if (!retain.includes(key)) delete result[key]
}

/** A list whose order is given: what the patch has of it, and what is there, in that order. */
function orderList(place: Place, name: string, result: Item, patch: Item, order: unknown): void {
  const list = asList(order)
  const old = Object.hasOwn(result, name) ? asList(result[name]) : undefined
  const given = Object.hasOwn(patch, name) ? asList(patch[name]) : undefined
  const member = memberOf(place, name)
  if (member === undefined) throw noSuchField(place, name)
  const { mergeKey } = member
  checkOrder(given ?? [], list, mergeKey)
  if (old === undefined && given === undefined) return
  const merged =
    old === undefined
      ? (withoutDirectives(given) as unknown[])
      : given === undefined
        ? old
        : mergeList(member, old, given, false)
  if (merged.length === 0 && (old ?? []).length === 0 && (given ?? []).length === 0)
    throw failure('no elements in any of the given slices')
  setOwn(result, name, inElementOrder(merged, list, old ?? [], mergeKey))
}

function asList(value: unknown): unknown[] {
  if (Array.isArray(value)) return value
  throw failure(`expected a []interface {}, but received a ${kindInGo(value, { typed: true })}`)
}

function noSuchField({ types, schema }: Place, name: string): StatusError {
  const go = schema?.ref === undefined ? '' : (types[schema.ref]?.go ?? '')
  const struct = go.slice(go.lastIndexOf('.') + 1)
  return failure(
    `unable to find api field in struct ${struct} for the json field ${JSON.stringify(name)}`,
  )
}

/** What a patch sets of a list must be in its order, in that order. */
function checkOrder(given: List, order: List, mergeKey: string | undefined): void {
  if (order.length === 0 || given.length === 0) return
  let next = 0
  let at = 0
  for (; next < given.length && at < order.length; at++) {
    const item = given[next]
    if (mergeKey !== undefined && isRecord(item) && Object.hasOwn(item, DIRECTIVE)) {
      next++
      at--
      continue
    }
    const problem = mergeKey && (keyProblem(item, mergeKey) ?? keyProblem(order[at], mergeKey))
    if (problem !== undefined && problem !== '') throw failure(problem)
    if (isSameItem(mergeKey, item, order[at])) next++
  }
  while (next < given.length && isRecord(given[next]) && Object.hasOwn(given[next]!, DIRECTIVE))
    next++
  if (next < given.length)
    throw failure(
      `The order in patch list:\n${goText(given)}\n doesn't match ${ORDER.slice(0, -1)} list:\n${goText(order)}\n`,
    )
}

function mergeField(place: Place, key: string, result: Item, given: unknown): void {
  const deletes = isDeletion(key)
  const name = deletes ? key.slice(DELETE_LIST.length) : key
  if (given === undefined) return
  if (given === null) {
    delete result[name]
    return
  }
  const old = ownValue(result, name)
  if (old === undefined || old === null || kindInGo(old) !== kindInGo(given)) {
    if (!deletes) put(result, name, withoutNulls(given))
    return
  }
  if (isRecord(given) && isRecord(old)) {
    const { place: inner, strategy } = memberOf(place, name) ?? UNKNOWN(place.types)
    setOwn(result, name, strategy === 'replace' ? given : mergeObject(inner, old, given))
  } else if (Array.isArray(given) && Array.isArray(old)) {
    const member = memberOf(place, name) ?? UNKNOWN(place.types)
    setOwn(result, name, mergeList(member, old, given, deletes))
  } else put(result, name, given)
}

function put(result: Item, name: string, value: unknown): void {
  const kept = withoutDirectives(value)
  if (kept === undefined) delete result[name]
  else setOwn(result, name, kept)
}

/** `deletes` takes the given values out. */
function mergeList(member: Member, old: List, given: List, deletes: boolean): unknown[] {
  const { strategy, mergeKey, place } = member
  if (strategy !== 'merge' && !deletes) return [...given]
  if (old.length === 0 && given.length === 0) return []
  const kinds = new Set([...old, ...given].map((item) => kindInGo(item)))
  if (kinds.has('array') && kindInGo([...old, ...given][0]) === 'array')
    throw new StatusError('', 'lists of lists are not supported', { code: 422 })
  if (kinds.size > 1) throw failure(`list element types are not identical: ${goText([old, given])}`)
  if (!kinds.has('object')) {
    if (deletes) return old.filter((item) => !given.some((each) => equal(each, item)))
    const both = [...old]
    for (const item of given) if (!both.some((each) => equal(each, item))) both.push(item)
    return inElementOrder(both, given, old, undefined)
  }
  if (mergeKey === undefined) throw failure('cannot merge lists without merge key for struct')
  const { kept, added } = specialItems(old as readonly Item[], given as readonly Item[], mergeKey)
  const merged = [...kept]
  for (const item of added) {
    if (!Object.hasOwn(item, mergeKey)) throw failure(keyProblem(item, mergeKey) ?? '')
    const at = merged.findIndex((each) => equal(ownValue(each, mergeKey), item[mergeKey]))
    if (at < 0) merged.push(item)
    else merged[at] = mergeObject(itemsOf(place), merged[at]!, item)
  }
  return inElementOrder(merged, added, kept, mergeKey)
}

/** Items that say what is to be done with the list, and what is left for the others to be merged with. */
function specialItems(
  old: readonly Item[],
  given: readonly Item[],
  mergeKey: string,
): { readonly kept: readonly Item[]; readonly added: readonly Item[] } {
  let kept = old
  let replaces = false
  const added: Item[] = []
  for (const item of given) {
    if (!Object.hasOwn(item, DIRECTIVE)) {
      added.push(item)
      continue
    }
    const directive = item[DIRECTIVE]
    if (directive === 'delete') {
      const problem = keyProblem(item, mergeKey)
      if (problem !== undefined) throw failure(problem)
      kept = kept.filter((each) => !equal(ownValue(each, mergeKey), item[mergeKey]))
    } else if (directive === 'replace') replaces = true
    else if (directive === 'merge')
      throw failure('merging lists cannot yet be specified in the patch')
    else throw unknownDirective(item)
  }
  return replaces ? { kept: added, added: [] } : { kept, added }
}

/** A value that replaces what was there, or nothing, does not hold what is to be done; undefined when it is just that. */
function withoutDirectives(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutDirectives).filter((item) => item !== undefined)
  if (!isRecord(value)) return value
  if (Object.hasOwn(value, DIRECTIVE)) return undefined
  const kept: Item = {}
  for (const [name, each] of Object.entries(value)) {
    const inner = withoutDirectives(each)
    if (inner !== undefined) setOwn(kept, name, inner)
  }
  return kept
}

function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls)
  if (!isRecord(value)) return value
  const kept: Item = {}
  for (const [name, each] of Object.entries(value))
    if (each !== null) setOwn(kept, name, withoutNulls(each))
  return kept
}

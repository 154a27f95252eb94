/** JSON Patch, RFC 6902. */
import { ownValue, setOwn } from '../own-key.ts'
import { StatusError } from '../status.ts'

/** More operations than this are refused, as upstream does. */
const MAX_OPERATIONS = 10_000

const unprocessable = (message: string): StatusError =>
  new StatusError('Invalid', message, { code: 422 })

/**
 * The patched copy. Throws 400 for what is no patch, 422 when an operation cannot be done. Where the library that
 * Kubernetes uses is laxer than RFC 6902, so is this: what is not in an object reads as null, and may be replaced.
 */
export function applyJsonPatch(target: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch) || !patch.every(isRecord))
    throw new StatusError('BadRequest', 'a JSON patch must be an array of operations')
  if (patch.length > MAX_OPERATIONS) {
    throw new StatusError(
      'RequestEntityTooLarge',
      `The allowed maximum operations in a JSON patch is ${MAX_OPERATIONS}, got ${patch.length}`,
    )
  }
  let document = structuredClone(target)
  for (const operation of patch) document = perform(document, operation)
  return document
}

type Holder = unknown[] | Record<string, unknown>

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isHolder = (value: unknown): value is Holder => typeof value === 'object' && value !== null

function perform(document: unknown, operation: Record<string, unknown>): unknown {
  const { op, value = null } = operation
  const path = textOf(operation, 'path')
  switch (op) {
    case 'add':
      add(placeOf(document, path), structuredClone(value))
      return document
    case 'remove':
      remove(placeOf(document, path))
      return document
    case 'replace': {
      if (path === '') return replaced(value)
      const place = placeOf(document, path)
      read(place)
      write(place, structuredClone(value))
      return document
    }
    case 'move': {
      const from = placeOf(document, textOf(operation, 'from'))
      const moved = read(from)
      remove(from)
      add(placeOf(document, path), moved)
      return document
    }
    case 'copy': {
      const copied = structuredClone(read(placeOf(document, textOf(operation, 'from'))))
      add(placeOf(document, path), copied)
      return document
    }
    case 'test': {
      const found = path === '' ? document : read(placeOf(document, path))
      if (!equal(found, value)) throw unprocessable(`testing value ${path} failed`)
      return document
    }
    default:
      throw unprocessable(`Unexpected kind: ${String(op)}`)
  }
}

function textOf(operation: Record<string, unknown>, name: 'path' | 'from'): string {
  const text = operation[name]
  if (typeof text !== 'string')
    throw unprocessable(`${String(operation['op'])} operation failed to decode ${name}`)
  return text
}

function replaced(value: unknown): unknown {
  if (isHolder(value)) return structuredClone(value)
  throw unprocessable('replace operation value must be object or array')
}

/** Where an operation works: what holds the value, and its name or number there. */
interface Place {
  readonly holder: Holder
  readonly key: string
  readonly path: string
}

function placeOf(document: unknown, path: string): Place {
  const parts = path
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
  const key = parts.pop()
  let holder: unknown = key === undefined ? undefined : document
  for (const part of parts) {
    if (!isHolder(holder)) break
    holder = read({ holder, key: part, path })
  }
  if (key === undefined || !isHolder(holder))
    throw unprocessable(`doc is missing path: ${JSON.stringify(path)}`)
  return { holder, key, path }
}

/** The number of an item; negative ones count from the end. Throws for what is none of `length`. */
function indexOf({ key, path }: Place, length: number): number {
  if (!/^[+-]?\d+$/.test(key))
    throw unprocessable(`${JSON.stringify(key)} in ${JSON.stringify(path)} is no index of a list`)
  const index = Number(key) < 0 ? Number(key) + length : Number(key)
  if (index < 0 || index >= length)
    throw unprocessable(`Unable to access invalid index: ${Number(key)}`)
  return index
}

function read(place: Place): unknown {
  const { holder, key } = place
  if (Array.isArray(holder)) return holder[indexOf(place, holder.length)]
  return ownValue(holder, key) ?? null
}

function write(place: Place, value: unknown): void {
  const { holder, key } = place
  if (Array.isArray(holder)) holder[indexOf(place, holder.length)] = value
  else setOwn(holder, key, value)
}

function add(place: Place, value: unknown): void {
  const { holder, key } = place
  if (!Array.isArray(holder)) setOwn(holder, key, value)
  else if (key === '-') holder.push(value)
  else holder.splice(indexOf(place, holder.length + 1), 0, value)
}

function remove(place: Place): void {
  const { holder, key } = place
  if (Array.isArray(holder)) holder.splice(indexOf(place, holder.length), 1)
  else if (Object.hasOwn(holder, key)) delete holder[key]
  else throw unprocessable(`Unable to remove nonexistent key: ${key}`)
}

/** Whether two JSON values are the same, whatever the order of their fields. */
export function equal(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a)) {
    if (!Array.isArray(b) || a.length !== b.length) return false
    for (let i = 0; i < a.length; i++) if (!equal(a[i], b[i])) return false
    return true
  }
  if (Array.isArray(b)) return false
  let count = 0
  for (const key in a) {
    if (!Object.hasOwn(b, key)) return false
    if (!equal((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]))
      return false
    count++
  }
  for (const _ in b) count--
  return count === 0
}

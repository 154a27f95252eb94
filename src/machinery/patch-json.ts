/** JSON Patch, RFC 6902. */
import { setOwn } from './own-key.ts'
import { StatusError } from './status.ts'

interface Operation {
  readonly op: string
  readonly path: string
  readonly from?: string
  readonly value?: unknown
}

/** More operations than this are refused, as upstream does. */
const MAX_OPERATIONS = 10_000

const unprocessable = (message: string): StatusError =>
  new StatusError('Invalid', message, { code: 422 })

/** The patched copy. Throws 400 for what is no patch, 422 when an operation cannot be done. */
export function applyJsonPatch(target: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch))
    throw new StatusError('BadRequest', 'a JSON patch must be an array of operations')
  if (patch.length > MAX_OPERATIONS) {
    throw new StatusError(
      'RequestEntityTooLarge',
      `The allowed maximum operations in a JSON patch is ${MAX_OPERATIONS}, got ${patch.length}`,
    )
  }
  let document = structuredClone(target)
  for (const item of patch as readonly unknown[]) {
    const operation = item as Operation
    if (
      typeof operation !== 'object' ||
      operation === null ||
      typeof operation.op !== 'string' ||
      typeof operation.path !== 'string'
    ) {
      throw new StatusError('BadRequest', 'an operation of a JSON patch must have "op" and "path"')
    }
    document = perform(document, operation)
  }
  return document
}

function perform(document: unknown, { op, path, from, value }: Operation): unknown {
  switch (op) {
    case 'add':
      return add(document, pointer(path), structuredClone(value))
    case 'remove':
      return remove(document, pointer(path), path)
    case 'replace':
      get(document, pointer(path), path)
      return path === ''
        ? structuredClone(value)
        : set(document, pointer(path), structuredClone(value))
    case 'move': {
      if (from === undefined) throw new StatusError('BadRequest', 'operation "move" needs "from"')
      if (path.startsWith(`${from}/`)) throw unprocessable(`cannot move ${from} into itself`)
      const moved = get(document, pointer(from), from)
      return add(remove(document, pointer(from), from), pointer(path), moved)
    }
    case 'copy': {
      if (from === undefined) throw new StatusError('BadRequest', 'operation "copy" needs "from"')
      return add(document, pointer(path), structuredClone(get(document, pointer(from), from)))
    }
    case 'test':
      if (!equal(get(document, pointer(path), path), value)) {
        throw unprocessable(`testing value ${path} failed: the value is different`)
      }
      return document
    default:
      throw new StatusError('BadRequest', `unknown operation ${JSON.stringify(op)} in a JSON patch`)
  }
}

function pointer(path: string): readonly string[] {
  if (path === '') return []
  if (!path.startsWith('/'))
    throw new StatusError(
      'BadRequest',
      `a path in a JSON patch must begin with "/": ${JSON.stringify(path)}`,
    )
  return path
    .slice(1)
    .split('/')
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
}

const missing = (path: string): StatusError =>
  unprocessable(`the path ${JSON.stringify(path)} is not in the object: doc is missing path`)

function get(document: unknown, parts: readonly string[], path: string): unknown {
  let at = document
  for (const part of parts) {
    if (Array.isArray(at)) at = at[indexIn(at, part, path, at.length - 1)]
    else if (typeof at === 'object' && at !== null && Object.hasOwn(at, part))
      at = (at as Record<string, unknown>)[part]
    else throw missing(path)
  }
  return at
}

function indexIn(list: readonly unknown[], part: string, path: string, last: number): number {
  if (!/^(0|[1-9]\d*)$/.test(part)) throw missing(path)
  const index = Number(part)
  if (index > last)
    throw unprocessable(
      `the index ${part} of ${JSON.stringify(path)} is beyond the end of the list (${list.length} items)`,
    )
  return index
}

function add(document: unknown, parts: readonly string[], value: unknown): unknown {
  const last = parts.at(-1)
  if (last === undefined) return value
  const path = `/${parts.join('/')}`
  const holder = get(document, parts.slice(0, -1), path)
  if (Array.isArray(holder))
    holder.splice(
      last === '-' ? holder.length : indexIn(holder, last, path, holder.length),
      0,
      value,
    )
  else if (typeof holder === 'object' && holder !== null) setOwn(holder, last, value)
  else throw missing(path)
  return document
}

function set(document: unknown, parts: readonly string[], value: unknown): unknown {
  const last = parts.at(-1) ?? ''
  const holder = get(document, parts.slice(0, -1), `/${parts.join('/')}`)
  if (Array.isArray(holder)) holder[Number(last)] = value
  else setOwn(holder as object, last, value)
  return document
}

function remove(document: unknown, parts: readonly string[], path: string): unknown {
  const last = parts.at(-1)
  if (last === undefined) return null
  get(document, parts, path)
  const holder = get(document, parts.slice(0, -1), path)
  if (Array.isArray(holder)) holder.splice(Number(last), 1)
  else delete (holder as Record<string, unknown>)[last]
  return document
}

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

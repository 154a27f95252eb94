/**
 * Sets of owned fields are most of a small object, in text and in memory, and objects that are made from one
 * template all have the same. So there is one of each, for all objects that have it.
 */
import type { FieldSet } from './field-set.ts'
import { parseJson } from '../integers.ts'

/** Longer sets are of objects that are like no other. */
const LONGEST = 32 * 1024
const MOST = 2048
/** Looked through before anything is searched for: objects that are read after one another are alike. */
const MOST_RECENT = 8

interface Shared {
  readonly fields: FieldSet
  readonly text: string
  bytes: Uint8Array | undefined
}

const byText = new Map<string, Shared>()
const byFields = new WeakMap<object, Shared>()
const recent: Shared[] = []
const encoder = new TextEncoder()

/** The set that has this JSON. */
export function sharedFields(text: string): FieldSet {
  return share(text).fields
}

/** The JSON of a set that many objects share; undefined of any other. */
export function bytesOfShared(fields: object): Uint8Array | undefined {
  const shared = byFields.get(fields)
  return shared && (shared.bytes ??= encoder.encode(shared.text))
}

function share(text: string): Shared {
  let shared = byText.get(text)
  if (shared === undefined) {
    if (byText.size >= MOST) byText.clear()
    // A part of a longer text would keep all of it.
    const own = Buffer.from(text).toString()
    shared = { fields: parseJson(own) as FieldSet, text: own, bytes: undefined }
    byText.set(own, shared)
    byFields.set(shared.fields, shared)
  }
  if (!recent.includes(shared)) {
    recent.unshift(shared)
    if (recent.length > MOST_RECENT) recent.pop()
  }
  return shared
}

const OWNERS = '"managedFields":['
const FIELDS = '"fieldsV1":{'
/** With its number it stands for a set; nothing that was accepted has such a text there. */
const MARK = 'shared set '

type Holder = { readonly metadata?: { readonly managedFields?: unknown } }

/** The object of a JSON text, as `parseJson` gives it; the sets in its managedFields are shared ones. */
export function parseSharing(text: string): object {
  const start = text.indexOf(OWNERS)
  if (start < 0) return parseJson(text) as object
  const found: FieldSet[] = []
  let rest = ''
  let from = 0
  for (let at = start; ;) {
    const key = text.indexOf(FIELDS, at)
    if (key < 0) break
    const begin = key + FIELDS.length - 1
    const shared = sharedAt(text, begin)
    if (shared === undefined) return parseJson(text) as object
    rest += `${text.slice(from, begin)}"${MARK}${found.length}"`
    found.push(shared.fields)
    from = begin + shared.text.length
    at = from
    // After the last one of the list, others would be another object's.
    if (text.startsWith('}]', from)) break
  }
  if (found.length === 0) return parseJson(text) as object
  const object = parseJson(rest + text.slice(from)) as Holder
  return putBack(object, found) ? object : (parseJson(text) as object)
}

function sharedAt(text: string, begin: number): Shared | undefined {
  // An object's text says itself where it ends: what begins like a whole one is that one.
  for (const shared of recent) if (text.startsWith(shared.text, begin)) return shared
  const end = endOfObject(text, begin)
  return end < 0 || end - begin > LONGEST ? undefined : share(text.slice(begin, end))
}

/** False when the sets are not those of the object's own managers, in this order. */
function putBack({ metadata }: Holder, found: readonly FieldSet[]): boolean {
  const owners = metadata?.managedFields
  if (!Array.isArray(owners)) return false
  let next = 0
  for (const owner of owners as { fieldsV1?: unknown }[])
    if (owner.fieldsV1 === MARK + next) owner.fieldsV1 = found[next++]
  return next === found.length
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPENS = 0x7b
const CLOSES = 0x7d

/** Where the object that begins at `start` is over; -1 when it never is. */
function endOfObject(text: string, start: number): number {
  let depth = 0
  for (let i = start; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === QUOTE) {
      for (i++; i < text.length; i++) {
        const inside = text.charCodeAt(i)
        if (inside === BACKSLASH) i++
        else if (inside === QUOTE) break
      }
    } else if (code === OPENS) depth++
    else if (code === CLOSES && --depth === 0) return i + 1
  }
  return -1
}

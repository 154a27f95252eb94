/**
 * What a comparison of fields depends on, as a text. Objects that are made after one another have the same
 * fields nearly always: the same signature means the same set, without making it again.
 */
import { divides, keyValues } from './elements.ts'
import { equal } from '../patch/json.ts'
import type { Shape } from '../shape.ts'

type Item = Readonly<Record<string, unknown>>

/** Which fields of `after` are new or changed; undefined when that takes more than a look at their names. */
export function signatureOf(shape: Shape, before: unknown, after: unknown): string | undefined {
  parts.length = 0
  return writeParts(shape, before, after) ? parts.join('') : undefined
}

/** One for all: putting a text together piece by piece would leave each of them behind. */
const parts: string[] = []

/** Stands in no name, so that no name can look like another's parts; the names that have it are compared in full. */
const MARK = '\u0001'
const [OPENS_NEW, OPENS_OLD, IS_NEW, IS_CHANGED, CLOSES] = ['{', '[', '+', '~', '}'].map(
  (kind) => MARK + kind,
) as [string, string, string, string, string]

function writeParts(shape: Shape, before: unknown, after: unknown): boolean {
  if (shape.type === 'struct' || shape.type === 'map') {
    const old = typeof before === 'object' && before !== null ? (before as Item) : undefined
    const now = after as Item
    for (const name in now) {
      const inner = shape.type === 'map' ? shape.value : shape.field(name)
      if (!writePart(inner, name, old?.[name], now[name])) return false
    }
    return true
  }
  if (shape.type === 'leaf') return true
  // Items that were there are found by their keys.
  if (Array.isArray(before) && before.length > 0) return false
  for (const item of after as readonly unknown[]) {
    const element = shape.type === 'listSet' ? JSON.stringify(item) : keyValues(shape, item)
    if (!writePart(shape.type === 'listMap' ? shape.item : undefined, element, undefined, item))
      return false
  }
  return true
}

interface Remembered {
  readonly shape: Shape
  readonly before: unknown
  /** Stands for the text. */
  readonly mark: string
}

/** Of long texts that come again and again: the same text has the same mark, and no two have one. */
const marks = new Map<string, string>()
const MOST_MARKS = 512
let lastMark = 0

function markOf(text: string): string {
  let mark = marks.get(text)
  if (mark === undefined) {
    if (marks.size >= MOST_MARKS) marks.clear()
    mark = `${MARK}#${++lastMark}`
    marks.set(text, mark)
  }
  return mark
}

/** Of values that never change, which are compared with the same one nearly always. */
const ofFrozen = new WeakMap<object, Remembered>()

function writeInner(shape: Shape, before: unknown, after: object): boolean {
  const known = ofFrozen.get(after)
  if (known !== undefined && known.shape === shape && known.before === before) {
    parts.push(known.mark)
    return true
  }
  const from = parts.length
  if (!writeParts(shape, before, after)) return false
  if (shape.type === 'struct' && Object.isFrozen(after)) {
    const mark = markOf(parts.splice(from).join(''))
    parts.push(mark)
    ofFrozen.set(after, { shape, before, mark })
  }
  return true
}

function writePart(
  shape: Shape | undefined,
  name: string,
  before: unknown,
  after: unknown,
): boolean {
  if (before === after || after === undefined) return true
  if (name.includes(MARK)) return false
  if (shape !== undefined && divides(shape, after)) {
    parts.push(name, before === undefined ? OPENS_NEW : OPENS_OLD)
    if (!writeInner(shape, before, after as object)) return false
    parts.push(CLOSES)
    return true
  }
  if (before === undefined) parts.push(name, IS_NEW)
  else if (!equal(before, after)) parts.push(name, IS_CHANGED)
  return true
}

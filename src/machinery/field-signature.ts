/**
 * What a comparison of fields depends on, as a text. Objects that are made after one another have the same
 * fields nearly always: the same signature means the same set, without making it again.
 */
import { divides, keyValues } from './field-set.ts'
import { equal } from './patch-json.ts'
import type { Shape } from './shape.ts'

type Item = Readonly<Record<string, unknown>>

/** Which fields of `after` are new or changed; undefined when that takes more than a look at their names. */
export function signatureOf(shape: Shape, before: unknown, after: unknown): string | undefined {
  const text = { value: '' }
  return writeParts(text, shape, before, after) ? text.value : undefined
}

interface Text {
  value: string
}

function writeParts(text: Text, shape: Shape, before: unknown, after: unknown): boolean {
  if (shape.type === 'struct' || shape.type === 'map') {
    const old = typeof before === 'object' && before !== null ? (before as Item) : undefined
    const now = after as Item
    for (const name in now) {
      const inner = shape.type === 'map' ? shape.value : shape.field(name)
      if (!writePart(text, inner, name, old?.[name], now[name])) return false
    }
    return true
  }
  if (shape.type === 'leaf') return true
  // Items that were there are found by their keys.
  if (Array.isArray(before) && before.length > 0) return false
  for (const item of after as readonly unknown[]) {
    const element = shape.type === 'listSet' ? JSON.stringify(item) : keyValues(shape, item)
    if (
      !writePart(text, shape.type === 'listMap' ? shape.item : undefined, element, undefined, item)
    )
      return false
  }
  return true
}

/** Each part begins with the length of its name, so that no name can look like another's parts. */
function writePart(
  text: Text,
  shape: Shape | undefined,
  name: string,
  before: unknown,
  after: unknown,
): boolean {
  if (before === after || after === undefined || after === null) return true
  if (shape !== undefined && divides(shape, after)) {
    text.value += `${name.length}${before === undefined ? '{' : '['}${name}`
    if (!writeParts(text, shape, before, after)) return false
    text.value += '}'
    return true
  }
  if (before === undefined || before === null) text.value += `${name.length}+${name}`
  else if (!equal(before, after)) text.value += `${name.length}~${name}`
  return true
}

/**
 * Keys that are written with escapes. V8 guesses the next key of an object from objects it has seen with the same
 * keys so far, and compares the guess with the text as it is written, as many characters as the key has once it is
 * decoded: who has brought it to know the key `k:{\"name\":\"` makes of another's `"k:{\"name\":\"A\"}"` that one.
 * So keys that need their escapes are others while the engine reads them, and get their names afterwards.
 */
import type { JsonObject } from './object.ts'

/** A quote after a brace or a comma begins a string, or ends one; a string whose end a colon follows is a key. */
const ESCAPED_KEY = /([{,]\s*)("[^"\\]*\\.(?:[^"\\]|\\.)*")(?=\s*:)/s
const ESCAPED_KEYS = new RegExp(ESCAPED_KEY, 'gs')

export const hasEscapedKeys = (text: string): boolean =>
  text.includes('\\') && ESCAPED_KEY.test(text)

/** The value of a JSON text with such keys. Throws a SyntaxError as `JSON.parse` does. */
export function parseWithEscapedKeys(text: string, parse: (text: string) => unknown): unknown {
  let mark = '\uE000'
  while (text.includes(mark)) mark += '\uE000'
  const keys: string[] = []
  const marked = text.replace(ESCAPED_KEYS, (found, before: string, key: string) => {
    let name: string
    try {
      name = JSON.parse(key) as string
    } catch {
      // Then all of the text is none.
      return found
    }
    const plain = JSON.stringify(name)
    if (!plain.includes('\\') && !name.startsWith(mark)) return before + plain
    return `${before}"${mark}${keys.push(name) - 1}"`
  })
  const nameOf = (key: string): string =>
    key.startsWith(mark) ? keys[Number(key.slice(mark.length))]! : key
  return renamed(parse(marked), mark, nameOf)
}

function renamed(value: unknown, mark: string, nameOf: (key: string) => string): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) value[i] = renamed(value[i], mark, nameOf)
    return value
  }
  const object = value as JsonObject
  let isMarked = false
  for (const key in object) {
    object[key] = renamed(object[key], mark, nameOf)
    isMarked ||= key.startsWith(mark)
  }
  if (!isMarked) return object
  const result: JsonObject = {}
  for (const [key, each] of Object.entries(object))
    // A property of its own, whatever its name.
    Object.defineProperty(result, nameOf(key), {
      value: each,
      writable: true,
      enumerable: true,
      configurable: true,
    })
  return result
}

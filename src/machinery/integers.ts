/**
 * Integers beyond 2^53. Kubernetes keeps whole numbers of JSON as int64, and what is beyond that as float64: so an
 * integer that a number cannot hold exactly, and an int64 can, is a bigint here, and nothing else ever is one. All
 * other numbers stay numbers. Bigints are values like any other: they compare with `===`, they are cloned and kept
 * in maps, they are ordered against numbers by `<`, and JSON shows them as the integers they are. Only arithmetic
 * must make up its mind first: `Number(value)` is right for both.
 */

import { hasEscapedKeys, parseWithEscapedKeys } from './escaped-keys.ts'

declare global {
  interface JSON {
    /** A value that `stringify` writes as this text: an integer keeps all its digits. */
    rawJSON(text: string): object
  }
}

// Without it every JSON.stringify would throw for them. Whoever embeds this may have chosen another form.
if (!('toJSON' in BigInt.prototype))
  Object.defineProperty(BigInt.prototype, 'toJSON', {
    value(this: bigint): object {
      return JSON.rawJSON(this.toString())
    },
    writable: true,
    configurable: true,
  })

/** `JSON.parse`, but no integer loses digits, and no key its characters. Throws a SyntaxError. */
export const parseJson = (text: string): unknown =>
  hasEscapedKeys(text) ? parseWithEscapedKeys(text, parseExactly) : parseExactly(text)

/** Texts without large integers cost a look at every sixteenth character. */
const parseExactly = (text: string): unknown =>
  hasWideIntegers(text) ? (JSON.parse(text, exactly) as unknown) : JSON.parse(text)

function exactly(_: string, value: unknown, context?: { readonly source?: string }): unknown {
  const source = context?.source
  if (typeof value !== 'number' || Number.isSafeInteger(value) || source === undefined) return value
  return INTEGER.test(source) ? exactInteger(BigInt(source)) : value
}
const INTEGER = /^-?\d+$/

const MOST = 2n ** 63n - 1n
const LEAST = -(2n ** 63n)

/** An integer in the form in which values have it: a number when it is safe or beyond int64. */
export const exactInteger = (value: bigint): number | bigint =>
  (value > BigInt(Number.MAX_SAFE_INTEGER) || value < BigInt(Number.MIN_SAFE_INTEGER)) &&
  value <= MOST &&
  value >= LEAST
    ? value
    : Number(value)

/** Digits of the least integer that a number does not hold. */
const DIGITS = 16

/** Whether the text of a JSON value may have integers of that many digits. */
function hasWideIntegers(text: string): boolean {
  // So many digits in a row stand on one of every so many places, and eight places before or after it.
  for (let at = DIGITS - 1; at < text.length; at += DIGITS) {
    if (!isDigit(text.charCodeAt(at))) continue
    if (!isDigit(text.charCodeAt(at - 8)) && !isDigit(text.charCodeAt(at + 8))) continue
    let start = at
    while (start > 0 && isDigit(text.charCodeAt(start - 1))) start--
    let end = at + 1
    while (isDigit(text.charCodeAt(end))) end++
    if (end - start >= DIGITS && isNumber(text, start, end)) return true
    // A text may be nothing but digits: each of them is looked at once.
    at = end
  }
  return false
}

const isDigit = (code: number): boolean => code >= 0x30 && code <= 0x39

/** Digits of hashes, of times and of fractions have other neighbours. */
function isNumber(text: string, start: number, end: number): boolean {
  const before = text[start - 1] === '-' ? start - 2 : start - 1
  return isBorder(text[before], ':[') && isBorder(text[end], '}]')
}

const isBorder = (character: string | undefined, others: string): boolean =>
  character === undefined || ', \n\r\t'.includes(character) || others.includes(character)

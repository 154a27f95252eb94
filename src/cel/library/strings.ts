/** Strings (cel-go's extension, version 2) and regular expressions. */
import { CelError } from '../errors.ts'
import { overload, UNKNOWN, type Cost, type Overload } from '../functions.ts'
import { regex } from '../regex.ts'
import { costSize, runeCount } from '../values.ts'
import { compares, finds, joins, replaces, splits, traverses } from './costs.ts'
import { formatText } from './format-text.ts'

type Int = number | bigint

const isSimple = (text: string): boolean => runeCount(text) === text.length
/** By code point. */
const runes = (text: string): readonly string[] => Array.from(text)

function charAt(text: string, index: Int): string {
  const at = Number(index)
  const all = isSimple(text) ? undefined : runes(text)
  const length = all?.length ?? text.length
  if (at < 0 || at > length) throw new CelError(`index out of range: ${index}`)
  return all?.[at] ?? (all === undefined ? text[at] : undefined) ?? ''
}

const startsAt = (text: readonly string[], part: readonly string[], at: number): boolean =>
  part.every((each, i) => text[at + i] === each)

function indexOf(text: string, part: string, offset: Int = 0): number {
  const from = Number(offset)
  if (from < 0) throw new CelError(`index out of range: ${offset}`)
  if (part === '') return Math.min(from, runeCount(text))
  if (isSimple(text)) return text.indexOf(part, from)
  const [all, wanted] = [runes(text), runes(part)]
  for (let at = from; at + wanted.length <= all.length; at++)
    if (startsAt(all, wanted, at)) return at
  return -1
}

function lastIndexOf(text: string, part: string, offset?: Int): number {
  const [all, wanted] = [runes(text), runes(part)]
  const last = offset === undefined ? all.length : Number(offset)
  if (last < 0) throw new CelError(`index out of range: ${offset}`)
  if (part === '') return Math.min(last, all.length)
  if (offset !== undefined && last >= all.length) return -1
  if (isSimple(text)) return text.lastIndexOf(part, last)
  for (let at = Math.min(last, all.length - wanted.length); at >= 0; at--)
    if (startsAt(all, wanted, at)) return at
  return -1
}

function substring(text: string, start: Int, end?: Int): string {
  const length = runeCount(text)
  const from = Number(start)
  const to = end === undefined ? length : Number(end)
  if (end !== undefined && from > to)
    throw new CelError(`invalid substring range. start: ${start}, end: ${end}`)
  if (from < 0 || from > length) throw new CelError(`index out of range: ${start}`)
  if (to < 0 || to > length) throw new CelError(`index out of range: ${end}`)
  return length === text.length ? text.slice(from, to) : runes(text).slice(from, to).join('')
}

/** What is built may not be larger than what an expression may look at. */
const MAX_RESULT = 50_000_000
function replace(text: string, from: string, to: string, limit: Int = -1): string {
  const most = Number(limit)
  const found = from === '' ? runeCount(text) + 1 : text.split(from).length - 1
  const count = most < 0 ? found : Math.min(most, found)
  if (count * to.length + text.length > MAX_RESULT) throw new CelError('string is too large')
  if (most < 0) return text.replaceAll(from, () => to)
  let left = most
  return text.replaceAll(from === '' ? /(?:)/gu : from, (match) => (left-- > 0 ? to : match))
}

function split(text: string, separator: string, limit: Int = -1): readonly string[] {
  const most = Number(limit)
  if (most === 0 || (text === '' && separator === '')) return []
  if (most === 1) return [text]
  const parts = separator === '' ? runes(text) : text.split(separator)
  if (most < 0 || parts.length <= most) return parts
  return [...parts.slice(0, most - 1), parts.slice(most - 1).join(separator)]
}

const SPACE = /^\p{White_Space}+|\p{White_Space}+$/gu
const trim = (text: string): string => text.replaceAll(SPACE, '')

const QUOTES: Readonly<Record<string, string>> = {
  '\x07': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '\\': '\\\\',
  '"': '\\"',
}
const quote = (text: string): string =>
  `"${text.toWellFormed().replaceAll(/[\p{Cc}\\"]/gu, (each) => QUOTES[each] ?? each)}"`
const quoted: Cost = {
  actual: ([text]) => Math.ceil(costSize(text) * 0.1),
  estimate: ([text]) => {
    const { min, max } = text?.size ?? UNKNOWN
    return {
      cost: { min: Math.ceil(min * 0.1), max: Math.ceil(max * 0.1) },
      resultSize: { min: min + 2, max: max * 2 + 2 },
    }
  },
}

const lower = (text: string): string => text.replaceAll(/[A-Z]+/g, (part) => part.toLowerCase())
const upper = (text: string): string => text.replaceAll(/[a-z]+/g, (part) => part.toUpperCase())
const join = (list: readonly string[], separator = ''): string => {
  if (list.some((each) => typeof each !== 'string')) throw new CelError('no such overload')
  return list.join(separator)
}

function find(text: string, pattern: string): string {
  const matcher = regex(pattern).matcher(text)
  return matcher.find() ? (matcher.group() ?? '') : ''
}
function findAll(text: string, pattern: string, limit: Int = -1): readonly string[] {
  const most = Number(limit)
  const matcher = regex(pattern).matcher(text)
  const found: string[] = []
  while ((most < 0 || found.length < most) && matcher.find()) found.push(matcher.group() ?? '')
  return found
}

export const strings: readonly Overload[] = [
  overload('string.charAt(int): string', charAt),
  overload('string.indexOf(string): int', indexOf, compares),
  overload('string.indexOf(string, int): int', indexOf, compares),
  overload('string.lastIndexOf(string): int', lastIndexOf, compares),
  overload('string.lastIndexOf(string, int): int', lastIndexOf, compares),
  overload('string.lowerAscii(): string', lower, traverses),
  overload('string.upperAscii(): string', upper, traverses),
  overload('string.replace(string, string): string', replace, replaces),
  overload('string.replace(string, string, int): string', replace, replaces),
  overload('string.split(string): list<string>', split, splits),
  overload('string.split(string, int): list<string>', split, splits),
  overload('string.substring(int): string', substring, traverses),
  overload('string.substring(int, int): string', substring, traverses),
  overload('string.trim(): string', trim, traverses),
  overload('list<string>.join(): string', join, joins),
  overload('list<string>.join(string): string', join, joins),
  overload('string.format(list<dyn>): string', formatText, {
    actual: ([pattern]) => Math.ceil(costSize(pattern) * 0.1),
    estimate: ([pattern]) => {
      const { min, max } = pattern?.size ?? UNKNOWN
      return { cost: { min: Math.ceil(min * 0.1), max: Math.ceil(max * 0.1) } }
    },
  }),
  overload('::strings.quote(string): string', quote, quoted),
  overload('string.find(string): string', find, finds),
  overload('string.findAll(string): list<string>', findAll, finds),
  overload('string.findAll(string, int): list<string>', findAll, finds),
]

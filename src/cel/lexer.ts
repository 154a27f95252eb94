/** Tokens of CEL (cel-spec, Lexical structure). */
import type { Issue, Literal } from './ast.ts'

export type Token =
  | { readonly kind: 'literal'; readonly literal: Literal; readonly at: number }
  | {
      readonly kind: 'ident' | 'op' | 'end'
      readonly text: string
      readonly at: number
      readonly quoted?: boolean
    }

export class SyntaxIssue extends Error {
  readonly issue: Issue
  constructor(at: number, message: string) {
    super(message)
    this.issue = { at, message: `Syntax error: ${message}` }
  }
}

const SPACE = /(?:[\t\n\f\r ]+|\/\/[^\n]*)+/y
const IDENT = /[_a-zA-Z][_a-zA-Z0-9]*/y
const QUOTED = /`([a-zA-Z0-9_.\-/ ]+)`/y
const NUMBER = /(?:0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)[uU]?/y
const STRING = /([rRbB]{0,2})("""|'''|"|')/y
const OPERATOR = /&&|\|\||==|!=|<=|>=|\.\?|\[\?|[-+*/%<>!?:.,()[\]{}]/y

const MAX_INT = 2n ** 63n - 1n
const MAX_UINT = 2n ** 64n - 1n

export function tokenize(source: string): readonly Token[] {
  const tokens: Token[] = []
  let at = 0
  const match = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at
    const found = pattern.exec(source)
    if (found !== null) at += found[0].length
    return found
  }
  for (;;) {
    match(SPACE)
    if (at >= source.length) break
    const start = at
    const string = match(STRING)
    if (string !== null) {
      const [literal, end] = readString(source, start, at, string[1] ?? '', string[2] ?? '"')
      at = end
      tokens.push({ kind: 'literal', literal, at: start })
      continue
    }
    const number = match(NUMBER)
    if (number !== null) {
      tokens.push({ kind: 'literal', literal: readNumber(number[0], start), at: start })
      continue
    }
    const ident = match(IDENT)
    if (ident !== null) {
      tokens.push(wordToken(ident[0], start))
      continue
    }
    const quoted = match(QUOTED)
    if (quoted !== null) {
      tokens.push({ kind: 'ident', text: quoted[1] ?? '', at: start, quoted: true })
      continue
    }
    const operator = match(OPERATOR)
    if (operator === null)
      throw new SyntaxIssue(start, `token recognition error at: '${source[start] ?? ''}'`)
    tokens.push({ kind: 'op', text: operator[0], at: start })
  }
  tokens.push({ kind: 'end', text: '<EOF>', at: source.length })
  return tokens
}

function wordToken(word: string, at: number): Token {
  if (word === 'true' || word === 'false')
    return { kind: 'literal', literal: { type: 'bool', value: word === 'true' }, at }
  if (word === 'null') return { kind: 'literal', literal: { type: 'null', value: null }, at }
  if (word === 'in') return { kind: 'op', text: 'in', at }
  return { kind: 'ident', text: word, at }
}

function readNumber(text: string, at: number): Literal {
  if (/[uU]$/.test(text)) {
    const value = BigInt(text.slice(0, -1))
    if (value > MAX_UINT) throw new SyntaxIssue(at, 'invalid uint literal')
    return { type: 'uint', value }
  }
  if (!text.startsWith('0x') && /[.eE]/.test(text)) return { type: 'double', value: Number(text) }
  const value = BigInt(text)
  // One more is allowed: with a minus before it, it is the smallest one.
  if (value > MAX_INT + 1n) throw new SyntaxIssue(at, 'invalid int literal')
  return { type: 'int', value }
}

const ESCAPES: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  '?': '?',
  '"': '"',
  "'": "'",
  '`': '`',
}

function readString(
  source: string,
  start: number,
  from: number,
  prefix: string,
  quote: string,
): readonly [Literal, number] {
  const raw = /r/i.test(prefix)
  const isBytes = /b/i.test(prefix)
  const parts: (string | number)[] = []
  let at = from
  for (;;) {
    const char = source[at]
    if (char === undefined || (quote.length === 1 && (char === '\n' || char === '\r')))
      throw new SyntaxIssue(start, `token recognition error at: '${source.slice(start, at)}'`)
    if (source.startsWith(quote, at)) break
    if (char !== '\\' || raw) {
      parts.push(char)
      at++
      continue
    }
    const next = source[at + 1] ?? ''
    const simple = ESCAPES[next]
    if (simple !== undefined) {
      parts.push(simple)
      at += 2
      continue
    }
    const length = { x: 2, X: 2, u: 4, U: 8 }[next]
    const digits =
      length === undefined
        ? /^[0-3][0-7]{2}/.exec(source.slice(at + 1, at + 4))?.[0]
        : source.slice(at + 2, at + 2 + length)
    const code =
      digits === undefined || (length !== undefined && !/^[0-9a-fA-F]+$/.test(digits))
        ? NaN
        : parseInt(digits, length === undefined ? 8 : 16)
    const isUnicode = length !== undefined && length > 2
    if (
      Number.isNaN(code) ||
      digits?.length !== (length ?? 3) ||
      (isUnicode && (isBytes || code > 0x10_ff_ff || (code >= 0xd800 && code <= 0xdfff)))
    )
      throw new SyntaxIssue(start, `token recognition error at: '${source.slice(start, at + 2)}'`)
    parts.push(isBytes ? code : String.fromCodePoint(code))
    at += (length === undefined ? 1 : 2) + (length ?? 3)
  }
  const end = at + quote.length
  if (!isBytes) return [{ type: 'string', value: parts.join('') }, end]
  const value = Buffer.concat(
    parts.map((part) => (typeof part === 'number' ? Buffer.of(part) : Buffer.from(part))),
  )
  return [{ type: 'bytes', value }, end]
}

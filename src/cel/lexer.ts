/** From characters to tokens. */
import { SyntaxIssue } from './errors.ts'

export interface Token {
  readonly kind:
    | 'sign'
    | 'ident'
    | 'quoted'
    | 'int'
    | 'uint'
    | 'double'
    | 'string'
    | 'bytes'
    | 'end'
  readonly text: string
  /** Of a literal. */
  readonly value: unknown
  readonly offset: number
}

const SPACE = /(?:[ \t\r\n\f]+|\/\/[^\n]*)+/y
const IDENT = /[A-Za-z_][A-Za-z0-9_]*/y
const QUOTED = /`[A-Za-z0-9_.\-/ ]+`/y
const NUMBER =
  /0x([0-9a-fA-F]+)([uU]?)|((?:\d+\.\d+|\.\d+)(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)|(\d+)([uU]?)/y
const STRING_START = /([rR][bB]?|[bB][rR]?)?("""|'''|"|')/y
const SIGN = /==|!=|<=|>=|&&|\|\||[<>?:.,+\-*/%!()[\]{}]/y

export function tokenize(source: string): readonly Token[] {
  const tokens: Token[] = []
  let at = 0
  const match = (pattern: RegExp): RegExpExecArray | undefined => {
    pattern.lastIndex = at
    return pattern.exec(source) ?? undefined
  }
  for (;;) {
    at += match(SPACE)?.[0].length ?? 0
    if (at >= source.length) break
    const offset = at
    const push = (kind: Token['kind'], text: string, value?: unknown): void => {
      tokens.push({ kind, text, value, offset })
      at = offset + text.length
    }
    const start = match(STRING_START)
    if (start !== undefined) {
      const { text, value, bytes } = readString(source, offset, start)
      push(bytes ? 'bytes' : 'string', text, value)
      continue
    }
    const ident = match(IDENT)
    if (ident !== undefined) {
      push('ident', ident[0])
      continue
    }
    const number = match(NUMBER)
    if (number !== undefined) {
      pushNumber(number, push)
      continue
    }
    const quoted = match(QUOTED)
    if (quoted !== undefined) {
      push('quoted', quoted[0], quoted[0].slice(1, -1))
      continue
    }
    const sign = match(SIGN)
    if (sign === undefined) {
      const [character = ''] = source.slice(offset, offset + 2)
      throw new SyntaxIssue(offset, `Syntax error: token recognition error at: '${character}'`)
    }
    push('sign', sign[0])
  }
  tokens.push({ kind: 'end', text: '<EOF>', value: undefined, offset: source.length })
  return tokens
}

function pushNumber(
  [text, hex, hexUint, double, decimal, uint]: RegExpExecArray,
  push: (kind: Token['kind'], text: string, value?: unknown) => void,
): void {
  if (double !== undefined) push('double', text, Number(double))
  else if (hex !== undefined) push(hexUint === '' ? 'int' : 'uint', text, BigInt(`0x${hex}`))
  else push(uint === '' ? 'int' : 'uint', text, BigInt(decimal ?? '0'))
}

interface StringToken {
  readonly text: string
  readonly value: string | Uint8Array
  readonly bytes: boolean
}

function readString(source: string, offset: number, start: RegExpExecArray): StringToken {
  const [open, prefix = '', quote = ''] = start
  const raw = /r/i.test(prefix)
  const bytes = /b/i.test(prefix)
  const from = offset + open.length
  let at = from
  while (!source.startsWith(quote, at)) {
    if (at >= source.length || (quote.length === 1 && /[\r\n]/.test(source[at] ?? ''))) {
      const rest = source.slice(offset, at).replaceAll('\n', '\\n').replaceAll('\r', '\\r')
      throw new SyntaxIssue(offset, `Syntax error: token recognition error at: '${rest}'`)
    }
    at += source[at] === '\\' && at + 1 < source.length && !raw ? 2 : 1
  }
  const body = source.slice(from, at)
  const text = source.slice(offset, at + quote.length)
  // The ends of lines of long strings are \n, wherever they were written.
  const content = body.replaceAll(/\r\n?/g, '\n')
  const value = bytes
    ? raw
      ? new TextEncoder().encode(content)
      : unescapeBytes(content, offset)
    : raw
      ? content
      : unescapeString(content, offset)
  return { text, value, bytes }
}

const ESCAPE =
  /\\(?:([abfnrtv\\'"`?])|[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|([^]|$))/g
const SIMPLE_ESCAPES: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
}

const invalid = (offset: number): SyntaxIssue =>
  new SyntaxIssue(offset, 'Syntax error: token recognition error: invalid escape sequence')

function unescapeString(text: string, offset: number): string {
  if (!text.includes('\\')) return text
  return text.replaceAll(ESCAPE, (_, simple, hex, short, long, octal) => {
    if (typeof simple === 'string') return SIMPLE_ESCAPES[simple] ?? simple
    const code =
      typeof octal === 'string' ? Number.parseInt(octal, 8) : parseHex(hex ?? short ?? long)
    if (code === undefined || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
      throw invalid(offset)
    return String.fromCodePoint(code)
  })
}

const parseHex = (text: unknown): number | undefined =>
  typeof text === 'string' ? Number.parseInt(text, 16) : undefined

/** In bytes `\xff` and `\377` are single bytes. */
function unescapeBytes(text: string, offset: number): Uint8Array {
  const encoder = new TextEncoder()
  const parts: number[] = []
  let from = 0
  for (const match of text.matchAll(ESCAPE)) {
    parts.push(...encoder.encode(text.slice(from, match.index)))
    from = match.index + match[0].length
    const [, simple, hex, short, long, octal] = match
    if (simple !== undefined) parts.push(...encoder.encode(SIMPLE_ESCAPES[simple] ?? simple))
    else if (hex !== undefined || octal !== undefined)
      parts.push(octal === undefined ? Number.parseInt(hex ?? '', 16) : Number.parseInt(octal, 8))
    else if (short === undefined && long === undefined) throw invalid(offset)
    else {
      const code = Number.parseInt(short ?? long ?? '', 16)
      if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) throw invalid(offset)
      parts.push(...encoder.encode(String.fromCodePoint(code)))
    }
  }
  parts.push(...encoder.encode(text.slice(from)))
  return Uint8Array.from(parts)
}

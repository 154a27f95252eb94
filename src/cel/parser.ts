/** From tokens to the tree. */
import type { Expression, MapEntry, StructField } from './ast.ts'
import { SyntaxIssue } from './errors.ts'
import { tokenize, type Token } from './lexer.ts'
import { expandMacro } from './macros.ts'
import { BOOL, BYTES, DOUBLE, INT, NULL, STRING, UINT } from './types.ts'
import { CelDouble, CelUint, normalInt } from './values.ts'

/** In characters; upstream refuses longer ones too. */
const MAX_SOURCE = 100_000
/** Of nesting, and of the length of a chain of one operator. */
const MAX_DEPTH = 250

const RESERVED = new Set(
  'as break const continue else for function if import let loop package namespace return var void while'.split(
    ' ',
  ),
)
const EXPECTING =
  "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"
const LARGEST_INT = 2n ** 63n - 1n
const LARGEST_UINT = 2n ** 64n - 1n

/** Throws a SyntaxIssue. */
export function parse(
  source: string,
  {
    bindings = false,
    quotedNames = false,
  }: { readonly bindings?: boolean; readonly quotedNames?: boolean } = {},
): Expression {
  if (source.length > MAX_SOURCE)
    throw new SyntaxIssue(
      -1,
      `expression code point size exceeds limit: size: ${source.length}, limit ${MAX_SOURCE}`,
    )
  const parser = new Parser(tokenize(source), { bindings, quotedNames })
  const expression = parser.expression()
  parser.end()
  return expression
}

const BINARY: readonly (readonly string[])[] = [
  ['<', '<=', '>=', '>', '==', '!=', 'in'],
  ['+', '-'],
  ['*', '/', '%'],
]

class Parser {
  readonly #tokens: readonly Token[]
  readonly #bindings: boolean
  readonly #quotedNames: boolean
  #at = 0
  #depth = 0

  constructor(
    tokens: readonly Token[],
    { bindings, quotedNames }: { readonly bindings: boolean; readonly quotedNames: boolean },
  ) {
    this.#bindings = bindings
    this.#quotedNames = quotedNames
    this.#tokens = tokens
  }

  expression(): Expression {
    this.#deeper()
    const condition = this.#logical('||')
    let whole = condition
    if (this.#isSign('?')) {
      const { offset } = this.#next()
      const yes = this.#logical('||')
      this.#expect(':')
      const no = this.expression()
      whole = { kind: 'call', name: '_?_:_', target: undefined, args: [condition, yes, no], offset }
    }
    this.#depth--
    return whole
  }

  end(): void {
    const token = this.#peek()
    if (token.kind === 'end') return
    // One token too many, or more: then nobody knows what was meant.
    const isOne = this.#tokens[this.#at + 1]?.kind === 'end'
    throw isOne ? extraneous(token, '<EOF>') : mismatched(token, '<EOF>')
  }

  #deeper(): void {
    if (++this.#depth > MAX_DEPTH)
      throw new SyntaxIssue(-1, `expression recursion limit exceeded: ${MAX_DEPTH}`)
  }

  /** A chain of `||` or `&&` becomes a balanced tree, so that long ones stay shallow. */
  #logical(sign: '||' | '&&'): Expression {
    const terms: Expression[] = []
    const offsets: number[] = []
    const term = (): Expression => (sign === '||' ? this.#logical('&&') : this.#binary(0))
    terms.push(term())
    while (this.#isSign(sign)) {
      offsets.push(this.#next().offset)
      terms.push(term())
    }
    return balance(`_${sign}_`, terms, offsets, 0, terms.length - 1)
  }

  #binary(level: number): Expression {
    const signs = BINARY[level]
    if (signs === undefined) return this.#unary()
    let left = this.#binary(level + 1)
    let length = 0
    for (;;) {
      const token = this.#peek()
      if ((token.kind !== 'sign' && token.kind !== 'ident') || !signs.includes(token.text))
        return left
      this.#next()
      if (++length > MAX_DEPTH)
        throw new SyntaxIssue(-1, `expression recursion limit exceeded: ${MAX_DEPTH}`)
      const right = this.#binary(level + 1)
      const name = token.text === 'in' ? '@in' : `_${token.text}_`
      left = { kind: 'call', name, target: undefined, args: [left, right], offset: token.offset }
    }
  }

  #unary(): Expression {
    const token = this.#peek()
    if (token.kind !== 'sign' || (token.text !== '!' && token.text !== '-')) return this.#member()
    const { text, offset } = this.#next()
    let count = 1
    while (this.#isSign(text)) {
      this.#next()
      count++
    }
    const number = this.#peek()
    // A minus sign belongs to the number after it: the smallest int has no positive twin.
    if (text === '-' && (number.kind === 'int' || number.kind === 'double') && count % 2 === 1)
      return this.#member(offset)
    const operand = this.#member()
    if (count % 2 === 0) return operand
    const name = text === '!' ? '!_' : '-_'
    return { kind: 'call', name, target: undefined, args: [operand], offset }
  }

  #member(minus?: number): Expression {
    let whole = this.#primary(minus)
    for (let length = 0; ; length++) {
      if (length > MAX_DEPTH)
        throw new SyntaxIssue(-1, `expression recursion limit exceeded: ${MAX_DEPTH}`)
      if (this.#isSign('.')) whole = this.#afterDot(whole)
      else if (this.#isSign('[')) whole = this.#index(whole)
      else if (this.#isSign('{') && structName(whole) !== undefined)
        whole = this.#struct(structName(whole) ?? '')
      else return whole
    }
  }

  #afterDot(operand: Expression): Expression {
    const { offset } = this.#next()
    const optional = this.#isSign('?')
    if (optional) this.#next()
    const token = this.#next()
    if (token.kind !== 'ident' && token.kind !== 'quoted')
      throw new SyntaxIssue(
        token.offset,
        `Syntax error: ${token.kind === 'end' ? 'mismatched' : 'no viable alternative at'} input '${token.text}'${token.kind === 'end' ? ' expecting IDENTIFIER' : ''}`,
      )
    const field = this.#nameIn(token)
    if (token.kind === 'ident' && ['in', 'true', 'false', 'null'].includes(field))
      throw new SyntaxIssue(
        token.offset,
        `Syntax error: no viable alternative at input '.${field}'`,
      )
    if (optional) {
      const name = { kind: 'literal', type: STRING, value: field, offset: token.offset } as const
      return { kind: 'call', name: '_?._', target: undefined, args: [operand, name], offset }
    }
    if (token.kind === 'ident' && this.#isSign('(')) {
      const open = this.#next().offset
      const args = this.#arguments(')')
      return (
        expandMacro(field, open, operand, args, this.#bindings) ?? {
          kind: 'call',
          name: field,
          target: operand,
          args,
          offset: open,
        }
      )
    }
    return { kind: 'select', operand, field, test: false, offset }
  }

  #index(operand: Expression): Expression {
    const { offset } = this.#next()
    const optional = this.#isSign('?')
    if (optional) this.#next()
    const index = this.expression()
    this.#expect(']')
    const name = optional ? '_[?_]' : '_[_]'
    return { kind: 'call', name, target: undefined, args: [operand, index], offset }
  }

  #arguments(close: ')'): readonly Expression[] {
    const args: Expression[] = []
    if (this.#isSign(close)) {
      this.#next()
      return args
    }
    for (;;) {
      args.push(this.expression())
      if (!this.#isSign(',')) break
      this.#next()
    }
    this.#expect(close)
    return args
  }

  #primary(minus?: number): Expression {
    const token = this.#next()
    const { offset } = token
    switch (token.kind) {
      case 'int':
        return intLiteral(token, minus)
      case 'uint': {
        const value = typeof token.value === 'bigint' ? token.value : 0n
        if (value > LARGEST_UINT) throw new SyntaxIssue(offset, 'invalid uint literal')
        return { kind: 'literal', type: UINT, value: new CelUint(value), offset }
      }
      case 'double': {
        const value = Number(token.value)
        if (!Number.isFinite(value)) throw new SyntaxIssue(offset, 'invalid double literal')
        return {
          kind: 'literal',
          type: DOUBLE,
          value: new CelDouble(minus === undefined ? value : -value),
          offset: minus ?? offset,
        }
      }
      case 'string':
        return { kind: 'literal', type: STRING, value: token.value, offset }
      case 'bytes':
        return { kind: 'literal', type: BYTES, value: token.value, offset }
      case 'ident':
        return this.#named(token)
      case 'sign':
        return this.#bracketed(token)
      case 'quoted':
      case 'end':
        throw mismatched(token, EXPECTING)
    }
  }

  /** A field's name; in backticks it may be anything, where that is known. */
  #nameIn({ kind, text, value, offset }: Token): string {
    if (kind !== 'quoted') return text
    if (!this.#quotedNames) throw new SyntaxIssue(offset, "unsupported syntax: '`'")
    return String(value)
  }

  #named(token: Token, dot = ''): Expression {
    const { text, offset } = token
    if (dot === '') {
      if (text === 'true' || text === 'false')
        return { kind: 'literal', type: BOOL, value: text === 'true', offset }
      if (text === 'null') return { kind: 'literal', type: NULL, value: null, offset }
    }
    if (text === 'in') throw mismatched(token, EXPECTING)
    if (RESERVED.has(text)) throw new SyntaxIssue(offset, `reserved identifier: ${text}`)
    const name = `${dot}${text}`
    if (!this.#isSign('(')) return { kind: 'ident', name, offset }
    const open = this.#next().offset
    const args = this.#arguments(')')
    const macro = dot === '' ? expandMacro(name, open, undefined, args) : undefined
    return macro ?? { kind: 'call', name, target: undefined, args, offset: open }
  }

  #bracketed(token: Token): Expression {
    const { offset } = token
    switch (token.text) {
      case '(': {
        const inner = this.expression()
        this.#expect(')')
        return inner
      }
      case '.': {
        const name = this.#next()
        if (name.kind !== 'ident') throw mismatched(name, 'IDENTIFIER')
        return this.#named(name, '.')
      }
      case '[':
        return this.#list(offset)
      case '{':
        return { kind: 'map', entries: this.#entries(), offset }
      default:
        throw mismatched(token, EXPECTING)
    }
  }

  #list(offset: number): Expression {
    const elements: Expression[] = []
    const optional = new Set<number>()
    while (!this.#isSign(']')) {
      if (this.#isSign('?')) {
        this.#next()
        optional.add(elements.length)
      }
      elements.push(this.expression())
      if (!this.#isSign(',')) break
      this.#next()
    }
    this.#expect(']')
    return { kind: 'list', elements, optional, offset }
  }

  #entries(): readonly MapEntry[] {
    const entries: MapEntry[] = []
    while (!this.#isSign('}')) {
      const optional = this.#isSign('?')
      if (optional) this.#next()
      const key = this.expression()
      const { offset } = this.#expect(':')
      entries.push({ key, value: this.expression(), optional, offset })
      if (!this.#isSign(',')) break
      this.#next()
    }
    this.#expect('}')
    return entries
  }

  #struct(name: string): Expression {
    const { offset: start } = this.#next()
    const fields: StructField[] = []
    while (!this.#isSign('}')) {
      const optional = this.#isSign('?')
      if (optional) this.#next()
      const token = this.#next()
      if (token.kind !== 'ident' && token.kind !== 'quoted')
        throw mismatched(token, "{'}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}")
      const { offset } = this.#expect(':')
      const field = this.#nameIn(token)
      fields.push({ name: field, value: this.expression(), optional, offset })
      if (!this.#isSign(',')) break
      this.#next()
    }
    this.#expect('}')
    return { kind: 'struct', name, fields, offset: start }
  }

  #peek(): Token {
    const token = this.#tokens[this.#at]
    if (token === undefined) throw new SyntaxIssue(0, 'Syntax error: unexpected end')
    return token
  }
  #next(): Token {
    const token = this.#peek()
    if (token.kind !== 'end') this.#at++
    return token
  }
  #isSign(text: string): boolean {
    const token = this.#peek()
    return token.kind === 'sign' && token.text === text
  }
  #expect(text: string): Token {
    const token = this.#peek()
    if (token.kind === 'sign' && token.text === text) return this.#next()
    if (token.kind === 'end')
      throw new SyntaxIssue(token.offset, `Syntax error: missing '${text}' at '<EOF>'`)
    const after = this.#tokens[this.#at + 1]
    throw after?.kind === 'sign' && after.text === text
      ? extraneous(token, `'${text}'`)
      : mismatched(token, `'${text}'`)
  }
}

const shown = ({ kind, text }: Token): string => (kind === 'end' ? '<EOF>' : text)
const mismatched = (token: Token, expecting: string): SyntaxIssue =>
  new SyntaxIssue(
    token.offset,
    `Syntax error: mismatched input '${shown(token)}' expecting ${expecting}`,
  )
const extraneous = (token: Token, expecting: string): SyntaxIssue =>
  new SyntaxIssue(
    token.offset,
    `Syntax error: extraneous input '${shown(token)}' expecting ${expecting}`,
  )

function intLiteral(token: Token, minus: number | undefined): Expression {
  const size = typeof token.value === 'bigint' ? token.value : 0n
  const value = minus === undefined ? size : -size
  if (value > LARGEST_INT || value < -LARGEST_INT - 1n)
    throw new SyntaxIssue(minus ?? token.offset, 'invalid int literal')
  return {
    kind: 'literal',
    type: INT,
    value: normalInt(value),
    offset: minus ?? token.offset,
  }
}

/** `a.b.C` before a brace. */
function structName(expression: Expression): string | undefined {
  if (expression.kind === 'ident') return expression.name
  if (expression.kind !== 'select' || expression.test) return undefined
  const operand = structName(expression.operand)
  return operand === undefined ? undefined : `${operand}.${expression.field}`
}

function balance(
  name: string,
  terms: readonly Expression[],
  offsets: readonly number[],
  low: number,
  high: number,
): Expression {
  const only = terms[low]
  if (low === high && only !== undefined) return only
  const middle = Math.floor((low + high + 1) / 2)
  return {
    kind: 'call',
    name,
    target: undefined,
    args: [
      balance(name, terms, offsets, low, middle - 1),
      balance(name, terms, offsets, middle, high),
    ],
    offset: offsets[middle - 1] ?? 0,
  }
}

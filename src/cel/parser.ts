/** From source to tree (cel-spec, Syntax), macros included. */
import type { Expr, Issue, Literal, LoopKind, MapEntry, StructField } from './ast.ts'
import { SyntaxIssue, tokenize, type Token } from './lexer.ts'

/** Deeper nesting than anybody writes; a hostile expression must not use up the stack. */
const MAX_DEPTH = 250
/** Code points, as upstream's parser. */
const MAX_SOURCE = 100_000

const RESERVED: ReadonlySet<string> = new Set([
  'as',
  'break',
  'const',
  'continue',
  'else',
  'for',
  'function',
  'if',
  'import',
  'let',
  'loop',
  'package',
  'namespace',
  'return',
  'var',
  'void',
  'while',
])

const RELATIONS: ReadonlySet<string> = new Set(['<', '<=', '>=', '>', '==', '!=', 'in'])

export function parse(
  source: string,
): { readonly expr: Expr } | { readonly issues: readonly Issue[] } {
  if (source.length > MAX_SOURCE)
    return {
      issues: [
        {
          at: 0,
          message: `expression code point size exceeds limit: size: ${source.length}, limit ${MAX_SOURCE}`,
        },
      ],
    }
  try {
    const parser = new Parser(tokenize(source))
    return { expr: parser.whole() }
  } catch (error) {
    if (error instanceof SyntaxIssue) return { issues: [error.issue] }
    throw error
  }
}

class Parser {
  readonly #tokens: readonly Token[]
  #next = 0
  #depth = 0

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens
  }

  whole(): Expr {
    const expr = this.#expression()
    const token = this.#peek()
    if (token.kind !== 'end') throw unexpected(token, '<EOF>')
    return expr
  }

  #peek(): Token {
    return this.#tokens[this.#next]!
  }

  #is(text: string): boolean {
    const token = this.#peek()
    return token.kind === 'op' && token.text === text
  }

  #take(text: string): boolean {
    if (!this.#is(text)) return false
    this.#next++
    return true
  }

  #expect(text: string): number {
    const token = this.#peek()
    if (!this.#take(text)) throw unexpected(token, `'${text}'`)
    return token.at
  }

  #identifier(): string {
    const token = this.#peek()
    if (token.kind !== 'ident') throw unexpected(token, 'IDENTIFIER')
    this.#next++
    return token.text
  }

  #nested<T>(run: () => T): T {
    if (++this.#depth > MAX_DEPTH)
      throw new SyntaxIssue(this.#peek().at, `expression recursion limit exceeded: ${MAX_DEPTH}`)
    try {
      return run()
    } finally {
      this.#depth--
    }
  }

  #expression(): Expr {
    return this.#nested(() => {
      const condition = this.#or()
      const { at } = this.#peek()
      if (!this.#take('?')) return condition
      const yes = this.#or()
      this.#expect(':')
      return call('_?_:_', at, [condition, yes, this.#expression()])
    })
  }

  /** Many of them in a row are one balanced tree, so that its depth stays small. */
  #or(): Expr {
    return this.#chain('||', '_||_', () => this.#chain('&&', '_&&_', () => this.#relation()))
  }

  #chain(operator: string, name: string, part: () => Expr): Expr {
    const parts = [part()]
    const places: number[] = []
    for (let { at } = this.#peek(); this.#take(operator); { at } = this.#peek()) {
      places.push(at)
      parts.push(part())
    }
    const balanced = (from: number, to: number): Expr => {
      if (from === to) return parts[from]!
      const middle = Math.floor((from + to) / 2)
      return call(name, places[middle]!, [balanced(from, middle), balanced(middle + 1, to)])
    }
    return balanced(0, parts.length - 1)
  }

  #left(operators: ReadonlySet<string>, nameOf: (text: string) => string, part: () => Expr): Expr {
    let left = part()
    for (;;) {
      const token = this.#peek()
      if (token.kind !== 'op' || !operators.has(token.text)) return left
      this.#next++
      if (++this.#links > MAX_LINKS)
        throw new SyntaxIssue(token.at, `expression recursion limit exceeded: ${MAX_LINKS}`)
      left = call(nameOf(token.text), token.at, [left, part()])
    }
  }
  /** Links of long chains such as `a + b + c`: they are deep too. */
  #links = 0

  #relation(): Expr {
    return this.#left(
      RELATIONS,
      (text) => (text === 'in' ? '@in' : `_${text}_`),
      () => this.#addition(),
    )
  }

  #addition(): Expr {
    return this.#left(
      ADDING,
      (text) => `_${text}_`,
      () =>
        this.#left(
          MULTIPLYING,
          (text) => `_${text}_`,
          () => this.#unary(),
        ),
    )
  }

  #unary(): Expr {
    const { at } = this.#peek()
    if (this.#take('!')) {
      return this.#nested(() => call('!_', at, [this.#unary()]))
    }
    if (this.#is('-')) {
      this.#next++
      const token = this.#peek()
      // A minus before a number belongs to it: the smallest int has no positive counterpart.
      if (token.kind === 'literal') {
        const { literal } = token
        if (literal.type === 'int' || literal.type === 'double') {
          this.#next++
          const negative: Literal =
            literal.type === 'int'
              ? { type: 'int', value: -literal.value }
              : { type: 'double', value: -Number(literal.value) }
          return this.#members({ kind: 'literal', literal: negative, at })
        }
      }
      return this.#nested(() => call('-_', at, [this.#unary()]))
    }
    return this.#members(this.#primary())
  }

  #members(start: Expr): Expr {
    let expr = start
    for (;;) {
      const { at } = this.#peek()
      if (++this.#links > MAX_LINKS)
        throw new SyntaxIssue(at, `expression recursion limit exceeded: ${MAX_LINKS}`)
      if (this.#take('.')) {
        const name = this.#identifier()
        if (this.#is('(')) expr = this.#method(expr, name, at)
        else expr = { kind: 'select', operand: expr, field: name, test: false, optional: false, at }
      } else if (this.#take('.?')) {
        expr = {
          kind: 'select',
          operand: expr,
          field: this.#identifier(),
          test: false,
          optional: true,
          at,
        }
      } else if (this.#take('[')) {
        expr = call('_[_]', at, [expr, this.#expression()])
        this.#expect(']')
      } else if (this.#take('[?')) {
        expr = call('_[?_]', at, [expr, this.#expression()])
        this.#expect(']')
      } else if (this.#is('{')) {
        const name = nameOf(expr)
        if (name === undefined) return expr
        this.#next++
        expr = { kind: 'struct', name, fields: this.#structFields(), at }
      } else {
        this.#links--
        return expr
      }
    }
  }

  #method(target: Expr, name: string, at: number): Expr {
    this.#expect('(')
    const args = this.#list(')')
    return (
      macro(target, name, args, at) ?? {
        kind: 'call',
        name,
        isMethod: true,
        args: [target, ...args],
        at,
      }
    )
  }

  #list(close: string): Expr[] {
    const items: Expr[] = []
    while (!this.#is(close)) {
      items.push(this.#expression())
      if (!this.#take(',')) break
    }
    this.#expect(close)
    return items
  }

  #primary(): Expr {
    const token = this.#peek()
    const { at } = token
    if (token.kind === 'literal') {
      this.#next++
      if (token.literal.type === 'int' && token.literal.value > 2n ** 63n - 1n)
        throw new SyntaxIssue(at, 'invalid int literal')
      return { kind: 'literal', literal: token.literal, at }
    }
    if (this.#take('(')) {
      const inner = this.#expression()
      this.#expect(')')
      return inner
    }
    if (this.#take('[')) return this.#listLiteral(at)
    if (this.#take('[?')) {
      // `[?x]`: the token of an optional index, here the first item.
      return this.#listLiteral(at, true)
    }
    if (this.#take('{')) return this.#mapLiteral(at)
    this.#take('.')
    const word = this.#peek()
    const name = this.#identifier()
    if (word.kind === 'ident' && word.quoted !== true && RESERVED.has(name))
      throw new SyntaxIssue(at, `reserved identifier: ${name}`)
    if (!this.#is('(')) return { kind: 'ident', name, at }
    this.#next++
    const args = this.#list(')')
    if (name === 'has') return hasMacro(args, at)
    return { kind: 'call', name, isMethod: false, args, at }
  }

  #listLiteral(at: number, firstIsOptional = false): Expr {
    const items: Expr[] = []
    const optional = new Set<number>()
    let isOptional = firstIsOptional
    while (!this.#is(']')) {
      if (this.#take('?') || isOptional) optional.add(items.length)
      isOptional = false
      items.push(this.#expression())
      if (!this.#take(',')) break
    }
    this.#expect(']')
    return { kind: 'list', items, optional, at }
  }

  #mapLiteral(at: number): Expr {
    const entries: MapEntry[] = []
    while (!this.#is('}')) {
      const optional = this.#take('?')
      const key = this.#expression()
      this.#expect(':')
      entries.push({ key, value: this.#expression(), optional })
      if (!this.#take(',')) break
    }
    this.#expect('}')
    return { kind: 'map', entries, at }
  }

  #structFields(): StructField[] {
    const fields: StructField[] = []
    while (!this.#is('}')) {
      const optional = this.#take('?')
      const { at } = this.#peek()
      const name = this.#identifier()
      this.#expect(':')
      fields.push({ name, value: this.#expression(), optional, at })
      if (!this.#take(',')) break
    }
    this.#expect('}')
    return fields
  }
}

const MAX_LINKS = 4000
const ADDING: ReadonlySet<string> = new Set(['+', '-'])
const MULTIPLYING: ReadonlySet<string> = new Set(['*', '/', '%'])

const call = (name: string, at: number, args: readonly Expr[]): Expr => ({
  kind: 'call',
  name,
  isMethod: false,
  args,
  at,
})

const unexpected = (token: Token, wanted: string): SyntaxIssue =>
  new SyntaxIssue(
    token.at,
    token.kind === 'end'
      ? `mismatched input '<EOF>' expecting ${wanted === '<EOF>' ? "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}" : wanted}`
      : `mismatched input '${token.kind === 'literal' ? String(token.literal.value as string) : token.text}' expecting ${wanted}`,
  )

/** `a.b.C` as a type's name; undefined when it is no name. */
function nameOf(expr: Expr): string | undefined {
  if (expr.kind === 'ident') return expr.name
  if (expr.kind !== 'select' || expr.test || expr.optional) return undefined
  const before = nameOf(expr.operand)
  return before === undefined ? undefined : `${before}.${expr.field}`
}

function hasMacro(args: readonly Expr[], at: number): Expr {
  const [argument] = args
  if (args.length !== 1 || argument?.kind !== 'select' || argument.test)
    throw new SyntaxIssue(argument?.at ?? at, 'invalid argument to has() macro')
  return { ...argument, test: true, at }
}

const LOOPS: Readonly<Record<string, readonly number[]>> = {
  all: [2, 3],
  exists: [2, 3],
  exists_one: [2, 3],
  existsOne: [2, 3],
  map: [2, 3],
  filter: [2],
  transformList: [3, 4],
  transformMap: [3, 4],
  transformMapEntry: [3, 4],
}

function macro(target: Expr, name: string, args: readonly Expr[], at: number): Expr | undefined {
  if (name === 'bind' && target.kind === 'ident' && target.name === 'cel' && args.length === 3)
    return {
      kind: 'bind',
      variable: variableOf(args[0]!, at),
      init: args[1]!,
      body: args[2]!,
      at,
    }
  if ((name === 'optMap' || name === 'optFlatMap') && args.length === 2)
    return {
      kind: 'optional-map',
      flat: name === 'optFlatMap',
      variable: variableOf(args[0]!, at),
      operand: target,
      body: args[1]!,
      at,
    }
  if (!Object.hasOwn(LOOPS, name) || !LOOPS[name]!.includes(args.length)) return undefined
  const loop = (name === 'existsOne' ? 'exists_one' : name) as LoopKind
  const isTransform = name.startsWith('transform')
  const two = isTransform || (args.length === 3 && name !== 'map')
  const variables = args.slice(0, two ? 2 : 1).map((each) => variableOf(each, at))
  if (new Set(variables).size !== variables.length)
    throw new SyntaxIssue(args[1]!.at, `overlapping loop variables: ${variables.join(', ')}`)
  const rest = args.slice(variables.length)
  return {
    kind: 'loop',
    loop,
    variables,
    range: target,
    condition: rest.length === 2 ? rest[0] : undefined,
    body: rest.at(-1)!,
    at,
  }
}

function variableOf(expr: Expr, at: number): string {
  if (expr.kind !== 'ident') throw new SyntaxIssue(expr.at ?? at, 'argument must be a simple name')
  return expr.name
}

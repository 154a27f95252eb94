/** Expressions as trees. Offsets count characters (UTF-16 units) of the source. */

export type Literal =
  | { readonly type: 'int' | 'uint'; readonly value: bigint }
  | { readonly type: 'double'; readonly value: number }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'bytes'; readonly value: Uint8Array }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'null'; readonly value: null }

/** Macros that go through a list or the keys of a map. */
export type LoopKind =
  | 'all'
  | 'exists'
  | 'exists_one'
  | 'map'
  | 'filter'
  | 'transformList'
  | 'transformMap'
  | 'transformMapEntry'

export type Expr = { readonly at: number } & (
  | { readonly kind: 'literal'; readonly literal: Literal }
  | { readonly kind: 'ident'; readonly name: string }
  /** `a.b`; with `test` it is `has(a.b)`; with `optional` it is `a.?b`. */
  | {
      readonly kind: 'select'
      readonly operand: Expr
      readonly field: string
      readonly test: boolean
      readonly optional: boolean
    }
  /** Functions and operators, operators by cel-go's names: `_+_`. A method's target is its first argument. */
  | {
      readonly kind: 'call'
      readonly name: string
      readonly isMethod: boolean
      readonly args: readonly Expr[]
    }
  | {
      readonly kind: 'list'
      readonly items: readonly Expr[]
      readonly optional: ReadonlySet<number>
    }
  | { readonly kind: 'map'; readonly entries: readonly MapEntry[] }
  | { readonly kind: 'struct'; readonly name: string; readonly fields: readonly StructField[] }
  | {
      readonly kind: 'loop'
      readonly loop: LoopKind
      readonly variables: readonly string[]
      readonly range: Expr
      /** `map` and the transforms may have a condition before the result. */
      readonly condition: Expr | undefined
      readonly body: Expr
    }
  | {
      readonly kind: 'bind'
      readonly variable: string
      readonly init: Expr
      readonly body: Expr
    }
  /** `a.optMap(x, f(x))`, `a.optFlatMap(x, f(x))`. */
  | {
      readonly kind: 'optional-map'
      readonly flat: boolean
      readonly variable: string
      readonly operand: Expr
      readonly body: Expr
    }
)

export interface MapEntry {
  readonly key: Expr
  readonly value: Expr
  readonly optional: boolean
}

export interface StructField {
  readonly name: string
  readonly value: Expr
  readonly optional: boolean
  readonly at: number
}

export interface Issue {
  readonly at: number
  readonly message: string
}

/** The subexpressions, in the order they are written. */
export function childrenOf(expr: Expr): readonly Expr[] {
  switch (expr.kind) {
    case 'literal':
    case 'ident':
      return []
    case 'select':
      return [expr.operand]
    case 'call':
      return expr.args
    case 'list':
      return expr.items
    case 'map':
      return expr.entries.flatMap(({ key, value }) => [key, value])
    case 'struct':
      return expr.fields.map(({ value }) => value)
    case 'loop':
      return [expr.range, ...(expr.condition === undefined ? [] : [expr.condition]), expr.body]
    case 'bind':
      return [expr.init, expr.body]
    case 'optional-map':
      return [expr.operand, expr.body]
  }
}

/** As cel-go shows mistakes: place, line and a mark under it. */
export function issueText(source: string, issues: readonly Issue[]): string {
  const lines = source.split('\n')
  return issues
    .map(({ at, message }) => {
      let line = 0
      let start = 0
      while (line < lines.length - 1 && start + lines[line]!.length < at) {
        start += lines[line]!.length + 1
        line++
      }
      const column = Math.max(0, at - start)
      return `ERROR: <input>:${line + 1}:${column + 1}: ${message}\n | ${lines[line] ?? ''}\n | ${'.'.repeat(column)}^`
    })
    .join('\n')
}

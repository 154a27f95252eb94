/** The tree of an expression. Macros are already folds here. */
import type { CelType } from './types.ts'

interface At {
  /** Where it stands, in characters of the source. */
  readonly offset: number
}

export interface Literal extends At {
  readonly kind: 'literal'
  readonly type: CelType
  readonly value: unknown
}
export interface Ident extends At {
  readonly kind: 'ident'
  readonly name: string
}
export interface Select extends At {
  readonly kind: 'select'
  readonly operand: Expression
  readonly field: string
  /** From `has(a.b)`: asks whether it is there. */
  readonly test: boolean
}
export interface Call extends At {
  readonly kind: 'call'
  readonly name: string
  readonly target: Expression | undefined
  readonly args: readonly Expression[]
}
export interface ListExpression extends At {
  readonly kind: 'list'
  readonly elements: readonly Expression[]
  /** Which elements are written `?x`. */
  readonly optional: ReadonlySet<number>
}
export interface MapExpression extends At {
  readonly kind: 'map'
  readonly entries: readonly MapEntry[]
}
export interface MapEntry extends At {
  readonly key: Expression
  readonly value: Expression
  readonly optional: boolean
}
export interface StructExpression extends At {
  readonly kind: 'struct'
  readonly name: string
  readonly fields: readonly StructField[]
}
export interface StructField extends At {
  readonly name: string
  readonly value: Expression
  readonly optional: boolean
}
/** What a macro gathers while it goes through a range. */
export type Gathering =
  | 'all'
  | 'exists'
  | 'exists_one'
  | 'map'
  | 'filter'
  | 'bind'
  | 'optMap'
  | 'transformList'
  | 'transformMap'
  | 'transformMapEntry'
export interface Fold extends At {
  readonly kind: 'fold'
  readonly gathering: Gathering
  readonly range: Expression
  readonly variable: string
  readonly variable2: string | undefined
  readonly accumulator: string
  readonly start: Expression
  readonly condition: Expression
  readonly step: Expression
  readonly result: Expression
}

export type Expression =
  | Literal
  | Ident
  | Select
  | Call
  | ListExpression
  | MapExpression
  | StructExpression
  | Fold

/** What the parts of the compiler ask of the whole: an expression is built by whoever knows its kind. */
import type { Expression } from './ast.ts'
import type { Checked } from './checker.ts'
import type { Eval } from './frame.ts'
import type { CelType } from './types.ts'

/** A value, and whether it is still as it was in JSON. */
export interface Access {
  readonly run: Eval
  readonly raw: boolean
}

export interface Compiling {
  readonly checked: Checked
  typeOf(expression: Expression): CelType
  /** The value as CEL has it. */
  compile(expression: Expression): Eval
  /** The value as it is at hand. */
  access(expression: Expression): Access
  /** Builds what knows a variable of this name, in the slot that it is given. */
  scoped<Result>(name: string, raw: boolean, build: (slot: number) => Result): Result
}

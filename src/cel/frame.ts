/** One evaluation under way. */
import { CelError } from './errors.ts'
import { CelOptional, kindOf, mapGet } from './values.ts'

export interface Frame {
  readonly slots: unknown[]
  cost: number
  readonly limit: number
}

export type Eval = (frame: Frame) => unknown

export function charge(frame: Frame, cost: number): void {
  frame.cost += cost
  if (frame.cost > frame.limit) throw overBudget()
}

export const overBudget = (): CelError =>
  new CelError('operation cancelled: actual cost limit exceeded', { final: true })

export const noOverload = (of?: string): CelError =>
  new CelError(of === undefined ? 'no such overload' : `no such overload: ${of}`)

/** Whether `&&`, `||` and the macros may go on without it. */
export const isAbsorbed = (error: unknown): boolean => error instanceof CelError && !error.final

/** What is at a key or an index of what may be absent. */
export function optionalField(option: CelOptional, key: unknown): CelOptional {
  if (!option.present) return CelOptional.none
  const value = option.value
  if (Array.isArray(value)) {
    const found: unknown = typeof key === 'number' ? value[key] : undefined
    return found === undefined ? CelOptional.none : CelOptional.of(found)
  }
  if (kindOf(value) !== 'map') throw noOverload()
  const found = mapGet(value, key)
  return found === undefined ? CelOptional.none : CelOptional.of(found)
}

/** What is found of a value while it is compared with a schema. */
import { goNumber, type FieldError, type FieldErrorType } from '#machinery'

export interface Found {
  readonly errors: FieldError[]
  /** How much of it fits: of several schemas that fail, the one that fits best is told of. */
  matches: number
}

export const nothingFound = (): Found => ({ errors: [], matches: 0 })

export const problem = (type: FieldErrorType, path: string, detail: string): FieldError => ({
  type,
  field: path === '' ? '<nil>' : path,
  detail,
})

/** `Invalid value: 5: spec.size in body should be less than or equal to 3` */
export function inBody(
  { errors }: Found,
  path: string,
  value: unknown,
  why: string,
  type: FieldErrorType = 'FieldValueInvalid',
): void {
  errors.push(problem(type, path, `Invalid value: ${shownValue(value)}: ${path} in body ${why}`))
}

export const shownValue = (value: unknown): string =>
  typeof value === 'number' || typeof value === 'bigint'
    ? goNumber(value)
    : (JSON.stringify(value) ?? 'null')

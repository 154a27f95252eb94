/** Paths to fields, and what is wrong there, in the form Kubernetes gives them. */
import { goNumber } from './go-number.ts'
import { goJson } from './go-json.ts'

/** `spec.containers[0].image`; keys of maps in brackets: `metadata.labels[app]`. */
export class FieldPath {
  // Most paths are never read: the text is put together when one is.
  readonly #parent: FieldPath | undefined
  readonly #step: string | number
  readonly #isKey: boolean
  private constructor(parent: FieldPath | undefined, step: string | number, isKey: boolean) {
    this.#parent = parent
    this.#step = step
    this.#isKey = isKey
  }
  static readonly root = new FieldPath(undefined, '', false)
  static of(first: string, ...more: readonly string[]): FieldPath {
    return FieldPath.root.child(first, ...more)
  }
  child(name: string, ...more: readonly string[]): FieldPath {
    const first = new FieldPath(this, name, false)
    return more.length === 0
      ? first
      : more.reduce<FieldPath>((path, next) => new FieldPath(path, next, false), first)
  }
  index(i: number): FieldPath {
    return new FieldPath(this, i, true)
  }
  key(key: string): FieldPath {
    return new FieldPath(this, key, true)
  }
  get text(): string {
    const text = this.#joined()
    return text.startsWith('.') ? text.slice(1) : text
  }
  #joined(): string {
    if (this.#parent === undefined) return ''
    const before = this.#parent.#joined()
    return this.#isKey ? `${before}[${this.#step}]` : `${before}.${this.#step}`
  }
  toString(): string {
    return this.text === '' ? '<nil>' : this.text
  }
}

/** What is wrong with a field: the `reason` of a cause in a Status. */
export type FieldErrorType =
  | 'FieldValueRequired'
  | 'FieldValueInvalid'
  | 'FieldValueNotSupported'
  | 'FieldValueDuplicate'
  | 'FieldValueForbidden'
  | 'FieldValueTooLong'
  | 'FieldValueTooMany'
  | 'FieldValueNotFound'
  | 'FieldValueTypeInvalid'
  | 'InternalError'

/** What is wrong with one field; a 422 has one cause for each. */
export interface FieldError {
  readonly type: FieldErrorType
  readonly field: string
  /** As in the Status message after the path: `Required value: must have a name`. */
  readonly detail: string
}

const make = (type: FieldErrorType, path: FieldPath, ...parts: readonly string[]): FieldError => ({
  type,
  field: path.toString(),
  detail: parts.filter((part) => part !== '').join(': '),
})
/** Values as upstream prints them: strings quoted, objects as JSON. */
export const shown = (value: unknown): string =>
  value === undefined || value === null
    ? 'null'
    : typeof value === 'object'
      ? goJson(JSON.stringify(value))
      : typeof value === 'number' || typeof value === 'bigint'
        ? goNumber(value)
        : JSON.stringify(value)

/** It must be there, and is not. */
export const required = (path: FieldPath, why = ''): FieldError =>
  make('FieldValueRequired', path, 'Required value', why)
/** It is there and not what it may be. */
export const invalidValue = (path: FieldPath, value: unknown, why: string): FieldError =>
  make('FieldValueInvalid', path, `Invalid value: ${shown(value)}`, why)
/** The same, where the value is not shown. */
export const invalidHere = (path: FieldPath, why: string): FieldError =>
  make('FieldValueInvalid', path, 'Invalid value', why)
/** The values are named in the order given. */
export const notSupported = (
  path: FieldPath,
  value: unknown,
  supported: readonly string[],
): FieldError =>
  make(
    'FieldValueNotSupported',
    path,
    `Unsupported value: ${shown(value)}`,
    `supported values: ${supported.map((s) => JSON.stringify(s)).join(', ')}`,
  )
/** It is in its list already. */
export const duplicate = (path: FieldPath, value: unknown): FieldError =>
  make('FieldValueDuplicate', path, `Duplicate value: ${shown(value)}`)
/** It may not be there. */
export const forbiddenField = (path: FieldPath, why: string): FieldError =>
  make('FieldValueForbidden', path, 'Forbidden', why)
/** `Too long: may not be more than MAX bytes`. */
export const tooLong = (path: FieldPath, max: number): FieldError =>
  make(
    'FieldValueTooLong',
    path,
    'Too long',
    `may not be more than ${max} byte${max === 1 ? '' : 's'}`,
  )
/** `Too many: COUNT: must have at most MAX items`. */
export const tooMany = (path: FieldPath, count: number, max: number): FieldError =>
  make(
    'FieldValueTooMany',
    path,
    `Too many: ${count}`,
    `must have at most ${max} item${max === 1 ? '' : 's'}`,
  )
/** `Not found`: the value names something that is not there. */
export const fieldNotFound = (path: FieldPath, value: unknown): FieldError =>
  make('FieldValueNotFound', path, `Not found: ${shown(value)}`)
/** The value is of another type than the field. */
export const typeInvalid = (path: FieldPath, value: unknown, why: string): FieldError =>
  make('FieldValueTypeInvalid', path, `Invalid value: ${shown(value)}`, why)

/** Selecting objects by their labels and by the few fields that can be selected. */
import type { LabelSelector } from './meta.gen.ts'
import { labelValue, qualifiedName, type NameRule } from './names.ts'
import { ownValue } from './own-key.ts'
import { badRequest, type StatusError } from './status.ts'

/** By which objects are chosen. */
export type Labels = Readonly<Record<string, string>>

/** One condition of a label selector; all of them must hold. */
export interface LabelRequirement {
  readonly key: string
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist' | 'Gt' | 'Lt'
  readonly values: readonly string[]
}

/** One condition of a field selector; all of them must hold. */
export interface FieldRequirement {
  readonly field: string
  readonly operator: '=' | '!='
  readonly value: string
}

/** `app=web,tier in (a,b),!canary`: all must hold. Throws 400 in upstream's words when it cannot be read. */
export function parseLabelSelector(text: string): readonly LabelRequirement[] {
  const tokens = new Tokens(text)
  const requirements: LabelRequirement[] = []
  while (!tokens.atEnd) {
    if (!tokens.atWord && tokens.peek() !== '!')
      throw badRequest(`found '${tokens.peek()}', expected: !, identifier, or 'end of string'`)
    requirements.push(readRequirement(tokens))
    if (tokens.atEnd) break
    const comma = tokens.next()
    if (comma !== ',') throw badRequest(`found '${comma}', expected: ',' or 'end of string'`)
    if (!tokens.atWord && tokens.peek() !== '!')
      throw badRequest(`found '${tokens.peek()}', expected: identifier after ','`)
  }
  return requirements.toSorted((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
}

const cannotParse = (why: string): StatusError => badRequest(`unable to parse requirement: ${why}`)
const unexpected = (found: string, expected: string): StatusError =>
  cannotParse(`found '${found}', expected: ${expected}`)

/** Words and signs. */
class Tokens {
  readonly #all: readonly string[]
  #at = 0
  constructor(text: string) {
    this.#all = text.match(/==|!=|[=!<>(),]|[^\s=!<>(),]+/g) ?? []
  }
  peek(): string {
    return this.#all[this.#at] ?? ''
  }
  next(): string {
    return this.#all[this.#at++] ?? ''
  }
  get atEnd(): boolean {
    return this.#at >= this.#all.length
  }
  get atWord(): boolean {
    return !this.atEnd && !/^[=!<>(),]/.test(this.peek())
  }
}

function readRequirement(tokens: Tokens): LabelRequirement {
  const isNegated = tokens.peek() === '!'
  if (isNegated) tokens.next()
  if (!tokens.atWord) throw unexpected(tokens.peek(), 'identifier')
  const key = tokens.next()
  checked('<nil>', key, qualifiedName)
  if (isNegated) return { key, operator: 'DoesNotExist', values: [] }
  if (tokens.atEnd || tokens.peek() === ',') return { key, operator: 'Exists', values: [] }
  const operator = tokens.next()
  switch (operator) {
    case '=':
    case '==':
    case '!=': {
      const values = [readValue(tokens)]
      return { key, operator: operator === '!=' ? 'NotIn' : 'In', values: labelValues(key, values) }
    }
    case 'in':
    case 'notin': {
      const values = readValues(tokens)
      return { key, operator: operator === 'in' ? 'In' : 'NotIn', values: labelValues(key, values) }
    }
    case '>':
    case '<': {
      const value = readValue(tokens)
      checked('values[0]', value, wholeNumber)
      return { key, operator: operator === '>' ? 'Gt' : 'Lt', values: labelValues(key, [value]) }
    }
    default:
      throw unexpected(operator, 'in, notin, =, ==, !=, gt, lt')
  }
}

const INTEGER = /^-?\d+$/
const wholeNumber = (value: string): readonly string[] =>
  INTEGER.test(value) ? [] : ["for 'Gt', 'Lt' operators, the value must be an integer"]

function checked(path: string, value: string, rule: NameRule): void {
  const wrong = rule(value)
  if (wrong.length > 0)
    throw cannotParse(`${path}: Invalid value: ${JSON.stringify(value)}: ${wrong.join('; ')}`)
}

function labelValues(key: string, values: readonly string[]): readonly string[] {
  const sorted = [...new Set(values)].toSorted()
  for (const [i, value] of sorted.entries()) checked(`values[${i}][${key}]`, value, labelValue)
  return sorted
}

/** What follows an equals sign; nothing is the empty value. */
function readValue(tokens: Tokens): string {
  if (tokens.atEnd || tokens.peek() === ',') return ''
  if (!tokens.atWord) throw unexpected(tokens.peek(), 'identifier')
  return tokens.next()
}

/** `(a,b)`; the values between two commas, or a comma and a bracket, may be empty. */
function readValues(tokens: Tokens): readonly string[] {
  if (tokens.peek() !== '(') throw cannotParse(`found '${tokens.peek()}' expected: '('`)
  tokens.next()
  const values: string[] = []
  for (;;) {
    values.push(tokens.atWord ? tokens.next() : '')
    const sign = tokens.next()
    if (sign === ')') return values
    if (sign !== ',') throw unexpected(sign, "',' or ')'")
  }
}

/** Whether all requirements hold. */
export function matchesLabels(
  requirements: readonly LabelRequirement[],
  labels: Labels | undefined,
): boolean {
  for (const { key, operator, values } of requirements) {
    // `constructor` is a good key, and no object's own unless it was set.
    const value = labels !== undefined && Object.hasOwn(labels, key) ? labels[key] : undefined
    switch (operator) {
      case 'In':
        if (value === undefined || !values.includes(value)) return false
        break
      case 'NotIn':
        if (value !== undefined && values.includes(value)) return false
        break
      case 'Exists':
        if (value === undefined) return false
        break
      case 'DoesNotExist':
        if (value !== undefined) return false
        break
      case 'Gt':
      case 'Lt': {
        const other = values[0] ?? ''
        if (value === undefined || !INTEGER.test(value) || !INTEGER.test(other)) return false
        const [left, right] = [BigInt(value), BigInt(other)]
        if (operator === 'Gt' ? left <= right : left >= right) return false
        break
      }
    }
  }
  return true
}

/** Of an object's `selector`: an absent one matches nothing, an empty one everything. */
export function selectorRequirements(
  selector: LabelSelector | undefined,
): readonly LabelRequirement[] | undefined {
  if (selector === undefined) return undefined
  return [
    ...Object.entries(selector.matchLabels ?? {}).map(([key, value]): LabelRequirement => ({
      key,
      operator: 'In',
      values: [value],
    })),
    ...(selector.matchExpressions ?? []).map(({ key, operator, values }): LabelRequirement => ({
      key,
      operator: operator as LabelRequirement['operator'],
      values: values ?? [],
    })),
  ]
}

/** An absent selector matches nothing, an empty one everything. */
export function selectorMatches(
  selector: LabelSelector | undefined,
  labels: Labels | undefined,
): boolean {
  const requirements = selectorRequirements(selector)
  return requirements !== undefined && matchesLabels(requirements, labels)
}

/** The text that `parseLabelSelector` reads again: `app=web,tier in (a,b)`. */
export function formatLabelSelector(requirements: readonly LabelRequirement[]): string {
  return requirements
    .map(({ key, operator, values }) => {
      switch (operator) {
        case 'In':
          return values.length === 1
            ? `${key}=${values[0]}`
            : `${key} in (${values.toSorted().join(',')})`
        case 'NotIn':
          return values.length === 1
            ? `${key}!=${values[0]}`
            : `${key} notin (${values.toSorted().join(',')})`
        case 'Exists':
          return key
        case 'DoesNotExist':
          return `!${key}`
        case 'Gt':
          return `${key}>${values[0]}`
        case 'Lt':
          return `${key}<${values[0]}`
      }
    })
    .join(',')
}

/** `status.phase=Running,spec.nodeName!=n1`; a comma, equals sign or backslash in a value is escaped by a backslash. */
export function parseFieldSelector(text: string): readonly FieldRequirement[] {
  if (text === '') return []
  return splitUnescaped(text)
    .filter((part) => part !== '')
    .toSorted()
    .map((part) => {
      const [, field, operator, value] = /^(.*?)(!=|==|=)(.*)$/s.exec(part) ?? []
      if (field === undefined || value === undefined)
        throw badRequest(`invalid selector: '${text}'; can't understand '${part}'`)
      return { field, operator: operator === '!=' ? '!=' : '=', value: unescapedValue(value) }
    })
}

/** A backslash is only before what it takes away the meaning of, and that never stands alone. */
function unescapedValue(text: string): string {
  let value = ''
  for (let i = 0; i < text.length; i++) {
    const c = text.charAt(i)
    if (c === '\\') {
      const next = text.charAt(++i)
      if (next === '' || !'\\,='.includes(next))
        throw badRequest(`invalid field selector: invalid escape sequence: \\${next}`)
      value += next
    } else if (c === ',' || c === '=') {
      // As Go shows a letter that it was not told to show as one.
      throw badRequest(`invalid field selector: unescaped character in value: ${c.charCodeAt(0)}`)
    } else value += c
  }
  return value
}

function splitUnescaped(text: string): readonly string[] {
  const parts: string[] = []
  let part = ''
  for (let i = 0; i < text.length; i++) {
    const c = text[i]
    if (c === '\\') part += c + (text[++i] ?? '')
    else if (c === ',') {
      parts.push(part)
      part = ''
    } else part += c
  }
  return [...parts, part]
}

/** A field that the object does not have is empty. */
export const matchesFields = (
  requirements: readonly FieldRequirement[],
  fields: Readonly<Record<string, string>>,
): boolean =>
  requirements.every(
    ({ field, operator, value }) =>
      ((ownValue(fields, field) ?? '') === value) === (operator === '='),
  )

/** Selecting objects by their labels and by the few fields that can be selected. */
import type { LabelSelector } from './meta.gen.ts'
import { badRequest } from './status.ts'

export type Labels = Readonly<Record<string, string>>

export interface LabelRequirement {
  readonly key: string
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist' | 'Gt' | 'Lt'
  readonly values: readonly string[]
}

export interface FieldRequirement {
  readonly field: string
  readonly operator: '=' | '!='
  readonly value: string
}

/** `app=web,tier in (a,b),!canary`: all must hold. Throws 400 in upstream's words when it cannot be read. */
export function parseLabelSelector(text: string): readonly LabelRequirement[] {
  const tokens = tokenize(text)
  const requirements: LabelRequirement[] = []
  let at = 0
  const fail = (found: string, expected: string): never => {
    throw badRequest(`unable to parse requirement: found '${found}', expected: ${expected}`)
  }
  const next = (): string => tokens[at++] ?? ''
  const readValues = (): string[] => {
    if (next() !== '(') fail(tokens[at - 1] ?? '', "'('")
    const values: string[] = []
    for (;;) {
      const token = next()
      if (token === ')') break
      if (token === '') fail('', "',', or ')'")
      if (token === ',') {
        if (tokens[at] === ',' || tokens[at] === ')') values.push('')
        continue
      }
      values.push(token)
    }
    return values.toSorted()
  }
  if (tokens.length === 0) return requirements
  for (;;) {
    let token = next()
    if (token === '!') {
      const key = checkKey(next())
      requirements.push({ key, operator: 'DoesNotExist', values: [] })
    } else {
      if (token === '' || /^[,()=<>]/.test(token)) fail(token, "!, identifier, or 'end of string'")
      const key = checkKey(token)
      const operator = tokens[at]
      if (operator === undefined || operator === ',') {
        requirements.push({ key, operator: 'Exists', values: [] })
      } else {
        at++
        switch (operator) {
          case '=':
          case '==':
          case '!=': {
            const peek = tokens[at]
            const value = peek === undefined || peek === ',' ? '' : next()
            requirements.push({
              key,
              operator: operator === '!=' ? 'NotIn' : 'In',
              values: [checkValue(key, value)],
            })
            break
          }
          case 'in':
          case 'notin':
            requirements.push({
              key,
              operator: operator === 'in' ? 'In' : 'NotIn',
              values: readValues().map((v) => checkValue(key, v)),
            })
            break
          case '>':
          case '<': {
            const value = next()
            if (!/^-?\d+$/.test(value))
              throw badRequest(
                `values[0][${key}]: Invalid value: "${value}": for 'Gt', 'Lt' operators, the value must be an integer`,
              )
            requirements.push({ key, operator: operator === '>' ? 'Gt' : 'Lt', values: [value] })
            break
          }
          default:
            fail(operator, 'in, notin, =, ==, !=, gt, lt')
        }
      }
    }
    token = next()
    if (token === '') break
    if (token !== ',') fail(token, "',' or 'end of string'")
    if (tokens[at] === undefined) fail('', "identifier after ','")
  }
  return requirements.toSorted((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
}

const NAME = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/

function checkKey(key: string): string {
  const parts = key.split('/')
  const name = parts.at(-1) ?? ''
  if (parts.length > 2 || name.length > 63 || !NAME.test(name)) {
    throw badRequest(
      `unable to parse requirement: <nil>: Invalid value: ${JSON.stringify(key)}: name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')`,
    )
  }
  return key
}

function checkValue(key: string, value: string): string {
  if (value !== '' && (value.length > 63 || !NAME.test(value))) {
    throw badRequest(
      `unable to parse requirement: values[0][${key}]: Invalid value: ${JSON.stringify(value)}: a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')`,
    )
  }
  return value
}

function tokenize(text: string): readonly string[] {
  const tokens: string[] = []
  const pattern = /\s*(==|!=|[=!<>(),]|[^\s=!<>(),]+)/gy
  let end = 0
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
    tokens.push(match[1] ?? '')
    end = pattern.lastIndex
  }
  if (text.slice(end).trim() !== '')
    throw badRequest(`unable to parse requirement: found '${text.slice(end)}'`)
  return tokens
}

export function matchesLabels(
  requirements: readonly LabelRequirement[],
  labels: Labels | undefined,
): boolean {
  for (const { key, operator, values } of requirements) {
    const value = labels?.[key]
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
        if (value === undefined || !/^-?\d+$/.test(value)) return false
        const [left, right] = [Number(value), Number(values[0])]
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
    .map((part) => {
      const match = /^((?:[^=!\\]|\\.)*?)(!=|==|=)((?:[^\\]|\\.)*)$/s.exec(part)
      if (match === null)
        throw badRequest(`invalid selector: '${part}'; can't understand '${part}'`)
      const [, field = '', operator, value = ''] = match
      if (/[^\\][=]/.test(value.replaceAll(/\\./g, '')) || value.startsWith('='))
        throw badRequest(`invalid field selector: unescaped character in value: =`)
      return {
        field: unescape(field),
        operator: operator === '!=' ? '!=' : '=',
        value: unescape(value),
      }
    })
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

const unescape = (text: string): string => text.replaceAll(/\\([\\,=])/g, '$1')

export const matchesFields = (
  requirements: readonly FieldRequirement[],
  fields: Readonly<Record<string, string>>,
): boolean =>
  requirements.every(
    ({ field, operator, value }) => ((fields[field] ?? '') === value) === (operator === '='),
  )

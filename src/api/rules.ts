/** Rules about single values, in Kubernetes' words. A rule gives what is wrong, or nothing. */
import { type FieldPath, forbiddenField, invalidValue, required, type FieldError } from '#machinery'
import { isIP } from './addresses.ts'
import { equal } from './equal.ts'

export type Rule<Value = string> = (value: Value) => readonly string[]

/** The rule's complaints as errors of the field. */
export const check = <Value>(
  path: FieldPath,
  value: Value,
  rule: Rule<Value>,
): readonly FieldError[] => {
  const wrong = rule(value)
  return wrong.length === 0
    ? (wrong as readonly never[])
    : wrong.map((why) => invalidValue(path, value, why))
}

const ok: readonly string[] = []
const LABEL_TEXT = '[a-z0-9]([-a-z0-9]*[a-z0-9])?'
const SUBDOMAIN_TEXT = `${LABEL_TEXT}(\\.${LABEL_TEXT})*`
const LABEL = new RegExp(`^${LABEL_TEXT}$`)
const SUBDOMAIN = new RegExp(`^${SUBDOMAIN_TEXT}$`)
const NAME_TEXT = '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]'
const NAME = new RegExp(`^${NAME_TEXT}$`)
const LABEL_VALUE_TEXT = `(${NAME_TEXT})?`
const DNS1035_TEXT = '[a-z]([-a-z0-9]*[a-z0-9])?'
const DNS1035 = new RegExp(`^${DNS1035_TEXT}$`)

const tooLong = (max: number): string => `must be no more than ${max} characters`
function expression(about: string, regex: string, ...examples: readonly string[]): string {
  const shown = examples.map((text) => `'${text}'`).join(',  or ')
  return examples.length === 0
    ? `${about} (regex used for validation is '${regex}')`
    : `${about} (e.g. ${shown}, regex used for validation is '${regex}')`
}

/** At most so long, and of the form that the words describe. */
function shaped(value: string, max: number, form: RegExp, words: string): readonly string[] {
  const fits = value.length <= max
  if (form.test(value)) return fits ? ok : [tooLong(max)]
  return fits ? [words] : [tooLong(max), words]
}

const DNS_LABEL = expression(
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
  LABEL_TEXT,
  'my-name',
  '123-abc',
)
export const dnsLabel: Rule = (value) => shaped(value, 63, LABEL, DNS_LABEL)

const DNS_SUBDOMAIN = expression(
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
  SUBDOMAIN_TEXT,
  'example.com',
)
export const dnsSubdomain: Rule = (value) => shaped(value, 253, SUBDOMAIN, DNS_SUBDOMAIN)

const WILDCARD = /^\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
const WILDCARD_WORDS = expression(
  "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
  `\\*\\.${SUBDOMAIN_TEXT}`,
  '*.example.com',
)
export const wildcardSubdomain: Rule = (value) => shaped(value, 253, WILDCARD, WILDCARD_WORDS)

const DNS1035_WORDS = expression(
  "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
  DNS1035_TEXT,
  'my-name',
  'abc-123',
)
export const dns1035Label: Rule = (value) => shaped(value, 63, DNS1035, DNS1035_WORDS)

const QUALIFIED = expression(
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
  NAME_TEXT,
  'MyName',
  'my.name',
  '123-abc',
)
/** Keys of labels, names of resources: `app`, `example.com/app`. */
export const qualifiedName: Rule = (value) => {
  const slash = value.indexOf('/')
  const wrong: string[] = []
  let name = value
  if (slash >= 0) {
    const prefix = value.slice(0, slash)
    name = value.slice(slash + 1)
    if (name.includes('/')) {
      return [
        `a qualified name ${QUALIFIED} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
      ]
    }
    if (prefix === '') wrong.push('prefix part must be non-empty')
    else wrong.push(...dnsSubdomain(prefix).map((why) => `prefix part ${why}`))
  }
  if (name === '') wrong.push('name part must be non-empty')
  else if (name.length > 63) wrong.push(`name part ${tooLong(63)}`)
  if (!NAME.test(name)) wrong.push(`name part ${QUALIFIED}`)
  return wrong
}

const LABEL_VALUE_WORDS = expression(
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
  LABEL_VALUE_TEXT,
  'MyValue',
  'my_value',
  '12345',
)
export const labelValue: Rule = (value) =>
  value === '' ? ok : shaped(value, 63, NAME, LABEL_VALUE_WORDS)

export const portNumber: Rule<number> = (value) =>
  value >= 1 && value <= 65_535 ? ok : ['must be between 1 and 65535, inclusive']

export const portName: Rule = (value) => {
  const wrong: string[] = []
  if (value.length > 15) wrong.push(tooLong(15))
  if (!/^[-a-z0-9]+$/.test(value)) {
    wrong.push('must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)')
  }
  if (!/[a-z]/.test(value)) wrong.push('must contain at least one letter (a-z)')
  if (value.includes('--')) wrong.push('must not contain consecutive hyphens')
  if (value.startsWith('-') || value.endsWith('-')) {
    wrong.push('must not begin or end with a hyphen')
  }
  return wrong
}

const ENV_NAME = /^[ -<>-~]+$/
export const envName: Rule = (value) =>
  ENV_NAME.test(value)
    ? ok
    : [
        expression(
          "a valid environment variable name must consist only of printable ASCII characters other than '='",
          '^[ -<>-~]+$',
        ),
      ]

/** Keys of config maps and secrets: they become names of files. */
export const configKey: Rule = (value) => {
  const wrong: string[] = []
  if (value.length > 253) wrong.push(tooLong(253))
  if (!/^[-._a-zA-Z0-9]+$/.test(value)) {
    wrong.push(
      expression(
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
        '[-._a-zA-Z0-9]+',
        'key.name',
        'KEY_NAME',
        'key-name',
      ),
    )
  }
  if (value === '.') wrong.push("must not be '.'")
  else if (value === '..') wrong.push("must not be '..'")
  else if (value.startsWith('..')) wrong.push("must not start with '..'")
  return wrong
}

export const httpHeaderName: Rule = (value) =>
  /^[-A-Za-z0-9]+$/.test(value)
    ? ok
    : [
        expression(
          "a valid HTTP header must consist of alphanumeric characters or '-'",
          '[-A-Za-z0-9]+',
          'X-Header-Name',
        ),
      ]

export const ipAddress: Rule = (value) =>
  isIP(value) === 0 ? ['must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'] : ok

/** Either a number, or a text like `25%`. */
export const percentage: Rule = (value) =>
  /^[0-9]+%$/.test(value)
    ? ok
    : [
        expression(
          "a valid percent string must be a numeric string followed by an ending '%'",
          '[0-9]+%',
          '1%',
          '93%',
        ),
      ]

export const nonNegative = (value: number | undefined, path: FieldPath): readonly FieldError[] =>
  value !== undefined && value < 0
    ? [invalidValue(path, value, 'must be greater than or equal to 0')]
    : []

/** The field says what the object is, and stays. */
export const immutable = (now: unknown, before: unknown, path: FieldPath): readonly FieldError[] =>
  equal(now, before) ? [] : [invalidValue(path, now, 'field is immutable')]

export function validateLabels(
  labels: Readonly<Record<string, string>> | undefined,
  path: FieldPath,
): readonly FieldError[] {
  if (labels === undefined) return []
  return Object.entries(labels).flatMap(([key, value]) => [
    ...check(path, key, qualifiedName),
    ...check(path, value, labelValue),
  ])
}

export interface LabelSelectorLike {
  readonly matchLabels?: Readonly<Record<string, string>>
  readonly matchExpressions?: readonly {
    readonly key: string
    readonly operator: string
    readonly values?: readonly string[]
  }[]
}

export const isEmptySelector = (selector: LabelSelectorLike | undefined): boolean =>
  Object.keys(selector?.matchLabels ?? {}).length === 0 &&
  (selector?.matchExpressions ?? []).length === 0

export function validateLabelSelector(
  selector: LabelSelectorLike | undefined,
  path: FieldPath,
): readonly FieldError[] {
  if (selector === undefined) return []
  const errors: FieldError[] = [...validateLabels(selector.matchLabels, path.child('matchLabels'))]
  for (const [i, { key, operator, values = [] }] of (selector.matchExpressions ?? []).entries()) {
    const at = path.child('matchExpressions').index(i)
    switch (operator) {
      case 'In':
      case 'NotIn':
        if (values.length === 0) {
          errors.push(
            required(at.child('values'), "must be specified when `operator` is 'In' or 'NotIn'"),
          )
        }
        break
      case 'Exists':
      case 'DoesNotExist':
        if (values.length > 0) {
          errors.push(
            forbiddenField(
              at.child('values'),
              "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            ),
          )
        }
        break
      default:
        errors.push(invalidValue(at.child('operator'), operator, 'not a valid selector operator'))
    }
    errors.push(...check(at.child('key'), key, qualifiedName))
    for (const [j, value] of values.entries()) {
      errors.push(...check(at.child('values').index(j), value, labelValue))
    }
  }
  return errors
}

/** Whether labels are what the selector asks for. */
export function selects(
  selector: LabelSelectorLike,
  labels: Readonly<Record<string, string>> = {},
): boolean {
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) {
    if (labels[key] !== value) return false
  }
  return (selector.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
    const value = labels[key]
    switch (operator) {
      case 'In':
        return value !== undefined && values.includes(value)
      case 'NotIn':
        return value === undefined || !values.includes(value)
      case 'Exists':
        return value !== undefined
      default:
        return value === undefined
    }
  })
}

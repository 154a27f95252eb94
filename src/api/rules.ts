/** Rules about single values, in Kubernetes' words. A rule gives what is wrong, or nothing. */
import {
  dnsSubdomain,
  type FieldPath,
  forbiddenField,
  invalidValue,
  labelValue,
  qualifiedName,
  required,
  type FieldError,
} from '#machinery'
import { equal } from './equal.ts'
import { goForm } from './go-form.ts'

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

/** The words and forms are the machinery's: the same for every kind. */
export {
  configKey,
  dns1035Label,
  dnsLabel,
  dnsSubdomain,
  envName,
  httpHeaderName,
  labelValue,
  looseIPAddress as ipAddress,
  cidr,
  looseCIDR,
  pathSegment,
  percentage,
  portName,
  portNumber,
  qualifiedName,
  wildcardSubdomain,
} from '#machinery'

export const nonNegative = (value: number | undefined, path: FieldPath): readonly FieldError[] =>
  value !== undefined && value < 0
    ? [invalidValue(path, value, 'must be greater than or equal to 0')]
    : []

const HTTP_PATH = /^[A-Za-z0-9/\-._~%!$&'()*+,;=:]+$/

/** `acme.io/foo`: who, and what of theirs. */
export function domainPrefixedPath(value: string, path: FieldPath): readonly FieldError[] {
  if (value === '') return [required(path)]
  const slash = value.indexOf('/')
  if (slash <= 0 || slash === value.length - 1)
    return [invalidValue(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")')]
  const rest = value.slice(slash + 1)
  return [
    ...check(path, value.slice(0, slash), dnsSubdomain),
    ...(HTTP_PATH.test(rest)
      ? []
      : [
          invalidValue(
            path,
            rest,
            `Invalid path (regex used for validation is '${HTTP_PATH.source.slice(1, -1).replaceAll('\\/', '/')}')`,
          ),
        ]),
  ]
}

/** The field says what the object is, and stays. */
export const immutable = (
  now: unknown,
  before: unknown,
  path: FieldPath,
  /** Of an object that is shown in Go's form: `core.v1.Taint`. */
  type?: string,
): readonly FieldError[] =>
  equal(now, before)
    ? []
    : [
        invalidValue(
          path,
          type === undefined || now === undefined ? now : goForm(type, now),
          'field is immutable',
        ),
      ]

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
    errors.push(...validateOperator({ operator, values }, at))
    errors.push(...check(at.child('key'), key, qualifiedName))
    for (const [j, value] of values.entries()) {
      errors.push(...check(at.child('values').index(j), value, labelValue))
    }
  }
  return errors
}

/** How many values an operator of selectors wants. */
export function validateOperator(
  { operator, values }: Readonly<{ operator: string; values: readonly string[] }>,
  path: FieldPath,
): readonly FieldError[] {
  const at = path.child('values')
  switch (operator) {
    case 'In':
    case 'NotIn':
      return values.length > 0
        ? []
        : [required(at, "must be specified when `operator` is 'In' or 'NotIn'")]
    case 'Exists':
    case 'DoesNotExist':
      return values.length === 0
        ? []
        : [forbiddenField(at, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")]
    default:
      return [invalidValue(path.child('operator'), operator, 'not a valid selector operator')]
  }
}

/** Rules of a job: which failures of its pods end it, and which successes suffice. */
import {
  duplicate,
  invalidHere,
  invalidValue,
  notSupported,
  required,
  tooLong,
  tooMany,
  type FieldError,
  type FieldPath,
} from '#machinery'
import { goForm } from '../../go-form.ts'
import { check, nonNegative, qualifiedName } from '../../rules.ts'
import type { JobSpec, PodFailurePolicy, SuccessPolicyRule } from '../../types.gen.ts'
import { readIndexes } from './indexes.ts'

const MAX_RULES = 20
const MAX_CODES = 255
const MAX_INDEXES = 64 * 1024

type FailureRule = PodFailurePolicy['rules'][number]
const ACTIONS = ['Count', 'FailIndex', 'FailJob', 'Ignore']
const OPERATORS = ['In', 'NotIn']
const STATUSES = ['False', 'True', 'Unknown']

/** The rules that judge how a pod has failed. */
export function validateFailurePolicy(spec: JobSpec, at: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  const rules = spec.podFailurePolicy?.rules ?? []
  const list = at.child('podFailurePolicy', 'rules')
  if (rules.length > MAX_RULES) errors.push(tooMany(list, rules.length, MAX_RULES))
  const containers = new Set(
    [...(spec.template.spec?.containers ?? []), ...(spec.template.spec?.initContainers ?? [])].map(
      ({ name }) => name,
    ),
  )
  for (const [i, rule] of rules.entries()) {
    errors.push(...validateFailureRule(rule, spec, containers, list.index(i)))
  }
  return errors
}

/** A word of a closed set, which is asked for with its values. */
function oneOf(value: string, words: readonly string[], at: FieldPath): readonly FieldError[] {
  if (value === '')
    return [required(at, `valid values: [${words.map((word) => `"${word}"`).join(' ')}]`)]
  return words.includes(value) ? [] : [notSupported(at, value, words)]
}

function validateFailureRule(
  rule: FailureRule,
  spec: JobSpec,
  containers: ReadonlySet<string>,
  at: FieldPath,
): readonly FieldError[] {
  const { onExitCodes, onPodConditions = [] } = rule
  const action = at.child('action')
  const errors: FieldError[] = [...oneOf(rule.action, ACTIONS, action)]
  if (rule.action === 'FailIndex' && spec.backoffLimitPerIndex === undefined)
    errors.push(invalidValue(action, rule.action, 'requires the backoffLimitPerIndex to be set'))
  if (onExitCodes)
    errors.push(...validateExitCodes(onExitCodes, containers, at.child('onExitCodes')))
  const conditions = at.child('onPodConditions')
  if (onPodConditions.length > MAX_RULES)
    errors.push(tooMany(conditions, onPodConditions.length, MAX_RULES))
  for (const [i, { type, status }] of onPodConditions.entries()) {
    errors.push(...check(conditions.index(i).child('type'), type, qualifiedName))
    errors.push(...oneOf(status ?? '', STATUSES, conditions.index(i).child('status')))
  }
  if (onExitCodes && onPodConditions.length > 0)
    errors.push(invalidHere(at, 'specifying both OnExitCodes and OnPodConditions is not supported'))
  if (!onExitCodes && onPodConditions.length === 0)
    errors.push(invalidHere(at, 'specifying one of OnExitCodes and OnPodConditions is required'))
  return errors
}

function validateExitCodes(
  { values, operator, containerName }: NonNullable<FailureRule['onExitCodes']>,
  containers: ReadonlySet<string>,
  codes: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = [...oneOf(operator, OPERATORS, codes.child('operator'))]
  if (containerName !== undefined && !containers.has(containerName))
    errors.push(
      invalidValue(
        codes.child('containerName'),
        containerName,
        'must be one of the container or initContainer names in the pod template',
      ),
    )
  const at = codes.child('values')
  if (values.length === 0) errors.push(invalidValue(at, values, 'at least one value is required'))
  else if (values.length > MAX_CODES) errors.push(tooMany(at, values.length, MAX_CODES))
  for (const [i, value] of values.entries()) {
    if (operator === 'In' && value === 0)
      errors.push(invalidValue(at.index(i), value, 'must not be 0 for the In operator'))
    if (values.indexOf(value) < i) errors.push(duplicate(at.index(i), value))
  }
  if (values.some((value, i) => i > 0 && value < (values[i - 1] ?? value)))
    errors.push(invalidValue(at, values, 'must be ordered'))
  return errors
}

/** The rules that end an indexed job before all its indexes are done. */
export function validateSuccessPolicy(spec: JobSpec, at: FieldPath): readonly FieldError[] {
  const { successPolicy } = spec
  if (successPolicy === undefined) return []
  if (spec.completionMode !== 'Indexed')
    return [
      invalidValue(
        at.child('successPolicy'),
        goForm('batch.v1.SuccessPolicy', successPolicy),
        'requires indexed completion mode',
      ),
    ]
  const list = at.child('successPolicy', 'rules')
  const errors: FieldError[] = []
  const rules = successPolicy.rules ?? []
  if (rules.length === 0)
    errors.push(
      required(list, 'at least one rules must be specified when the successPolicy is specified'),
    )
  if (rules.length > MAX_RULES) errors.push(tooMany(list, rules.length, MAX_RULES))
  for (const [i, rule] of rules.entries()) {
    if (rule.succeededCount === undefined && rule.succeededIndexes === undefined) {
      errors.push(
        required(
          list.index(i),
          'at least one of succeededCount or succeededIndexes must be specified',
        ),
      )
    }
    errors.push(...validateSuccessRule(rule, spec.completions ?? 0, list.index(i)))
  }
  return errors
}

function validateSuccessRule(
  { succeededCount: count, succeededIndexes }: SuccessPolicyRule,
  completions: number,
  at: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  const indexes =
    succeededIndexes === undefined ? undefined : readIndexes(succeededIndexes, completions)
  if ((succeededIndexes?.length ?? 0) > MAX_INDEXES)
    errors.push(tooLong(at.child('succeededIndexes'), MAX_INDEXES))
  if (indexes !== undefined && 'problem' in indexes)
    errors.push(
      invalidValue(
        at.child('succeededIndexes'),
        succeededIndexes,
        `error parsing succeededIndexes: ${indexes.problem}`,
      ),
    )
  if (count === undefined) return errors
  errors.push(...nonNegative(count, at.child('succeededCount')))
  const beyond = (limit: number, of: string): void =>
    void errors.push(
      invalidValue(
        at.child('succeededCount'),
        count,
        `must be less than or equal to ${limit} (the number of ${of})`,
      ),
    )
  if (count > completions) beyond(completions, 'specified completions')
  const some = indexes === undefined ? undefined : 'count' in indexes ? indexes.count : 0
  if (some !== undefined && count > some)
    beyond(some, 'indexes in the specified succeededIndexes field')
  return errors
}

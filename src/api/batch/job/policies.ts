/** Rules of a job: which failures of its pods end it, and which successes suffice. */
import { invalidValue, required, type FieldError, type FieldPath } from '#machinery'
import { nonNegative } from '../../rules.ts'
import type { JobSpec, PodFailurePolicy, SuccessPolicyRule } from '../../types.gen.ts'
import { readIndexes } from './indexes.ts'

const MAX_RULES = 20

type FailureRule = PodFailurePolicy['rules'][number]
const ACTIONS = ['Count', 'FailIndex', 'FailJob', 'Ignore']

/** The rules that judge how a pod has failed. */
export function validateFailurePolicy(spec: JobSpec, at: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  const rules = spec.podFailurePolicy?.rules ?? []
  const list = at.child('podFailurePolicy', 'rules')
  if (rules.length > MAX_RULES) {
    errors.push({
      type: 'FieldValueTooMany',
      field: list.toString(),
      detail: `Too many: ${rules.length}: must have at most ${MAX_RULES} items`,
    })
  }
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

function validateFailureRule(
  rule: FailureRule,
  spec: JobSpec,
  containers: ReadonlySet<string>,
  at: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  const { onExitCodes, onPodConditions = [] } = rule
  const action: string = rule.action
  if (action !== '' && !ACTIONS.includes(action)) {
    errors.push({
      type: 'FieldValueNotSupported',
      field: at.child('action').toString(),
      detail: `Unsupported value: ${JSON.stringify(action)}: supported values: ${ACTIONS.map((a) => `"${a}"`).join(', ')}`,
    })
  }
  if (action === 'FailIndex' && spec.backoffLimitPerIndex === undefined) {
    errors.push(
      invalidValue(at.child('action'), action, 'requires the backoffLimitPerIndex to be set'),
    )
  }
  if (onExitCodes && onPodConditions.length > 0) {
    errors.push(
      invalidValue(at, rule, 'specifying both OnExitCodes and OnPodConditions is not supported'),
    )
  }
  if (!onExitCodes && onPodConditions.length === 0) {
    errors.push(
      invalidValue(at, rule, 'specifying one of OnExitCodes and OnPodConditions is required'),
    )
  }
  if (!onExitCodes) return errors
  const codes = at.child('onExitCodes')
  const { values, operator, containerName } = onExitCodes
  if (values.length === 0) {
    errors.push(invalidValue(codes.child('values'), values, 'at least one value is required'))
  }
  for (const [i, value] of values.entries()) {
    if (values.indexOf(value) < i) {
      errors.push({
        type: 'FieldValueDuplicate',
        field: codes.child('values').index(i).toString(),
        detail: `Duplicate value: ${value}`,
      })
    }
    if (operator === 'In' && value === 0) {
      errors.push(
        invalidValue(codes.child('values').index(i), value, 'must not be 0 for the In operator'),
      )
    }
  }
  if (values.some((value, i) => i > 0 && value < (values[i - 1] ?? value))) {
    errors.push(invalidValue(codes.child('values'), values, 'must be ordered'))
  }
  if (containerName !== undefined && !containers.has(containerName)) {
    errors.push(
      invalidValue(
        codes.child('containerName'),
        containerName,
        'must be one of the container or initContainer names in the pod template',
      ),
    )
  }
  return errors
}

/** The rules that end an indexed job before all its indexes are done. */
export function validateSuccessPolicy(spec: JobSpec, at: FieldPath): readonly FieldError[] {
  const { successPolicy } = spec
  if (successPolicy === undefined) return []
  const list = at.child('successPolicy', 'rules')
  const errors: FieldError[] = []
  if (spec.completionMode !== 'Indexed') {
    errors.push(
      invalidValue(at.child('successPolicy'), successPolicy, 'requires indexed completion mode'),
    )
  }
  for (const [i, rule] of successPolicy.rules.entries()) {
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
  const tooMany = (limit: number, of: string): void =>
    void errors.push(
      invalidValue(
        at.child('succeededCount'),
        count,
        `must be less than or equal to ${limit} (the number of ${of})`,
      ),
    )
  if (count > completions) tooMany(completions, 'specified completions')
  if (indexes !== undefined && 'count' in indexes && count > indexes.count)
    tooMany(indexes.count, 'indexes in the specified succeededIndexes field')
  return errors
}

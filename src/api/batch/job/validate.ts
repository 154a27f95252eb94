/** Whether a job can be run. */
import {
  invalidValue,
  notSupported,
  required,
  tooLong,
  type FieldError,
  type FieldPath,
} from '#machinery'
import { validatePodTemplate } from '../../core/pod/validate.ts'
import { domainPrefixedPath, nonNegative, validateLabelSelector } from '../../rules.ts'
import type { JobSpec } from '../../types.gen.ts'
import { validateMatch } from '../../workload.ts'
import { validateFailurePolicy, validateSuccessPolicy } from './policies.ts'

const MANY = 100_000
const FEWER = 10_000
const MAX_MANAGED_BY = 63
const NUMBERS = [
  'parallelism',
  'completions',
  'activeDeadlineSeconds',
  'backoffLimit',
  'ttlSecondsAfterFinished',
  'backoffLimitPerIndex',
  'maxFailedIndexes',
] as const

/** A CronJob's jobs get their selectors later: there it must not say one. */
export function validateJobSpec(
  spec: JobSpec,
  at: FieldPath,
  { inCronJob = false }: { readonly inCronJob?: boolean } = {},
): readonly FieldError[] {
  const errors: FieldError[] = []
  for (const name of NUMBERS) errors.push(...nonNegative(spec[name], at.child(name)))
  if (spec.maxFailedIndexes !== undefined && spec.backoffLimitPerIndex === undefined)
    errors.push(required(at.child('backoffLimitPerIndex'), 'when maxFailedIndexes is specified'))
  if (spec.managedBy !== undefined) {
    errors.push(...domainPrefixedPath(spec.managedBy, at.child('managedBy')))
    if (spec.managedBy.length > MAX_MANAGED_BY)
      errors.push(tooLong(at.child('managedBy'), MAX_MANAGED_BY))
  }
  errors.push(...validateCompletion(spec, at))
  if (spec.podFailurePolicy) errors.push(...validateFailurePolicy(spec, at))
  if (spec.successPolicy) errors.push(...validateSuccessPolicy(spec, at))
  const { podReplacementPolicy } = spec
  if (podReplacementPolicy !== undefined) {
    const possible = spec.podFailurePolicy ? ['Failed'] : ['Failed', 'TerminatingOrFailed']
    if (!possible.includes(podReplacementPolicy))
      errors.push(notSupported(at.child('podReplacementPolicy'), podReplacementPolicy, possible))
  }
  errors.push(...validatePodTemplate(spec.template, at.child('template')))
  errors.push(...validateRestarts(spec, at.child('template', 'spec', 'restartPolicy')))
  if (!inCronJob) {
    if (spec.selector === undefined) errors.push(required(at.child('selector')))
    errors.push(...validateLabelSelector(spec.selector, at.child('selector')))
    errors.push(...validateMatch(spec.selector, spec.template, at.child('template')))
    return errors
  }
  if (spec.manualSelector === true) {
    errors.push({
      type: 'FieldValueNotSupported',
      field: at.child('manualSelector').toString(),
      detail: 'Unsupported value: true: supported values: "nil", "false"',
    })
  } else if (spec.selector !== undefined) {
    errors.push(
      invalidValue(at.child('selector'), spec.selector, '`selector` will be auto-generated'),
    )
  }
  return errors
}

/** Pods of a job end; and a policy for failures wants them to stay ended. */
function validateRestarts(spec: JobSpec, at: FieldPath): readonly FieldError[] {
  const policy = spec.template.spec?.restartPolicy
  if (policy === undefined || policy === 'Always')
    return [required(at, 'valid values: "OnFailure", "Never"')]
  if (policy !== 'OnFailure' && policy !== 'Never')
    return [notSupported(at, policy, ['OnFailure', 'Never'])]
  return spec.podFailurePolicy && policy !== 'Never'
    ? [invalidValue(at, policy, 'only "Never" is supported when podFailurePolicy is specified')]
    : []
}

/** What the pods of an indexed job may be many of; and what only such a job may say. */
function validateCompletion(spec: JobSpec, at: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  const { completions, parallelism, backoffLimitPerIndex, maxFailedIndexes: failed } = spec
  const wrong = (field: string, value: unknown, why: string): unknown =>
    errors.push(invalidValue(at.child(field), value, why))
  if (spec.completionMode !== 'Indexed') {
    const why = 'requires indexed completion mode'
    if (spec.completionMode !== undefined && spec.completionMode !== 'NonIndexed') return errors
    if (backoffLimitPerIndex !== undefined) wrong('backoffLimitPerIndex', backoffLimitPerIndex, why)
    if (failed !== undefined) wrong('maxFailedIndexes', failed, why)
    return errors
  }
  if (completions === undefined)
    errors.push(required(at.child('completions'), 'when completion mode is Indexed'))
  if ((parallelism ?? 0) > MANY)
    wrong(
      'parallelism',
      parallelism,
      `must be less than or equal to ${MANY} when completion mode is Indexed`,
    )
  if (completions !== undefined && failed !== undefined && failed > completions)
    wrong('maxFailedIndexes', failed, 'must be less than or equal to completions')
  if ((failed ?? 0) > MANY)
    wrong('maxFailedIndexes', failed, `must be less than or equal to ${MANY}`)
  if ((completions ?? 0) <= MANY || backoffLimitPerIndex === undefined) return errors
  const why = `must be less than or equal to ${FEWER} when completions are above ${MANY} and used with backoff limit per index`
  if (failed === undefined)
    errors.push(
      required(at.child('maxFailedIndexes'), `must be specified when completions is above ${MANY}`),
    )
  if ((parallelism ?? 0) > FEWER) wrong('parallelism', parallelism, why)
  if ((failed ?? 0) > FEWER) wrong('maxFailedIndexes', failed, why)
  return errors
}

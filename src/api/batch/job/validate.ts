/** Whether a job can be run. */
import { invalidValue, notSupported, required, type FieldError, type FieldPath } from '#machinery'
import { validatePodTemplate } from '../../core/pod/validate.ts'
import { nonNegative, validateLabelSelector } from '../../rules.ts'
import type { JobSpec } from '../../types.gen.ts'
import { validateMatch } from '../../workload.ts'
import { validateFailurePolicy, validateSuccessPolicy } from './policies.ts'

const MAX_INDEXED_PARALLELISM = 100_000

/** A CronJob's jobs get their selectors later: there it must not say one. */
export function validateJobSpec(
  spec: JobSpec,
  at: FieldPath,
  { inCronJob = false }: { readonly inCronJob?: boolean } = {},
): readonly FieldError[] {
  const errors: FieldError[] = []
  const numbers = [
    'parallelism',
    'completions',
    'activeDeadlineSeconds',
    'backoffLimit',
    'ttlSecondsAfterFinished',
    'backoffLimitPerIndex',
    'maxFailedIndexes',
  ] as const
  for (const name of numbers) errors.push(...nonNegative(spec[name], at.child(name)))
  errors.push(...validateCompletion(spec, at))
  if (
    spec.managedBy !== undefined &&
    (!spec.managedBy.includes('/') || spec.managedBy.length > 63)
  ) {
    errors.push(
      invalidValue(
        at.child('managedBy'),
        spec.managedBy,
        'must be a domain-prefixed path (such as "acme.io/foo")',
      ),
    )
  }
  if (spec.podFailurePolicy) {
    errors.push(...validateFailurePolicy(spec, at))
    if (spec.podReplacementPolicy === 'TerminatingOrFailed')
      errors.push(notSupported(at.child('podReplacementPolicy'), 'TerminatingOrFailed', ['Failed']))
  }
  errors.push(...validateSuccessPolicy(spec, at))
  if (!inCronJob) {
    if (spec.selector === undefined) errors.push(required(at.child('selector')))
    errors.push(...validateLabelSelector(spec.selector, at.child('selector')))
    errors.push(...validateMatch(spec.selector, spec.template, at.child('template')))
  } else if (spec.manualSelector === true) {
    errors.push({
      type: 'FieldValueNotSupported',
      field: at.child('manualSelector').toString(),
      detail: 'Unsupported value: true: supported values: "nil", "false"',
    })
  }
  errors.push(...validatePodTemplate(spec.template, at.child('template')))
  const restarts = spec.template.spec?.restartPolicy
  const policyPath = at.child('template', 'spec', 'restartPolicy')
  if (restarts !== 'OnFailure' && restarts !== 'Never') {
    errors.push(required(policyPath, 'valid values: "OnFailure", "Never"'))
  } else if (spec.podFailurePolicy && restarts !== 'Never') {
    errors.push(
      invalidValue(
        policyPath,
        restarts,
        'only "Never" is supported when podFailurePolicy is specified',
      ),
    )
  }
  return errors
}

function validateCompletion(spec: JobSpec, at: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  const indexed = spec.completionMode === 'Indexed'
  if (indexed) {
    if (spec.completions === undefined) {
      errors.push(required(at.child('completions'), 'when completion mode is Indexed'))
    }
    if ((spec.parallelism ?? 0) > MAX_INDEXED_PARALLELISM) {
      errors.push(
        invalidValue(
          at.child('parallelism'),
          spec.parallelism,
          `must be less than or equal to ${MAX_INDEXED_PARALLELISM} when completion mode is Indexed`,
        ),
      )
    }
  }
  if (spec.backoffLimitPerIndex !== undefined && !indexed) {
    errors.push(
      invalidValue(
        at.child('backoffLimitPerIndex'),
        spec.backoffLimitPerIndex,
        'requires indexed completion mode',
      ),
    )
  }
  const failed = spec.maxFailedIndexes
  if (failed !== undefined) {
    if (spec.backoffLimitPerIndex === undefined) {
      errors.push(required(at.child('backoffLimitPerIndex'), 'when maxFailedIndexes is specified'))
    }
    if (spec.completions !== undefined && failed > spec.completions) {
      errors.push(
        invalidValue(
          at.child('maxFailedIndexes'),
          failed,
          'must be less than or equal to completions',
        ),
      )
    }
  }
  return errors
}

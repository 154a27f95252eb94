/** Rules that workloads share: a selector, and a template whose pods it finds. */
import { invalidValue, selectorMatches, type FieldError, type FieldPath } from '#machinery'
import { validatePodTemplate } from './core/pod/validate.ts'
import { validateAlwaysRunning } from './core/replication-controller.ts'
import {
  isEmptySelector,
  percentage,
  validateLabelSelector,
  type LabelSelectorLike,
} from './rules.ts'
import type { PodTemplateSpec } from './types.gen.ts'

interface Workload {
  readonly selector?: LabelSelectorLike
  readonly template: PodTemplateSpec
}

/** Selector and template of a workload whose pods run for ever. `kind` is for the messages. */
export function validateWorkload(
  { selector, template }: Workload,
  path: FieldPath,
  { kind, emptySelector }: { readonly kind: string; readonly emptySelector: string },
): readonly FieldError[] {
  const at = path.child('template')
  return [
    ...validateSelector(selector, path.child('selector'), emptySelector),
    ...validateMatch(selector, template, at),
    ...validatePodTemplate(template, at),
    ...validateAlwaysRunning(template, at, kind),
  ]
}

function validateSelector(
  selector: LabelSelectorLike | undefined,
  path: FieldPath,
  kind: string,
): readonly FieldError[] {
  // That it is there at all is a rule of the facts.
  if (selector === undefined) return []
  const errors = validateLabelSelector(selector, path)
  if (!isEmptySelector(selector)) return errors
  return [...errors, invalidValue(path, selector, `empty selector is invalid for ${kind}`)]
}

/** A workload that did not find its own pods would make them without end. No selector finds nothing. */
export function validateMatch(
  selector: LabelSelectorLike | undefined,
  template: PodTemplateSpec,
  path: FieldPath,
): readonly FieldError[] {
  const labels = template.metadata?.labels
  if (
    selector !== undefined &&
    (isEmptySelector(selector) || selectorMatches(selector, labels ?? {}))
  )
    return []
  return [
    invalidValue(
      path.child('metadata', 'labels'),
      labels,
      '`selector` does not match template `labels`',
    ),
  ]
}

/** A count, or a share of the whole like `25%`. */
export function validateIntOrPercent(
  value: number | string | undefined,
  path: FieldPath,
): readonly FieldError[] {
  if (value === undefined) return []
  if (typeof value === 'string') {
    return percentage(value).map((why) => invalidValue(path, value, why))
  }
  return value < 0 ? [invalidValue(path, value, 'must be greater than or equal to 0')] : []
}

export const atMostAll = (
  value: number | string | undefined,
  path: FieldPath,
): readonly FieldError[] =>
  typeof value === 'string' && percentage(value).length === 0 && Number.parseInt(value, 10) > 100
    ? [invalidValue(path, value, 'must not be greater than 100%')]
    : []

/** 0 and `0%`. */
export const isNothing = (value: number | string | undefined): boolean =>
  value === undefined || value === 0 || (typeof value === 'string' && /^0+%$/.test(value))

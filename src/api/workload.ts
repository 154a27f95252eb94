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
  {
    kind,
    emptySelector,
    badSelector,
  }: {
    readonly kind: string
    readonly emptySelector: string
    /** What is said of a selector that cannot be read; nothing where the rest is looked at all the same. */
    readonly badSelector?: string
  },
): readonly FieldError[] {
  const at = path.child('template')
  const wrong = validateLabelSelector(selector, path.child('selector'))
  const empty = validateEmpty(selector, path.child('selector'), emptySelector)
  // What a selector that cannot be read would find is not asked; a DaemonSet goes on.
  if (wrong.length > 0 && badSelector !== undefined)
    return [...wrong, ...empty, invalidValue(path.child('selector'), selector, badSelector)]
  return [
    ...wrong,
    ...(wrong.length > 0 ? [] : validateMatch(selector, template, at)),
    ...empty,
    ...validatePodTemplate(template, at),
    ...validateAlwaysRunning(template, at, kind),
  ]
}

function validateEmpty(
  selector: LabelSelectorLike | undefined,
  path: FieldPath,
  kind: string,
): readonly FieldError[] {
  // That it is there at all is a rule of the facts.
  if (selector === undefined) return []
  if (!isEmptySelector(selector)) return []
  return [invalidValue(path, selector, `empty selector is invalid for ${kind}`)]
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

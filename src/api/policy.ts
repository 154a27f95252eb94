/** The group policy: how much may be down at once. */
import { FieldPath, invalidValue, type FieldError } from '#machinery'
import { defineResource } from './define.ts'
import { goForm } from './go-form.ts'
import { podDisruptionBudgets as budgetsRef } from './resources.gen.ts'
import { validateLabelSelector } from './rules.ts'
import type { PodDisruptionBudget } from './types.gen.ts'
import { atMostAll, validateIntOrPercent } from './workload.ts'

const path = FieldPath.of('spec')
const NOT_APPLICABLE = 'N/A'

function validate({ spec }: PodDisruptionBudget): readonly FieldError[] {
  const { minAvailable, maxUnavailable, selector } = spec
  const errors: FieldError[] = []
  if (minAvailable !== undefined && maxUnavailable !== undefined) {
    errors.push(
      invalidValue(
        path,
        goForm('policy.v1.PodDisruptionBudgetSpec', spec),
        'minAvailable and maxUnavailable cannot be both set',
      ),
    )
  }
  for (const [name, value] of Object.entries({ minAvailable, maxUnavailable })) {
    const at = path.child(name)
    errors.push(...validateIntOrPercent(value, at), ...atMostAll(value, at))
  }
  return [...errors, ...validateLabelSelector(selector, path.child('selector'))]
}

const podDisruptionBudgets = defineResource(budgetsRef, {
  validate,
  cells: {
    'Min Available': ({ spec }) => String(spec.minAvailable ?? NOT_APPLICABLE),
    'Max Unavailable': ({ spec }) => String(spec.maxUnavailable ?? NOT_APPLICABLE),
    'Allowed Disruptions': ({ status }) => status?.disruptionsAllowed ?? 0,
  },
})

export const policy = [podDisruptionBudgets]

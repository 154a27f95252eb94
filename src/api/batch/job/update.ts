/** What of a job may change. */
import { FieldPath, invalidValue, type FieldError } from '#machinery'
import { equal } from '../../equal.ts'
import { goForm } from '../../go-form.ts'
import { immutable } from '../../rules.ts'
import type { Job, PodTemplateSpec } from '../../types.gen.ts'

const path = FieldPath.of('spec')
const FORMS: Readonly<Record<string, string>> = {
  podFailurePolicy: 'batch.v1.PodFailurePolicy',
  successPolicy: 'batch.v1.SuccessPolicy',
}

/** Suspended jobs without pods may change where they run, and with how much (KEP-2926, KEP-5440); not what. */
function withScheduling(template: PodTemplateSpec, from: PodTemplateSpec): PodTemplateSpec {
  const names = ['nodeSelector', 'tolerations', 'schedulingGates', 'affinity'] as const
  const spec: Record<string, unknown> = { ...template.spec }
  for (const name of names) {
    const value = from.spec?.[name]
    if (value === undefined) delete spec[name]
    else spec[name] = value
  }
  for (const field of ['initContainers', 'containers'] as const) {
    const known = new Map(from.spec?.[field]?.map(({ name, resources }) => [name, resources]))
    const given = template.spec?.[field]
    if (given !== undefined)
      spec[field] = given.map(({ resources, ...container }) => ({
        ...container,
        resources: known.has(container.name) ? known.get(container.name) : resources,
      }))
  }
  const metadata = {
    ...template.metadata,
    annotations: from.metadata?.annotations ?? {},
    labels: from.metadata?.labels ?? {},
  }
  return { ...template, metadata, spec } as unknown as PodTemplateSpec
}

/** What is running is not what was asked for any more where the template, the selector or the way to count changes. */
export function validateUpdate(now: Job, old: Job): readonly FieldError[] {
  const errors: FieldError[] = []
  const { spec } = now
  const before = old.spec
  const at = path.child('completions')
  const { completions } = spec
  // An indexed job may grow and shrink as long as all its indexes may run at once.
  if (before.completionMode !== 'Indexed')
    errors.push(...immutable(completions, before.completions, at))
  else if (
    completions !== undefined &&
    completions !== before.completions &&
    completions !== spec.parallelism
  )
    errors.push(
      invalidValue(at, completions, 'can only be modified in tandem with spec.parallelism'),
    )
  errors.push(...immutable(spec.selector, before.selector, path.child('selector')))
  const mayMove = before.suspend === true && (old.status?.active ?? 0) === 0
  const template = mayMove ? withScheduling(spec.template, before.template) : spec.template
  const was = mayMove ? withScheduling(before.template, before.template) : before.template
  if (!equal(template, was)) {
    errors.push(
      invalidValue(
        path.child('template'),
        goForm('core.v1.PodTemplateSpec', spec.template),
        'field is immutable',
      ),
    )
  }
  for (const name of [
    'completionMode',
    'podFailurePolicy',
    'backoffLimitPerIndex',
    'managedBy',
    'successPolicy',
  ] as const) {
    errors.push(...immutable(spec[name], before[name], path.child(name), FORMS[name]))
  }
  return errors
}

/** Daemon sets: a pod on each node. */
import { invalidValue, notSupported, required, type FieldError, type FieldPath } from '#machinery'
import { labelsText } from '../columns.ts'
import { defaultPodTemplate } from '../core/pod/defaults.ts'
import { isNewSpec, podTemplateWarnings } from '../core/pod/warnings.ts'
import { defineResource } from '../define.ts'
import { equal } from '../equal.ts'
import type { Mutable } from '../mutable.ts'
import { daemonSets as daemonSetsRef } from '../resources.gen.ts'
import { immutable, nonNegative } from '../rules.ts'
import type { DaemonSet, DaemonSetSpec } from '../types.gen.ts'
import { atMostAll, isNothing, validateIntOrPercent, validateWorkload } from '../workload.ts'
import { path, selectorCell, selectorPath, strategyText, workloadCells } from './parts.ts'

/** The template's own generation lives in an annotation since it left the spec. */
const TEMPLATE_GENERATION = 'deprecated.daemonset.template.generation'

function setTemplateGeneration(daemonSet: Mutable<DaemonSet>, generation: number): void {
  daemonSet.metadata.annotations = {
    ...daemonSet.metadata.annotations,
    [TEMPLATE_GENERATION]: String(generation),
  }
}
const templateGeneration = ({ metadata }: DaemonSet): number =>
  Number.parseInt(metadata.annotations?.[TEMPLATE_GENERATION] ?? '', 10) || 0

function validateDaemonStrategy(
  { updateStrategy }: DaemonSetSpec,
  at: FieldPath,
): readonly FieldError[] {
  const { type, rollingUpdate } = updateStrategy ?? {}
  if (type === 'OnDelete') return []
  if (type !== 'RollingUpdate')
    return [notSupported(at, strategyText(type, rollingUpdate), ['RollingUpdate', 'OnDelete'])]
  const rolling = at.child('rollingUpdate')
  if (rollingUpdate === undefined) return [required(rolling)]
  const { maxUnavailable, maxSurge } = rollingUpdate
  const errors = [
    ...validateIntOrPercent(maxUnavailable, rolling.child('maxUnavailable')),
    ...atMostAll(maxUnavailable, rolling.child('maxUnavailable')),
    ...validateIntOrPercent(maxSurge, rolling.child('maxSurge')),
    ...atMostAll(maxSurge, rolling.child('maxSurge')),
  ]
  if (isNothing(maxUnavailable) && isNothing(maxSurge)) {
    errors.push(required(rolling.child('maxUnavailable'), 'cannot be 0 when maxSurge is 0'))
  }
  if (!isNothing(maxUnavailable) && !isNothing(maxSurge)) {
    errors.push(
      invalidValue(
        rolling.child('maxSurge'),
        maxSurge,
        'may not be set when maxUnavailable is non-zero',
      ),
    )
  }
  return errors
}

export const daemonSets = defineResource(daemonSetsRef, {
  defaults(daemonSet) {
    const { metadata, spec } = daemonSet
    // Its writer comes to own it.
    if (metadata.annotations?.[TEMPLATE_GENERATION] === undefined)
      setTemplateGeneration(daemonSet, 0)
    defaultPodTemplate(spec.template)
    const strategy = (spec.updateStrategy ??= {})
    strategy.type ??= 'RollingUpdate'
    if (strategy.type === 'RollingUpdate') {
      const rolling = (strategy.rollingUpdate ??= {})
      rolling.maxUnavailable ??= 1
      rolling.maxSurge ??= 0
    }
    spec.revisionHistoryLimit ??= 10
  },
  validate: ({ spec }) => [
    ...validateWorkload(spec, path, { kind: 'DaemonSet', emptySelector: 'daemonset' }),
    ...nonNegative(spec.minReadySeconds, path.child('minReadySeconds')),
    ...validateDaemonStrategy(spec, path.child('updateStrategy')),
    ...nonNegative(spec.revisionHistoryLimit, path.child('revisionHistoryLimit')),
  ],
  validateUpdate: (now, old) => immutable(now.spec.selector, old.spec.selector, selectorPath),
  warnings: (now, old) => (isNewSpec(now, old) ? podTemplateWarnings(now.spec.template) : []),
  prepareForCreate(daemonSet) {
    setTemplateGeneration(daemonSet, Math.max(1, templateGeneration(daemonSet as DaemonSet)))
  },
  prepareForUpdate(daemonSet, old, { subresource }) {
    if (subresource !== '') return
    const changed = !equal(daemonSet.spec.template, old.spec.template)
    setTemplateGeneration(daemonSet, templateGeneration(old) + (changed ? 1 : 0))
  },
  cells: {
    Desired: ({ status }) => status?.desiredNumberScheduled ?? 0,
    Current: ({ status }) => status?.currentNumberScheduled ?? 0,
    Ready: ({ status }) => status?.numberReady ?? 0,
    'Up-to-date': ({ status }) => status?.updatedNumberScheduled ?? 0,
    Available: ({ status }) => status?.numberAvailable ?? 0,
    'Node Selector': ({ spec }) => labelsText(spec.template?.spec?.nodeSelector),
    ...workloadCells,
    ...selectorCell,
  },
})

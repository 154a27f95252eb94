/** Deployments: replica sets that replace one another. */
import {
  forbiddenField,
  invalidValue,
  notSupported,
  required,
  type FieldError,
  type FieldPath,
} from '#machinery'
import { defaultPodTemplate } from '../core/pod/defaults.ts'
import {
  IN_POD_NAMES,
  hostnameWarnings,
  isNewSpec,
  podTemplateWarnings,
} from '../core/pod/warnings.ts'
import { defineResource } from '../define.ts'
import type { Mutable } from '../mutable.ts'
import { deployments as deploymentsRef } from '../resources.gen.ts'
import { immutable, nonNegative } from '../rules.ts'
import type { Deployment, DeploymentSpec } from '../types.gen.ts'
import { atMostAll, isNothing, validateIntOrPercent, validateWorkload } from '../workload.ts'
import { path, scale, selectorCell, selectorPath, strategyText, workloadCells } from './parts.ts'

function defaultDeployment({ spec }: Mutable<Deployment>): void {
  defaultPodTemplate(spec.template)
  spec.replicas ??= 1
  const strategy = (spec.strategy ??= {})
  strategy.type ??= 'RollingUpdate'
  if (strategy.type === 'RollingUpdate') {
    const rolling = (strategy.rollingUpdate ??= {})
    rolling.maxUnavailable ??= '25%'
    rolling.maxSurge ??= '25%'
  }
  spec.revisionHistoryLimit ??= 10
  spec.progressDeadlineSeconds ??= 600
}

function validateDeployment({ spec }: Deployment): readonly FieldError[] {
  const { minReadySeconds = 0, progressDeadlineSeconds } = spec
  return [
    ...nonNegative(spec.replicas, path.child('replicas')),
    ...validateWorkload(spec, path, {
      kind: 'ReplicaSet',
      emptySelector: 'deployment',
      badSelector: 'invalid label selector',
    }),
    ...validateStrategy(spec, path.child('strategy')),
    ...nonNegative(minReadySeconds, path.child('minReadySeconds')),
    ...nonNegative(spec.revisionHistoryLimit, path.child('revisionHistoryLimit')),
    ...nonNegative(progressDeadlineSeconds, path.child('progressDeadlineSeconds')),
    ...(progressDeadlineSeconds !== undefined && progressDeadlineSeconds <= minReadySeconds
      ? [
          invalidValue(
            path.child('progressDeadlineSeconds'),
            progressDeadlineSeconds,
            'must be greater than minReadySeconds',
          ),
        ]
      : []),
  ]
}

function validateStrategy({ strategy }: DeploymentSpec, at: FieldPath): readonly FieldError[] {
  const { type, rollingUpdate } = strategy ?? {}
  const rolling = at.child('rollingUpdate')
  if (type === 'Recreate') {
    return rollingUpdate === undefined
      ? []
      : [forbiddenField(rolling, "may not be specified when strategy `type` is 'Recreate'")]
  }
  if (type !== 'RollingUpdate')
    return [notSupported(at, strategyText(type, rollingUpdate), ['Recreate', 'RollingUpdate'])]
  if (rollingUpdate === undefined)
    return [required(rolling, 'this should be defaulted and never be nil')]
  const { maxUnavailable, maxSurge } = rollingUpdate
  const errors = [
    ...validateIntOrPercent(maxUnavailable, rolling.child('maxUnavailable')),
    ...validateIntOrPercent(maxSurge, rolling.child('maxSurge')),
  ]
  if (isNothing(maxUnavailable) && isNothing(maxSurge)) {
    errors.push(
      invalidValue(
        rolling.child('maxUnavailable'),
        maxUnavailable,
        'may not be 0 when `maxSurge` is 0',
      ),
    )
  }
  return [...errors, ...atMostAll(maxUnavailable, rolling.child('maxUnavailable'))]
}

export const deployments = defineResource(deploymentsRef, {
  defaults: defaultDeployment,
  validate: validateDeployment,
  validateUpdate: (now, old) => immutable(now.spec.selector, old.spec.selector, selectorPath),
  warnings: (now, old) =>
    isNewSpec(now, old)
      ? [
          ...hostnameWarnings(old === undefined ? now.metadata.name : undefined, IN_POD_NAMES),
          ...podTemplateWarnings(now.spec.template),
        ]
      : [],
  prepareForUpdate(now, old, { subresource }) {
    // The status endpoint leaves labels alone.
    if (subresource !== 'status') return
    if (old.metadata.labels) now.metadata.labels = { ...old.metadata.labels }
    else delete now.metadata.labels
  },
  scale,
  cells: {
    Ready: ({ spec, status }) => `${status?.readyReplicas ?? 0}/${spec.replicas ?? 0}`,
    'Up-to-date': ({ status }) => status?.updatedReplicas ?? 0,
    Available: ({ status }) => status?.availableReplicas ?? 0,
    ...workloadCells,
    ...selectorCell,
  },
})

/** Replication controllers: what replica sets were before they had selectors of sets. */
import {
  FieldPath,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
  selectorMatches,
  type FieldError,
} from '#machinery'
import { containerImages, containerNames, labelsText } from '../columns.ts'
import { defineResource } from '../define.ts'
import { replicationControllers as controllersRef } from '../resources.gen.ts'
import { nonNegative } from '../rules.ts'
import type { PodTemplateSpec, ReplicationController } from '../types.gen.ts'
import { defaultPodTemplate } from './pod/defaults.ts'
import { validatePodTemplate } from './pod/validate.ts'
import { IN_POD_NAMES, hostnameWarnings, isNewSpec, podTemplateWarnings } from './pod/warnings.ts'

const path = FieldPath.of('spec')

/** Pods of a controller that replaces them run for ever. */
export function validateAlwaysRunning(
  template: PodTemplateSpec,
  at: FieldPath,
  kind: string,
): readonly FieldError[] {
  const errors: FieldError[] = []
  const policy = template.spec?.restartPolicy
  if (policy !== 'Always') {
    errors.push(notSupported(at.child('spec', 'restartPolicy'), policy ?? '', ['Always']))
  }
  if (template.spec?.activeDeadlineSeconds !== undefined) {
    errors.push(
      forbiddenField(
        at.child('spec', 'activeDeadlineSeconds'),
        `activeDeadlineSeconds in ${kind} is not Supported`,
      ),
    )
  }
  return errors
}

function validate({ spec }: ReplicationController): readonly FieldError[] {
  const errors: FieldError[] = []
  const selector = spec?.selector ?? {}
  errors.push(...nonNegative(spec?.minReadySeconds, path.child('minReadySeconds')))
  if (Object.keys(selector).length === 0) errors.push(required(path.child('selector')))
  errors.push(...nonNegative(spec?.replicas, path.child('replicas')))
  const template = spec?.template
  const at = path.child('template')
  if (template === undefined) return [...errors, required(at)]
  const labels = template.metadata?.labels
  if (Object.keys(selector).length > 0 && !selectorMatches({ matchLabels: selector }, labels)) {
    errors.push(
      invalidValue(
        at.child('metadata', 'labels'),
        labels,
        '`selector` does not match template `labels`',
      ),
    )
  }
  return [
    ...errors,
    ...validatePodTemplate(template, at),
    ...validateAlwaysRunning(template, at, 'ReplicationController'),
  ]
}

export const replicationControllers = defineResource(controllersRef, {
  defaults(controller) {
    const { spec, metadata } = controller
    const labels = spec?.template?.metadata?.labels
    if (spec && labels && Object.keys(labels).length > 0) {
      if (Object.keys(spec.selector ?? {}).length === 0) spec.selector = { ...labels }
      if (Object.keys(metadata.labels ?? {}).length === 0) metadata.labels = { ...labels }
    }
    defaultPodTemplate(spec?.template)
  },
  validate,
  warnings: (now, old) =>
    isNewSpec(now, old)
      ? [
          ...hostnameWarnings(old === undefined ? now.metadata.name : undefined, IN_POD_NAMES),
          ...podTemplateWarnings(now.spec?.template),
        ]
      : [],
  defaultPropagation: 'Orphan',
  scale: {
    specReplicas: '.spec.replicas',
    statusReplicas: '.status.replicas',
    selector: '.spec.selector',
  },
  cells: {
    Desired: ({ spec }) => spec?.replicas ?? 0,
    Current: ({ status }) => status?.replicas ?? 0,
    Ready: ({ status }) => status?.readyReplicas ?? 0,
    Containers: ({ spec }) => containerNames(spec?.template?.spec),
    Images: ({ spec }) => containerImages(spec?.template?.spec),
    Selector: ({ spec }) => labelsText(spec?.selector),
  },
})

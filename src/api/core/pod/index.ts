/** Pods, and templates of pods as objects of their own. */
import { FieldPath } from '#machinery'
import { containerImages, containerNames, labelsText } from '../../columns.ts'
import { defineResource } from '../../define.ts'
import { podTemplates as podTemplatesRef, pods as podsRef } from '../../resources.gen.ts'
import { podCells } from './columns.ts'
import { defaultPod, defaultPodTemplate } from './defaults.ts'
import { podFields, podGraceSeconds, preparePodForCreate, preparePodForUpdate } from './strategy.ts'
import { validatePod, validatePodTemplate } from './validate.ts'
import { validateNewPod } from './validate-metadata.ts'
import { validatePodUpdate } from './validate-update.ts'
import { podTemplateWarnings, podWarnings } from './warnings.ts'

export const pods = defineResource(podsRef, {
  defaults: defaultPod,
  validate: validatePod,
  validateNew: validateNewPod,
  concernsSpecAlone: true,
  validateUpdate: validatePodUpdate,
  prepareForCreate: preparePodForCreate,
  prepareForUpdate: preparePodForUpdate,
  warnings: podWarnings,
  graceSeconds: podGraceSeconds,
  cells: podCells,
  fields: podFields,
})

export const podTemplates = defineResource(podTemplatesRef, {
  defaults: ({ template }) => defaultPodTemplate(template),
  validate: ({ template }) => validatePodTemplate(template ?? {}, FieldPath.of('template')),
  warnings: ({ template }) => podTemplateWarnings(template, 'template'),
  cells: {
    Containers: ({ template }) => containerNames(template?.spec),
    Images: ({ template }) => containerImages(template?.spec),
    'Pod Labels': ({ template }) => labelsText(template?.metadata?.labels),
  },
})

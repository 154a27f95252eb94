/** Controller revisions: templates as they were. */
import { FieldPath, required } from '#machinery'
import { NONE } from '../columns.ts'
import { defineResource } from '../define.ts'
import { controllerRevisions as controllerRevisionsRef } from '../resources.gen.ts'
import { immutable, nonNegative } from '../rules.ts'

export const controllerRevisions = defineResource(controllerRevisionsRef, {
  validate: ({ revision, data }) => [
    ...nonNegative(revision, FieldPath.of('revision')),
    ...(data === undefined ? [required(FieldPath.of('data'), 'data is mandatory')] : []),
  ],
  validateUpdate: (now, old) => immutable(now.data, old.data, FieldPath.of('data')),
  cells: {
    Controller: ({ metadata }) => {
      const owner = metadata.ownerReferences?.find(({ controller }) => controller === true)
      if (owner === undefined) return NONE
      const slash = owner.apiVersion.indexOf('/')
      const group = slash < 0 ? '' : `.${owner.apiVersion.slice(0, slash)}`
      return `${owner.kind}${group}`.toLowerCase().concat(`/${owner.name}`)
    },
    Revision: ({ revision }) => revision,
  },
})

/** Ingress classes: who serves ingresses. */
import { forbiddenField, notSupported, required, type FieldError } from '#machinery'
import { NONE } from '../columns.ts'
import { defineResource } from '../define.ts'
import { ingressClasses as ingressClassesRef } from '../resources.gen.ts'
import { check, dnsLabel, domainPrefixedPath, immutable } from '../rules.ts'
import type { IngressClass } from '../types.gen.ts'
import { path, validateReference } from './reference.ts'

const MAX_CONTROLLER = 250

function validateClass({ spec }: IngressClass): readonly FieldError[] {
  const errors: FieldError[] = []
  const { controller = '', parameters } = spec
  const at = path.child('controller')
  if (controller.length > MAX_CONTROLLER) {
    errors.push({
      type: 'FieldValueTooLong',
      field: at.toString(),
      detail: `Too long: may not be more than ${MAX_CONTROLLER} bytes`,
    })
  }
  errors.push(...domainPrefixedPath(controller, at))
  if (parameters === undefined) return errors
  const where = path.child('parameters')
  const { scope = '', namespace } = parameters
  errors.push(...validateReference(parameters, where))
  if (scope !== 'Cluster' && scope !== 'Namespace') {
    errors.push(notSupported(where.child('scope'), scope, ['Cluster', 'Namespace']))
  }
  if (scope === 'Namespace') {
    const at = where.child('namespace')
    if (namespace === undefined)
      errors.push(required(at, "`parameters.scope` is set to 'Namespace'"))
    else errors.push(...check(at, namespace, dnsLabel))
  }
  if (scope === 'Cluster' && namespace !== undefined) {
    errors.push(forbiddenField(where.child('namespace'), "`parameters.scope` is set to 'Cluster'"))
  }
  return errors
}

export const ingressClasses = defineResource(ingressClassesRef, {
  defaults({ spec }) {
    if (spec.parameters) spec.parameters.scope ??= 'Cluster'
  },
  validate: validateClass,
  validateUpdate: (now, old) =>
    immutable(now.spec.controller ?? '', old.spec.controller ?? '', path.child('controller')),
  cells: {
    Controller: ({ spec }) => spec.controller ?? '',
    Parameters: ({ spec: { parameters } }) => {
      if (parameters === undefined) return NONE
      const group = (parameters.apiGroup ?? '') === '' ? '' : `.${parameters.apiGroup}`
      return `${parameters.kind}${group}/${parameters.name}`
    },
  },
})

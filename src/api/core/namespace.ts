/** Namespaces: two phases, and finalizers of their own that hold back the end. */
import { FieldPath, invalidValue, type FieldError } from '#machinery'
import { defineResource, keepMetadata } from '../define.ts'
import { namespaces as namespacesRef } from '../resources.gen.ts'
import { check, qualifiedName } from '../rules.ts'
import type { Namespace } from '../types.gen.ts'
import type { Mutable } from '../mutable.ts'

const FINALIZERS = FieldPath.of('spec', 'finalizers')
const STANDARD_FINALIZERS = new Set(['kubernetes', 'orphan', 'foregroundDeletion'])
const NAME_LABEL = 'kubernetes.io/metadata.name'

function validateStatus(now: Namespace): readonly FieldError[] {
  const phase = now.status?.phase
  const path = FieldPath.of('status', 'phase')
  if (now.metadata.deletionTimestamp === undefined) {
    return phase === 'Active'
      ? []
      : [invalidValue(path, phase, "may only be 'Active' if `deletionTimestamp` is empty")]
  }
  return phase === 'Terminating'
    ? []
    : [invalidValue(path, phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")]
}

export const namespaces = defineResource(namespacesRef, {
  defaults({ metadata, status }) {
    if ((metadata.name ?? '') !== '') {
      metadata.labels ??= {}
      metadata.labels[NAME_LABEL] = metadata.name
    }
    if (status) status.phase ??= 'Active'
  },
  prepareForCreate(namespace) {
    namespace.status = { phase: 'Active' }
    const finalizers = namespace.spec?.finalizers ?? []
    namespace.spec = {
      finalizers: finalizers.includes('kubernetes') ? finalizers : [...finalizers, 'kubernetes'],
    }
  },
  prepareForUpdate(namespace, old, { subresource }) {
    const before = old as Mutable<Namespace>
    if (subresource === '') namespace.spec = before.spec
    if (subresource === 'finalize') {
      if (before.status) namespace.status = before.status
      keepMetadata(namespace as never, before as never)
    }
  },
  validate: ({ spec }) =>
    (spec?.finalizers ?? []).flatMap((name) => [
      ...check(FINALIZERS, name, qualifiedName),
      ...(name.includes('/') || STANDARD_FINALIZERS.has(name)
        ? []
        : [
            invalidValue(
              FINALIZERS,
              name,
              'name is neither a standard finalizer name nor is it fully qualified',
            ),
          ]),
    ]),
  validateUpdate: (now, _old, { subresource }) =>
    subresource === 'status' ? validateStatus(now) : [],
  fields: ({ status }) => ({ 'status.phase': status?.phase ?? '' }),
  cells: { Status: ({ status }) => status?.phase ?? '' },
})

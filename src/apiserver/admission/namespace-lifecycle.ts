import { namespaces, type Namespace } from '#api'
import { StatusError, notFound } from '#machinery'
import type { AdmissionPlugin } from '../admission.ts'
import { nameOf, refuse, resourceOf, type AdmissionLookups } from './words.ts'

/** Namespaces that may not be deleted. */
const IMMORTAL: readonly string[] = ['default', 'kube-system', 'kube-public']

/** Nothing new comes into a namespace that is missing or on its way out; the system's own namespaces stay. */
export const namespaceLifecycle = (read: AdmissionLookups): AdmissionPlugin => ({
  name: 'NamespaceLifecycle',
  handles: ({ definition: { facts } }) => facts.namespaced || isNamespaces(facts),
  changesNothing: true,
  // Before all others, so that they can rely on the namespace.
  mutate(request) {
    if (isNamespaces(request.definition.facts)) {
      if (
        request.operation === 'DELETE' &&
        request.subresource === '' &&
        IMMORTAL.includes(request.name)
      )
        throw refuse(request, 'this namespace may not be deleted')
      return
    }
    if (request.operation !== 'CREATE' || request.namespace === '') return
    // Who asks what may be done in a namespace need not wait for it to exist.
    if (request.definition.facts.resource === 'localsubjectaccessreviews') return
    const namespace: Namespace | undefined = read.get(namespaces, '', request.namespace)
    if (namespace === undefined)
      throw notFound({ group: '', resource: 'namespaces' }, request.namespace)
    if (
      namespace.status?.phase !== 'Terminating' &&
      namespace.metadata.deletionTimestamp === undefined
    )
      return
    const refusal = refuse(
      request,
      `unable to create new content in namespace ${request.namespace} because it is being terminated`,
    )
    throw new StatusError('Forbidden', refusal.message, {
      details: {
        name: nameOf(request),
        ...(resourceOf(request).group === '' ? {} : { group: resourceOf(request).group }),
        kind: resourceOf(request).resource,
        causes: [
          {
            reason: 'NamespaceTerminating',
            message: `namespace ${request.namespace} is being terminated`,
            field: 'metadata.namespace',
          },
        ],
      },
    })
  },
})

const isNamespaces = ({
  group,
  resource,
}: {
  readonly group: string
  readonly resource: string
}): boolean => group === '' && resource === 'namespaces'

/** Plugins about the namespace of what is written, and about Services' own addresses, that are off unless they are chosen. */
import { namespaces, type Service } from '#api'
import type { Transport } from '#client'
import { notFound, StatusError } from '#machinery'
import type { AdmissionPlugin, AdmissionRequest } from '../../admission.ts'
import { isAbout, objectOf, refuse, type AdmissionLookups } from '../words.ts'

const isInNamespace = ({ definition: { facts }, namespace }: AdmissionRequest): boolean =>
  facts.namespaced && namespace !== ''

/** A namespace that is written to comes to be. */
export const namespaceAutoProvision = (
  read: AdmissionLookups,
  transport: Transport,
): AdmissionPlugin => ({
  name: 'NamespaceAutoProvision',
  handles: (request) => request.operation === 'CREATE' && !request.dryRun && isInNamespace(request),
  async mutate(request) {
    const { namespace: name, signal } = request
    if (read.get(namespaces, '', name) !== undefined) return
    const body = { kind: 'Namespace', apiVersion: 'v1', metadata: { name } }
    try {
      await transport.request({ method: 'POST', path: PATH, body, signal })
    } catch (error) {
      const isThere = error instanceof StatusError && error.reason === 'AlreadyExists'
      if (!isThere) throw refuse(request, error instanceof Error ? error.message : String(error))
    }
    // Read once: then all that ask after this see it.
    await transport.request({ method: 'GET', path: `${PATH}/${name}`, signal })
  },
})
const PATH = '/api/v1/namespaces'

/** Nothing is written to a namespace that is not there. */
export const namespaceExists = (read: AdmissionLookups): AdmissionPlugin => ({
  name: 'NamespaceExists',
  handles: (request) => request.operation !== 'CONNECT' && isInNamespace(request),
  validate({ namespace }) {
    if (read.get(namespaces, '', namespace) === undefined)
      throw notFound({ group: '', resource: 'namespaces' }, namespace)
  },
})

/** Nobody takes an address for a Service that the cluster has not given out. */
export const denyServiceExternalIPs: AdmissionPlugin = {
  name: 'DenyServiceExternalIPs',
  handles: (request) => isAbout(request, 'services', ['CREATE', 'UPDATE']),
  validate(request) {
    const before = new Set((request.old as Service | undefined)?.spec?.externalIPs)
    const wanted = objectOf<Service>(request).spec?.externalIPs ?? []
    if (wanted.some((address) => !before.has(address)))
      throw refuse(request, 'Use of external IPs is denied by admission control.')
  },
}

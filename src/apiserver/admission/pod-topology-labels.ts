/** A pod carries the zone and the region of its node, so that what runs in it can ask for them. */
import { nodes, type Pod } from '#api'
import type { JsonObject } from '#machinery'
import type { AdmissionPlugin, AdmissionRequest } from '../admission.ts'
import { isAbout, objectOf, type AdmissionLookups } from './words.ts'

const LABELS = ['topology.kubernetes.io/zone', 'topology.kubernetes.io/region']

export const podTopologyLabels = (read: AdmissionLookups): AdmissionPlugin => ({
  name: 'PodTopologyLabels',
  handles: (request) => nodeNameIn(request) !== '',
  mutate(request) {
    const labels = read.get(nodes, '', nodeNameIn(request))?.metadata.labels ?? {}
    const topology = LABELS.flatMap((key) =>
      labels[key] === undefined ? [] : [[key, labels[key]] as const],
    )
    if (topology.length === 0 || request.object === undefined) return
    const { metadata } = request.object as { readonly metadata: JsonObject }
    metadata['labels'] = {
      ...(metadata['labels'] as JsonObject | undefined),
      ...Object.fromEntries(topology),
    }
  },
})

/** The node that the request puts a pod on; '' for all other requests. */
function nodeNameIn(request: AdmissionRequest): string {
  if (isAbout(request, 'pods', ['CREATE'])) return objectOf<Pod>(request).spec?.nodeName ?? ''
  if (!isAbout(request, 'pods', ['CREATE'], 'binding')) return ''
  const { target } = request.object as {
    readonly target?: { readonly kind?: string; readonly name?: string }
  }
  return target?.kind === undefined || target.kind === '' || target.kind === 'Node'
    ? (target?.name ?? '')
    : ''
}

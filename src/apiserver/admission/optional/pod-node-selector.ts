/** Pods of a namespace go only to the nodes that its annotation, or the configuration, names. */
import { namespaces, type Pod } from '#api'
import { StatusError, notFound } from '#machinery'
import type { AdmissionPlugin } from '../../admission.ts'
import { isAbout, objectOf, refuse, type AdmissionLookups } from '../words.ts'

/** By namespace: which labels its pods may ask for. `clusterDefaultNodeSelector` is for namespaces without annotation. */
export type NodeSelectors = Readonly<Record<string, string>>

type Labels = Readonly<Record<string, string>>

const ANNOTATION = 'scheduler.alpha.kubernetes.io/node-selector'
const DEFAULT = 'clusterDefaultNodeSelector'

/** `a=b,c=d`, which is all that a selector may say here. */
function labelsIn(text = ''): Labels {
  const labels: Record<string, string> = {}
  for (const part of text.split(',')) {
    if (text === '') break
    const [key = '', value, ...more] = part.split('=')
    if (value === undefined || more.length > 0)
      throw new StatusError('', `invalid selector: [${part}]`)
    labels[key.trim()] = value.trim()
  }
  return labels
}

const conflicts = (a: Labels, b: Labels): boolean =>
  Object.keys(a).some((key) => b[key] !== undefined && b[key] !== a[key])

export function podNodeSelector(
  read: AdmissionLookups,
  selectors: NodeSelectors = {},
): AdmissionPlugin {
  const selectorOf = (name: string): Labels => {
    const namespace = read.get(namespaces, '', name)
    if (namespace === undefined) throw notFound({ group: '', resource: 'namespaces' }, name)
    return labelsIn(namespace.metadata.annotations?.[ANNOTATION] ?? selectors[DEFAULT])
  }
  return {
    name: 'PodNodeSelector',
    handles: (request) => isAbout(request, 'pods', ['CREATE']),
    mutate(request) {
      const { spec } = objectOf<Pod>(request)
      if (spec === undefined) return
      const wanted = selectorOf(request.namespace)
      if (conflicts(wanted, spec.nodeSelector ?? {}))
        throw refuse(
          request,
          'pod node label selector conflicts with its namespace node label selector',
        )
      const merged = { ...wanted, ...spec.nodeSelector }
      if (Object.keys(merged).length > 0) spec.nodeSelector = merged
    },
    validate(request) {
      const selector = objectOf<Pod>(request).spec?.nodeSelector ?? {}
      if (conflicts(selectorOf(request.namespace), selector))
        throw refuse(
          request,
          'pod node label selector conflicts with its namespace node label selector',
        )
      const allowed = labelsIn(selectors[request.namespace])
      if (Object.keys(allowed).length === 0) return
      if (Object.entries(selector).some(([key, value]) => allowed[key] !== value))
        throw refuse(
          request,
          'pod node label selector labels conflict with its namespace whitelist',
        )
    },
  }
}

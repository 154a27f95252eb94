import { pods, type Node, type Pod, type ResourceSlice, type TokenRequest } from '#api'
import { notFound, type RequestUser } from '#machinery'
import type { AdmissionPlugin, AdmissionRequest } from '../admission.ts'
import { nodeOf, references } from '../auth/index.ts'
import { isMirrorPod, objectOf, qualifiedResource, refuse, type AdmissionLookups } from './words.ts'

/** Labels a kubelet may set on its node, beyond those outside the kubernetes.io and k8s.io domains. */
const KUBELET_LABELS: readonly string[] = [
  'kubernetes.io/hostname',
  'topology.kubernetes.io/zone',
  'topology.kubernetes.io/region',
  'failure-domain.beta.kubernetes.io/zone',
  'failure-domain.beta.kubernetes.io/region',
  'kubernetes.io/instance-type',
  'node.kubernetes.io/instance-type',
  'kubernetes.io/os',
  'kubernetes.io/arch',
  'beta.kubernetes.io/instance-type',
  'beta.kubernetes.io/os',
  'beta.kubernetes.io/arch',
]
const KUBELET_NAMESPACES: readonly string[] = ['kubelet.kubernetes.io', 'node.kubernetes.io']

/** A kubelet changes its own node and the pods bound to it, and nothing else. */
export const nodeRestriction = (read: AdmissionLookups): AdmissionPlugin => ({
  name: 'NodeRestriction',
  handles: ({ user }) => isNode(user),
  validate(request) {
    const node = nodeOf(request.user)
    if (node === undefined) throw refuse(request, 'could not determine node identity from user')
    const target = `${qualifiedResource(request)}${request.subresource === '' ? '' : `/${request.subresource}`}`
    CHECKS[target]?.(request, node, read)
  },
})

const isNode = ({ groups }: RequestUser): boolean => groups.includes('system:nodes')

type Check = (request: AdmissionRequest, node: string, read: AdmissionLookups) => void

const podOf = (request: AdmissionRequest, read: AdmissionLookups): Pod | undefined =>
  (request.old as Pod | undefined) ?? read.get(pods, request.namespace, request.name)

const CHECKS: Readonly<Record<string, Check>> = {
  pods(request, node, read) {
    if (request.operation === 'CREATE') {
      refuseNewPod(request, node)
      return
    }
    if (request.operation !== 'DELETE')
      throw refuse(
        request,
        `unexpected operation "${request.operation}", node "${node}" can only create and delete mirror pods`,
      )
    if (podOf(request, read)?.spec?.nodeName !== node)
      throw refuse(request, `node "${node}" can only delete pods with spec.nodeName set to itself`)
  },
  'pods/status'(request, node, read) {
    const old = podOf(request, read)
    if (old?.spec?.nodeName !== node)
      throw refuse(
        request,
        `node "${node}" can only update pod status for pods with spec.nodeName set to itself`,
      )
    const labels = (labelled: Readonly<Record<string, string>> | undefined): string =>
      JSON.stringify(Object.entries(labelled ?? {}).toSorted(([a], [b]) => (a < b ? -1 : 1)))
    if (labels(objectOf<Pod>(request).metadata.labels) !== labels(old.metadata.labels))
      throw refuse(request, `node "${node}" cannot update labels through pod status`)
  },
  'pods/eviction'(request, node, read) {
    const pod = read.get(pods, request.namespace, request.name)
    if (pod === undefined) throw notFound({ group: '', resource: 'pods' }, request.name)
    if (pod.spec?.nodeName !== node)
      throw refuse(request, `node ${node} can only evict pods with spec.nodeName set to itself`)
  },
  nodes: refuseOtherNode,
  'nodes/status': refuseOtherNode,
  'serviceaccounts/token'(request, node, read) {
    const reference = objectOf<TokenRequest>(request).spec?.boundObjectRef
    if (reference?.kind !== 'Pod' || reference.apiVersion !== 'v1' || !reference.name)
      throw refuse(request, 'node requested token not bound to a pod')
    if (!reference.uid)
      throw refuse(request, 'node requested token with a pod binding without a uid')
    const pod = read.get(pods, request.namespace, reference.name)
    if (pod === undefined || pod.metadata.uid !== reference.uid)
      throw refuse(request, `pod "${reference.name}" not found`)
    if (pod.spec?.nodeName !== node)
      throw refuse(request, 'node requested token bound to a pod scheduled on a different node')
  },
  'leases.coordination.k8s.io'(request, node) {
    if (request.namespace !== 'kube-node-lease')
      throw refuse(request, 'can only access leases in the "kube-node-lease" system namespace')
    const name = request.name || objectOf<Node>(request)?.metadata.name
    if (name !== node)
      throw refuse(request, 'can only access node lease with the same name as the requesting node')
  },
  'resourceslices.resource.k8s.io'(request, node) {
    const { operation } = request
    if (operation !== 'CREATE' && operation !== 'DELETE') return
    const slice = (request.object ?? request.old) as unknown as ResourceSlice
    if (slice.spec.nodeName !== node)
      throw refuse(
        request,
        `can only ${operation.toLowerCase()} ResourceSlice with the same NodeName as the requesting node`,
      )
  },
  'csinodes.storage.k8s.io'(request, node) {
    const name = request.name || objectOf<Node>(request)?.metadata.name
    if (name !== node)
      throw refuse(request, 'can only access CSINode with the same name as the requesting node')
  },
}

function refuseNewPod(request: AdmissionRequest, node: string): void {
  const pod = objectOf<Pod>(request) as unknown as Pod
  if (!isMirrorPod(pod))
    throw refuse(
      request,
      `pod does not have "kubernetes.io/config.mirror" annotation, node "${node}" can only create mirror pods`,
    )
  if (pod.spec?.nodeName !== node)
    throw refuse(request, `node "${node}" can only create pods with spec.nodeName set to itself`)
  const [owner, ...others] = pod.metadata.ownerReferences ?? []
  if (others.length > 0)
    throw refuse(
      request,
      `node "${node}" can only create pods with a single owner reference set to itself`,
    )
  if (
    owner !== undefined &&
    (owner.apiVersion !== 'v1' || owner.kind !== 'Node' || owner.name !== node)
  )
    throw refuse(
      request,
      `node "${node}" can only create pods with an owner reference set to itself`,
    )
  if (pod.spec.serviceAccountName)
    throw refuse(request, `node "${node}" can not create pods that reference a service account`)
  const used = references(pod)
  for (const [kind, names] of [
    ['secrets', used.secrets],
    ['configmaps', used.configMaps],
    ['persistentvolumeclaims', used.claims],
  ] as const)
    if (names.size > 0)
      throw refuse(request, `node "${node}" can not create pods that reference ${kind}`)
}

function refuseOtherNode(request: AdmissionRequest, node: string): void {
  const wanted = request.object === undefined ? undefined : objectOf<Node>(request)
  const name = request.name || wanted?.metadata.name
  if (name !== node)
    throw refuse(request, `node "${node}" is not allowed to modify node "${name ?? ''}"`)
  if (wanted === undefined || request.subresource !== '') return
  const old = request.old as Node | undefined
  const changed = [
    ...new Set([
      ...Object.keys(wanted.metadata.labels ?? {}),
      ...Object.keys(old?.metadata.labels ?? {}),
    ]),
  ].filter((label) => wanted.metadata.labels?.[label] !== old?.metadata.labels?.[label])
  const refused = changed.filter((label) => !mayLabel(label, request.operation)).toSorted()
  if (refused.length > 0)
    throw refuse(
      request,
      request.operation === 'CREATE'
        ? `node "${node}" is not allowed to set the following labels: ${refused.join(', ')}`
        : `is not allowed to modify labels: ${refused.join(', ')}`,
    )
  if (
    request.operation === 'UPDATE' &&
    JSON.stringify(wanted.spec?.taints ?? []) !== JSON.stringify(old?.spec?.taints ?? [])
  )
    throw refuse(request, `node "${node}" is not allowed to modify taints`)
}

function mayLabel(label: string, operation: AdmissionRequest['operation']): boolean {
  const slash = label.indexOf('/')
  const domain = slash < 0 ? '' : label.slice(0, slash)
  const under = (parent: string): boolean => domain === parent || domain.endsWith(`.${parent}`)
  if (under('node-restriction.kubernetes.io')) return false
  if (!under('kubernetes.io') && !under('k8s.io')) return true
  if (KUBELET_LABELS.includes(label)) return true
  if (KUBELET_NAMESPACES.some(under)) return true
  // Older kubelets set others when they register.
  return operation === 'CREATE' && label === 'kubernetes.io/hostname'
}

/** Small plugins that fill in what a cluster's settings say: taints, storage and ingress classes, finalizers. */
import {
  ingressClasses,
  storageClasses,
  type Ingress,
  type Node,
  type PersistentVolume,
  type PersistentVolumeClaim,
} from '#api'
import { compareQuantities, type KubeObject } from '#machinery'
import type { AdmissionPlugin } from '../admission.ts'
import { isAbout, objectOf, refuse, type AdmissionLookups } from './words.ts'

const NOT_READY = 'node.kubernetes.io/not-ready'

/** A new node takes no pods until the node controller has seen it ready. */
export const taintNodesByCondition: AdmissionPlugin = {
  name: 'TaintNodesByCondition',
  handles: (request) => isAbout(request, 'nodes', ['CREATE']),
  mutate(request) {
    const node = objectOf<Node>(request)
    const spec = (node.spec ??= {})
    if (spec.taints?.some(({ key, effect }) => key === NOT_READY && effect === 'NoSchedule')) return
    spec.taints = [...(spec.taints ?? []), { key: NOT_READY, effect: 'NoSchedule' }]
  },
}

/** The default that was marked last, or the first by name among equals. */
function markedDefault<T extends KubeObject>(
  objects: readonly T[],
  annotations: readonly string[],
): T | undefined {
  const marked = objects.filter(({ metadata }) =>
    annotations.some((name) => metadata.annotations?.[name] === 'true'),
  )
  const age = ({ metadata }: T): number => Date.parse(metadata.creationTimestamp) || 0
  return marked.toSorted(
    (a, b) => age(b) - age(a) || (a.metadata.name < b.metadata.name ? -1 : 1),
  )[0]
}

/** Claims that name no class get the default one. An empty name means: none, please. */
export const defaultStorageClass = (read: AdmissionLookups): AdmissionPlugin => ({
  name: 'DefaultStorageClass',
  handles: (request) => isAbout(request, 'persistentvolumeclaims', ['CREATE']),
  mutate(request) {
    const { metadata, spec } = objectOf<PersistentVolumeClaim>(request)
    if (spec === undefined || spec.storageClassName !== undefined) return
    if (metadata.annotations?.['volume.beta.kubernetes.io/storage-class'] !== undefined) return
    const found = markedDefault(read.list(storageClasses), [
      'storageclass.kubernetes.io/is-default-class',
      'storageclass.beta.kubernetes.io/is-default-class',
    ])
    if (found !== undefined) spec.storageClassName = found.metadata.name
  },
})

export const defaultIngressClass = (read: AdmissionLookups): AdmissionPlugin => ({
  name: 'DefaultIngressClass',
  handles: (request) => isAbout(request, 'ingresses.networking.k8s.io', ['CREATE']),
  mutate(request) {
    const ingress = objectOf<Ingress>(request)
    if (ingress.spec?.ingressClassName !== undefined) return
    if (ingress.metadata.annotations?.['kubernetes.io/ingress.class'] !== undefined) return
    const found = markedDefault(read.list(ingressClasses), [
      'ingressclass.kubernetes.io/is-default-class',
    ])
    if (found === undefined) return
    ingress.spec = { ...ingress.spec, ingressClassName: found.metadata.name }
  },
})

const PROTECTION: Readonly<Record<string, string>> = {
  persistentvolumeclaims: 'kubernetes.io/pvc-protection',
  persistentvolumes: 'kubernetes.io/pv-protection',
  'volumeattributesclasses.storage.k8s.io': 'kubernetes.io/vac-protection',
}

/** Storage that is in use is not taken away: a controller removes the finalizer when it is not. */
export const storageObjectInUseProtection: AdmissionPlugin = {
  name: 'StorageObjectInUseProtection',
  handles: (request) =>
    Object.keys(PROTECTION).some((resource) => isAbout(request, resource, ['CREATE'])),
  mutate(request) {
    const { group, resource } = request.definition.facts
    const finalizer = PROTECTION[group === '' ? resource : `${resource}.${group}`]
    const { metadata } = objectOf<PersistentVolume>(request)
    if (finalizer === undefined || metadata.finalizers?.includes(finalizer)) return
    metadata.finalizers = [...(metadata.finalizers ?? []), finalizer]
  },
}

/** A claim may only grow when its class says that volumes can. */
export const persistentVolumeClaimResize = (read: AdmissionLookups): AdmissionPlugin => ({
  name: 'PersistentVolumeClaimResize',
  handles: (request) => isAbout(request, 'persistentvolumeclaims', ['UPDATE']),
  validate(request) {
    const wanted = objectOf<PersistentVolumeClaim>(request)
    const old = request.old as PersistentVolumeClaim
    const storage = (claim: unknown): string | undefined =>
      (claim as PersistentVolumeClaim).spec?.resources?.requests?.['storage'] as string | undefined
    const [before, after] = [storage(old), storage(wanted)]
    if (before === undefined || after === undefined || compareQuantities(after, before) <= 0) return
    if (old.status?.phase !== 'Bound')
      throw refuse(request, 'Only bound persistent volume claims can be expanded')
    const name = old.spec?.storageClassName ?? ''
    const found = name === '' ? undefined : read.get(storageClasses, '', name)
    if (!found?.allowVolumeExpansion)
      throw refuse(
        request,
        'only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize',
      )
  },
})

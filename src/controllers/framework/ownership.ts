/** Owner references: who made an object and keeps it. */
import type { KubeObject, OwnerReference, ResourceRef } from '#machinery'
import { apiVersionOf } from '#machinery'

export const controllerOf = ({ metadata }: KubeObject): OwnerReference | undefined =>
  metadata.ownerReferences?.find((owner) => owner.controller === true)

export const isControlledBy = (object: KubeObject, owner: KubeObject): boolean =>
  controllerOf(object)?.uid === owner.metadata.uid

export const isTerminating = ({ metadata }: KubeObject): boolean =>
  metadata.deletionTimestamp !== undefined

export const controllerReference = (
  ref: ResourceRef,
  { metadata }: KubeObject,
): OwnerReference => ({
  apiVersion: apiVersionOf(ref),
  kind: ref.kind,
  name: metadata.name,
  uid: metadata.uid,
  controller: true,
  blockOwnerDeletion: true,
})

/** A merge patch that makes the object ours: its uid guards against a namesake. */
export const adoption = (
  ref: ResourceRef,
  owner: KubeObject,
  object: KubeObject,
): { metadata: object } => ({
  metadata: {
    uid: object.metadata.uid,
    ownerReferences: [...(object.metadata.ownerReferences ?? []), controllerReference(ref, owner)],
  },
})

export const release = (owner: KubeObject, object: KubeObject): { metadata: object } => ({
  metadata: {
    uid: object.metadata.uid,
    ownerReferences: (object.metadata.ownerReferences ?? []).filter(
      ({ uid }) => uid !== owner.metadata.uid,
    ),
  },
})

/** `apps` of `apps/v1`; '' for the core group. */
export const groupOf = (apiVersion: string): string => {
  const slash = apiVersion.indexOf('/')
  return slash < 0 ? '' : apiVersion.slice(0, slash)
}

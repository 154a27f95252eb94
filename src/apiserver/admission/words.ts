/** What admission plugins share: looking into requests, and saying no as Kubernetes does. */
import { forbidden, type GroupResource, type ResourceList, type StatusError } from '#machinery'
import type { AdmissionRequest } from '../admission.ts'
import type { Reader } from '../inside.ts'

/** The server's newest state, read without waiting. */
export type AdmissionLookups = Pick<Reader, 'get' | 'list'>

/** A request's object belongs to it until it is stored, so plugins may change it. */
export type Mutable<T> = T extends object ? { -readonly [K in keyof T]: Mutable<T[K]> } : T

export const objectOf = <T>(request: AdmissionRequest): Mutable<T> =>
  request.object as unknown as Mutable<T>

export const resourceOf = ({ definition: { facts } }: AdmissionRequest): GroupResource => ({
  group: facts.group,
  resource: facts.resource,
})

/** `pods`, `deployments.apps`. */
export const qualifiedResource = (request: AdmissionRequest): string => {
  const { group, resource } = resourceOf(request)
  return group === '' ? resource : `${resource}.${group}`
}

/** Whether the request is about this resource itself (or the subresource) in one of these operations. */
export const isAbout = (
  request: AdmissionRequest,
  resource: string,
  operations: readonly AdmissionRequest['operation'][],
  subresource = '',
): boolean =>
  request.subresource === subresource &&
  operations.includes(request.operation) &&
  qualifiedResource(request) === resource

/** Names may not be generated yet. */
export function nameOf(request: AdmissionRequest): string {
  if (request.name !== '') return request.name
  const metadata = request.object?.['metadata'] as
    | { readonly name?: string; readonly generateName?: string }
    | undefined
  return metadata?.name || metadata?.generateName || 'Unknown'
}

/** 403: `pods "web" is forbidden: WHY`. */
export const refuse = (request: AdmissionRequest, why: string): StatusError =>
  forbidden(resourceOf(request), nameOf(request), why)

/** Several reasons as one text, as upstream joins them. */
export const together = (reasons: readonly string[]): string =>
  reasons.length === 1 ? reasons[0]! : `[${reasons.join(', ')}]`

export const isMirrorPod = (pod: {
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>> }
}): boolean => pod.metadata.annotations?.['kubernetes.io/config.mirror'] !== undefined

/** Of changes that come from the spec alone. */
export const NO_SOURCES: readonly unknown[] = []

/** Amounts by resource name, as an object states them. */
export const amounts = (list: unknown): ResourceList => (list ?? {}) as ResourceList

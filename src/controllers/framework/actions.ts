/** What a decision asks for. Plain data: the executor performs it, a test looks at it. */
import type { Draft, JsonObject, KubeObject, ObjectKey, ResourceRef } from '#machinery'

export type Action =
  | {
      readonly type: 'create'
      readonly ref: ResourceRef
      readonly object: Draft<KubeObject>
      /** Gets an event that names what was made. */
      readonly about?: KubeObject
      /** In other words than `Created pod: web-0`. */
      readonly said?: string
    }
  | { readonly type: 'update'; readonly ref: ResourceRef; readonly object: KubeObject }
  | { readonly type: 'updateStatus'; readonly ref: ResourceRef; readonly object: KubeObject }
  | {
      readonly type: 'patch'
      readonly ref: ResourceRef
      readonly object: KubeObject
      readonly patch: JsonObject
      readonly patchType: 'merge' | 'strategic'
      readonly subresource?: string
      /** Sent as the whole object: the controller's role lets it update and not patch. */
      readonly whole?: boolean
    }
  | {
      readonly type: 'remove'
      readonly ref: ResourceRef
      readonly object: KubeObject
      readonly gracePeriodSeconds?: number
      readonly propagationPolicy?: 'Orphan' | 'Background' | 'Foreground'
      readonly about?: KubeObject
      /** In other words than `Deleted pod: web-0`. */
      readonly said?: string
    }
  | {
      readonly type: 'event'
      readonly about: KubeObject
      readonly kind: 'Normal' | 'Warning'
      readonly reason: string
      readonly message: string
    }

export interface Decision {
  readonly actions: readonly Action[]
  /** Look again after this, if nothing changes before. */
  readonly requeueAfterMs?: number
}

export const nothing: Decision = { actions: [] }

export const create = <T extends KubeObject>(
  ref: ResourceRef<T>,
  object: Draft<T>,
  about?: KubeObject,
  said?: string,
): Action => ({
  type: 'create',
  ref,
  object: object as Draft<KubeObject>,
  ...(about === undefined ? {} : { about }),
  ...(said === undefined ? {} : { said }),
})
export const update = <T extends KubeObject>(ref: ResourceRef<T>, object: T): Action => ({
  type: 'update',
  ref,
  object,
})
export const remove = <T extends KubeObject>(
  ref: ResourceRef<T>,
  object: T,
  options: {
    gracePeriodSeconds?: number
    propagationPolicy?: 'Orphan' | 'Background' | 'Foreground'
    about?: KubeObject
    said?: string
  } = {},
): Action => ({ type: 'remove', ref, object, ...options })
export const patch = <T extends KubeObject>(
  ref: ResourceRef<T>,
  object: T,
  body: JsonObject,
  options: { patchType?: 'merge' | 'strategic'; subresource?: string; whole?: boolean } = {},
): Action => ({
  type: 'patch',
  ref,
  object,
  patch: body,
  patchType: options.patchType ?? 'merge',
  ...(options.subresource === undefined ? {} : { subresource: options.subresource }),
  ...(options.whole === undefined ? {} : { whole: options.whole }),
})
export const event = (
  about: KubeObject,
  kind: 'Normal' | 'Warning',
  reason: string,
  message: string,
): Action => ({ type: 'event', about, kind, reason, message })

/** The status, when it differs from what is there; nothing otherwise, so that a settled object is left in peace. */
export function updateStatus<T extends KubeObject & { readonly status?: unknown }>(
  ref: ResourceRef<T>,
  object: T,
  status: NonNullable<T['status']>,
): readonly Action[] {
  return sameJson(object.status ?? {}, status)
    ? []
    : [{ type: 'updateStatus', ref, object: { ...object, status } }]
}

/** Equal as JSON: absent and undefined are the same. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null)
    return (a ?? undefined) === (b ?? undefined)
  if (Array.isArray(a) || Array.isArray(b)) {
    return (
      Array.isArray(a) &&
      Array.isArray(b) &&
      a.length === b.length &&
      a.every((item, i) => sameJson(item, b[i]))
    )
  }
  const [left, right] = [a as JsonObject, b as JsonObject]
  for (const key of new Set([...Object.keys(left), ...Object.keys(right)]))
    if (!sameJson(left[key], right[key])) return false
  return true
}

export const keyOfObject = ({ metadata }: KubeObject): ObjectKey => ({
  name: metadata.name,
  ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
})

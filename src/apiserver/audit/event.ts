/** Audit events (audit.k8s.io/v1 Event) as they are written. */
import type { JsonObject, RequestUser, Status } from '#machinery'
import type { RequestInfo } from '../exchange.ts'
import { isObject } from '../json.ts'
import type { Detail, Stage } from './policy.ts'

export interface AuditUser {
  readonly username: string
  readonly uid?: string
  readonly groups?: readonly string[]
  readonly extra?: Readonly<Record<string, readonly string[]>>
}

export interface AuditEvent {
  readonly kind: 'Event'
  readonly apiVersion: 'audit.k8s.io/v1'
  readonly level: string
  readonly auditID: string
  readonly stage: Stage
  readonly requestURI: string
  readonly verb: string
  readonly user: AuditUser
  readonly impersonatedUser?: AuditUser
  readonly sourceIPs: readonly string[]
  readonly userAgent?: string
  readonly objectRef?: JsonObject
  readonly responseStatus?: Partial<Status>
  readonly requestObject?: unknown
  readonly responseObject?: unknown
  readonly requestReceivedTimestamp: string
  readonly stageTimestamp: string
  readonly annotations?: Readonly<Record<string, string>>
}

export const auditUser = ({ name, uid, groups, extra }: RequestUser): AuditUser => ({
  username: name,
  ...(uid === undefined ? {} : { uid }),
  ...(groups.length === 0 ? {} : { groups }),
  ...(extra === undefined ? {} : { extra }),
})

/** Six digits of seconds, as metav1.MicroTime is written. */
export const microTime = (time: Date): string => time.toISOString().replace(/Z$/, '000Z')

export function objectRef(info: RequestInfo, object: unknown): JsonObject | undefined {
  if (!info.isResource) return undefined
  const metadata = isObject(object) && isObject(object['metadata']) ? object['metadata'] : {}
  const name = info.name !== '' ? info.name : metadata['name']
  const parts = {
    resource: info.resource,
    namespace: info.namespace,
    name,
    uid: metadata['uid'],
    apiGroup: info.group,
    apiVersion: info.version,
    resourceVersion: metadata['resourceVersion'],
    subresource: info.subresource,
  }
  return Object.fromEntries(
    Object.entries(parts).filter(([, value]) => typeof value === 'string' && value !== ''),
  )
}

/** A copy without managed fields, of a list's items too. */
function withoutManagedFields(object: unknown): unknown {
  if (!isObject(object)) return object
  const { metadata, items } = object
  const copy: JsonObject = { ...object }
  if (isObject(metadata) && 'managedFields' in metadata) {
    const { managedFields: _, ...rest } = metadata
    copy['metadata'] = rest
  }
  if (Array.isArray(items)) copy['items'] = items.map(withoutManagedFields)
  return copy
}

/** What was sent or answered, as far as the level shows it. */
export const shown = (object: unknown, { omitManagedFields }: Detail): unknown =>
  omitManagedFields ? withoutManagedFields(object) : object

/** A failure whole, a success by its code alone. */
export function responseStatus(code: number, answer: unknown): Partial<Status> {
  if (!isObject(answer) || answer['kind'] !== 'Status') return { metadata: {}, code }
  const { apiVersion: _, kind: __, ...status } = answer
  return status as Partial<Status>
}

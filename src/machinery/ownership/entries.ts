/** The entries of `managedFields`: what they hold, their order, and how many there may be. */
import type { ManagedFieldsEntry } from '../meta.gen.ts'
import type { Shape } from '../shape.ts'
import { timestamp } from '../time.ts'
import { EMPTY, inOrder, union, withoutPath, type FieldSet } from './field-set.ts'

/** Who writes what, when, and by which endpoint. */
export interface OwnershipContext {
  readonly shape: Shape
  /** Of the request's version: `apps/v1`. */
  readonly apiVersion: string
  readonly manager: string
  /** '' for the resource itself. */
  readonly subresource: string
  readonly now: Date
  /** The type's zero object: nobody owns what every object has. */
  readonly zero?: Holder
  /** With the nulls that Go writes: to it they are values, which somebody can have set. */
  readonly written?: (object: Holder) => Holder
  /** Fields that this endpoint does not change, by path elements: `['f:status']`. */
  readonly resetFields?: readonly (readonly string[])[]
}

/** Never owned: they are the server's. */
const SERVERS: readonly (readonly string[])[] = [
  ['f:apiVersion'],
  ['f:kind'],
  ['f:metadata', 'f:name'],
  ['f:metadata', 'f:namespace'],
  ['f:metadata', 'f:creationTimestamp'],
  ['f:metadata', 'f:selfLink'],
  ['f:metadata', 'f:uid'],
  ['f:metadata', 'f:clusterName'],
  ['f:metadata', 'f:generation'],
  ['f:metadata', 'f:managedFields'],
  ['f:metadata', 'f:resourceVersion'],
  ['f:metadata', 'f:deletionTimestamp'],
  ['f:metadata', 'f:deletionGracePeriodSeconds'],
]
/** Update managers beyond this are folded into one. */
const MAX_UPDATE_MANAGERS = 10
const OLDEST_MANAGER = 'ancient-changes'
/** Owns what was there before anyone was noted. */
export const UNKNOWN_MANAGER = 'before-first-apply'

/** Without what nobody owns. */
export const strip = (set: FieldSet, more: readonly (readonly string[])[] = []): FieldSet =>
  [...SERVERS, ...more].reduce((left, path) => withoutPath(left, path), set)

/** Entries of one identity are one entry. */
export const identity = ({
  manager,
  operation,
  apiVersion,
  subresource,
}: ManagedFieldsEntry): string =>
  JSON.stringify([manager ?? '', operation ?? '', apiVersion ?? '', subresource ?? ''])

/** None where the object says nothing of owners. */
export const entriesOf = (
  object: { metadata?: { managedFields?: readonly ManagedFieldsEntry[] } } | undefined,
): readonly ManagedFieldsEntry[] => object?.metadata?.managedFields ?? []
export const fieldsOf = (entry: ManagedFieldsEntry | undefined): FieldSet =>
  (entry?.fieldsV1 ?? EMPTY) as FieldSet

/** What has owners. */
export interface Holder {
  readonly metadata?: {
    readonly managedFields?: readonly ManagedFieldsEntry[]
    /** Live objects have one. */
    readonly uid?: string
  }
}

/** A new entry of who writes now. */
export const entryOf = (
  { manager, apiVersion, subresource, now }: OwnershipContext,
  operation: 'Apply' | 'Update',
  fields: FieldSet,
): ManagedFieldsEntry => ({
  manager,
  operation,
  apiVersion,
  time: timestamp(now),
  fieldsType: 'FieldsV1',
  fieldsV1: fields,
  ...(subresource === '' ? {} : { subresource }),
})

/** Apply entries first; those of one operation by time, then by who they are of. */
export const ordered = (entries: readonly ManagedFieldsEntry[]): readonly ManagedFieldsEntry[] =>
  entries.toSorted(
    (a, b) =>
      inOrderOf(a.operation, b.operation) ||
      inOrderOf(a.time, b.time) ||
      inOrderOf(a.manager, b.manager) ||
      inOrderOf(a.apiVersion, b.apiVersion) ||
      inOrderOf(a.subresource, b.subresource),
  )

const inOrderOf = (a = '', b = ''): number => (a < b ? -1 : a > b ? 1 : 0)

const isEntry = ({ operation, apiVersion = '', fieldsType }: ManagedFieldsEntry): boolean =>
  (operation === 'Apply' || operation === 'Update') &&
  apiVersion !== '' &&
  fieldsType === 'FieldsV1'

/** As a client sent them; undefined where one of them cannot be understood. */
export const validEntries = (
  entries: readonly ManagedFieldsEntry[],
): readonly ManagedFieldsEntry[] | undefined =>
  entries.length > 0 && entries.every(isEntry) ? entries : undefined

/** Folds the oldest updates into one when there are too many. */
export function capped(entries: readonly ManagedFieldsEntry[]): readonly ManagedFieldsEntry[] {
  const updates = entries.filter((entry) => entry.operation === 'Update')
  if (updates.length <= MAX_UPDATE_MANAGERS) return entries
  const folded = updates.slice(0, updates.length - MAX_UPDATE_MANAGERS + 1)
  const rest = updates.slice(folded.length)
  const [first] = folded
  const merged: ManagedFieldsEntry = {
    manager: OLDEST_MANAGER,
    operation: 'Update',
    fieldsType: 'FieldsV1',
    ...(first?.apiVersion === undefined ? {} : { apiVersion: first.apiVersion }),
    ...(first?.time === undefined ? {} : { time: first.time }),
    fieldsV1: inOrder(folded.reduce<FieldSet>((set, entry) => union(set, fieldsOf(entry)), EMPTY)),
  }
  return [...entries.filter((entry) => entry.operation === 'Apply'), merged, ...rest]
}

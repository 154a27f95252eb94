/** Who owns which field: kept on every write, and what server-side apply decides by (KEP-555). */
import type { ManagedFieldsEntry, StatusCause } from './meta.gen.ts'
import {
  compare,
  difference,
  EMPTY,
  inOrder,
  intersection,
  isEmptySet,
  itemProblems,
  mergeApplied,
  pathsOf,
  removeFields,
  setOf,
  union,
  withAppliedNulls,
  withoutPath,
  type Comparison,
  type FieldSet,
} from './field-set.ts'
import { signatureOf } from './field-signature.ts'
import { goJson } from './go-json.ts'
import { fieldsOfLastApplied, withLastApplied } from './last-applied.ts'
import type { JsonObject } from './object.ts'
import { equal } from './patch/json.ts'
import type { Shape } from './shape.ts'
import { sharedFields } from './shared-fields.ts'
import { badRequest } from './status.ts'
import { timestamp } from './time.ts'

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
const UNKNOWN_MANAGER = 'before-first-apply'

const strip = (set: FieldSet, more: readonly (readonly string[])[] = []): FieldSet =>
  [...SERVERS, ...more].reduce((left, path) => withoutPath(left, path), set)

const identity = ({ manager, operation, apiVersion, subresource }: ManagedFieldsEntry): string =>
  JSON.stringify([manager ?? '', operation ?? '', apiVersion ?? '', subresource ?? ''])

const entriesOf = (
  object: { metadata?: { managedFields?: readonly ManagedFieldsEntry[] } } | undefined,
): readonly ManagedFieldsEntry[] => object?.metadata?.managedFields ?? []
const fieldsOf = (entry: ManagedFieldsEntry | undefined): FieldSet =>
  (entry?.fieldsV1 ?? EMPTY) as FieldSet

interface Holder {
  readonly metadata?: {
    readonly managedFields?: readonly ManagedFieldsEntry[]
    /** Live objects have one. */
    readonly uid?: string
  }
}

const entryOf = (
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
const ordered = (entries: readonly ManagedFieldsEntry[]): readonly ManagedFieldsEntry[] =>
  entries.toSorted(
    (a, b) =>
      inOrderOf(a.operation, b.operation) ||
      inOrderOf(a.time, b.time) ||
      inOrderOf(a.manager, b.manager) ||
      inOrderOf(a.apiVersion, b.apiVersion) ||
      inOrderOf(a.subresource, b.subresource),
  )

const inOrderOf = (a = '', b = ''): number => (a < b ? -1 : a > b ? 1 : 0)

function isReset({ metadata }: Holder, [first, second]: readonly ManagedFieldsEntry[]): boolean {
  if (metadata === undefined || !('managedFields' in metadata)) return false
  if (first === undefined) return metadata.managedFields !== undefined
  return second === undefined && Object.keys(first).length === 0
}

/** Whoever sends one empty entry, or an empty list, resets the ownership; what cannot be understood leaves the live one. */
function ownersSent(
  after: Holder,
  live: readonly ManagedFieldsEntry[],
): readonly ManagedFieldsEntry[] {
  const sent = entriesOf(after)
  return isReset(after, sent) ? [] : (validEntries(sent) ?? live)
}

/** After a create, update or patch: `before` is the live object, or the type's zero object for a create. */
export function trackUpdate(
  before: Holder,
  after: Holder,
  context: OwnershipContext,
): readonly ManagedFieldsEntry[] {
  // Through a subresource nobody changes who owns the rest.
  const live = entriesOf(before)
  const base = context.subresource === '' ? ownersSent(after, live) : live
  if (base.length === 0) {
    // What nobody owns yet stays so until somebody applies.
    if (before.metadata?.uid !== undefined) return base
    const fields = fieldsOfNew(before, after, context)
    return isEmptySet(fields) ? base : [entryOf(context, 'Update', fields)]
  }
  const { added, modified, removed } = compareWritten(before, after, context)
  const changed = strip(union(added, modified), context.resetFields)
  const gone = strip(removed, context.resetFields)
  if (isEmptySet(changed) && isEmptySet(gone)) return base
  const own = entryOf(context, 'Update', EMPTY)
  const id = identity(own)
  const entries: ManagedFieldsEntry[] = []
  let mine: FieldSet = EMPTY
  let oldTime: string | undefined
  for (const entry of base) {
    const fields = fieldsOf(entry)
    if (identity(entry) === id) {
      mine = fields
      oldTime = entry.time
      continue
    }
    const left = difference(difference(fields, changed), gone)
    if (!isEmptySet(left)) entries.push(left === fields ? entry : { ...entry, fieldsV1: left })
  }
  const owned = difference(union(mine, changed), gone)
  if (!isEmptySet(owned)) {
    entries.push({
      ...own,
      fieldsV1: inOrder(owned),
      ...(equal(owned, mine) && oldTime !== undefined && isEmptySet(modified)
        ? { time: oldTime }
        : {}),
    })
  }
  return capped(ordered(entries))
}

/** What is gone may be null now, which is a change, and what is new may have parts that are null. */
function compareWritten(
  before: Holder,
  after: Holder,
  { shape, written }: OwnershipContext,
): Comparison {
  const found = compare(shape, before, after)
  return written === undefined || (isEmptySet(found.added) && isEmptySet(found.removed))
    ? found
    : compare(shape, written(before), written(after))
}

/** Longer signatures are of objects that are like no other. */
const LONGEST_SIGNATURE = 8192
const MOST_SIGNATURES = 512
const NO_FIELDS: readonly (readonly string[])[] = []
const knownFields = new WeakMap<Shape, WeakMap<object, Map<string, FieldSet>>>()

/** What a first owner owns. Objects with the same fields share one set: most are made from few templates. */
function fieldsOfNew(before: Holder, after: Holder, context: OwnershipContext): FieldSet {
  const { shape, resetFields = NO_FIELDS } = context
  const signature = signatureOf(shape, before, after)
  if (signature === undefined || signature.length > LONGEST_SIGNATURE)
    return newFields(before, after, context)
  let byReset = knownFields.get(shape)
  if (byReset === undefined) knownFields.set(shape, (byReset = new WeakMap()))
  let known = byReset.get(resetFields)
  if (known === undefined) byReset.set(resetFields, (known = new Map()))
  let fields = known.get(signature)
  if (fields === undefined) {
    if (known.size >= MOST_SIGNATURES) known.clear()
    fields = sharedFields(goJson(JSON.stringify(newFields(before, after, context))))
    known.set(signature, fields)
  }
  return fields
}

function newFields(before: Holder, after: Holder, context: OwnershipContext): FieldSet {
  const { added, modified } = compareWritten(before, after, context)
  return inOrder(strip(union(added, modified), context.resetFields))
}

const isEntry = ({ operation, apiVersion = '', fieldsType }: ManagedFieldsEntry): boolean =>
  (operation === 'Apply' || operation === 'Update') &&
  apiVersion !== '' &&
  fieldsType === 'FieldsV1'

const validEntries = (
  entries: readonly ManagedFieldsEntry[],
): readonly ManagedFieldsEntry[] | undefined =>
  entries.length > 0 && entries.every(isEntry) ? entries : undefined

function capped(entries: readonly ManagedFieldsEntry[]): readonly ManagedFieldsEntry[] {
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

export type Applied =
  | {
      readonly ok: true
      readonly object: JsonObject
      readonly managedFields: readonly ManagedFieldsEntry[]
    }
  /** Others own what would change; causes of the 409. */
  | { readonly ok: false; readonly message: string; readonly causes: readonly StatusCause[] }

/**
 * The live object with the configuration applied. `finish` fills in defaults; it must not change its argument.
 * Owners are asked about the configuration as it was written: one that leaves out a default inside of what is
 * owned as a whole, or writes an amount in another way, takes it from them, as upstream.
 */
export function applyConfiguration(
  plain: Holder & JsonObject,
  applied: JsonObject,
  context: OwnershipContext & {
    readonly force: boolean
    readonly finish?: (object: JsonObject) => JsonObject
  },
): Applied {
  const { shape } = context
  const live = (context.written?.(plain) ?? plain) as Holder & JsonObject
  refuseDoubles(shape, applied)
  const own = entryOf(context, 'Apply', inOrder(strip(setOf(shape, applied), context.resetFields)))
  const id = identity(own)
  const entries = ownersBefore(plain, context)
  const last = entries.find((entry) => identity(entry) === id)
  // The same manager's configuration in another version is the same configuration.
  const elder =
    last ??
    entries.find(
      (entry) =>
        entry.operation === 'Apply' &&
        entry.manager === context.manager &&
        (entry.subresource ?? '') === context.subresource,
    )
  const others = entries.filter((entry) => entry !== elder)
  const mine = fieldsOf(own)
  const merged = mergeApplied(shape, live, applied) as JsonObject

  const kept = others.reduce((set, entry) => union(set, fieldsOf(entry)), mine)
  const orphaned = difference(fieldsOf(elder), kept)
  const pruned = withAppliedNulls(
    applied,
    removeFields(shape, merged, orphaned, kept),
  ) as JsonObject
  const result = context.finish?.(pruned) ?? pruned

  const { added, modified, removed } = compare(shape, live, pruned)
  const changed = strip(union(added, modified), context.resetFields)
  const conflicts = others.flatMap((entry) => {
    const fields = intersection(fieldsOf(entry), changed)
    return isEmptySet(fields) ? [] : [{ entry, fields }]
  })
  if (conflicts.length > 0 && !context.force) {
    const allowed = fieldsOfLastApplied(live, context)
    const refused = conflicts.flatMap(({ entry, fields }) => {
      const left = difference(fields, allowed)
      return isEmptySet(left) ? [] : [{ entry, fields: left }]
    })
    if (refused.length > 0) return refusal(refused)
  }

  const gone = strip(removed)
  const remaining = others.flatMap((entry) => {
    const fields = fieldsOf(entry)
    const taken = conflicts.some((conflict) => conflict.entry === entry)
      ? difference(fields, changed)
      : fields
    const left = difference(taken, gone)
    return isEmptySet(left) ? [] : [left === fields ? entry : { ...entry, fieldsV1: left }]
  })
  const unchanged =
    elder !== undefined &&
    equal(fieldsOf(elder), mine) &&
    equal(withoutManaged(plain), withoutManaged(result))
  const ownEntry = unchanged && elder.time !== undefined ? { ...own, time: elder.time } : own
  const managedFields = ordered(isEmptySet(mine) ? remaining : [...remaining, ownEntry])
  return { ok: true, object: withLastApplied(result, applied, context), managedFields }
}

const withoutManaged = (object: JsonObject): JsonObject => {
  const { managedFields: _, ...metadata } = (object['metadata'] ?? {}) as JsonObject
  return { ...object, metadata }
}

/** The owners of the live object; what nobody noted is somebody's all the same, so that applying does not take it silently. */
function ownersBefore(
  live: Holder & JsonObject,
  context: OwnershipContext,
): readonly ManagedFieldsEntry[] {
  const entries = entriesOf(live)
  const { uid } = (live['metadata'] ?? {}) as JsonObject
  if (entries.length > 0 || uid === undefined) return entries
  return trackUpdate(context.zero ?? {}, live, { ...context, manager: UNKNOWN_MANAGER })
}

/** An item that is there twice would be owned once: refused, as upstream does. */
function refuseDoubles(shape: Shape, applied: JsonObject): void {
  const problems = itemProblems(shape, applied)
  if (problems.length === 0) return
  const { apiVersion = '', kind = '' } = applied as { apiVersion?: string; kind?: string }
  const { name = '', namespace = '' } = (applied['metadata'] ?? {}) as Record<string, string>
  const version = apiVersion.includes('/') ? apiVersion : `/${apiVersion}`
  throw badRequest(
    `failed to create typed patch object (${namespace}/${name}; ${version}, Kind=${kind}): ${problems.join('\n')}`,
  )
}

function refusal(
  conflicts: readonly { readonly entry: ManagedFieldsEntry; readonly fields: FieldSet }[],
): Applied {
  const causes = conflicts.flatMap(({ entry, fields }) =>
    pathsOf(fields).map((field): StatusCause => ({
      reason: 'FieldManagerConflict',
      message: `conflict with ${shownManager(entry)}`,
      field,
    })),
  )
  const [first] = causes
  if (causes.length === 1 && first !== undefined) {
    const message = `Apply failed with 1 conflict: ${first.message}: ${first.field}`
    return { ok: false, message, causes }
  }
  const lines = conflicts
    .map(({ entry, fields }) => ({ who: shownManager(entry), paths: pathsOf(fields) }))
    .toSorted((a, b) => (a.who < b.who ? -1 : 1))
    .map(({ who, paths }) =>
      [`conflicts with ${who}:`, ...paths.map((path) => `- ${path}`)].join('\n'),
    )
  const message = `Apply failed with ${causes.length} conflicts: ${lines.join('\n')}`
  return { ok: false, message, causes }
}

function shownManager({ manager, operation, apiVersion, subresource }: ManagedFieldsEntry): string {
  const within =
    subresource === undefined || subresource === ''
      ? ''
      : ` with subresource ${JSON.stringify(subresource)}`
  const using = operation === 'Update' ? ` using ${apiVersion}` : ''
  return `${JSON.stringify(manager)}${within}${using}`
}

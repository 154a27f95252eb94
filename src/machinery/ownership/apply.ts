/** Server-side apply: what becomes of an object and its owners, or who stands in the way (KEP-555). */
import type { ManagedFieldsEntry, StatusCause } from '../meta.gen.ts'
import type { JsonObject } from '../object.ts'
import { equal } from '../patch/json.ts'
import type { Shape } from '../shape.ts'
import { badRequest } from '../status.ts'
import {
  UNKNOWN_MANAGER,
  entriesOf,
  entryOf,
  fieldsOf,
  identity,
  ordered,
  strip,
  type Holder,
  type OwnershipContext,
} from './entries.ts'
import { compare, setOf } from './compare.ts'
import {
  difference,
  inOrder,
  intersection,
  isEmptySet,
  pathsOf,
  union,
  type FieldSet,
} from './field-set.ts'
import { itemProblems } from './items.ts'
import { mergeApplied, removeFields, withAppliedNulls } from './overlay.ts'
import { fieldsOfLastApplied, withLastApplied } from './last-applied.ts'
import { trackUpdate } from './track.ts'

/** The applied object with its owners, or a conflict as the client is told of it. */
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

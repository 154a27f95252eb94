/** Who owns what after a write that did not say: kept on every create, update and patch (KEP-555). */
import { goJson } from '../go-json.ts'
import type { ManagedFieldsEntry } from '../meta.gen.ts'
import { equal } from '../patch/json.ts'
import type { Shape } from '../shape.ts'
import {
  capped,
  entriesOf,
  entryOf,
  fieldsOf,
  identity,
  ordered,
  strip,
  validEntries,
  type Holder,
  type OwnershipContext,
} from './entries.ts'
import { compare, type Comparison } from './compare.ts'
import { EMPTY, difference, inOrder, isEmptySet, union, type FieldSet } from './field-set.ts'
import { signatureOf } from './field-signature.ts'
import { sharedFields } from './shared-fields.ts'

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

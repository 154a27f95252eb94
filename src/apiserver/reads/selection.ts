/** Which objects of a resource a request is about: by namespace, name, labels and fields. */
import {
  badRequest,
  matchesLabels,
  parseFieldSelector,
  parseLabelSelector,
  type KubeObject,
  type ResourceDefinition,
} from '#machinery'
import type { StoredEntry } from '../collection.ts'
import { keyFor, rangeFor } from '../keys.ts'

export interface Selection {
  /** All keys below it. */
  readonly prefix: string
  /** The one key that can match. */
  readonly key: string | undefined
  /** Absent when every object of the range matches. */
  readonly filter: ((entry: StoredEntry) => boolean) | undefined
  /** For objects that a webhook converts: the rest of the filter, on the converted object. */
  readonly late?: ((object: KubeObject) => boolean) | undefined
  /** An equality that the filter asks for anyway, for routing events. */
  readonly hint: { readonly field: string; readonly value: string } | undefined
}

/** Fields that many watchers each select one value of. */
const ROUTED: ReadonlySet<string> = new Set(['spec.nodeName'])
const ALWAYS: readonly string[] = ['metadata.name', 'metadata.namespace']

export function select(
  definition: ResourceDefinition,
  namespace: string,
  selectors: { readonly labelSelector: string; readonly fieldSelector: string },
): Selection {
  const { facts, storagePrefix } = definition
  const prefix = rangeFor(storagePrefix, facts, namespace)
  const { labelSelector, fieldSelector } = selectors
  if (labelSelector === '' && fieldSelector === '')
    return { prefix, key: undefined, filter: undefined, hint: undefined }

  const labels = labelSelector === '' ? undefined : parseLabelSelector(labelSelector)
  let key: string | undefined
  let hint: Selection['hint']
  const fields: { field: string; value: string; equal: boolean }[] = []
  for (const { field, operator, value } of parseFieldSelector(fieldSelector)) {
    const stored = storedField(definition, field)
    const equal = operator !== '!='
    if (equal && stored === 'metadata.name' && (namespace !== '' || !facts.namespaced))
      key = keyFor(storagePrefix, facts.namespaced ? namespace : '', value)
    if (equal && ROUTED.has(stored)) hint = { field: stored, value }
    fields.push({ field: stored, value, equal })
  }
  const isLate = definition.convert?.ahead !== undefined
  const early = isLate ? fields.filter(({ field }) => ALWAYS.includes(field)) : fields
  const others = isLate ? fields.filter(({ field }) => !ALWAYS.includes(field)) : []
  const filter = (entry: StoredEntry): boolean => {
    const { index } = entry
    for (const { field, value, equal } of early)
      if (((index.fields?.[field] ?? '') === value) !== equal) return false
    return labels === undefined || matchesLabels(labels, index.labels)
  }
  if (others.length === 0) return { prefix, key, filter, hint }
  const late = (object: KubeObject): boolean => {
    const shown = definition.fields(object)
    return others.every(({ field, value, equal }) => ((shown[field] ?? '') === value) === equal)
  }
  return { prefix, key, filter, hint, late }
}

/** The name under which the stored version knows a selectable field. Throws 400 for others. */
function storedField({ facts, isCustom = false }: ResourceDefinition, field: string): string {
  const { fieldSelectors = ALWAYS, fieldSelectorAliases = {} } = facts
  const alias = fieldSelectorAliases[field]
  if (alias !== undefined) return alias
  if (fieldSelectors.includes(field) || ALWAYS.includes(field)) return field
  throw badRequest(
    !isCustom && fieldSelectors.every((each) => ALWAYS.includes(each))
      ? `${JSON.stringify(field)} is not a known field selector: only "metadata.name", "metadata.namespace"`
      : `field label not supported: ${field}`,
  )
}

/**
 * The way from client-side to server-side apply. `kubectl apply` keeps its last configuration in an annotation;
 * when it begins to apply on the server, what it wrote itself is no conflict, and the annotation follows.
 */
import { compare, setOf } from './compare.ts'
import { difference, EMPTY, type FieldSet } from './field-set.ts'
import { parseJson } from '../integers.ts'
import type { JsonObject } from '../object.ts'
import type { Shape } from '../shape.ts'

const ANNOTATION = 'kubectl.kubernetes.io/last-applied-configuration'
/** The one program that keeps the annotation. */
const KUBECTL = 'kubectl'
/** Annotations may not be larger than this together. */
const MAX_BYTES = 256 * 1024

interface Context {
  readonly shape: Shape
  readonly manager: string
}

const annotationsOf = (object: JsonObject): Readonly<Record<string, unknown>> =>
  ((object['metadata'] as JsonObject | undefined)?.['annotations'] ?? {}) as JsonObject

/** Fields that are still as the annotation of the live object says, which kubectl may take over. */
export function fieldsOfLastApplied(live: JsonObject, { shape, manager }: Context): FieldSet {
  const text = annotationsOf(live)[ANNOTATION]
  if (manager !== KUBECTL || typeof text !== 'string') return EMPTY
  let last: unknown
  try {
    last = parseJson(text)
  } catch {
    return EMPTY
  }
  if (typeof last !== 'object' || last === null || Array.isArray(last)) return EMPTY
  const { added, modified, removed } = compare(shape, last, live)
  return [added, modified, removed].reduce(difference, setOf(shape, last))
}

/** The result with an annotation that says what is applied now, if it has one. */
export function withLastApplied(
  object: JsonObject,
  applied: JsonObject,
  { manager }: Context,
): JsonObject {
  const annotations = annotationsOf(object)
  if (manager !== KUBECTL || annotations[ANNOTATION] === undefined) return object
  const { [ANNOTATION]: _, ...kept } = annotationsOf(applied)
  const metadata = { ...(applied['metadata'] as JsonObject) }
  if (Object.keys(kept).length > 0) metadata['annotations'] = kept
  else delete metadata['annotations']
  const text = `${JSON.stringify(byKey({ ...applied, metadata }))}\n`
  const next = { ...annotations, [ANNOTATION]: text.length > MAX_BYTES ? '' : text }
  return { ...object, metadata: { ...(object['metadata'] as JsonObject), annotations: next } }
}

function byKey(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(byKey)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => [key, byKey(item)]),
  )
}

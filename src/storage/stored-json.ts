/** Objects as they are stored: JSON without their revision, which is known only once they are. */
import { parseSharing } from '#machinery'
import type { Revision } from './storage.ts'

const decoder = new TextDecoder()

/** The object of stored bytes, with its revision. */
export function parseJson<T extends object>(bytes: Uint8Array, revision: Revision): T {
  const object = parseSharing(decoder.decode(bytes)) as T & { metadata?: Record<string, unknown> }
  if (object.metadata !== undefined) object.metadata['resourceVersion'] = String(revision)
  return object
}

/** The same object at another revision. */
export function withRevision<T extends object>(object: T, revision: Revision): T {
  const { metadata } = object as { metadata?: object }
  return { ...object, metadata: { ...metadata, resourceVersion: String(revision) } }
}

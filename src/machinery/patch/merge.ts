/** JSON Merge Patch, RFC 7386. */
import { ownValue, setOwn } from '../own-key.ts'

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Lists that are set: fields of their items that are null are left out, as those of objects are. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls)
  return isRecord(value) ? applyMergePatch(undefined, value) : value
}

/** A new value; what did not change is shared with the target. */
export function applyMergePatch(target: unknown, patch: unknown): unknown {
  if (!isRecord(patch)) return withoutNulls(patch)
  const result: Record<string, unknown> = isRecord(target) ? { ...target } : {}
  for (const key of Object.keys(patch)) {
    const value = patch[key]
    if (value === null) delete result[key]
    else if (value !== undefined) {
      setOwn(result, key, applyMergePatch(ownValue(result, key), value))
    }
  }
  return result
}

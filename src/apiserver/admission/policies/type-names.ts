/** Parts of an `Object{…}` are named by where they are: `Object.spec` is in `spec`, and nowhere else. */
import { CelStruct } from '#cel'

/** A mutation that cannot be made: what that means is for the failure policy to say. */
export class MutationError extends Error {}

/** Throws when a part is not where its name says. */
export function checkTypeNames(value: unknown, path = 'Object'): void {
  if (Array.isArray(value)) {
    // Items of a list are named like the list.
    for (const item of value) checkTypeNames(item, path)
    return
  }
  if (!(value instanceof CelStruct)) return
  const { typeName } = value
  if (typeName === 'JSONPatch') return
  if (typeName !== path)
    throw new MutationError(
      `unexpected type name ${JSON.stringify(typeName)}, expected ${JSON.stringify(path)}, which matches field name path from root Object type`,
    )
  for (const [key, field] of value.entries.values())
    if (typeof key === 'string') checkTypeNames(field, `${path}.${key}`)
}

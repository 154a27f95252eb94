/** Values that can never change: what was found out of one stays true. */

/** The value, frozen with all that is in it. */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  Object.freeze(value)
  for (const part of Object.values(value)) deepFreeze(part)
  return value
}

/** The function, which remembers its results for values that are frozen. They must be so with all that is in them. */
export function ofFrozen<T extends object, R extends object>(
  find: (value: T) => R,
): (value: T) => R {
  const known = new WeakMap<T, R>()
  return (value) => {
    const found = known.get(value)
    if (found !== undefined) return found
    const result = find(value)
    if (Object.isFrozen(value)) known.set(value, result)
    return result
  }
}

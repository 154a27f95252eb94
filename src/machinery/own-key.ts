/** Writing to objects whose keys come from clients. */

/** Sets a field; `__proto__` is a key like any other, as `JSON.parse` has it. */
export function setOwn(object: object, key: string, value: unknown): void {
  if (key === '__proto__')
    Object.defineProperty(object, key, {
      value,
      writable: true,
      enumerable: true,
      configurable: true,
    })
  else (object as Record<string, unknown>)[key] = value
}

/** A field that is its own, not one that every object has. */
export const ownValue = (object: object, key: string): unknown =>
  Object.hasOwn(object, key) ? (object as Record<string, unknown>)[key] : undefined

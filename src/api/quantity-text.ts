/** The one way a quantity is written. The common forms are told by their look alone. */

/** Already canonical: a whole number without trailing thousands, with a suffix or without. */
export function canonicalQuantity(value: unknown): unknown {
  return typeof value === 'number' ? String(value) : value
}

/** The one way a quantity is written. The common forms are told by their look alone. */
import { canonicalQuantity as canonicalText, formatQuantity, parseQuantity } from '#machinery'

/** Numbers that cannot be written shorter: below a thousand, and not ending in zeros that a suffix would take. */
const PLAIN = /^(?:0|[1-9]\d{0,2}(?:m|k|M|G|T)?|[1-9]\d{0,2}(?:Ki|Mi|Gi|Ti))$/

/** Text that is no quantity stays, for the decoder to refuse. */
export function canonicalQuantity(value: unknown): unknown {
  if (typeof value === 'string') return PLAIN.test(value) ? value : (canonicalText(value) ?? value)
  return typeof value === 'number' ? canonicalText(value) : value
}

const MILLI = 1_000_000n

/** An amount of a resource: nothing finer than a thousandth is given out, so it is rounded up. */
export function canonicalAmount(value: unknown): unknown {
  const text = canonicalQuantity(value)
  if (typeof text !== 'string' || !/[nu]$/.test(text)) return text
  const quantity = parseQuantity(text)
  if (quantity === undefined) return text
  const { nanos, format } = quantity
  const milli = nanos > 0n ? (nanos + MILLI - 1n) / MILLI : nanos / MILLI
  return formatQuantity({ nanos: milli * MILLI, format })
}

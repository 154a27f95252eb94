/** Numbers as Go has them: 64-bit integers, and floats, each with a look of its own. */

const LEAST = -(2 ** 63)
const MOST = 2 ** 63

/** With a part, or beyond 64 bits, it is no integer. */
export const isInt64 = (value: number | bigint): boolean =>
  typeof value === 'bigint' || (Number.isInteger(value) && value >= LEAST && value < MOST)

/** A number as Go prints it. */
export const goNumber = (value: number | bigint): string =>
  isInt64(value) ? String(value) : goFloat(value)

/** From a million on, and below 0.0001, with an exponent; of two digits at least. */
export function goFloat(number: number | bigint): string {
  const value = Number(number)
  const size = Math.abs(value)
  const isFar = size !== 0 && (size < 1e-4 || size >= 1e6)
  return (isFar ? value.toExponential() : String(value)).replace(/e([+-])(\d)$/, 'e$10$2')
}

/** Questions about quantities that validation and strategies ask. */
import { compareQuantities, parseQuantity } from '#machinery'

const ONE = 1_000_000_000n
const nanos = (quantity: string): bigint => parseQuantity(quantity)?.nanos ?? 0n

export const sameQuantity = (a: string, b: string): boolean =>
  a === b || compareQuantities(a, b) === 0
/** For ratios: exact enough for six digits. */
export const amountOf = (quantity: string): number => Number(nanos(quantity)) / Number(ONE)
export const isZeroQuantity = (quantity: string): boolean => nanos(quantity) === 0n
export const isNegative = (quantity: string): boolean => nanos(quantity) < 0n
export const isWhole = (quantity: string): boolean => nanos(quantity) % ONE === 0n

/** Quantities as numbers, where a number is what the operating system takes. */
import { milliValue, parseQuantity, quantityValue } from '#machinery'

/** The value of a quantity that the API has already validated; 0 when there is none. */
export const amountOf = (quantity: string | number | undefined): number =>
  quantity === undefined ? 0 : Number(parseQuantity(quantity)?.nanos ?? 0n) / 1e9

/** Thousandths, rounded up, as cores are counted. */
export const milliOf = milliValue
export const bytesOf = quantityValue

/** `1500` thousandths as `1500m`, `2000` as `2`. */
export const milliQuantity = (milli: number): string =>
  milli % 1000 === 0 ? String(milli / 1000) : `${milli}m`

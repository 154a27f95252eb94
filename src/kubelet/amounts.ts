/** Quantities as numbers, where a number is what the operating system takes. */

const SUFFIXES: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
}
const FORM = /^([+-]?[0-9.]+)(?:([eE][+-]?[0-9]+)|([numkMGTPE]|[KMGTPE]i))?$/

/** The value of a quantity that the API has already validated; 0 when there is none. */
export function amountOf(quantity: string | number | undefined): number {
  if (quantity === undefined) return 0
  const match = FORM.exec(String(quantity))
  if (match === null) return 0
  const [, digits = '0', exponent = '', suffix = ''] = match
  return Number(`${digits}${exponent}`) * (SUFFIXES[suffix] ?? 1)
}

/** Rounded up, as cores are counted. */
export const milliOf = (quantity: string | number | undefined): number =>
  Math.ceil(Number((amountOf(quantity) * 1000).toFixed(6)))

export const bytesOf = (quantity: string | number | undefined): number =>
  Math.ceil(Number(amountOf(quantity).toFixed(3)))

/** `1500` thousandths as `1500m`, `2000` as `2`. */
export const milliQuantity = (milli: number): string =>
  milli % 1000 === 0 ? String(milli / 1000) : `${milli}m`

/** IPv4 addresses and ranges as numbers and text. */

export interface Cidr {
  /** As text: `10.244.0.0/24`. */
  readonly text: string
  /** The first address, as a number. */
  readonly base: number
  readonly prefix: number
}

const OCTET = /^(?:0|[1-9]\d{0,2})$/

/** Undefined unless the text is four decimal octets. */
export function parseIPv4(text: string): number | undefined {
  const parts = text.split('.')
  if (parts.length !== 4) return undefined
  let value = 0
  for (const part of parts) {
    const octet = Number(part)
    if (!OCTET.test(part) || octet > 255) return undefined
    value = value * 256 + octet
  }
  return value
}

export const isIPv4 = (text: string): boolean => parseIPv4(text) !== undefined

export const formatIPv4 = (value: number): string =>
  [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255].join('.')

const size = (prefix: number): number => 2 ** (32 - prefix)

export function parseCidr(text: string): Cidr | undefined {
  const [address = '', length = '', more] = text.split('/')
  const value = parseIPv4(address)
  const prefix = Number(length)
  if (value === undefined || more !== undefined || !/^\d{1,2}$/.test(length) || prefix > 32)
    return undefined
  const base = value - (value % size(prefix))
  return { text: `${formatIPv4(base)}/${prefix}`, base, prefix }
}

export function mustParseCidr(text: string): Cidr {
  const cidr = parseCidr(text)
  if (cidr === undefined) throw new Error(`"${text}" is not an IPv4 range such as 10.244.0.0/24`)
  return cidr
}

export function cidrContains({ base, prefix }: Cidr, address: string): boolean {
  const value = parseIPv4(address)
  return value !== undefined && value >= base && value < base + size(prefix)
}

/** The address `offset` after the first of the range. */
export const addressIn = ({ base }: Cidr, offset: number): string => formatIPv4(base + offset)

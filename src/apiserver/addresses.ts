/** IPv4 addresses and ranges as numbers. */

export function parseAddress(text: string): number | undefined {
  const parts = text.split('.')
  if (parts.length !== 4) return undefined
  let address = 0
  for (const part of parts) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined
    address = address * 256 + Number(part)
  }
  return address
}

export const formatAddress = (address: number): string =>
  [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.')

export interface AddressRange {
  readonly text: string
  /** The network's own address. */
  readonly base: number
  readonly size: number
}

/** Throws for what is no IPv4 range of at least eight addresses. */
export function parseRange(text: string): AddressRange {
  const [address = '', bits = ''] = text.split('/')
  const base = parseAddress(address)
  const prefix = Number(bits)
  if (base === undefined || !/^\d{1,2}$/.test(bits) || prefix < 8 || prefix > 29)
    throw new Error(
      `Cannot give addresses to services from "${text}": it is not an IPv4 range of a size from /8 to /29`,
    )
  const size = 2 ** (32 - prefix)
  return { text, base: base - (base % size), size }
}

/** Usable addresses: neither the network's own nor the broadcast address. */
export const isUsable = ({ base, size }: AddressRange, address: number): boolean =>
  address > base && address < base + size - 1

/** Where addresses that nobody asked for begin: the ones below are left for those who name theirs (KEP-3070). */
export const dynamicOffset = ({ size }: AddressRange): number =>
  Math.min(Math.max(Math.floor(size / 16), 16), 256, Math.floor(size / 2))

/** What IP addresses and ranges may look like, in the words of Kubernetes. */
import type { NameRule } from './names.ts'

interface Address {
  /** Four or sixteen. An IPv4 address that is written as IPv6 has four. */
  readonly bytes: readonly number[]
  /** `::ffff:1.2.3.4` */
  readonly isMapped: boolean
  /** Some number has zeros before it, which other programs take for octal. */
  readonly hasLeadingZeros: boolean
}

function parseV4(text: string): Address | undefined {
  const parts = text.split('.')
  if (parts.length !== 4 || !parts.every((part) => /^\d+$/.test(part))) return undefined
  const bytes = parts.map(Number)
  if (bytes.some((byte) => byte > 255)) return undefined
  return { bytes, isMapped: false, hasLeadingZeros: parts.some((part) => /^0\d/.test(part)) }
}

function parseV6(text: string): Address | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  let hasLeadingZeros = false
  const sides: number[][] = []
  for (const [i, half] of halves.entries()) {
    const bytes: number[] = []
    const parts = half === '' ? [] : half.split(':')
    for (const [j, part] of parts.entries()) {
      // The last four bytes may be written as IPv4.
      const isLast = i === halves.length - 1 && j === parts.length - 1
      const tail = isLast ? parseV4(part) : undefined
      if (tail !== undefined) {
        bytes.push(...tail.bytes)
        hasLeadingZeros ||= tail.hasLeadingZeros
      } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
        const group = Number.parseInt(part, 16)
        bytes.push(group >> 8, group & 255)
      } else return undefined
    }
    sides.push(bytes)
  }
  const [head = [], tail] = sides
  const given = head.length + (tail?.length ?? 0)
  if (tail === undefined ? given !== 16 : given > 14) return undefined
  const gap = Array.from({ length: 16 - given }, () => 0)
  const bytes = [...head, ...gap, ...(tail ?? [])]
  const isMapped =
    bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 255 && bytes[11] === 255
  return { bytes: isMapped ? bytes.slice(12) : bytes, isMapped, hasLeadingZeros }
}

const parseAddress = (text: string): Address | undefined =>
  text.includes(':') ? parseV6(text) : parseV4(text)

/** The one way to write an address: RFC 5952 for IPv6. */
function formatAddress(bytes: readonly number[]): string {
  if (bytes.length === 4) return bytes.join('.')
  const groups = Array.from(
    { length: 8 },
    (_, i) => ((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0),
  )
  // The first of the longest runs of two zeros or more is left out.
  let start = 0
  let length = 0
  for (let i = 0; i < 8; i++) {
    let end = i
    while (end < 8 && groups[end] === 0) end++
    if (end - i > length) [start, length] = [i, end - i]
  }
  const text = (part: readonly number[]): string =>
    part.map((group) => group.toString(16)).join(':')
  if (length < 2) return text(groups)
  return `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`
}

/** The canonical text of an address; undefined for what is none. */
export function canonicalIP(text: string): string | undefined {
  const address = parseAddress(text)
  return address && formatAddress(address.bytes)
}

/** For fields that are older than strict rules: any writing that means one thing everywhere. */
export const looseIPAddress: NameRule = (value) => {
  const address = parseAddress(value)
  if (address === undefined)
    return ['must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)']
  if (address.hasLeadingZeros) return ['must not have leading 0s']
  return address.isMapped ? ['must not be an IPv4-mapped IPv6 address'] : []
}

/** An address in the one way to write it. */
export const ipAddress: NameRule = (value) => {
  const wrong = looseIPAddress(value)
  if (wrong.length > 0) return wrong
  return canonical(value, canonicalIP(value) ?? value)
}

const canonical = (value: string, form: string): readonly string[] =>
  value === form ? [] : [`must be in canonical form (${JSON.stringify(form)})`]

interface Range {
  readonly address: Address
  readonly prefix: number
  readonly hasLeadingZeros: boolean
}

function parseRange(text: string): Range | undefined {
  const slash = text.indexOf('/')
  if (slash < 0) return undefined
  const address = parseAddress(text.slice(0, slash))
  const digits = text.slice(slash + 1)
  if (address === undefined || !/^\d+$/.test(digits)) return undefined
  const prefix = Number(digits)
  if (prefix > (address.bytes.length === 4 && !address.isMapped ? 32 : 128)) return undefined
  return {
    address,
    prefix,
    hasLeadingZeros: address.hasLeadingZeros || /^0\d/.test(digits),
  }
}

/** The first address of a range. */
const firstOf = (bytes: readonly number[], prefix: number): readonly number[] =>
  bytes.map((byte, i) => {
    const kept = Math.min(Math.max(prefix - 8 * i, 0), 8)
    return byte & ((0xff << (8 - kept)) & 0xff)
  })

/** For fields that are older than strict rules: any writing of a range that means one thing everywhere. */
export const looseCIDR: NameRule = (value) => {
  const range = parseRange(value)
  if (range === undefined)
    return ['must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)']
  if (range.hasLeadingZeros) return ['must not have leading 0s in IP or prefix length']
  const { bytes, isMapped } = range.address
  if (isMapped) return ['must not have an IPv4-mapped IPv6 address']
  const first = firstOf(bytes, range.prefix)
  return bytes.every((byte, i) => byte === first[i])
    ? []
    : ['must not have bits set beyond the prefix length']
}

/** A range in the one way to write it: `10.9.8.0/24`. */
export const cidr: NameRule = (value) => {
  const wrong = looseCIDR(value)
  const range = parseRange(value)
  if (wrong.length > 0 || range === undefined) return wrong
  const first = firstOf(range.address.bytes, range.prefix)
  return canonical(value, `${formatAddress(first)}/${range.prefix}`)
}

/** An address and how much of it names the network: `10.9.8.7/24`. */
export const interfaceAddress: NameRule = (value) => {
  const range = parseRange(value)
  if (range === undefined)
    return ['must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)']
  const { address, prefix } = range
  const length = address.isMapped && prefix > 32 ? prefix - 96 : prefix
  return canonical(value, `${formatAddress(address.bytes)}/${length}`)
}

/** Whether the address is one of the range's; false for what is neither. */
export function rangeContains(range: string, address: string): boolean {
  const [{ address: base, prefix } = {}, { bytes } = {}] = [
    parseRange(range),
    parseAddress(address),
  ] as const
  if (base === undefined || prefix === undefined || bytes?.length !== base.bytes.length)
    return false
  const [a, b] = [firstOf(base.bytes, prefix), firstOf(bytes, prefix)]
  return a.every((byte, i) => byte === b[i])
}

/** How a range should be written, and whether it is; undefined for what is none. */
export function canonicalCIDR(text: string):
  | {
      /** `10.0.0.0/8` */
      readonly form: string
      /** The one address that may have been meant, when bits are set beyond the prefix: `10.0.0.1/32`. */
      readonly single: string | undefined
      /** No zeros that others take for octal, no IPv4 within IPv6. */
      readonly isStandard: boolean
    }
  | undefined {
  const range = parseRange(text)
  if (range === undefined) return undefined
  const { bytes, isMapped } = range.address
  const prefix = isMapped && range.prefix > 32 ? range.prefix - 96 : range.prefix
  const first = firstOf(bytes, prefix)
  const isFirst = bytes.every((byte, i) => byte === first[i])
  return {
    form: `${formatAddress(first)}/${prefix}`,
    single: isFirst ? undefined : `${formatAddress(bytes)}/${bytes.length * 8}`,
    isStandard: !range.hasLeadingZeros && !isMapped,
  }
}

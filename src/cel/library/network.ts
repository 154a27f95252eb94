/** Addresses and ranges of addresses. */
import { CelError } from '../errors.ts'
import { overload, type Overload } from '../functions.ts'
import { CelOpaque } from '../values.ts'
import { addressProblem, prefixProblem } from './go-address.ts'
import { inRange, nominal, parsed, parsedTwice } from './costs.ts'

const IP = 'net.IP'
const CIDR = 'net.CIDR'
const NO_RANGE = 'network address parse error during conversion from string: '
const BYTE = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)'
const IPV4 = new RegExp(`^${BYTE}(?:\\.${BYTE}){3}$`)

class Address extends CelOpaque {
  readonly typeName = IP
  readonly family: 4 | 6
  readonly bytes: readonly number[]
  constructor(family: 4 | 6, bytes: readonly number[]) {
    super()
    this.family = family
    this.bytes = bytes
  }
  override get costSize(): number {
    return this.bytes.length
  }
  equals(other: CelOpaque): boolean {
    return other instanceof Address && sameBits(this, other, this.bytes.length * 8)
  }
  /** RFC 5952. */
  toString(): string {
    if (this.family === 4) return this.bytes.join('.')
    return new URL(`http://[${plain6(this.bytes)}]`).hostname.slice(1, -1)
  }
}

const plain6 = (bytes: readonly number[]): string =>
  Array.from({ length: 8 }, (_, i) =>
    (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16),
  ).join(':')

/** Undefined when it is none. Zones, and IPv4 in the clothes of IPv6, are refused as upstream does. */
function readAddress(text: string): Address | undefined {
  if (IPV4.test(text)) return new Address(4, text.split('.').map(Number))
  if (!text.includes(':') || !/^[0-9a-fA-F:.]{2,45}$/.test(text)) return undefined
  if (!URL.canParse(`http://[${text}]`)) return undefined
  const canonical = new URL(`http://[${text}]`).hostname.slice(1, -1)
  const [head = '', tail] = canonical.split('::')
  const [before, after] = [wordsOf(head), tail === undefined ? [] : wordsOf(tail)]
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => 0)
  const bytes = [...before, ...zeros, ...after].flatMap((word) => [word >> 8, word & 255])
  return new Address(6, bytes)
}
const wordsOf = (part: string): readonly number[] =>
  part === '' ? [] : part.split(':').map((word) => Number.parseInt(word, 16))

const isMapped = ({ family, bytes }: Address): boolean =>
  family === 6 &&
  bytes.slice(0, 10).every((byte) => byte === 0) &&
  bytes[10] === 255 &&
  bytes[11] === 255

function address(text: string): Address {
  const problem = addressProblem(text)
  if (problem !== undefined)
    throw new CelError(
      `IP Address ${JSON.stringify(text)} parse error during conversion from string: ${problem}`,
    )
  if (text.includes('%'))
    throw new CelError(`IP address ${JSON.stringify(text)} with zone value is not allowed`)
  const found = readAddress(text)
  if (found === undefined || isMapped(found))
    throw new CelError(`IPv4-mapped IPv6 address ${JSON.stringify(text)} is not allowed`)
  return found
}

class Range extends CelOpaque {
  readonly typeName = CIDR
  readonly address: Address
  readonly length: number
  constructor(of: Address, length: number) {
    super()
    this.address = of
    this.length = length
  }
  /** In bytes. */
  override get costSize(): number {
    return Math.ceil(this.length / 8)
  }
  has(other: Address): boolean {
    return other.family === this.address.family && sameBits(this.address, other, this.length)
  }
  masked(): Range {
    const bytes = this.address.bytes.map((byte, i) => {
      const bits = Math.max(0, Math.min(8, this.length - i * 8))
      return byte & (0xff << (8 - bits)) & 0xff
    })
    return new Range(new Address(this.address.family, bytes), this.length)
  }
  equals(other: CelOpaque): boolean {
    return (
      other instanceof Range && other.length === this.length && this.address.equals(other.address)
    )
  }
  toString(): string {
    return `${this.address.toString()}/${this.length}`
  }
}

function sameBits(a: Address, b: Address, length: number): boolean {
  if (a.family !== b.family) return false
  for (let i = 0; i * 8 < length; i++) {
    const mask = (0xff << (8 - Math.min(8, length - i * 8))) & 0xff
    if (((a.bytes[i] ?? 0) & mask) !== ((b.bytes[i] ?? 0) & mask)) return false
  }
  return true
}

function readRange(text: string): Range | undefined {
  const match = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(text)
  const of = match?.[1] === undefined ? undefined : readAddress(match[1])
  const length = Number(match?.[2])
  if (of === undefined || isMapped(of) || length > of.bytes.length * 8) return undefined
  return new Range(of, length)
}
function range(text: string): Range {
  const found = readRange(text)
  if (found !== undefined) return found
  const problem = prefixProblem(text)
  throw new CelError(
    problem === undefined
      ? `${NO_RANGE}IPv4-mapped IPv6 address ${JSON.stringify(text)} is not allowed`
      : `${NO_RANGE}${NO_RANGE}${problem}`,
  )
}

/** Text that is no address fits no function. */
function fitting(text: string): Address {
  try {
    return address(text)
  } catch (error) {
    if (error instanceof CelError) throw new CelError('no such overload')
    throw error
  }
}

const within = (...texts: readonly string[]): ((address: Address) => boolean) => {
  const ranges = texts.map(range)
  return (of) => ranges.some((each) => each.has(of))
}
const isUnspecified = within('0.0.0.0/32', '::/128')
const isLoopback = within('127.0.0.0/8', '::1/128')
const isLinkLocalMulticast = within('224.0.0.0/24', 'ff02::/16')
const isLinkLocalUnicast = within('169.254.0.0/16', 'fe80::/10')
const isMulticast = within('224.0.0.0/4', 'ff00::/8')
const isBroadcast = within('255.255.255.255/32')
const isGlobalUnicast = (of: Address): boolean =>
  ![isUnspecified, isLoopback, isMulticast, isLinkLocalUnicast, isBroadcast].some((is) => is(of))

const isAddress = (text: string): boolean => {
  const found = readAddress(text)
  return found !== undefined && !isMapped(found)
}
const containsCidr = (outer: Range, inner: Range): boolean =>
  outer.length <= inner.length && outer.has(inner.address)
const question = (name: string, ask: (of: Address) => boolean): Overload =>
  overload(`${IP}.${name}(): bool`, ask, nominal)

export const network: readonly Overload[] = [
  overload(`::ip(string): ${IP}`, address, parsed),
  overload('::isIP(string): bool', isAddress, parsed),
  overload(
    '::ip.isCanonical(string): bool',
    (text: string) => address(text).toString() === text,
    parsedTwice,
  ),
  overload(`::string(${IP}): string`, String),
  overload(`${IP}.family(): int`, ({ family }: Address) => family, nominal),
  question('isUnspecified', isUnspecified),
  question('isLoopback', isLoopback),
  question('isLinkLocalMulticast', isLinkLocalMulticast),
  question('isLinkLocalUnicast', isLinkLocalUnicast),
  question('isGlobalUnicast', isGlobalUnicast),
  overload(`::cidr(string): ${CIDR}`, range, parsed),
  overload('::isCIDR(string): bool', (text: string) => readRange(text) !== undefined, parsed),
  overload(`::string(${CIDR}): string`, String),
  overload(`${CIDR}.ip(): ${IP}`, (of: Range) => of.address, nominal),
  overload(`${CIDR}.prefixLength(): int`, (of: Range) => of.length, nominal),
  overload(`${CIDR}.masked(): ${CIDR}`, (of: Range) => of.masked(), nominal),
  overload(
    `${CIDR}.containsIP(${IP}): bool`,
    (of: Range, other: Address) => of.has(other),
    inRange(false, false),
  ),
  overload(
    `${CIDR}.containsIP(string): bool`,
    (of: Range, other: string) => of.has(fitting(other)),
    inRange(true, false),
  ),
  overload(`${CIDR}.containsCIDR(${CIDR}): bool`, containsCidr, inRange(false, true)),
  overload(
    `${CIDR}.containsCIDR(string): bool`,
    (of: Range, other: string) => containsCidr(of, range(other)),
    inRange(true, true),
  ),
]

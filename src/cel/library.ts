/** Kubernetes' own libraries: quantities, URLs, addresses, versions, named formats (KEP-2876, KEP-4420 and later). */
import {
  asPrefix,
  dns1035Label,
  dnsLabel,
  dnsSubdomain,
  formatQuantity,
  labelValue,
  parseQuantity,
  qualifiedName,
  type NameRule,
} from '#machinery'
import { CelError, noOverload } from './errors.ts'
import { int, type Implementation } from './functions.ts'
import { List, MadeMapping, Opaque, Optional, type CelValue } from './values.ts'

const NANO = 1_000_000_000n

const textOf = (value: CelValue | undefined): string => {
  if (typeof value !== 'string') throw noOverload()
  return value
}
const contentOf = <T>(value: CelValue | undefined, type: string): T => {
  if (!(value instanceof Opaque) || value.type !== type) throw noOverload()
  return value.content as T
}
const succeeds = (run: () => unknown): boolean => {
  try {
    run()
    return true
  } catch {
    return false
  }
}

const QUANTITY = 'kubernetes.Quantity'
class QuantityValue {
  readonly nanos: bigint
  constructor(nanos: bigint) {
    this.nanos = nanos
  }
  equals(other: unknown): boolean {
    return other instanceof QuantityValue && other.nanos === this.nanos
  }
  toString(): string {
    return formatQuantity({ nanos: this.nanos, format: 'decimal' })
  }
}
const quantity = (nanos: bigint): Opaque => new Opaque(QUANTITY, new QuantityValue(nanos))
function parseQuantityValue(text: string): Opaque {
  const parsed = parseQuantity(text)
  if (parsed === undefined)
    throw new CelError(
      "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    )
  return quantity(parsed.nanos)
}
const nanosOf = (value: CelValue | undefined): bigint =>
  typeof value === 'bigint' ? value * NANO : contentOf<QuantityValue>(value, QUANTITY).nanos

const VERSION =
  /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$/
const SEMVER = 'kubernetes.Semver'
class Version {
  readonly numbers: readonly [bigint, bigint, bigint]
  readonly before: readonly string[]
  readonly #text: string
  constructor(text: string) {
    const match = VERSION.exec(text)
    if (match === null) throw new CelError('No Major.Minor.Patch elements found')
    this.numbers = [BigInt(match[1]!), BigInt(match[2]!), BigInt(match[3]!)]
    this.before = match[4]?.split('.') ?? []
    this.#text = text
  }
  equals(other: unknown): boolean {
    return other instanceof Version && compareVersions(this, other) === 0
  }
  toString(): string {
    return this.#text
  }
}
/** A leading v, missing parts and leading zeros are made good. */
function normalized(text: string): string {
  const [, core = '', rest = ''] = /^v?([^-+]*)(.*)$/.exec(text) ?? []
  const parts = core.split('.').map((part) => (/^\d+$/.test(part) ? String(BigInt(part)) : part))
  while (parts.length < 3) parts.push('0')
  return parts.join('.') + rest
}
function compareVersions(a: Version, b: Version): number {
  for (let i = 0; i < 3; i++)
    if (a.numbers[i] !== b.numbers[i]) return a.numbers[i]! < b.numbers[i]! ? -1 : 1
  if (a.before.length === 0 || b.before.length === 0)
    return Math.sign(b.before.length - a.before.length)
  for (let i = 0; i < Math.max(a.before.length, b.before.length); i++) {
    const [x, y] = [a.before[i], b.before[i]]
    if (x === undefined || y === undefined) return x === undefined ? -1 : 1
    if (x === y) continue
    const [nx, ny] = [/^\d+$/.test(x), /^\d+$/.test(y)]
    if (nx && ny) return BigInt(x) < BigInt(y) ? -1 : 1
    if (nx !== ny) return nx ? -1 : 1
    return x < y ? -1 : 1
  }
  return 0
}
const version = (text: CelValue | undefined, lenient: CelValue | undefined): Version =>
  new Version(lenient === true ? normalized(textOf(text)) : textOf(text))

const URLS = 'kubernetes.URL'
function parseUrl(text: string): URL {
  const wrong = new CelError(
    `URL parse error during conversion from string: parse ${JSON.stringify(text)}: invalid URI for request`,
  )
  if (text.startsWith('/')) {
    try {
      return new URL(text, 'relative://host')
    } catch {
      throw wrong
    }
  }
  if (!/^[a-zA-Z][a-zA-Z0-9+.-]*:\/\//.test(text)) throw wrong
  try {
    return new URL(text)
  } catch {
    throw wrong
  }
}
const urlOf = (value: CelValue | undefined): { text: string; url: URL } => contentOf(value, URLS)
const isRelative = ({ url }: { url: URL }): boolean => url.protocol === 'relative:'
/** As written: `URL` leaves out a scheme's usual port. */
const portOf = ({ text, url }: { text: string; url: URL }): string =>
  isRelative({ url }) ? '' : (/^[^:]+:\/\/[^/?#]*?:(\d+)(?:[/?#]|$)/.exec(text)?.[1] ?? '')

const IP = 'net.IP'
const CIDR = 'net.CIDR'
const BYTE = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)'
const IPV4 = new RegExp(`^${BYTE}(?:\\.${BYTE}){3}$`)
/** 4, 6, or 0 for what is no address. */
const familyOf = (text: string): 4 | 6 | 0 =>
  IPV4.test(text) ? 4 : text.includes(':') && URL.canParse(`http://[${text}]`) ? 6 : 0

class Address {
  readonly text: string
  readonly family: 4 | 6
  constructor(text: string) {
    const family = familyOf(text)
    if (family === 0) throw new CelError(`unable to parse IP address ${JSON.stringify(text)}`)
    this.family = family
    this.text = family === 4 ? text : canonical6(text)
  }
  equals(other: unknown): boolean {
    return other instanceof Address && other.text === this.text
  }
  toString(): string {
    return this.text
  }
}
/** RFC 5952. */
const canonical6 = (text: string): string => new URL(`http://[${text}]`).hostname.slice(1, -1)
function addressOf(value: CelValue | undefined): Address {
  return typeof value === 'string' ? new Address(value) : contentOf<Address>(value, IP)
}
function bytesOf({ text, family }: Address): readonly number[] {
  if (family === 4) return text.split('.').map(Number)
  const [head = '', tail] = text.split('::')
  const words = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((word) => parseInt(word, 16))
  const [before, after] = [words(head), tail === undefined ? [] : words(tail)]
  const all = [
    ...before,
    ...Array.from({ length: 8 - before.length - after.length }, () => 0),
    ...after,
  ]
  return all.flatMap((word) => [word >> 8, word & 255])
}
class Range {
  readonly address: Address
  readonly length: number
  constructor(text: string) {
    const match = /^(.+)\/(\d{1,3})$/.exec(text)
    const wrong = new CelError(
      `network address parse error during conversion from string: netip.ParsePrefix(${JSON.stringify(text)}): no '/'`,
    )
    if (match === null) throw wrong
    this.address = new Address(match[1] ?? '')
    this.length = Number(match[2])
    if (this.length > (this.address.family === 4 ? 32 : 128)) throw wrong
  }
  has(other: Address): boolean {
    if (other.family !== this.address.family) return false
    const [a, b] = [bytesOf(this.address), bytesOf(other)]
    for (let bit = 0; bit < this.length; bit++) {
      const mask = 128 >> (bit & 7)
      if ((a[bit >> 3]! & mask) !== (b[bit >> 3]! & mask)) return false
    }
    return true
  }
  masked(): Range {
    const bytes = bytesOf(this.address).map((byte, i) => {
      const bits = Math.max(0, Math.min(8, this.length - i * 8))
      return byte & (0xff << (8 - bits)) & 0xff
    })
    const text =
      this.address.family === 4
        ? bytes.join('.')
        : Array.from({ length: 8 }, (_, i) =>
            ((bytes[i * 2]! << 8) | bytes[i * 2 + 1]!).toString(16),
          ).join(':')
    return new Range(`${text}/${this.length}`)
  }
  equals(other: unknown): boolean {
    return other instanceof Range && other.toString() === this.toString()
  }
  toString(): string {
    return `${this.address.text}/${this.length}`
  }
}
const rangeOf = (value: CelValue | undefined): Range =>
  typeof value === 'string' ? new Range(value) : contentOf<Range>(value, CIDR)
const inRanges = (...texts: readonly string[]) => {
  let ranges: readonly Range[] | undefined
  return (value: CelValue | undefined): boolean => {
    ranges ??= texts.map((text) => new Range(text))
    const address = addressOf(value)
    return ranges.some((range) => range.has(address))
  }
}
const isUnspecified = inRanges('0.0.0.0/32', '::/128')
const isLoopback = inRanges('127.0.0.0/8', '::1/128')
const isLinkLocalMulticast = inRanges('224.0.0.0/24', 'ff02::/16')
const isLinkLocalUnicast = inRanges('169.254.0.0/16', 'fe80::/10')
const isMulticast = inRanges('224.0.0.0/4', 'ff00::/8')
const isBroadcast = inRanges('255.255.255.255/32')

const FORMAT = 'kubernetes.NamedFormat'
const byForm =
  (form: RegExp, words: string): NameRule =>
  (value) =>
    form.test(value) ? [] : [words]
const FORMATS: Readonly<Record<string, NameRule>> = {
  dns1123Label: dnsLabel,
  dns1123Subdomain: dnsSubdomain,
  dns1035Label,
  dns1123LabelPrefix: asPrefix(dnsLabel),
  dns1123SubdomainPrefix: asPrefix(dnsSubdomain),
  dns1035LabelPrefix: asPrefix(dns1035Label),
  qualifiedName,
  labelValue,
  uri: (value) =>
    succeeds(() => parseUrl(value))
      ? []
      : [`parse ${JSON.stringify(value)}: invalid URI for request`],
  uuid: byForm(
    /^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$/,
    'does not match the UUID format',
  ),
  byte: byForm(
    /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/,
    'invalid base64',
  ),
  date: byForm(/^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$/, 'invalid date'),
  datetime: byForm(
    /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/,
    'invalid datetime',
  ),
}

/** Functions by name; those of several types look at what they are given. */
export const libraryFunctions: Readonly<Record<string, Implementation>> = {
  quantity: (text) => parseQuantityValue(textOf(text)),
  isQuantity: (text) => parseQuantity(textOf(text)) !== undefined,
  sign: (value) => {
    const nanos = nanosOf(value)
    return nanos > 0n ? 1n : nanos < 0n ? -1n : 0n
  },
  isInteger: (value) => {
    const nanos = nanosOf(value)
    return nanos % NANO === 0n && succeeds(() => int(nanos / NANO))
  },
  asInteger: (value) => {
    const nanos = nanosOf(value)
    if (nanos % NANO !== 0n) throw new CelError('cannot convert value to integer')
    return int(nanos / NANO)
  },
  asApproximateFloat: (value) => Number(nanosOf(value)) / 1e9,
  add: (a, b) => quantity(nanosOf(a) + nanosOf(b)),
  sub: (a, b) => quantity(nanosOf(a) - nanosOf(b)),
  isLessThan: (a, b) => order(a, b) < 0,
  isGreaterThan: (a, b) => order(a, b) > 0,
  compareTo: (a, b) => BigInt(order(a, b)),
  semver: (text, lenient) => new Opaque(SEMVER, version(text, lenient)),
  isSemver: (text, lenient) => succeeds(() => version(text, lenient)),
  major: (value) => contentOf<Version>(value, SEMVER).numbers[0],
  minor: (value) => contentOf<Version>(value, SEMVER).numbers[1],
  patch: (value) => contentOf<Version>(value, SEMVER).numbers[2],
  url: (value) => {
    const text = textOf(value)
    return new Opaque(URLS, {
      text,
      url: parseUrl(text),
      toString: () => text,
      equals: (other: { text?: string }) => other.text === text,
    })
  },
  isURL: (text) => succeeds(() => parseUrl(textOf(text))),
  getScheme: (value) => (isRelative(urlOf(value)) ? '' : urlOf(value).url.protocol.slice(0, -1)),
  getHostname: (value) =>
    isRelative(urlOf(value)) ? '' : urlOf(value).url.hostname.replace(/^\[(.*)\]$/, '$1'),
  getHost: (value) => {
    const found = urlOf(value)
    const port = portOf(found)
    return isRelative(found) ? '' : `${found.url.hostname}${port === '' ? '' : `:${port}`}`
  },
  getPort: (value) => portOf(urlOf(value)),
  getEscapedPath: (value) => {
    const { text, url } = urlOf(value)
    return url.pathname === '/' && !/^(?:[^:]+:\/\/[^/?#]*)?\//.test(text) ? '' : url.pathname
  },
  getQuery: (value) => {
    const { searchParams } = urlOf(value).url
    return new MadeMapping(
      [...new Set(searchParams.keys())].map((key) => [key, new List(searchParams.getAll(key))]),
    )
  },
  ip: (value) =>
    value instanceof Opaque && value.type === CIDR
      ? new Opaque(IP, contentOf<Range>(value, CIDR).address)
      : new Opaque(IP, new Address(textOf(value))),
  isIP: (text) => succeeds(() => new Address(textOf(text))),
  'ip.isCanonical': (text) => new Address(textOf(text)).text === text,
  family: (value) => BigInt(addressOf(value).family),
  isUnspecified,
  isLoopback,
  isLinkLocalMulticast,
  isLinkLocalUnicast,
  isGlobalUnicast: (value) =>
    !isUnspecified(value) &&
    !isLoopback(value) &&
    !isMulticast(value) &&
    !isLinkLocalUnicast(value) &&
    !isBroadcast(value),
  cidr: (text) => new Opaque(CIDR, new Range(textOf(text))),
  isCIDR: (text) => succeeds(() => new Range(textOf(text))),
  containsIP: (range, address) => rangeOf(range).has(addressOf(address)),
  containsCIDR: (range, other) => {
    const [outer, inner] = [rangeOf(range), rangeOf(other)]
    return outer.length <= inner.length && outer.has(inner.address)
  },
  masked: (range) => new Opaque(CIDR, rangeOf(range).masked()),
  prefixLength: (range) => BigInt(rangeOf(range).length),
  ...Object.fromEntries(
    Object.entries(FORMATS).map(([name, rule]) => [
      `format.${name}`,
      () => new Opaque(FORMAT, { rule, toString: () => name }),
    ]),
  ),
  'format.named': (name) => {
    const rule = FORMATS[textOf(name)]
    return rule === undefined
      ? new Optional()
      : new Optional(new Opaque(FORMAT, { rule, toString: () => textOf(name) }))
  },
  validate: (format, text) => {
    const problems = contentOf<{ rule: NameRule }>(format, FORMAT).rule(textOf(text))
    return problems.length === 0 ? new Optional() : new Optional(new List(problems))
  },
  'jsonpatch.escapeKey': (key) => textOf(key).replaceAll('~', '~0').replaceAll('/', '~1'),
}

function order(a: CelValue, b: CelValue): number {
  if (a instanceof Opaque && a.type === SEMVER)
    return compareVersions(contentOf<Version>(a, SEMVER), contentOf<Version>(b, SEMVER))
  const [x, y] = [nanosOf(a), nanosOf(b)]
  return x < y ? -1 : x > y ? 1 : 0
}

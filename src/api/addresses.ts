/** IP addresses and ranges, as text. */

const V4_PART = '(?:0|[1-9]\\d?|1\\d\\d|2[0-4]\\d|25[0-5])'
const V4 = new RegExp(`^${V4_PART}(?:\\.${V4_PART}){3}$`)

/** 4 or 6, and 0 for what is no address. Leading zeros are refused: they have meant octal. */
export function isIP(text: string): 0 | 4 | 6 {
  if (V4.test(text)) return 4
  return isV6(text) ? 6 : 0
}

function isV6(text: string): boolean {
  if (!text.includes(':') || text.includes(':::')) return false
  const halves = text.split('::')
  if (halves.length > 2) return false
  let groups = 0
  for (const half of halves) {
    if (half === '') continue
    const parts = half.split(':')
    for (const [i, part] of parts.entries()) {
      const isLast = half === halves.at(-1) && i === parts.length - 1
      if (isLast && part.includes('.')) {
        if (!V4.test(part)) return false
        groups += 2
      } else {
        if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return false
        groups++
      }
    }
  }
  return halves.length === 2 ? groups < 8 : groups === 8
}

/** 4 or 6 for `10.0.0.0/8` and `fd00::/8`, 0 for what is no range. */
export function isRange(text: string): 0 | 4 | 6 {
  const slash = text.indexOf('/')
  if (slash < 0) return 0
  const family = isIP(text.slice(0, slash))
  const bits = text.slice(slash + 1)
  if (family === 0 || !/^(?:0|[1-9]\d{0,2})$/.test(bits)) return 0
  return Number(bits) <= (family === 4 ? 32 : 128) ? family : 0
}

/** The bytes of an IPv4 or IPv6 address. */
function addressBytes(text: string): readonly number[] {
  if (isIP(text) === 4) return text.split('.').map(Number)
  const [head = '', tail] = text.split('::')
  const left = groupsOf(head)
  const right = groupsOf(tail ?? '')
  const gap = tail === undefined ? 0 : 8 - left.length - right.length
  return [...left, ...Array.from({ length: gap }, () => 0), ...right].flatMap((group) => [
    group >> 8,
    group & 255,
  ])
}

function groupsOf(text: string): readonly number[] {
  if (text === '') return []
  return text.split(':').flatMap((part) => {
    if (!part.includes('.')) return [Number.parseInt(part, 16)]
    const [a = 0, b = 0, c = 0, d = 0] = part.split('.').map(Number)
    return [(a << 8) | b, (c << 8) | d]
  })
}

/** Whether an address lies in a range of its family. */
export function inRange(address: string, range: string): boolean {
  const slash = range.indexOf('/')
  const base = range.slice(0, slash)
  if (isIP(base) === 0 || isIP(base) !== isIP(address)) return false
  let bits = Number(range.slice(slash + 1))
  const a = addressBytes(address)
  const b = addressBytes(base)
  for (let i = 0; i < a.length && bits > 0; i++, bits -= 8) {
    const mask = bits >= 8 ? 255 : (255 << (8 - bits)) & 255
    if (((a[i] ?? 0) & mask) !== ((b[i] ?? 0) & mask)) return false
  }
  return true
}

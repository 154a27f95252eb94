/** What is wrong with the text of an IP address or a range, in the words of Go's netip. */

const quote = (text: string): string => JSON.stringify(text)
const isDigit = (char: string): boolean => char >= '0' && char <= '9'

/** Nothing where it is an address; zones and IPv4 in the clothes of IPv6 are. */
export function addressProblem(text: string): string | undefined {
  const problem = whyNoAddress(text)
  if (problem === undefined) return undefined
  const [why, at] = problem
  return `ParseAddr(${quote(text)}): ${why}${at === undefined ? '' : ` (at ${quote(at)})`}`
}

/** Nothing where it is a range: `10.0.0.0/8`. */
export function prefixProblem(text: string): string | undefined {
  const why = whyNoPrefix(text)
  return why === undefined ? undefined : `netip.ParsePrefix(${quote(text)}): ${why}`
}

function whyNoPrefix(text: string): string | undefined {
  const slash = text.lastIndexOf('/')
  if (slash < 0) return "no '/'"
  const address = text.slice(0, slash)
  const problem = addressProblem(address)
  if (problem !== undefined) return problem
  if (address.includes('%')) return 'IPv6 zones cannot be present in a prefix'
  const bits = text.slice(slash + 1)
  if (!/^(?:\d|[1-9]\d*)$/.test(bits)) return `bad bits after slash: ${quote(bits)}`
  const most = address.includes(':') ? 128 : 32
  return Number(bits) < 0 || Number(bits) > most ? 'prefix length out of range' : undefined
}

/** Why, and the rest of the text where it was noticed. */
type Problem = readonly [why: string, at?: string]

function whyNoAddress(text: string): Problem | undefined {
  switch (/[.:%]/.exec(text)?.[0]) {
    case '.':
      return whyNoV4(text)
    case ':':
      return whyNoV6(text)
    case '%':
      return ['missing IPv6 address']
    default:
      return ['unable to parse IP']
  }
}

function whyNoV4(text: string): Problem | undefined {
  let [value, fields, digits] = [0, 0, 0]
  for (let i = 0; i < text.length; i++) {
    const char = text.charAt(i)
    if (isDigit(char)) {
      if (digits === 1 && value === 0) return ['IPv4 field has octet with leading zero']
      value = value * 10 + Number(char)
      digits++
      if (value > 255) return ['IPv4 field has value >255']
    } else if (char === '.') {
      if (i === 0 || i === text.length - 1 || text.charAt(i - 1) === '.')
        return ['IPv4 field must have at least one digit', text.slice(i)]
      if (fields === 3) return ['IPv4 address too long']
      fields++
      value = 0
      digits = 0
    } else return ['unexpected character', text.slice(i)]
  }
  return fields < 3 ? ['IPv4 address too short'] : undefined
}

function whyNoV6(text: string): Problem | undefined {
  const percent = text.indexOf('%')
  if (percent === text.length - 1) return ['zone must be a non-empty string']
  let rest = percent < 0 ? text : text.slice(0, percent)
  let gap = false
  if (rest.startsWith('::')) {
    gap = true
    rest = rest.slice(2)
    if (rest === '') return undefined
  }
  let bytes = 0
  while (bytes < 16) {
    const group = /^[0-9a-fA-F]*/.exec(rest)?.[0] ?? ''
    if (group.length > 4) {
      const isLarge = Number.parseInt(group.slice(0, 4), 16) > 0xffff
      return isLarge
        ? ['IPv6 field has value >=2^16', rest]
        : ['each group must have 4 or fewer digits', rest]
    }
    if (group === '') return ['each colon-separated field must have at least one digit', rest]
    if (rest.charAt(group.length) === '.') {
      if (!gap && bytes !== 12)
        return ['embedded IPv4 address must replace the final 2 fields of the address', rest]
      if (bytes + 4 > 16)
        return ['too many hex fields to fit an embedded IPv4 at the end of the address', rest]
      const problem = whyNoV4(rest)
      if (problem !== undefined) return problem
      rest = ''
      bytes += 4
      break
    }
    bytes += 2
    rest = rest.slice(group.length)
    if (rest === '') break
    if (!rest.startsWith(':')) return ['unexpected character, want colon', rest]
    if (rest.length === 1) return ['colon must be followed by more characters', rest]
    rest = rest.slice(1)
    if (rest.startsWith(':')) {
      if (gap) return ['multiple :: in address', rest]
      gap = true
      rest = rest.slice(1)
      if (rest === '') break
    }
  }
  if (rest !== '') return ['trailing garbage after address', rest]
  if (bytes < 16) return gap ? undefined : ['address string too short']
  return gap ? ['the :: must expand to at least one field of zeros'] : undefined
}

/** Whether a text is an address in a request, as Go's reader of them has it (RFC 3986, and laxer where that is). */
import { canonicalIP } from '#machinery'

/** An absolute address, or a path on this server. */
export function isRequestUri(text: string): boolean {
  if (text === '' || Array.from(text).some(isControl)) return false
  if (text === '*') return true
  const split = /^([a-zA-Z][a-zA-Z0-9+.-]*):(.*)$/s.exec(text)
  if (split === null && (text.startsWith(':') || !text.startsWith('/'))) return false
  const [, scheme = '', after = text] = split ?? []
  const [rest = ''] = after.split('?')
  if (!rest.startsWith('/')) return true
  if (scheme === '' || !rest.startsWith('//')) return isEscaped(rest)
  const slash = rest.indexOf('/', 2)
  const authority = slash < 0 ? rest.slice(2) : rest.slice(2, slash)
  return isAuthority(authority, scheme.toLowerCase()) && (slash < 0 || isEscaped(rest.slice(slash)))
}

const isControl = (letter: string): boolean => letter < ' ' || letter === '\u007f'

/** A percent sign begins an escape. */
const isEscaped = (text: string): boolean => !/%(?![0-9a-fA-F]{2})/.test(text)

function isAuthority(text: string, scheme: string): boolean {
  const at = text.lastIndexOf('@')
  if (at < 0) return isHost(text, scheme)
  const user = text.slice(0, at)
  return (
    /^[A-Za-z0-9\-._:~!$&'()*+,;=%@]*$/.test(user) &&
    isEscaped(user) &&
    isHost(text.slice(at + 1), scheme)
  )
}

const PORT = /^(:\d*)?$/
/** Of names in hosts; only what is not ASCII may be escaped. */
const NAME = /^(?:[A-Za-z0-9\-._~!$&'()*+,;=:[\]<>"]|[^\0-\u007f]|%[89a-fA-F][0-9a-fA-F]|%25)*$/

function isHost(host: string, scheme: string): boolean {
  const open = host.lastIndexOf('[')
  if (open > 0) return false
  if (open === 0) return isLiteral(host)
  const [first, last] = [host.indexOf(':'), host.lastIndexOf(':')]
  const strict = scheme === 'http' || scheme === 'https'
  const colon = strict ? first : last
  return NAME.test(host) && (colon < 0 || PORT.test(host.slice(colon)))
}

/** `[fe80::1%25eth0]:80` */
function isLiteral(host: string): boolean {
  const close = host.lastIndexOf(']')
  if (close < 0 || !PORT.test(host.slice(close + 1))) return false
  const [address = '', zone] = host.slice(1, close).split(/%25(.*)/s)
  const isAddress = address.includes(':') && canonicalIP(address) !== undefined
  return isAddress && (zone === undefined || (zone !== '' && isEscaped(zone)))
}

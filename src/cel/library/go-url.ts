/** URLs as Go's net/url takes them apart, with its words for those that it does not take. */

export interface GoUrl {
  readonly scheme: string
  /** With the port, and with brackets around IPv6. */
  readonly host: string
  readonly path: string
  readonly query: string
}

const HEX = /^%[0-9a-fA-F]{2}/
const IN_HOST = /^[a-zA-Z0-9\-_.~!$&'()*+,;=:[\]<>"]$/
const USER_INFO = /^[a-zA-Z0-9\-._:~!$&'()*+,;=%@]*$/

/** What it says, or what is wrong with it as the target of a request. */
export function parseGoUrl(text: string): GoUrl | { readonly problem: string } {
  const wrong = (why: string): { readonly problem: string } => ({
    problem: `parse ${goQuote(text)}: ${why}`,
  })
  // oxlint-disable-next-line no-control-regex -- these are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(text)) return wrong('net/url: invalid control character in URL')
  if (text === '') return wrong('empty url')
  if (text === '*') return { scheme: '', host: '', path: '*', query: '' }
  if (text.startsWith(':')) return wrong('missing protocol scheme')
  const scheme = /^([a-zA-Z][a-zA-Z0-9+\-.]*):/.exec(text)?.[1] ?? ''
  const [target, query = ''] = cutAt(scheme === '' ? text : text.slice(scheme.length + 1), '?')
  const of = { scheme: scheme.toLowerCase(), query }
  if (!target.startsWith('/'))
    return scheme === '' ? wrong('invalid URI for request') : { ...of, host: '', path: '' }
  if (scheme === '' || !target.startsWith('//')) {
    const problem = escapeProblem(target)
    return problem === undefined ? { ...of, host: '', path: target } : wrong(problem)
  }
  const slash = target.indexOf('/', 2)
  const authority = slash < 0 ? target.slice(2) : target.slice(2, slash)
  const path = slash < 0 ? '' : target.slice(slash)
  const at = authority.lastIndexOf('@')
  const host = authority.slice(at + 1)
  const problem =
    hostProblem(host) ??
    (at >= 0 && !USER_INFO.test(authority.slice(0, at))
      ? 'net/url: invalid userinfo'
      : undefined) ??
    escapeProblem(path)
  return problem === undefined ? { ...of, host, path } : wrong(problem)
}

function cutAt(text: string, separator: string): readonly [string, string?] {
  const i = text.indexOf(separator)
  return i < 0 ? [text] : [text.slice(0, i), text.slice(i + 1)]
}

const portProblem = (port: string): string | undefined =>
  /^(?::\d*)?$/.test(port) ? undefined : `invalid port ${goQuote(port)} after host`

function hostProblem(host: string): string | undefined {
  if (host.startsWith('[')) {
    const end = host.lastIndexOf(']')
    if (end < 0) return "missing ']' in host"
    const problem = portProblem(host.slice(end + 1))
    if (problem !== undefined) return problem
  } else if (host.includes(':')) {
    const problem = portProblem(host.slice(host.lastIndexOf(':')))
    if (problem !== undefined) return problem
  }
  for (let i = 0; i < host.length; i++) {
    const char = host.charAt(i)
    if (char === '%') {
      const escape = host.slice(i, i + 3)
      const isGood = HEX.test(escape) && (escape >= '%8' || escape === '%25')
      if (!isGood) return `invalid URL escape ${goQuote(escape)}`
      i += 2
    } else if (char < '\u0080' && !IN_HOST.test(char))
      return `invalid character ${goQuote(char)} in host name`
  }
  return undefined
}

function escapeProblem(path: string): string | undefined {
  for (let i = path.indexOf('%'); i >= 0; i = path.indexOf('%', i + 3)) {
    const escape = path.slice(i, i + 3)
    if (!HEX.test(escape)) return `invalid URL escape ${goQuote(escape)}`
  }
  return undefined
}

/** As Go quotes: bytes that are no letters by their number. */
const goQuote = (text: string): string =>
  JSON.stringify(text).replaceAll('\u007f', String.raw`\x7f`)

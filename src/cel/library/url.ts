/** URLs. */
import { CelError } from '../errors.ts'
import { overload, type Overload } from '../functions.ts'
import { CelMap, CelOpaque } from '../values.ts'
import { nominal, parsed } from './costs.ts'

const URL_TYPE = 'kubernetes.URL'

class UrlValue extends CelOpaque {
  readonly typeName = URL_TYPE
  readonly text: string
  readonly url: URL
  constructor(text: string) {
    super()
    this.text = text
    this.url = parseUrl(text)
  }
  get isRelative(): boolean {
    return this.text.startsWith('/')
  }
  /** As it is written: `URL` leaves out the usual port of a scheme. */
  get port(): string {
    return this.isRelative
      ? ''
      : (/^[^:]+:\/\/[^/?#]*?:(\d+)(?:[/?#]|$)/.exec(this.text)?.[1] ?? '')
  }
  equals(other: CelOpaque): boolean {
    return other instanceof UrlValue && other.text === this.text
  }
  toString(): string {
    return this.text
  }
}

const RELATIVE = 'relative://host'

function parseUrl(text: string): URL {
  const why =
    text === ''
      ? 'empty url'
      : text.startsWith(':')
        ? 'missing protocol scheme'
        : 'invalid URI for request'
  const wrong = (): CelError =>
    new CelError(
      `URL parse error during conversion from string: parse ${JSON.stringify(text)}: ${why}`,
    )
  const isRelative = text.startsWith('/')
  if (!isRelative && !/^[a-zA-Z][a-zA-Z0-9+.-]*:\/\//.test(text)) throw wrong()
  if (/[\s\p{Cc}]/u.test(text)) throw wrong()
  try {
    return isRelative ? new URL(text, RELATIVE) : new URL(text)
  } catch {
    throw wrong()
  }
}
export function isUrl(text: string): boolean {
  try {
    parseUrl(text)
    return true
  } catch {
    return false
  }
}

function query({ url: { searchParams } }: UrlValue): CelMap {
  const map = new CelMap()
  for (const key of new Set(searchParams.keys())) map.insert(key, searchParams.getAll(key))
  return map
}

const get = (name: string, read: (url: UrlValue) => string): Overload =>
  overload(`${URL_TYPE}.${name}(): string`, read, nominal)

export const urls: readonly Overload[] = [
  overload(`::url(string): ${URL_TYPE}`, (text: string) => new UrlValue(text), parsed),
  overload('::isURL(string): bool', isUrl),
  get('getScheme', (value) => (value.isRelative ? '' : value.url.protocol.slice(0, -1))),
  get('getHostname', (value) =>
    value.isRelative ? '' : value.url.hostname.replace(/^\[(.*)\]$/, '$1'),
  ),
  get('getHost', (value) => {
    if (value.isRelative) return ''
    return value.port === '' ? value.url.hostname : `${value.url.hostname}:${value.port}`
  }),
  get('getPort', (value) => value.port),
  get('getEscapedPath', ({ url, text }) =>
    url.pathname === '/' && !/^(?:[^:]+:\/\/[^/?#]*)?\//.test(text) ? '' : url.pathname,
  ),
  overload(`${URL_TYPE}.getQuery(): map<string, list<string>>`, query, nominal),
]

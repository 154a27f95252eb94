/** URLs. */
import { CelError } from '../errors.ts'
import { overload, type Overload } from '../functions.ts'
import { CelMap, CelOpaque } from '../values.ts'
import { nominal, parsed } from './costs.ts'
import { parseGoUrl, type GoUrl } from './go-url.ts'

const URL_TYPE = 'kubernetes.URL'

class UrlValue extends CelOpaque {
  readonly typeName = URL_TYPE
  readonly text: string
  readonly url: GoUrl
  constructor(text: string) {
    super()
    this.text = text
    const url = parseGoUrl(text)
    if ('problem' in url)
      throw new CelError(`URL parse error during conversion from string: ${url.problem}`)
    // What comes after a # is no part of the rest.
    const before = text.split('#', 1)[0] ?? ''
    const read = parseGoUrl(before)
    this.url = before === text || 'problem' in read ? url : read
  }
  get port(): string {
    return /:(\d+)$/.exec(this.url.host)?.[1] ?? ''
  }
  get hostname(): string {
    return this.url.host.replace(/:\d*$/, '').replace(/^\[(.*)\]$/, '$1')
  }
  equals(other: CelOpaque): boolean {
    return other instanceof UrlValue && other.text === this.text
  }
  toString(): string {
    return this.text
  }
}

export const isUrl = (text: string): boolean => !('problem' in parseGoUrl(text))

function query({ url }: UrlValue): CelMap {
  const params = new URLSearchParams(url.query)
  const map = new CelMap()
  for (const key of new Set(params.keys())) map.insert(key, params.getAll(key))
  return map
}

/** With what cannot stand in a path written by its number. */
const escapedPath = (path: string): string =>
  path.replaceAll(/[^A-Za-z0-9\-._~!$&'()*+,;=:@/%[\]]/gu, (char) => encodeURIComponent(char))

const get = (name: string, read: (url: UrlValue) => string): Overload =>
  overload(`${URL_TYPE}.${name}(): string`, read, nominal)

export const urls: readonly Overload[] = [
  overload(`::url(string): ${URL_TYPE}`, (text: string) => new UrlValue(text), parsed),
  overload('::isURL(string): bool', isUrl),
  get('getScheme', ({ url }) => url.scheme),
  get('getHostname', ({ hostname }) => hostname),
  get('getHost', ({ url }) => url.host),
  get('getPort', ({ port }) => port),
  get('getEscapedPath', ({ url }) => escapedPath(url.path)),
  overload(`${URL_TYPE}.getQuery(): map<string, list<string>>`, query, nominal),
]

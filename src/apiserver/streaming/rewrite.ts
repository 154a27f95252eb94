/** Pages that come through a proxy point back through it: redirects and links get the proxy's path in front. */

export interface Rewriting {
  /** Path of the proxy, without a slash at its end. */
  readonly prefix: string
  /** `host:port` that was asked. */
  readonly target: string
  /** The Host header of the client's request. */
  readonly requestHost: string
}

/** What a link becomes. Other hosts and relative links stay. */
export function rewriteUrl(text: string, { prefix, target, requestHost }: Rewriting): string {
  const match = /^(?:([a-z][a-z0-9+.-]*):)?(?:\/\/([^/?#]*))?(\/[^?#]*)?(.*)$/is.exec(text)
  const [, scheme, host, path = '', rest = ''] = match ?? []
  const isOther = host !== undefined && host !== target && host !== requestHost
  const isRelative = path === ''
  if (isOther || isRelative || (scheme !== undefined && host === undefined)) return text
  const keepsHost = host !== undefined && host === requestHost ? `${scheme ?? ''}://${host}` : ''
  if (path === prefix || path.startsWith(`${prefix}/`)) return `${keepsHost}${path}${rest}`
  return `${keepsHost}${prefix}${path}${rest}`
}

/** Attributes that hold links, by element (HTML 4 and 5). */
const LINKS: Readonly<Record<string, readonly string[]>> = {
  a: ['href'],
  applet: ['codebase'],
  area: ['href'],
  audio: ['src'],
  base: ['href'],
  blockquote: ['cite'],
  body: ['background'],
  button: ['formaction'],
  command: ['icon'],
  del: ['cite'],
  embed: ['src'],
  form: ['action'],
  frame: ['longdesc', 'src'],
  head: ['profile'],
  html: ['manifest'],
  iframe: ['longdesc', 'src'],
  img: ['longdesc', 'src', 'usemap'],
  input: ['src', 'formaction', 'usemap'],
  ins: ['cite'],
  link: ['href'],
  object: ['classid', 'codebase', 'data', 'usemap'],
  q: ['cite'],
  script: ['src'],
  source: ['src'],
  video: ['poster', 'src'],
}

const TAG =
  /<([a-z][a-z0-9]*)((?:\s+[^\s=>"'/]+(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'>]+))?)*\s*\/?)>/gi
const ATTRIBUTE = /([^\s=>"'/]+)(\s*=\s*)(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))/g

/** The page with its links rewritten; everything else stays as it was. */
export const rewriteHtml = (page: string, rewriting: Rewriting): string =>
  page.replace(TAG, (whole, element: string, attributes: string) => {
    const links = LINKS[element.toLowerCase()]
    if (links === undefined || attributes.trim() === '') return whole
    const changed = attributes.replace(
      ATTRIBUTE,
      (
        attribute: string,
        name: string,
        equals: string,
        double: string | undefined,
        single: string | undefined,
        bare: string | undefined,
      ) => {
        if (!links.includes(name.toLowerCase())) return attribute
        const url = rewriteUrl(double ?? single ?? bare ?? '', rewriting)
        return single === undefined ? `${name}${equals}"${url}"` : `${name}${equals}'${url}'`
      },
    )
    return `<${element}${changed}>`
  })

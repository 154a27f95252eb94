/** `/openapi/v2`, `/openapi/v3` and what is below it: API descriptions that clients keep as long as they are true. */
import type { Exchange, Reply } from '../exchange.ts'
import { notAcceptable, parseAccept } from '../negotiate.ts'
import { openApiDocuments, type Document, type OpenApiSource } from './documents.ts'

export type { OpenApiSource } from './documents.ts'
export { createDescriptions, type Descriptions } from '../descriptions.ts'

export interface OpenApiPages {
  /** `/openapi/v2` */
  v2(exchange: Exchange): Promise<Reply>
  /** `/openapi/v3` */
  index(exchange: Exchange): Promise<Reply>
  /** `/openapi/v3/PATH`; undefined when there is no such document. */
  document(path: string, exchange: Exchange): Promise<Reply | undefined>
}

const JSON_TYPE = 'application/json'
/** A client that has the document of this hash never needs to ask again. */
const YEAR_SECONDS = 31_536_000

export function openApiPages(source: OpenApiSource): OpenApiPages {
  const documents = openApiDocuments(source)
  return {
    async v2(exchange) {
      const document = await documents.v2()
      negotiateJson(exchange)
      return documentReply(exchange, document, JSON_TYPE)
    },
    async index(exchange) {
      negotiateJson(exchange)
      return documentReply(exchange, await documents.index(), JSON_TYPE)
    },
    async document(path, exchange) {
      const building = documents.v3(path)
      if (building === undefined) return undefined
      negotiateJson(exchange)
      const document = await building
      const asked = exchange.query.get('hash')
      if (asked !== null && asked !== '' && asked !== document.hash) {
        // It has changed since: what was asked for is now at another address.
        return {
          status: 301,
          headers: { location: `/openapi/v3/${path}?hash=${document.hash}` },
        }
      }
      const keep =
        asked === document.hash
          ? { 'cache-control': `public, immutable, max-age=${YEAR_SECONDS}` }
          : undefined
      return documentReply(exchange, document, JSON_TYPE, keep)
    },
  }
}

function negotiateJson({ headers }: Exchange): void {
  const accept = headers['accept']
  if (accept === undefined || accept === '') return
  const wanted = parseAccept(accept).some(
    ({ type, quality }) =>
      quality > 0 && (type === JSON_TYPE || type === '*/*' || type === 'application/*'),
  )
  if (!wanted) throw notAcceptable([JSON_TYPE])
}

function documentReply(
  exchange: Exchange,
  { bytes, hash }: Document,
  contentType: string,
  more: Readonly<Record<string, string>> = {},
): Reply {
  const etag = `"${hash}"`
  const headers = { etag, vary: 'Accept-Encoding, Accept', ...more }
  const known = exchange.headers['if-none-match']
  if (known !== undefined && known.split(',').some((each) => matches(each.trim(), etag)))
    return { status: 304, headers }
  return { status: 200, headers: { ...headers, 'content-type': contentType }, body: bytes }
}

/** A compressed answer is the same document: a tag that a proxy has made weak still matches. */
const matches = (given: string, etag: string): boolean =>
  given === '*' || given === etag || given === `W/${etag}`

/** `/openapi/v2`, `/openapi/v3` and what is below it: API descriptions that clients keep as long as they are true. */
import { encodeOpenApiV3, type JsonObject } from '#machinery'
import type { Exchange, Reply } from '../exchange.ts'
import { notAcceptable, parseAccept } from '../negotiate.ts'
import { isInProcess } from '../replies.ts'
import { openApiDocuments, type Document, type OpenApiSource } from './documents.ts'

export type { OpenApiSource } from './documents.ts'

export interface OpenApiPages {
  /** `/openapi/v2` */
  v2(exchange: Exchange): Promise<Reply>
  /** `/openapi/v3` */
  index(exchange: Exchange): Promise<Reply>
  /** `/openapi/v3/NAME`, for example `apis/apps/v1`; undefined when there is no such document. */
  document(name: string, exchange: Exchange): Promise<Reply | undefined>
}

const JSON_TYPE = 'application/json'
const PROTOBUF_TYPE = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf'
const V3_PROTOBUF_TYPE = 'application/com.github.proto-openapi.spec.v3.v1.0+protobuf'

/** A client that has the document of this hash never needs to ask again. */
const YEAR_SECONDS = 31_536_000

/** Made once for a server: it follows what the source says is served. */
export function openApiPages(source: OpenApiSource): OpenApiPages {
  const documents = openApiDocuments(source)
  return {
    async v2(exchange) {
      const form = negotiateForm(exchange, [JSON_TYPE, PROTOBUF_TYPE])
      return form === PROTOBUF_TYPE
        ? documentReply(exchange, await documents.v2Protobuf(), PROTOBUF_TYPE)
        : documentReply(exchange, await documents.v2(), JSON_TYPE)
    },
    async index(exchange) {
      negotiateForm(exchange, [JSON_TYPE])
      return documentReply(exchange, await documents.index(), JSON_TYPE)
    },
    async document(name, exchange) {
      const making = documents.v3(name)
      if (making === undefined) return undefined
      const form = negotiateForm(exchange, [JSON_TYPE, V3_PROTOBUF_TYPE])
      const document = await making
      const asked = exchange.query.get('hash') ?? ''
      // It has changed since the client read the index.
      if (asked !== '' && asked !== document.hash)
        return {
          status: 301,
          headers: { location: `/openapi/v3/${name}?hash=${document.hash}` },
        }
      return documentReply(
        exchange,
        form === V3_PROTOBUF_TYPE ? inProtobuf(document) : document,
        form,
        asked === '' ? undefined : `public, immutable, max-age=${YEAR_SECONDS}`,
      )
    },
  }
}

/** Few ask for it, and seldom: it is made when they do. */
const inProtobuf = ({ bytes, hash }: Document): Document => ({
  bytes: encodeOpenApiV3(JSON.parse(new TextDecoder().decode(bytes)) as JsonObject),
  hash,
})

/** The first form that the client accepts. Throws 406 when it accepts none. */
function negotiateForm(exchange: Exchange, forms: readonly [string, ...string[]]): string {
  const accept = exchange.headers['accept']
  if (accept === undefined || accept === '' || isInProcess(exchange)) return forms[0]
  for (const { type, quality } of parseAccept(accept)) {
    if (quality <= 0) continue
    if (type === '*/*' || type === 'application/*') return forms[0]
    // Many clients write it in a way that is no media type.
    const form = type.replace(/@v1\.0\+protobuf$/, '.v1.0+protobuf')
    if (forms.includes(form)) return form
  }
  throw notAcceptable(forms)
}

function documentReply(
  exchange: Exchange,
  { bytes, hash }: Document,
  contentType: string,
  caching = 'no-cache, private',
): Reply {
  if (isInProcess(exchange))
    return { status: 200, headers: {}, value: JSON.parse(new TextDecoder().decode(bytes)) }
  const etag = `"${hash}"`
  const headers = { etag, 'cache-control': caching, vary: 'Accept-Encoding, Accept' }
  const known = exchange.headers['if-none-match']?.split(',') ?? []
  if (known.some((each) => isSame(each.trim(), etag))) return { status: 304, headers }
  return { status: 200, headers: { ...headers, 'content-type': contentType }, body: bytes }
}

/** A compressed copy is the same document: a tag that was made weak on the way still counts. */
const isSame = (given: string, etag: string): boolean =>
  given === '*' || given === etag || given === `W/${etag}`

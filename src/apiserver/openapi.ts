/** API descriptions: OpenAPI v3 by group version at hashed addresses, and v2 as a whole. Made when asked for. */
import { createHash } from 'node:crypto'
import {
  openApiName,
  openApiV2,
  openApiV3,
  openApiV3Discovery,
  openApiV3Index,
  type Describe,
  type JsonObject,
  type OpenApiOptions,
  type QueryParameters,
  type ResourceDefinition,
} from '#machinery'
import resourcesJson from '../../facts/resources.json' with { type: 'json' }
import type { Codec } from './codec.ts'
import type { Discovery } from './discovery.ts'
import type { Exchange, Reply } from './exchange.ts'
import { notAcceptable, parseAccept } from './negotiate.ts'
import type { Registry } from './registry.ts'
import { isInProcess, utf8, valueReply } from './replies.ts'
import { GIT_VERSION } from './version.ts'

export interface OpenApiPages {
  v2(exchange: Exchange): Reply
  index(exchange: Exchange): Reply
  /** `apis/apps/v1`; undefined when nothing is there. */
  document(name: string, exchange: Exchange): Reply | undefined
}

interface Document {
  readonly hash: string
  readonly make: () => JsonObject
  bytes?: Uint8Array
}

const queryParameters = resourcesJson.queryParameters as unknown as QueryParameters

export function openApiPages(
  registry: Registry,
  codec: Codec,
  discovery: Discovery,
  describe?: Describe,
): OpenApiPages {
  const options = (dialect: 'v2' | 'v3'): OpenApiOptions => ({
    queryParameters,
    version: GIT_VERSION,
    schemas: codec.extraSchemas(all, dialect),
    ...(describe === undefined ? {} : { describe }),
  })
  const all = [...registry].map(({ definition }) => definition)
  const documents = new Map<string, Document>()
  for (const groupVersion of discovery.groupVersions) {
    const { group, version } = groupVersion
    const definitions = all.filter(
      ({ facts }) => facts.group === group && facts.version === version,
    )
    documents.set(openApiName(groupVersion), {
      hash: hashOf(codec, definitions),
      make: () =>
        openApiV3(
          codec.allTypes(definitions),
          definitions.map(({ facts }) => facts),
          options('v3'),
        ),
    })
  }
  const groups = [...new Set(discovery.groupVersions.map(({ group }) => group))]
  const onDiscovery = openApiV3Discovery(codec.allTypes([]), groups, options('v3'))
  for (const [name, make] of Object.entries(onDiscovery))
    documents.set(name, { hash: hashOf(codec, [], name), make })
  let whole: { readonly bytes: Uint8Array; readonly etag: string } | undefined

  return {
    index: (exchange) =>
      valueReply(
        codec,
        exchange,
        200,
        openApiV3Index(new Map([...documents].map(([name, { hash }]) => [name, hash]))),
      ),
    document(name, exchange) {
      const document = documents.get(name)
      if (document === undefined) return undefined
      const { hash } = document
      const asked = exchange.query.get('hash')
      if (asked !== null && asked !== hash)
        return { status: 301, headers: { location: `/openapi/v3/${name}?hash=${hash}` } }
      document.bytes ??= utf8(JSON.stringify(document.make()))
      // Whoever has the hash in the address never needs to ask again.
      const caching = asked === null ? 'no-cache, private' : 'public, immutable'
      return bytesReply(exchange, document.bytes, `"${hash}"`, caching)
    },
    v2(exchange) {
      if (!acceptsJson(exchange.headers['accept'])) throw notAcceptable(['application/json'])
      if (whole === undefined) {
        const facts = all.map((each) => each.facts)
        const bytes = utf8(JSON.stringify(openApiV2(codec.allTypes(all), facts, options('v2'))))
        whole = { bytes, etag: `"${hashOf(codec, all)}"` }
      }
      return bytesReply(exchange, whole.bytes, whole.etag, 'no-cache, private')
    },
  }
}

function bytesReply(exchange: Exchange, bytes: Uint8Array, etag: string, caching: string): Reply {
  if (isInProcess(exchange))
    return { status: 200, headers: {}, value: JSON.parse(Buffer.from(bytes).toString()) }
  const headers = {
    'content-type': 'application/json',
    'cache-control': caching,
    etag,
    vary: 'Accept-Encoding, Accept',
  }
  if (exchange.headers['if-none-match'] === etag) return { status: 304, headers }
  return { status: 200, headers, body: bytes }
}

const acceptsJson = (accept: string | undefined): boolean =>
  accept === undefined ||
  accept === '' ||
  parseAccept(accept).some(({ type }) =>
    ['application/json', '*/*', 'application/*'].includes(type),
  )

/** Changes when the document does: facts of built-in types change with the program only. */
function hashOf(codec: Codec, definitions: readonly ResourceDefinition[], name = ''): string {
  const hash = createHash('sha512').update(GIT_VERSION).update(name)
  for (const definition of definitions) {
    hash.update(JSON.stringify(definition.facts))
    const own = codec.ownSchemas(definition)
    if (own !== undefined) hash.update(JSON.stringify(own))
  }
  return hash.digest('hex').toUpperCase()
}

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
import type { Descriptions } from './descriptions.ts'
import type { Discovery } from './discovery.ts'
import type { Exchange, Reply } from './exchange.ts'
import { notAcceptable, parseAccept } from './negotiate.ts'
import type { Registry } from './registry.ts'
import { isInProcess, utf8, valueReply } from './replies.ts'
import { GIT_VERSION } from './version.ts'

export interface OpenApiPages {
  v2(exchange: Exchange): Promise<Reply>
  index(exchange: Exchange): Reply
  /** `apis/apps/v1`; undefined when nothing is there. */
  document(name: string, exchange: Exchange): Promise<Reply> | undefined
}

type Make = (describe?: Describe) => JsonObject

interface Document {
  readonly hash: string
  readonly make: Make
  bytes?: Promise<Uint8Array>
}

const queryParameters = resourcesJson.queryParameters as unknown as QueryParameters

export function openApiPages(
  registry: Registry,
  codec: Codec,
  discovery: Discovery,
  descriptions?: Pick<Descriptions, 'load'>,
): OpenApiPages {
  const options = (dialect: 'v2' | 'v3', describe?: Describe): OpenApiOptions => ({
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
      make: (describe) =>
        openApiV3(
          codec.allTypes(definitions),
          definitions.map(({ facts }) => facts),
          options('v3', describe),
        ),
    })
  }
  const groups = [...new Set(discovery.groupVersions.map(({ group }) => group))]
  const onDiscovery = openApiV3Discovery(codec.allTypes([]), groups, options('v3'))
  for (const [name, make] of Object.entries(onDiscovery))
    documents.set(name, { hash: hashOf(codec, [], name), make })
  const whole: Document = {
    hash: hashOf(codec, all),
    make: (describe) =>
      openApiV2(
        codec.allTypes(all),
        all.map(({ facts }) => facts),
        options('v2', describe),
      ),
  }
  const bytesOf = (document: Document): Promise<Uint8Array> =>
    (document.bytes ??= described(document.make, descriptions))

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
        return Promise.resolve({
          status: 301,
          headers: { location: `/openapi/v3/${name}?hash=${hash}` },
        })
      // Whoever has the hash in the address never needs to ask again.
      const caching = asked === null ? 'no-cache, private' : 'public, immutable'
      return bytesOf(document).then((bytes) => bytesReply(exchange, bytes, `"${hash}"`, caching))
    },
    async v2(exchange) {
      if (!acceptsJson(exchange.headers['accept'])) throw notAcceptable(['application/json'])
      return bytesReply(exchange, await bytesOf(whole), `"${whole.hash}"`, 'no-cache, private')
    },
  }
}

/** The document with the texts of its definitions: it is made once to see which those are. */
async function described(
  make: Make,
  descriptions: Pick<Descriptions, 'load'> | undefined,
): Promise<Uint8Array> {
  const document = make()
  if (descriptions === undefined) return utf8(JSON.stringify(document))
  const { components, definitions } = document as {
    components?: { schemas?: object }
    definitions?: object
  }
  const describe = await descriptions.load(Object.keys(components?.schemas ?? definitions ?? {}))
  return utf8(JSON.stringify(make(describe)))
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

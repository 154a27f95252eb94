/** API descriptions: OpenAPI v3 by group version with hashed addresses, and v2 as a whole. */
import type { Codec } from './codec.ts'
import type { Discovery } from './discovery.ts'
import type { Exchange, Reply } from './exchange.ts'
import { pathNotFound } from './dispatch.ts'
import type { Registry } from './registry.ts'

export interface OpenApiPages {
  v2(exchange: Exchange): Reply
  index(exchange: Exchange): Reply
  document(path: string, exchange: Exchange): Reply | undefined
}

export const openApiPages = (
  _registry: Registry,
  _codec: Codec,
  _discovery: Discovery,
): OpenApiPages => ({
  v2() {
    throw pathNotFound()
  },
  index() {
    throw pathNotFound()
  },
  document: () => undefined,
})

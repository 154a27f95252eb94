/** Everything that is no resource: discovery, versions, health, metrics, API descriptions. */
import type { GroupOrder, Discovery } from './discovery.ts'
import { buildDiscovery } from './discovery.ts'
import { methodNotAllowed, type Dispatcher } from '../endpoints/index.ts'
import type { Exchange, Handler, Reply } from '../exchange.ts'
import { healthMetrics, healthReply, type Check } from './health.ts'
import { MEDIA_TYPES, negotiate, NO_SHAPES, parseAccept, type Encoding } from '../negotiate.ts'
import { nothingAt } from '../not-found.ts'
import { openApiPages } from '../openapi/index.ts'
import { encodeValue, isInProcess, isPretty, textReply, valueReply } from '../replies.ts'
import { hasHandler } from '../extensions.ts'
import type { ApiServerOptions } from '../server.ts'
import { zPages } from './z-pages.ts'
import { GIT_VERSION, versionInfo } from './version.ts'
import { idOf } from '../writes/index.ts'

export interface PageOptions {
  readonly dispatcher: Dispatcher
  readonly order: readonly GroupOrder[]
  readonly build: NonNullable<ApiServerOptions['build']>
  readonly alive: Readonly<Record<string, Check>>
  readonly ready: Readonly<Record<string, Check>>
  /** How the server was started, for /flagz. */
  readonly flags: Readonly<Record<string, string>>
  /** Texts of types and fields for the API descriptions. */
  readonly descriptions: ApiServerOptions['descriptions']
}

/** Answers for what is no resource: health, version, metrics, the index of paths. Others it gives on. */
export function pagesHandler(options: PageOptions): Handler {
  const { dispatcher, order } = options
  const { registry, codec, extensions } = dispatcher
  let discovery: Discovery | undefined
  let builtFor = -1
  const current = (): Discovery => {
    const version = registry.version + (extensions().aggregator?.version ?? 0)
    if (discovery === undefined || builtFor !== version) {
      builtFor = version
      discovery = buildDiscovery(registry, extensions(), order, '')
    }
    return discovery
  }
  const openApi = openApiPages({
    definitions: () =>
      [...registry]
        .filter(
          ({ definition, collection }) =>
            collection !== undefined || hasHandler(extensions(), idOf(definition)),
        )
        .map(({ definition }) => definition),
    types: (definitions) => codec.types.all(definitions),
    schemas: (definition, dialect) => codec.types.own(definition)?.published?.[dialect],
    remotes: () => extensions().aggregator?.apis() ?? [],
    version: GIT_VERSION,
    ...(options.descriptions === undefined ? {} : { descriptions: options.descriptions }),
  })

  const json = (exchange: Exchange, value: unknown): Reply => {
    if (isInProcess(exchange)) return { status: 200, headers: {}, value }
    const { encoding } = negotiate(exchange.headers['accept'], NO_SHAPES)
    // These have no protobuf form of interest: who prefers it takes JSON as well.
    return valueReply(codec, exchange, 200, value, encoding === 'protobuf' ? 'json' : encoding)
  }

  const discover = (exchange: Exchange, kind: 'legacy' | 'groups'): Reply => {
    const now = current()
    const wanted = aggregatedWanted(exchange.headers['accept'])
    if (wanted === undefined || isInProcess(exchange)) return json(exchange, now[kind])
    const { value, etag } = now.aggregated(kind, wanted.version)
    const headers = {
      etag,
      vary: 'Accept',
      'cache-control': 'public',
      'content-type': `${MEDIA_TYPES[wanted.encoding]};g=apidiscovery.k8s.io;v=${wanted.version};as=APIGroupDiscoveryList`,
    }
    if (exchange.headers['if-none-match'] === etag) return { status: 304, headers }
    return {
      status: 200,
      headers,
      body: encodeValue(codec, value, wanted.encoding, isPretty(exchange)),
    }
  }

  const debugging = zPages({
    clock: dispatcher.env.clock,
    version: GIT_VERSION,
    runtime: 'none',
    paths: ['/flagz', '/healthz', '/livez', '/metrics', '/readyz', '/statusz', '/version'],
    flags: options.flags,
    encode: (value, encoding) => encodeValue(codec, value, encoding, false),
  })
  const pages: Readonly<Record<string, (exchange: Exchange) => Reply | Promise<Reply>>> = {
    '/version': (exchange) => json(exchange, versionInfo(options.build)),
    '/api': (exchange) => discover(exchange, 'legacy'),
    '/apis': (exchange) => discover(exchange, 'groups'),
    '/metrics': async () => {
      const text = await dispatcher.env.metrics.text()
      return textReply(200, text, 'text/plain; version=0.0.4; charset=utf-8')
    },
    '/metrics/slis': async () => {
      const { alive, ready } = options
      const text = await healthMetrics({ healthz: alive, livez: alive, readyz: ready })
      return textReply(200, text, 'text/plain; version=0.0.4; charset=utf-8')
    },
    ...debugging,
    '/openapi/v2': (exchange) => openApi.v2(exchange),
    '/openapi/v3': (exchange) => openApi.index(exchange),
    '/': (exchange) => json(exchange, { paths: paths(current(), pages) }),
  }

  return async (exchange) => {
    const path =
      exchange.path.length > 1 && exchange.path.endsWith('/')
        ? exchange.path.slice(0, -1)
        : exchange.path
    const own = extensions().pages?.[path]
    if (own !== undefined) return own(exchange)
    const hasMethod = exchange.method === 'GET' || !isRouted(path)
    if (!hasMethod && pages[path] !== undefined) throw methodNotAllowed()
    const page = pages[path]
    if (page !== undefined) return page(exchange)
    const [first = '', second = '', third = '', ...more] = path.slice(1).split('/')
    if (first === 'healthz' || first === 'livez') return healthReply(first, options.alive, exchange)
    if (first === 'readyz') return healthReply('readyz', options.ready, exchange)
    if (first === 'openapi' && second === 'v3') {
      const document = await openApi.document([third, ...more].join('/'), exchange)
      if (document !== undefined) return document
    }
    const now = current()
    const found =
      first === 'api' && third === ''
        ? now.version('', second)
        : first === 'apis' && more.length === 0
          ? third === ''
            ? now.group(second)
            : now.version(second, third)
          : undefined
    if (found === undefined || !hasMethod)
      throw found === undefined ? nothingAt(registry, path) : methodNotAllowed()
    return json(exchange, found)
  }
}

/** What stands beside the API answers any method alike. */
const isRouted = (path: string): boolean => /^\/(version|apis?)(\/|$)/.test(path)

/** The aggregated form is a parameter of the media type, and the first that we know counts. */
function aggregatedWanted(
  accept: string | undefined,
): { readonly encoding: Encoding; readonly version: 'v2' | 'v2beta1' } | undefined {
  if (accept === undefined || !accept.includes('APIGroupDiscoveryList')) return undefined
  for (const { type, parameters, quality } of parseAccept(accept)) {
    if (quality <= 0) continue
    if (type !== 'application/json' && type !== 'application/yaml' && type !== '*/*') continue
    const { as, g, v } = parameters
    if (as === undefined) return undefined
    if (as !== 'APIGroupDiscoveryList' || g !== 'apidiscovery.k8s.io') continue
    if (v === 'v2' || v === 'v2beta1')
      return { encoding: type === 'application/yaml' ? 'yaml' : 'json', version: v }
  }
  return undefined
}

function paths(discovery: Discovery, pages: object): readonly string[] {
  const groups = new Set<string>()
  for (const { group, version } of discovery.groupVersions) {
    if (group === '') groups.add(`/api/${version}`)
    else {
      groups.add(`/apis/${group}`)
      groups.add(`/apis/${group}/${version}`)
    }
  }
  return [
    ...Object.keys(pages).filter((path) => path !== '/'),
    ...groups,
    '/healthz',
    '/livez',
    '/readyz',
    '/.well-known/openid-configuration',
    '/openid/v1/jwks',
  ].toSorted()
}

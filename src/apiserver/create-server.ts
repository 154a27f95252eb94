/** Puts the server together. The chain below is the order in which a request meets its filters. */
import { groupFacts } from '#api'
import type { Service } from '#api'
import type { RequestUser } from '#machinery'
import { RequestMetrics, accessMetrics, admissionMetrics } from './metrics/index.ts'
import { parseRange } from './addresses.ts'
import { withExpressionChecks } from './admission/expression-checks.ts'
import { withAudit, withFailedAuthenticationAudit } from './audit/index.ts'
import { Codec } from './codec/index.ts'
import type { Collection } from './collection.ts'
import { componentStatuses, describeBuild, pagesHandler, startChecks } from './pages/index.ts'
import {
  completeDefinition,
  followDefinitions,
  objectRemover,
  webhookConversion,
} from './custom-resources/index.ts'
import { resourceHandler, type Dispatcher } from './endpoints/index.ts'
import { EventSweeper } from './event-sweeper.ts'
import { chain, type Handler, type RequestInfo } from './exchange.ts'
import {
  withAuthentication,
  withAuthorization,
  withDeadline,
  withErrorResponses,
  withImpersonation,
  withRequestInfo,
  withTracing,
} from './filters/index.ts'
import {
  createFlowControl,
  flowControlPages,
  followFlowControl,
  withPriorityAndFairness,
} from './flowcontrol/index.ts'
import { listen } from './http/index.ts'
import { inProcessTransport } from './in-process.ts'
import { registryReader } from './reader.ts'
import { Registry } from './registry.ts'
import type { Extensions } from './extensions.ts'
import type { Listening } from './http/index.ts'
import type { ServerInside } from './inside.ts'
import type { ApiServer, ApiServerOptions } from './server.ts'
import { serviceAllocator } from './service-allocator.ts'
import { idOf, type Allocator, type Writer } from './writes/index.ts'

const REQUEST_TIMEOUT_MS = 60_000
const IN_FLIGHT = { reading: 400, writing: 200 }
const SLOW_MS = 500
const SERVICE_RANGE = '10.96.0.0/12'
const NODE_PORTS = { first: 30_000, last: 32_767 }

/** The server itself, where it works on its own account. */
const SERVER: RequestUser = {
  name: 'system:apiserver',
  groups: ['system:masters', 'system:authenticated'],
}

/** Reads begin once `ready` resolves; a socket is opened by `listen`. */
export function createApiServer(options: ApiServerOptions): ApiServer {
  const { env, storage } = options
  const codec = new Codec(options.types)
  const closing = new AbortController()
  const sweeper = new EventSweeper(storage, env)
  const registry = new Registry(storage, env, {
    freeze: options.freeze ?? false,
    onCollection(collection, definition) {
      if (idOf(definition) === 'events' || idOf(definition) === 'events.events.k8s.io')
        sweeper.follow(collection)
    },
  })
  for (const definition of options.definitions)
    registry.add(withExpressionChecks(completeDefinition(definition)))
  const metrics = new RequestMetrics(
    env.metrics,
    () => registry.objectCounts(),
    ({ group, version, resource }) =>
      resource === '' ||
      registry.get(group, version, resource) !== undefined ||
      extended()
        .aggregator?.apis()
        .some((api) => api.group === group && api.version === version) === true,
  )
  const access = accessMetrics(env.metrics)
  describeBuild(env.metrics, options.build)

  let extensions: Extensions | undefined
  const extended = (): Extensions => {
    // Built after the caches are there, because what it builds reads from them.
    if (extensions === undefined) throw new Error('the server is used before it is made')
    return extensions
  }
  const writer: Writer = {
    env,
    codec,
    admissionMetrics: admissionMetrics(env.metrics),
    admission: () => extended().admission,
    authorizer: () => extended().authorizer,
    allocators: allocatorsFor(options, registry),
  }
  const dispatcher: Dispatcher = {
    env,
    codec,
    registry,
    writer,
    metrics,
    extensions: extended,
  }

  const resources = resourceHandler(dispatcher)
  const checks = {
    ping: () => undefined,
    log: () => undefined,
    etcd: async () => void (await storage.get('/registry/health')),
  }
  let started = false
  const starts = startChecks(() => started, options.startChecks)
  const components = { ...options.components, 'etcd-0': checks.etcd }
  const allReady = (): Promise<unknown> =>
    Promise.all([...registry.collections()].map((collection) => collection.ready))
  const pages = pagesHandler({
    dispatcher,
    order: groupFacts,
    build: options.build ?? {},
    alive: { ...checks, ...starts },
    ready: {
      ...checks,
      'etcd-readiness': checks.etcd,
      'informer-sync': async () => void (await allReady()),
      ...starts,
      ...options.readyChecks,
      shutdown() {
        if (closing.signal.aborted) throw new Error('process is shutting down')
      },
    },
    flags: flagsOf(options),
    descriptions: options.descriptions,
  })
  const dispatch: Handler = (exchange) =>
    extended().aggregator?.handle(exchange) ??
    (exchange.info?.isResource === true ? resources(exchange) : pages(exchange))

  // What is built upon the server may already call it: the chain looks these up when it is used.
  const authenticator: Extensions['authenticator'] = {
    authenticate: (exchange) => extended().authenticator.authenticate(exchange),
  }
  const authorizer: Extensions['authorizer'] = {
    authorize: (attributes) => extended().authorizer.authorize(attributes),
  }
  const { reading, writing } = options.maxInFlight ?? IN_FLIGHT
  const flowControl = createFlowControl(env, { seats: reading + writing })
  const countOf = ({ group, version, resource }: RequestInfo): number =>
    registry.get(group, version, resource)?.collection?.cache.size ?? 0
  const handler = chain(dispatch, [
    withErrorResponses(codec, env),
    withRequestInfo(env, metrics, SLOW_MS),
    withDeadline(env, options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS),
    ...(options.audit === undefined ? [] : [withFailedAuthenticationAudit(options.audit, env)]),
    withAuthentication(authenticator, env, access),
    withTracing(env),
    ...(options.audit === undefined
      ? []
      : [withAudit(options.audit, env, (bytes, type) => codec.decoder.readAny(bytes, type))]),
    withImpersonation(authorizer),
    withPriorityAndFairness(flowControl, metrics, countOf),
    withAuthorization(authorizer, env, access),
  ])

  const transport = (user: RequestUser) => inProcessTransport(handler, user, env, closing.signal)
  const inside: ServerInside = {
    read: registryReader(registry, () => storage.revisions().current),
    transport,
    definitions: () => [...registry].map(({ definition }) => definition),
    definitionOf: (group, resource, version) => registry.find(group, resource, version)?.definition,
    merge: (definition, object, configuration) =>
      codec.types.merge(definition, object, configuration),
  }
  const given = options.extend(inside)
  const custom = (): Promise<void> =>
    followDefinitions({
      env,
      read: inside.read,
      transport: transport(SERVER),
      convert: webhookConversion(() => extended().callWebhook, env),
      async add(definition, schemas) {
        codec.types.register(definition, schemas)
        await registry.add(definition).collection?.ready
      },
      remove: (definition) => registry.remove(definition),
      removeObjects: objectRemover(writer, registry, SERVER),
      signal: closing.signal,
    })
  extensions = {
    ...given,
    pages: { ...flowControlPages(flowControl), ...given.pages },
    virtualReads: {
      componentstatuses: (_exchange, { name }) => componentStatuses(components, name),
      ...given.virtualReads,
    },
  }

  let stopFollowing = (): void => undefined
  const ready = allReady().then(async () => {
    stopFollowing = followFlowControl(flowControl, inside.read)
    await custom()
    started = true
  })
  const listening = new Set<Listening>()
  return {
    handler,
    ready,
    inside,
    aggregator: given.aggregator,
    transport,
    async listen(where) {
      const opened = await listen(handler, where, env)
      listening.add(opened)
      return opened
    },
    addResource(definition, schemas) {
      if (schemas !== undefined) codec.types.register(definition, schemas)
      registry.add(definition)
    },
    removeResource: (definition) => registry.remove(definition),
    async close() {
      closing.abort()
      stopFollowing()
      await Promise.all([...listening].map((each) => each.close()))
      sweeper.close()
      registry.close()
    },
  }
}

/** The settings by the names that kube-apiserver has for them. */
function flagsOf({
  serviceRange = SERVICE_RANGE,
  nodePorts = NODE_PORTS,
  requestTimeoutMs = REQUEST_TIMEOUT_MS,
  maxInFlight = IN_FLIGHT,
}: ApiServerOptions): Readonly<Record<string, string>> {
  return {
    'max-mutating-requests-inflight': String(maxInFlight.writing),
    'max-requests-inflight': String(maxInFlight.reading),
    'request-timeout': `${requestTimeoutMs / 1000}s`,
    'service-cluster-ip-range': serviceRange,
    'service-node-port-range': `${nodePorts.first}-${nodePorts.last}`,
  }
}

function allocatorsFor(
  options: ApiServerOptions,
  registry: Registry,
): Readonly<Record<string, Allocator>> {
  const services = (): Iterable<Service> => {
    const collection: Collection | undefined = registry.get('', 'v1', 'services')?.collection
    return (collection?.cache.list().entries ?? []).map((entry) => entry.object as Service)
  }
  return {
    services: serviceAllocator({
      range: parseRange(options.serviceRange ?? SERVICE_RANGE),
      nodePorts: options.nodePorts ?? NODE_PORTS,
      random: () => options.env.random.next(),
      services,
    }),
  }
}

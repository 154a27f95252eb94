/** APIs of other servers under this one's roof (kube-aggregator): requests, discovery, descriptions, and whether they are there. */
import { apiServices, customResourceDefinitions, endpointSlices, services } from '#api'
import type { APIService } from '#api'
import type { Env } from '#base'
import { createWorkQueue, type Transport } from '#client'
import { isStatus, timestamp, type JsonObject } from '#machinery'
import type { Exchange, Reply } from '../exchange.ts'
import { isObject } from '../json.ts'
import type { Reader } from '../inside.ts'
import {
  LOCAL,
  PASSED,
  failedCheck,
  shownAddress,
  unreachable,
  withAvailability,
  type Availability,
} from './availability.ts'
import { createDirectory, isAvailable } from './directory.ts'
import { AUTOMANAGED, changes, localServices, type Change, type GroupVersion } from './local.ts'
import { createAggregatedProxy, type AggregatedProxyOptions } from './proxy.ts'
import { describedOf, resourcesOf, type Described } from './remote-api.ts'

export { groupPriority } from './local.ts'
export type { GroupVersion } from './local.ts'

/** A group version that another server serves. */
export interface RemoteApi extends GroupVersion {
  readonly groupPriority: number
  readonly versionPriority: number
  /** As aggregated discovery has them; none are known yet when they are absent. */
  readonly resources: readonly JsonObject[]
  /** The server is not there: this is what was known of it. */
  readonly isStale: boolean
  readonly described: Described | undefined
  /** Of its OpenAPI v3 document; undefined when it has none. */
  readonly v3Hash: string | undefined
}

export interface Aggregator {
  /** The answer of another server; undefined when the request is for this one. */
  handle(exchange: Exchange): Promise<Reply> | undefined
  apis(): readonly RemoteApi[]
  /** Grows whenever `apis` gives something else. */
  readonly version: number
  /** Watches over the other servers, and says which groups are here, until the signal aborts. */
  run(options: {
    /** With the identity of the API server. */
    readonly transport: Transport
    readonly builtIn: readonly GroupVersion[]
    readonly signal: AbortSignal
  }): void
}

export interface AggregatorOptions extends AggregatedProxyOptions {
  readonly env: Pick<Env, 'clock' | 'net' | 'random' | 'log' | 'metrics'>
  readonly read: Reader
}

const CHECK_MS = 30_000
const CHECK_TIMEOUT_MS = 5000
const FIRST_RETRY_MS = 1000
const DESCRIPTION_MS = 60_000
const PATH = '/apis/apiregistration.k8s.io/v1/apiservices'
/** Checks under way at once. */
const WORKERS = 5

/** What has been learnt of one server. */
interface Learnt {
  readonly resources: readonly JsonObject[]
  readonly isStale: boolean
  readonly described: Described | undefined
  readonly v3Hash: string | undefined
  /** Of the OpenAPI v2 document, and when it was last asked for. */
  readonly etag: string
  readonly describedAt: number
}
const NOTHING: Learnt = {
  resources: [],
  isStale: true,
  described: undefined,
  v3Hash: undefined,
  etag: '',
  describedAt: -Infinity,
}

/**
 * Sends requests for group versions of APIServices to their servers, and tells in discovery and OpenAPI what
 * those serve.
 */
export function createAggregator(options: AggregatorOptions): Aggregator {
  const { env, read } = options
  const proxy = createAggregatedProxy(options)
  const directory = createDirectory(read)
  const learnt = new Map<string, Learnt>()
  let version = 0
  const learn = (name: string, next: Learnt | undefined): void => {
    if (next === undefined) learnt.delete(name)
    else learnt.set(name, next)
    version++
  }

  env.metrics.gauge(
    {
      name: 'aggregator_unavailable_apiservice',
      help: 'Whether the server of an aggregated API is out of reach.',
      labels: ['name'],
    },
    () =>
      directory.remotes.map(({ service }) => [
        [service.metadata.name],
        isAvailable(service) ? 0 : 1,
      ]),
  )
  const unavailable = env.metrics.counter({
    name: 'aggregator_unavailable_apiservice_total',
    help: 'How often an aggregated API was found to be out of reach, and why.',
    labels: ['name', 'reason'],
  })

  const run: Aggregator['run'] = ({ transport, builtIn, signal }) => {
    const queue = createWorkQueue(env)
    const enqueueUsers = ({ namespace, name }: { namespace?: string; name: string }): void => {
      for (const { service } of directory.remotes) {
        const used = service.spec.service
        if (used?.namespace === namespace && used?.name === name) queue.add(service.metadata.name)
      }
    }
    const stops = [
      read.onChange(apiServices, ({ object }) => queue.add(object.metadata.name)),
      read.onChange(services, ({ object }) => enqueueUsers(object.metadata)),
      read.onChange(endpointSlices, ({ object: { metadata } }) => {
        const name = metadata.labels?.['kubernetes.io/service-name']
        if (name !== undefined) enqueueUsers({ ...metadata, name })
      }),
    ]
    signal.addEventListener('abort', () => {
      for (const stop of stops) stop()
      proxy.close()
    })
    const failures = new Map<string, number>()
    const look = async (name: string): Promise<void> => {
      const service = read.get(apiServices, '', name)
      if (service === undefined) {
        learn(name, undefined)
        failures.delete(name)
        return
      }
      const availability = await availabilityOf(service, signal)
      if (signal.aborted) return
      const isHere = availability.status === 'True'
      if (!isHere) {
        unavailable.with(name, availability.reason ?? '').add()
        const known = learnt.get(name) ?? NOTHING
        if (!known.isStale || !learnt.has(name)) learn(name, { ...known, isStale: true })
      }
      await writeStatus(transport, service, availability)
      if (service.spec.service === undefined) return
      const failed = isHere ? 0 : (failures.get(name) ?? 0) + 1
      failures.set(name, failed)
      queue.addAfter(
        name,
        failed === 0 ? CHECK_MS : Math.min(FIRST_RETRY_MS * 2 ** (failed - 1), CHECK_MS),
      )
    }
    queue.run(look, {
      concurrency: WORKERS,
      signal,
      onError: (name, error) =>
        env.log.warn('Cannot tell whether an aggregated API is available', { name, error }),
    })
    for (const { metadata } of read.list(apiServices)) queue.add(metadata.name)
    void followLocals(transport, builtIn, signal)
  }

  const availabilityOf = async (
    service: APIService,
    signal: AbortSignal,
  ): Promise<Availability> => {
    const reference = service.spec.service
    if (reference === undefined) return LOCAL
    const { namespace = '', name = '' } = reference
    const problem = unreachable(service, {
      service: read.get(services, namespace, name),
      slices: read
        .list(endpointSlices, namespace)
        .filter(({ metadata }) => metadata.labels?.['kubernetes.io/service-name'] === name),
    })
    return problem ?? check(service, signal)
  }

  /** Asks the server for its list of resources, and remembers it. */
  const check = async (service: APIService, signal: AbortSignal): Promise<Availability> => {
    const { group = '', version: of = '', service: reference } = service.spec
    const path = `/apis/${group}/${of}`
    const { namespace = '', name: called = '', port = 443 } = reference ?? {}
    const host = shownAddress(read.get(services, namespace, called), { namespace, called, port })
    const url = `https://${host}${path}`
    const late = new AbortController()
    const cancel = env.clock.schedule(CHECK_TIMEOUT_MS, () =>
      late.abort(new Error('context deadline exceeded')),
    )
    const either = AbortSignal.any([signal, late.signal])
    try {
      const { status, text } = await proxy.ask(service, path, { signal: either })
      if (status < 200 || status > 299)
        return failedCheck(`${url}: bad status from ${url}: ${status}`)
      const { name } = service.metadata
      const known = learnt.get(name) ?? NOTHING
      const resources = resourcesOf(parsed(text), group, of) ?? []
      const isNew = known.isStale || JSON.stringify(known.resources) !== JSON.stringify(resources)
      if (isNew) learn(name, { ...known, resources, isStale: false })
      await describe(service, either)
      return PASSED
    } catch (error) {
      const why = late.signal.aborted
        ? 'context deadline exceeded'
        : error instanceof Error
          ? error.message
          : String(error)
      // Which of its endpoints was asked changes from time to time; the address that is told does not.
      const told = why.replace(/^dial tcp \S+:\d+:/, `dial tcp ${host}:`)
      return failedCheck(`${url}: Get ${JSON.stringify(url)}: ${told}`)
    } finally {
      cancel()
    }
  }

  /** Its API descriptions, which it may well not have. */
  const describe = async (service: APIService, signal: AbortSignal): Promise<void> => {
    const { name } = service.metadata
    const known = learnt.get(name) ?? NOTHING
    const now = env.clock.monotonic()
    if (now - known.describedAt < DESCRIPTION_MS) return
    const { group = '', version: of = '' } = service.spec
    try {
      const v2 = await proxy.ask(service, '/openapi/v2', {
        signal,
        ...(known.etag === '' ? {} : { etag: known.etag }),
      })
      const v3 = await proxy.ask(service, '/openapi/v3', { signal })
      const isChanged = v2.status === 200
      const v3Hash = v3.status === 200 ? hashIn(parsed(v3.text), group, of) : undefined
      const next: Learnt = {
        ...known,
        v3Hash,
        describedAt: now,
        ...(isChanged
          ? { described: describedOf(parsed(v2.text), { group, version: of }), etag: v2.etag }
          : {}),
      }
      if (isChanged || v3Hash !== known.v3Hash) learn(name, next)
      else learnt.set(name, next)
    } catch (error) {
      env.log.info('an aggregated API gives no description of itself', { name, error })
      learnt.set(name, { ...known, describedAt: now })
    }
  }

  const writeStatus = async (
    transport: Transport,
    service: APIService,
    availability: Availability,
  ): Promise<void> => {
    const conditions = withAvailability(
      service.status?.conditions ?? [],
      availability,
      timestamp(env.clock.now()),
    )
    if (conditions === undefined) return
    try {
      await transport.request({
        method: 'PUT',
        path: `${PATH}/${service.metadata.name}/status`,
        body: {
          ...service,
          apiVersion: 'apiregistration.k8s.io/v1',
          kind: 'APIService',
          status: { ...service.status, conditions },
        },
        cause: `apiservice/${service.metadata.name}`,
      })
    } catch (error) {
      // It has changed meanwhile: that brings it here again.
      if (!isStatus(error, 'Conflict') && !isStatus(error, 'NotFound')) throw error
    }
  }

  /** Once for what is built in; whenever they change for custom resources. */
  const followLocals = async (
    transport: Transport,
    builtIn: readonly GroupVersion[],
    signal: AbortSignal,
  ): Promise<void> => {
    const queue = createWorkQueue(env)
    let isStart = true
    queue.run(
      async () => {
        const wanted = localServices(builtIn, read.list(customResourceDefinitions))
        // What an administrator has removed stays away until the next start.
        const isDue = (change: Change): boolean =>
          isStart ||
          change.type === 'delete' ||
          change.service.metadata.labels?.[AUTOMANAGED] !== 'onstart'
        const due = changes(wanted, read.list(apiServices)).filter(isDue)
        await Promise.all(due.map((change) => carryOut(transport, change)))
        isStart = false
      },
      {
        concurrency: 1,
        signal,
        onError: (_key, error) => env.log.warn('Cannot keep the local APIServices', { error }),
      },
    )
    queue.add('all')
    const stop = read.onChange(customResourceDefinitions, () => queue.add('all'))
    signal.addEventListener('abort', stop)
  }

  return {
    handle(exchange) {
      const wanted = groupVersionIn(exchange.path)
      if (wanted === undefined) return undefined
      const remote = directory.find(wanted.group, wanted.version)
      if (remote === undefined) return undefined
      const { name } = remote.service.metadata
      if (wanted.isDescription && learnt.get(name)?.v3Hash === undefined) return undefined
      return proxy.carry(exchange, remote.service)
    },
    apis: () =>
      directory.remotes.map(({ group, version: of, service }) => {
        const { resources, isStale, described, v3Hash } =
          learnt.get(service.metadata.name) ?? NOTHING
        return {
          group,
          version: of,
          groupPriority: service.spec.groupPriorityMinimum,
          versionPriority: service.spec.versionPriority,
          resources,
          isStale,
          described,
          v3Hash,
        }
      }),
    get version() {
      return version + directory.version
    },
    run,
  }
}

async function carryOut(transport: Transport, change: Change): Promise<void> {
  try {
    await transport.request(
      change.type === 'create'
        ? { method: 'POST', path: PATH, body: change.service, cause: 'local apiservices' }
        : { method: 'DELETE', path: `${PATH}/${change.name}`, cause: 'local apiservices' },
    )
  } catch (error) {
    if (!isStatus(error, 'AlreadyExists') && !isStatus(error, 'NotFound')) throw error
  }
}

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

/** Of an OpenAPI v3 index. */
function hashIn(index: unknown, group: string, version: string): string | undefined {
  const paths = isObject(index) ? index['paths'] : undefined
  const entry = isObject(paths) ? paths[`apis/${group}/${version}`] : undefined
  const url = isObject(entry) ? entry['serverRelativeURL'] : undefined
  return typeof url === 'string' ? (/[?&]hash=([^&]+)/.exec(url)?.[1] ?? '') : undefined
}

/** `/apis/GROUP/VERSION…`, `/openapi/v3/apis/GROUP/VERSION` */
function groupVersionIn(
  path: string,
): (GroupVersion & { readonly isDescription: boolean }) | undefined {
  const isDescription = path.startsWith('/openapi/v3/apis/')
  if (!isDescription && !path.startsWith('/apis/')) return undefined
  const [group = '', version = ''] = path
    .slice(isDescription ? '/openapi/v3/apis/'.length : '/apis/'.length)
    .split('/', 2)
  return group === '' || version === '' ? undefined : { group, version, isDescription }
}

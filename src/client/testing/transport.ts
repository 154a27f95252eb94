/** A transport to a server in memory: enough of the API for controllers, the scheduler and the kubelet. */
import { definitions, findDefinition } from '#api'
import type { Clock } from '#base'
import {
  apiVersionOf,
  badRequest,
  expired,
  matchesFields,
  matchesLabels,
  notFound,
  parseFieldSelector,
  parseLabelSelector,
  StatusError,
  type JsonObject,
  type KubeObject,
  type ObjectKey,
  type WatchEvent,
} from '#machinery'
import type { ApiRequest, Transport } from '../transport.ts'
import {
  createObjectStore,
  type DeleteRequest,
  type ObjectStore,
  type ResourceName,
  type StoredEvent,
} from './object-store.ts'

export interface MemoryTransportOptions {
  readonly clock: Pick<Clock, 'now' | 'schedule'>
  /** How long events are on their way to watchers. Default 0: at once. */
  readonly watchDelayMs?: number
  /** Throws, or gives a promise that rejects, to make a request fail. */
  readonly before?: (request: ApiRequest) => void | Promise<void>
  /** Custom resources, for discovery. */
  readonly custom?: readonly (ResourceName & { kind: string; namespaced: boolean })[]
}

export interface MemoryTransport extends Transport {
  readonly store: ObjectStore
  /** All requests but watches, in order. */
  readonly requests: readonly ApiRequest[]
  /** Ends all watches; with `expire` their revisions are gone too. */
  disconnect(options?: { readonly expire?: boolean }): void
}

export function memoryTransport(options: MemoryTransportOptions): MemoryTransport {
  const { clock, watchDelayMs = 0, before, custom = [] } = options
  const store = createObjectStore(options)
  const requests: ApiRequest[] = []
  const watchers = new Set<() => void>()
  let oldest = 0

  return {
    store,
    requests,
    disconnect({ expire = false } = {}) {
      if (expire) oldest = store.revision + 1
      for (const end of watchers) end()
    },
    async request(request) {
      await Promise.resolve()
      request.signal?.throwIfAborted()
      await before?.(request)
      requests.push(request)
      const discovery = discoveryOf(request.path, custom)
      if (discovery !== undefined) return discovery
      return answer(store, parsePath(request.path), request)
    },
    async watch(request) {
      await Promise.resolve()
      request.signal?.throwIfAborted()
      await before?.(request)
      const { resource, key } = parsePath(request.path)
      const query = request.query ?? {}
      const selects = selectionOf(resource, key.namespace, query)
      const from = query['resourceVersion']
      const pending: WatchEvent[] = []
      let wake: () => void = () => undefined
      let ended = false
      const push = (...events: readonly WatchEvent[]): void => {
        pending.push(...events)
        wake()
      }
      const show = ({ event, previous, resource: of }: StoredEvent): void => {
        if (of.group !== resource.group || of.resource !== resource.resource) return
        const now = event.type !== 'DELETED' && selects(event.object)
        const was = previous !== undefined && selects(previous)
        const type = now ? (was ? 'MODIFIED' : 'ADDED') : was ? 'DELETED' : undefined
        if (type !== undefined) push({ type, object: event.object })
      }
      if (query['sendInitialEvents'] === 'true') {
        for (const object of store.list(resource).filter(selects)) push({ type: 'ADDED', object })
        push(bookmark(resource, store.revision, { 'k8s.io/initial-events-end': 'true' }))
      } else if (from !== undefined && from !== '0') {
        if (Number(from) < oldest) throw expired(`too old resource version: ${from} (${oldest})`)
        for (const each of store.log) if (each.revision > Number(from)) show(each)
      }
      const stopListening = store.onEvent((each) => {
        if (watchDelayMs === 0) show(each)
        else clock.schedule(watchDelayMs, () => show(each))
      })
      const end = (): void => {
        ended = true
        stopListening()
        watchers.delete(end)
        wake()
      }
      watchers.add(end)
      request.signal?.addEventListener('abort', end, { once: true })
      return (async function* () {
        try {
          for (;;) {
            if (pending.length > 0) yield pending.splice(0)
            else if (ended) return
            else await new Promise<void>((resolve) => (wake = resolve))
          }
        } finally {
          end()
        }
      })()
    },
  }
}

interface ParsedPath {
  readonly resource: ResourceName
  readonly key: { readonly namespace?: string; readonly name?: string }
  readonly subresource: string
}

function parsePath(path: string): ParsedPath {
  const parts = path.split('/').filter(Boolean).map(decodeURIComponent)
  const [root, ...rest] = parts
  const group = root === 'apis' ? (rest.shift() ?? '') : ''
  const version = rest.shift() ?? ''
  let namespace: string | undefined
  const ofNamespace = ['status', 'finalize']
  if (rest[0] === 'namespaces' && rest.length > 2 && !ofNamespace.includes(rest[2] ?? '')) {
    namespace = rest[1]
    rest.splice(0, 2)
  }
  const [resource = '', name, subresource = ''] = rest
  return {
    resource: { group, version, resource },
    key: {
      ...(namespace === undefined ? {} : { namespace }),
      ...(name === undefined ? {} : { name }),
    },
    subresource,
  }
}

function answer(
  store: ObjectStore,
  { resource, key, subresource }: ParsedPath,
  { method, query = {}, body, contentType }: ApiRequest,
): unknown {
  const { name } = key
  const selects = selectionOf(resource, key.namespace, query)
  if (name === undefined)
    switch (method) {
      case 'GET':
        return {
          kind: 'List',
          metadata: { resourceVersion: String(store.revision) },
          items: store.list(resource).filter(selects),
        }
      case 'POST':
        return store.create(resource, inNamespace(body as KubeObject, key.namespace))
      case 'DELETE':
        for (const object of store.list(resource).filter(selects))
          store.delete(resource, object.metadata, body as DeleteRequest | undefined)
        return { kind: 'Status', status: 'Success' }
      default:
        throw badRequest(`${method} of a collection`)
    }
  const at: ObjectKey = { ...key, name }
  const found = store.get(resource, at)
  if (found === undefined) throw notFound(resource, name)
  if (method === 'POST') return post(store, at, subresource, body as JsonObject)
  switch (method) {
    case 'GET':
      return found
    case 'PUT':
      return put(store, resource, body as KubeObject, subresource)
    case 'PATCH':
      return store.patch(resource, at, {
        contentType: contentType ?? '',
        patch: body,
        subresource: subresource === 'scale' ? '' : subresource,
      })
    case 'DELETE':
      return (
        store.delete(resource, at, body as DeleteRequest | undefined) ?? {
          kind: 'Status',
          status: 'Success',
        }
      )
  }
}

function put(
  store: ObjectStore,
  resource: ResourceName,
  object: KubeObject,
  subresource: string,
): KubeObject {
  if (subresource === 'finalize') {
    const old = store.get(resource, object.metadata)
    const { finalizers } = (object as { spec?: { finalizers?: readonly string[] } }).spec ?? {}
    return store.update(
      resource,
      { ...old, spec: { finalizers: finalizers ?? [] } } as never,
      subresource,
    )
  }
  return store.update(resource, object, subresource)
}

function post(store: ObjectStore, key: ObjectKey, subresource: string, body: JsonObject): unknown {
  const pods = { group: '', version: 'v1', resource: 'pods' }
  switch (subresource) {
    case 'binding': {
      const pod = store.get(pods, key) as unknown as JsonObject
      const spec = pod['spec'] as JsonObject
      const { name } = body['target'] as { name: string }
      const status = pod['status'] as { conditions?: readonly { type: string }[] } | undefined
      const conditions = [
        ...(status?.conditions ?? []).filter(({ type }) => type !== 'PodScheduled'),
        { type: 'PodScheduled', status: 'True' },
      ]
      store.update(pods, { ...pod, spec: { ...spec, nodeName: name } } as never, 'binding')
      const bound = store.get(pods, key) as unknown as JsonObject
      const patched = { ...bound, status: { ...(bound['status'] as JsonObject), conditions } }
      store.update(pods, patched as never, 'status')
      return { kind: 'Status', status: 'Success' }
    }
    case 'eviction':
      store.delete(pods, key, body['deleteOptions'] as DeleteRequest)
      return { kind: 'Status', status: 'Success' }
    default:
      throw new StatusError('MethodNotAllowed', `no subresource ${subresource}`)
  }
}

const inNamespace = (object: KubeObject, namespace: string | undefined): KubeObject =>
  namespace === undefined ? object : { ...object, metadata: { ...object.metadata, namespace } }

function selectionOf(
  resource: ResourceName,
  namespace: string | undefined,
  query: Readonly<Record<string, string>>,
): (object: KubeObject) => boolean {
  const labels = parseLabelSelector(query['labelSelector'] ?? '')
  const fields = parseFieldSelector(query['fieldSelector'] ?? '')
  const definition = findDefinition(resource.group, resource.version, resource.resource)
  return (object) =>
    (namespace === undefined || object.metadata.namespace === namespace) &&
    matchesLabels(labels, object.metadata.labels) &&
    (fields.length === 0 ||
      matchesFields(fields, {
        'metadata.name': object.metadata.name,
        'metadata.namespace': object.metadata.namespace ?? '',
        ...definition?.fields(object),
      }))
}

const bookmark = (
  resource: ResourceName,
  revision: number,
  annotations: Record<string, string>,
): WatchEvent => ({
  type: 'BOOKMARK',
  object: {
    apiVersion: apiVersionOf(resource),
    metadata: { resourceVersion: String(revision), annotations } as never,
  },
})

function discoveryOf(path: string, custom: NonNullable<MemoryTransportOptions['custom']>): unknown {
  const all = [
    ...definitions
      .filter(({ facts }) => facts.persisted)
      .map(({ facts }) => ({ ...facts, verbs: facts.verbs })),
    ...custom.map((each) => ({ ...each, verbs: ['list', 'watch', 'delete', 'deletecollection'] })),
  ]
  if (path === '/apis') {
    const groups = new Set(all.map(({ group }) => group).filter((group) => group !== ''))
    return {
      groups: [...groups].map((name) => {
        const versions = [
          ...new Set(all.filter(({ group }) => group === name).map(({ version }) => version)),
        ].map((version) => ({ groupVersion: `${name}/${version}`, version }))
        return { name, versions, preferredVersion: versions[0] }
      }),
    }
  }
  const match = /^\/(?:api|apis\/([^/]+))\/([^/]+)$/.exec(path)
  if (match === null) return undefined
  const [, group = '', version] = match
  return {
    groupVersion: version,
    resources: all
      .filter((each) => each.group === group && each.version === version)
      .map(({ resource, kind, namespaced, verbs }) => ({
        name: resource,
        kind,
        namespaced,
        verbs,
      })),
  }
}

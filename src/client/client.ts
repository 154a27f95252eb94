/** Typed calls to the API, one method for each verb. */
import type { Draft, JsonObject, KubeObject, ObjectKey, ResourceRef, WatchEvent } from '#machinery'
import { apiVersionOf, isStatus } from '#machinery'
import { resourcePath } from './paths.ts'
import type { ApiRequest, Transport } from './transport.ts'

/** A page of a list. */
export interface ListResult<T> {
  readonly items: readonly T[]
  /** Revision of the snapshot: a watch goes on from here. */
  readonly resourceVersion: string
  readonly continue?: string
}

/** Of any call. */
export interface CallOptions {
  readonly signal?: AbortSignal
  /** What led to this call, for the journal: `replicaset/shop/web@1234`. */
  readonly cause?: string
  readonly dryRun?: boolean
  readonly fieldManager?: string
  /** The trace that it belongs to (W3C Trace Context). */
  readonly traceparent?: string
}

/** What of a collection is wanted. */
export interface ListOptions extends CallOptions {
  /** Absent: all namespaces. */
  readonly namespace?: string
  readonly labelSelector?: string
  readonly fieldSelector?: string
  readonly limit?: number
  readonly continue?: string
  readonly resourceVersion?: string
}

/** Where a watch begins, and what it is of. */
export interface WatchOptions extends Omit<ListOptions, 'limit' | 'continue'> {
  readonly allowBookmarks?: boolean
  /** Begins with the current objects and a bookmark that ends them (KEP-3157). */
  readonly sendInitialEvents?: boolean
  readonly timeoutSeconds?: number
}

/** How an object goes, and when it must not. */
export interface DeleteOptions extends CallOptions {
  readonly gracePeriodSeconds?: number
  readonly propagationPolicy?: 'Orphan' | 'Background' | 'Foreground'
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string }
}

/** How a patch is to be understood: each is a media type of its own on the wire. */
export type PatchType = 'merge' | 'strategic' | 'json' | 'apply'

const PATCH_TYPES: Readonly<Record<PatchType, string>> = {
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  json: 'application/json-patch+json',
  apply: 'application/apply-patch+yaml',
}

/** The API in the types of its resources, over any transport. */
export interface Client {
  readonly transport: Transport
  get<T extends KubeObject>(ref: ResourceRef<T>, key: ObjectKey, options?: CallOptions): Promise<T>
  /** Undefined when it is not there. */
  getOptional<T extends KubeObject>(
    ref: ResourceRef<T>,
    key: ObjectKey,
    options?: CallOptions,
  ): Promise<T | undefined>
  list<T extends KubeObject>(ref: ResourceRef<T>, options?: ListOptions): Promise<ListResult<T>>
  watch<T extends KubeObject>(
    ref: ResourceRef<T>,
    options?: WatchOptions,
  ): Promise<AsyncIterable<readonly WatchEvent<T>[]>>
  create<T extends KubeObject>(
    ref: ResourceRef<T>,
    object: Draft<T>,
    options?: CallOptions,
  ): Promise<T>
  update<T extends KubeObject>(
    ref: ResourceRef<T>,
    object: T,
    options?: CallOptions & { readonly subresource?: string },
  ): Promise<T>
  updateStatus<T extends KubeObject>(
    ref: ResourceRef<T>,
    object: T,
    options?: CallOptions,
  ): Promise<T>
  patch<T extends KubeObject>(
    ref: ResourceRef<T>,
    key: ObjectKey,
    type: PatchType,
    patch: unknown,
    options?: CallOptions & { readonly subresource?: string; readonly force?: boolean },
  ): Promise<T>
  /** Server-side apply. */
  apply<T extends KubeObject>(
    ref: ResourceRef<T>,
    object: Draft<T>,
    options: CallOptions & {
      readonly fieldManager: string
      readonly force?: boolean
      readonly subresource?: string
    },
  ): Promise<T>
  delete<T extends KubeObject>(
    ref: ResourceRef<T>,
    key: ObjectKey,
    options?: DeleteOptions,
  ): Promise<void>
  deleteCollection<T extends KubeObject>(
    ref: ResourceRef<T>,
    options?: ListOptions & DeleteOptions,
  ): Promise<void>
  /** POST to a subresource: binding, eviction, token. */
  createSubresource(
    ref: ResourceRef,
    key: ObjectKey,
    subresource: string,
    body: JsonObject,
    options?: CallOptions,
  ): Promise<JsonObject>
  /** Puts a pod on a node. */
  bind(pod: KubeObject, node: string, options?: CallOptions): Promise<void>
  /** Deletes a pod unless that would break a disruption budget: then throws 429 TooManyRequests. */
  evict(pod: ObjectKey, options?: DeleteOptions): Promise<void>
  scale(ref: ResourceRef, key: ObjectKey, replicas: number, options?: CallOptions): Promise<void>
  /** The same client with this cause on every write. */
  because(cause: string): Client
}

/** The types come with each resource's reference: there is nothing to register. */
export function createClient(
  transport: Transport,
  defaults: Pick<CallOptions, 'cause' | 'fieldManager' | 'traceparent'> = {},
): Client {
  const send = (
    method: ApiRequest['method'],
    path: string,
    options: CallOptions,
    more: { query?: Record<string, string>; body?: unknown; contentType?: string } = {},
  ): Promise<unknown> => {
    const cause = options.cause ?? defaults.cause
    const fieldManager = options.fieldManager ?? defaults.fieldManager
    const traceparent = options.traceparent ?? defaults.traceparent
    const query: Record<string, string> = { ...more.query }
    if (options.dryRun === true) query['dryRun'] = 'All'
    if (fieldManager !== undefined && method !== 'GET' && method !== 'DELETE')
      query['fieldManager'] = fieldManager
    return transport.request({
      method,
      path,
      query,
      ...(more.body === undefined ? {} : { body: more.body }),
      ...(more.contentType === undefined ? {} : { contentType: more.contentType }),
      ...(cause === undefined ? {} : { cause }),
      ...(traceparent === undefined ? {} : { traceparent }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    })
  }
  const typed = <T extends KubeObject>(ref: ResourceRef<T>, object: Draft<T> | T): unknown => ({
    apiVersion: apiVersionOf(ref),
    kind: ref.kind,
    ...object,
  })

  const client: Client = {
    transport,
    get: (ref, key, options = {}) => send('GET', resourcePath(ref, key), options) as Promise<never>,
    async getOptional(ref, key, options = {}) {
      try {
        return await client.get(ref, key, options)
      } catch (error) {
        if (isStatus(error, 'NotFound')) return undefined
        throw error
      }
    },
    async list(ref, options = {}) {
      const list = (await send('GET', resourcePath(ref, options), options, {
        query: selectors(options),
      })) as {
        items?: readonly never[]
        metadata?: { resourceVersion?: string; continue?: string }
      }
      return {
        items: list.items ?? [],
        resourceVersion: list.metadata?.resourceVersion ?? '',
        ...(list.metadata?.continue ? { continue: list.metadata.continue } : {}),
      }
    },
    watch(ref, options = {}) {
      const query: Record<string, string> = { watch: 'true', ...selectors(options) }
      if (options.allowBookmarks === true) query['allowWatchBookmarks'] = 'true'
      if (options.timeoutSeconds !== undefined)
        query['timeoutSeconds'] = String(options.timeoutSeconds)
      if (options.sendInitialEvents === true) {
        query['sendInitialEvents'] = 'true'
        query['resourceVersionMatch'] = 'NotOlderThan'
        query['allowWatchBookmarks'] = 'true'
      }
      return transport.watch({
        method: 'GET',
        path: resourcePath(ref, options),
        query,
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      }) as Promise<never>
    },
    create: (ref, object, options = {}) =>
      send('POST', resourcePath(ref, { namespace: object.metadata.namespace }), options, {
        body: typed(ref, object),
      }) as Promise<never>,
    update: (ref, object, options = {}) =>
      send(
        'PUT',
        resourcePath(ref, { ...keyIn(object), subresource: options.subresource }),
        options,
        {
          body: typed(ref, object),
        },
      ) as Promise<never>,
    updateStatus: (ref, object, options = {}) =>
      send('PUT', resourcePath(ref, { ...keyIn(object), subresource: 'status' }), options, {
        body: typed(ref, object),
      }) as Promise<never>,
    patch: (ref, key, type, patch, options = {}) =>
      send(
        'PATCH',
        resourcePath(ref, {
          namespace: key.namespace,
          name: key.name,
          subresource: options.subresource,
        }),
        options,
        {
          body: patch,
          contentType: PATCH_TYPES[type],
          ...(options.force === true ? { query: { force: 'true' } } : {}),
        },
      ) as Promise<never>,
    apply: (ref, object, options) =>
      client.patch(
        ref,
        { namespace: object.metadata.namespace ?? '', name: object.metadata.name ?? '' },
        'apply',
        typed(ref, object),
        options,
      ),
    async delete(ref, key, options = {}) {
      const answer = (await send(
        'DELETE',
        resourcePath(ref, { namespace: key.namespace, name: key.name }),
        options,
        deletion(options),
      )) as { kind?: string; metadata?: { deletionTimestamp?: string } } | undefined
      return (
        answer?.kind !== 'Status' && answer?.metadata?.deletionTimestamp !== undefined
          ? answer
          : undefined
      ) as never
    },
    async deleteCollection(ref, options = {}) {
      await send('DELETE', resourcePath(ref, options), options, {
        ...deletion(options),
        query: selectors(options),
      })
    },
    createSubresource: (ref, key, subresource, body, options = {}) =>
      send(
        'POST',
        resourcePath(ref, { namespace: key.namespace, name: key.name, subresource }),
        options,
        { body },
      ) as Promise<JsonObject>,
    async bind({ metadata: { namespace, name, uid } }, node, options) {
      const body = {
        apiVersion: 'v1',
        kind: 'Binding',
        metadata: { namespace, name, uid },
        target: { apiVersion: 'v1', kind: 'Node', name: node },
      }
      await client.createSubresource(PODS, { name, ...at(namespace) }, 'binding', body, options)
    },
    async evict({ namespace, name }, options = {}) {
      const body = {
        apiVersion: 'policy/v1',
        kind: 'Eviction',
        metadata: { name, namespace },
        ...(deletion(options).body === undefined ? {} : { deleteOptions: deletion(options).body }),
      }
      await client.createSubresource(PODS, { name, ...at(namespace) }, 'eviction', body, options)
    },
    async scale(ref, key, replicas, options = {}) {
      await client.patch(
        ref,
        key,
        'merge',
        { spec: { replicas } },
        { ...options, subresource: 'scale' },
      )
    },
    because: (cause) => createClient(transport, { ...defaults, cause }),
  }
  return client
}

const PODS: ResourceRef = {
  group: '',
  version: 'v1',
  resource: 'pods',
  kind: 'Pod',
  namespaced: true,
}

const keyIn = ({ metadata }: KubeObject): ObjectKey => ({
  name: metadata.name,
  ...at(metadata.namespace),
})

const at = (namespace: string | undefined): { namespace?: string } =>
  namespace === undefined ? {} : { namespace }

function selectors(options: ListOptions): Record<string, string> {
  const query: Record<string, string> = {}
  if (options.labelSelector) query['labelSelector'] = options.labelSelector
  if (options.fieldSelector) query['fieldSelector'] = options.fieldSelector
  if (options.limit !== undefined) query['limit'] = String(options.limit)
  if (options.continue !== undefined) query['continue'] = options.continue
  if (options.resourceVersion !== undefined) query['resourceVersion'] = options.resourceVersion
  return query
}

function deletion({ gracePeriodSeconds, propagationPolicy, preconditions }: DeleteOptions): {
  body?: unknown
} {
  if (
    gracePeriodSeconds === undefined &&
    propagationPolicy === undefined &&
    preconditions === undefined
  )
    return {}
  return {
    body: {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
      ...(propagationPolicy === undefined ? {} : { propagationPolicy }),
      ...(preconditions === undefined ? {} : { preconditions }),
    },
  }
}

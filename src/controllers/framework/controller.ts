/** The one shape of a controller: what it looks at, and a pure decision. The framework looks and acts. */
import { Turn, type Env } from '#base'
import {
  createClient,
  createEventRecorder,
  createWorkQueue,
  type ChangeHandler,
  type Client,
  type Transport,
  type EventRecorder,
  type Informer,
  type Informers,
} from '#client'
import type { KubeObject, ResourceRef } from '#machinery'
import { applyMergePatch, isStatus, keyOf, StatusError } from '#machinery'
import type { Action, Decision } from './actions.ts'
import { createExpectations, type Written } from './expectations.ts'
import { controllerOf, groupOf } from './ownership.ts'

/** What a controller may look at: the caches of the resources it named. */
export interface Cache {
  get<T extends KubeObject>(ref: ResourceRef<T>, key: string): T | undefined
  list<T extends KubeObject>(ref: ResourceRef<T>, namespace?: string): readonly T[]
  /** Objects whose controller is the owner. */
  ownedBy<T extends KubeObject>(owner: KubeObject, ref: ResourceRef<T>): readonly T[]
  /** The same when only the owner's uid is known. */
  controlledBy<T extends KubeObject>(uid: string, ref: ResourceRef<T>): readonly T[]
  by<T extends KubeObject>(ref: ResourceRef<T>, index: string, value: string): readonly T[]
}

export interface Watch<T extends KubeObject = KubeObject> {
  readonly ref: ResourceRef<T>
  /** The keys to look at when this object changed. `old` is absent when it is new. */
  readonly keys: (object: T, old: T | undefined, cache: Cache) => readonly string[]
}

export interface ControllerDefinition<O> {
  readonly name: string
  /** Whom its events are from. Default `NAME-controller`. */
  readonly component?: string
  readonly for: ResourceRef
  /** Whether there may be something to decide about it: others are not looked at, unless they were so before. Default: all. */
  readonly concerns?: (object: never) => boolean
  /** Their controller is of the `for` kind: it is looked at when they change. */
  readonly owns?: readonly ResourceRef[]
  readonly watches?: readonly Watch[]
  /** Only looked into. */
  readonly reads?: readonly ResourceRef[]
  readonly indexes?: readonly {
    readonly ref: ResourceRef
    readonly name: string
    readonly values: (object: never) => readonly string[]
  }[]
  readonly workers?: number
  /** Undefined when there is nothing to decide about. */
  observe(cache: Cache, key: string, now: Date): O | undefined
  /** What the cache cannot tell is asked of the server, between looking and deciding: only where it is needed. */
  ask?(observed: O, transport: Pick<Transport, 'request'>): Promise<O> | O
  /** A promise only where a library computes that way (signatures): nothing is waited for in it. */
  decide(observed: O, now: Date): Decision | Promise<Decision>
  /** What to do when some of it failed; the attempt is repeated with a growing wait all the same. */
  failed?(observed: O, failures: readonly Failure[], now: Date): readonly Action[]
}

export interface Failure {
  readonly action: Action
  readonly error: Error
}

export interface Controller {
  readonly name: string
  start(context: ControllerContext): void
}

export interface ControllerContext {
  readonly client: Client
  readonly informers: Informers
  readonly env: Pick<Env, 'clock' | 'random' | 'log' | 'metrics' | 'tracing'>
  readonly signal: AbortSignal
}

/** A reference to the `for` resource, typed for its objects. */
export const watching = <T extends KubeObject>(
  ref: ResourceRef<T>,
  keys: Watch<T>['keys'],
): Watch => ({ ref, keys }) as unknown as Watch

const OWNER = 'controller'
const WORKERS = 16
/** The name under which upstream's controllers own fields. */
const FIELD_MANAGER = 'kube-controller-manager'

/** A controller looks at few resources: more of them are made anew each time. */
const MOST_REFS = 64

export function defineController<O>(definition: ControllerDefinition<O>): Controller {
  return { name: definition.name, start: (context) => start(definition, context) }
}

function start<O>(
  definition: ControllerDefinition<O>,
  { client, informers, env, signal }: ControllerContext,
): void {
  const { clock } = env
  const log = env.log.for(`controllers`)
  const recorder = createEventRecorder(client, env, {
    component: definition.component ?? `${definition.name}-controller`,
  })
  const queue = createWorkQueue(env, { name: definition.name, metrics: env.metrics })
  const caches = new Map<string, Informer<KubeObject>>()
  const idOf = (ref: ResourceRef): string => `${ref.group}/${ref.resource}`
  /** Nearly always it is the same object that names a resource. */
  const byRef = new Map<ResourceRef, Informer<KubeObject>>()
  const informerOf = (ref: ResourceRef): Informer<KubeObject> => {
    const known = byRef.get(ref)
    if (known !== undefined) return known
    const id = idOf(ref)
    let informer = caches.get(id)
    if (informer === undefined) {
      informer = informers.informer(ref)
      informer.addIndex(OWNER, (object) => {
        const owner = controllerOf(object)
        return owner === undefined ? [] : [owner.uid]
      })
      caches.set(id, informer)
    }
    if (byRef.size < MOST_REFS) byRef.set(ref, informer)
    return informer
  }
  const cache: Cache = {
    get: (ref, key) => informerOf(ref).get(key) as never,
    list: (ref, namespace) => informerOf(ref).list(namespace) as never,
    ownedBy: (owner, ref) => informerOf(ref).by(OWNER, owner.metadata.uid) as never,
    controlledBy: (uid, ref) => informerOf(ref).by(OWNER, uid) as never,
    by: (ref, index, value) => informerOf(ref).by(index, value) as never,
  }

  let synced = false
  const main = informerOf(definition.for)
  const follow = (informer: Informer<KubeObject>, handler: ChangeHandler<KubeObject>): void => {
    const end = informer.onChange(handler)
    signal.addEventListener('abort', end, { once: true })
  }
  for (const { ref, name, values } of definition.indexes ?? [])
    informerOf(ref).addIndex(name, values as (object: KubeObject) => readonly string[])
  for (const ref of definition.reads ?? []) informerOf(ref)
  const isConcern = (object: KubeObject | undefined): boolean =>
    object !== undefined && (definition.concerns?.(object as never) ?? true)
  follow(main, (object, old) => {
    const changed = object ?? old
    if (changed !== undefined && (isConcern(object) || isConcern(old))) queue.add(keyOf(changed))
  })
  for (const ref of definition.owns ?? []) {
    follow(informerOf(ref), (object, old) => {
      for (const each of [object, old]) {
        const owner = each === undefined ? undefined : controllerOf(each)
        if (
          each !== undefined &&
          owner?.kind === definition.for.kind &&
          groupOf(owner.apiVersion) === definition.for.group
        ) {
          queue.add(
            definition.for.namespaced
              ? `${each.metadata.namespace ?? ''}/${owner.name}`
              : owner.name,
          )
        }
      }
    })
  }
  for (const { ref, keys } of definition.watches ?? []) {
    follow(informerOf(ref), (object, old) => {
      const changed = object ?? old
      if (changed === undefined || !synced) return
      for (const key of keys(changed, object === undefined ? undefined : old, cache)) queue.add(key)
    })
  }

  const expectations = createExpectations({
    clock,
    informerOf: (ref) => caches.get(idOf(ref)),
    wake: (key) => queue.add(key),
  })
  for (const informer of caches.values()) informer.onProgress(expectations.progressed)

  const work = async (key: string): Promise<void> => {
    const waitMs = expectations.unmet(key)
    if (waitMs !== undefined) {
      // The event of its own write brings the key back; this is for the case that it never comes.
      queue.addAfter(key, waitMs)
      return
    }
    const now = clock.now()
    const seen = definition.observe(cache, key, now)
    if (seen === undefined) return
    const asked = definition.ask?.(seen, client.transport) ?? seen
    const observed = asked instanceof Promise ? await asked : asked
    const decided = definition.decide(observed, now)
    const { actions, requeueAfterMs } = decided instanceof Promise ? await decided : decided
    if (requeueAfterMs !== undefined) queue.addAfter(key, requeueAfterMs)
    if (actions.length === 0) return
    const revision = main.get(key)?.metadata.resourceVersion ?? ''
    const span = env.tracing?.start(`reconcile ${definition.for.resource}`, {
      kind: 'internal',
      parent: env.tracing.writerOf(Number(revision)),
      attributes: { controller: definition.name, key },
    })
    const mine = createClient(client.transport, {
      cause: `${definition.name}/${key}@${revision}`,
      fieldManager: FIELD_MANAGER,
      ...(span === undefined ? {} : { traceparent: span.traceparent }),
    })
    const expect = expectations.for(key)
    const failures = await perform(mine, recorder, actions, expect)
    const [first] = failures
    span?.end(first?.error)
    if (failures.length > 0) {
      const more = definition.failed?.(observed, failures, now) ?? []
      await perform(mine, recorder, more, expect)
      if (first !== undefined && !failures.every(({ error }) => isStatus(error, 'NotFound')))
        throw first.error
    }
  }

  void (async () => {
    try {
      await Promise.all([...caches.values()].map((informer) => informer.synced))
    } catch {
      return
    }
    synced = true
    const turn = new Turn(clock)
    for (const object of main.list()) {
      if (isConcern(object)) queue.add(keyOf(object))
      if (turn.isOver()) await turn.next()
    }
    // What was left behind while nobody looked: an object whose main one is gone.
    for (const { ref, keys } of definition.watches ?? [])
      for (const object of informerOf(ref).list()) {
        for (const key of keys(object, undefined, cache)) queue.add(key)
        if (turn.isOver()) await turn.next()
      }
    queue.run(work, {
      concurrency: definition.workers ?? WORKERS,
      signal,
      onError: (key, error) => {
        const level = levelOf(error)
        log[level]('Cannot carry out decision, will try again', {
          controller: definition.name,
          key,
          error: error as Error,
        })
      },
    })
  })()
}

/** Creations go out in batches that double while they succeed, so that a refusal costs one call and not a thousand. */
async function perform(
  client: Client,
  recorder: EventRecorder,
  actions: readonly Action[],
  expect: Written,
): Promise<readonly Failure[]> {
  const failures: Failure[] = []
  const attempt = async (action: Action): Promise<void> => {
    try {
      await performOne(client, recorder, action, expect)
    } catch (error) {
      if (action.type === 'create' && isNamespaceEnding(error)) return
      failures.push({ action, error: error instanceof Error ? error : new Error(String(error)) })
    }
  }
  const isMany = (action: Action): boolean => action.type === 'create' || action.type === 'remove'
  let i = 0
  while (i < actions.length) {
    const action = actions[i]
    if (action === undefined) break
    if (!isMany(action)) {
      await attempt(action)
      i++
      continue
    }
    let end = i
    while (end < actions.length && actions[end]?.type === action.type) end++
    for (let batch = action.type === 'create' ? 1 : 16; i < end; batch *= 2) {
      const before = failures.length
      const slice = actions.slice(i, Math.min(end, i + batch))
      await Promise.all(slice.map(attempt))
      i += slice.length
      if (action.type === 'create' && failures.length > before) {
        i = end
        break
      }
    }
  }
  return failures
}

async function performOne(
  client: Client,
  recorder: EventRecorder,
  action: Action,
  expect: Written,
): Promise<void> {
  switch (action.type) {
    case 'create':
      {
        const made = await client.create(action.ref, action.object)
        expect.written(action.ref, made)
        if (action.about !== undefined) {
          const kind = action.ref.kind === 'Pod' ? 'pod' : action.ref.kind
          recorder.event(
            action.about,
            'Normal',
            'SuccessfulCreate',
            action.said ?? `Created ${kind}: ${made.metadata.name}`,
          )
        }
      }
      return
    case 'update':
      expect.written(action.ref, await client.update(action.ref, action.object))
      return
    case 'updateStatus':
      expect.written(action.ref, await client.updateStatus(action.ref, action.object))
      return
    case 'patch': {
      const { metadata } = action.object
      const about = action.subresource === undefined ? {} : { subresource: action.subresource }
      if (action.whole === true) {
        const next = applyMergePatch(action.object, action.patch) as KubeObject
        expect.written(action.ref, await client.update(action.ref, next, about))
        return
      }
      expect.written(
        action.ref,
        await client.patch(action.ref, metadata, action.patchType, action.patch, about),
      )
      return
    }
    case 'remove': {
      const { metadata } = action.object
      try {
        await client.delete(action.ref, metadata, {
          preconditions: { uid: metadata.uid },
          ...(action.gracePeriodSeconds === undefined
            ? {}
            : { gracePeriodSeconds: action.gracePeriodSeconds }),
          ...(action.propagationPolicy === undefined
            ? {}
            : { propagationPolicy: action.propagationPolicy }),
        })
        expect.removed(action.ref, action.object)
        if (action.about !== undefined) {
          const kind = action.ref.kind === 'Pod' ? 'pod' : action.ref.kind
          recorder.event(
            action.about,
            'Normal',
            'SuccessfulDelete',
            action.said ?? `Deleted ${kind}: ${metadata.name}`,
          )
        }
      } catch (error) {
        // Somebody was quicker.
        if (!isStatus(error, 'NotFound') && !isStatus(error, 'Conflict')) throw error
      }
      return
    }
    case 'event':
      recorder.event(action.about, action.kind, action.reason, action.message)
  }
}

/** Nothing can be created in a namespace that is being deleted, and nothing need be. */
const isNamespaceEnding = (error: unknown): boolean =>
  error instanceof StatusError &&
  (error.status.details?.causes ?? []).some(({ reason }) => reason === 'NamespaceTerminating')

/** Losing a race is usual. What its role does not allow is a mistake of ours, or of who changed the role. */
const levelOf = (error: unknown): 'debug' | 'info' | 'warn' =>
  isStatus(error, 'Conflict') || isStatus(error, 'AlreadyExists')
    ? 'debug'
    : isForbiddenByRole(error)
      ? 'warn'
      : 'info'

/** Quotas and admission refuse with the same reason, and are for the user to hear of. */
const isForbiddenByRole = (error: unknown): boolean =>
  isStatus(error, 'Forbidden') && / cannot [a-z]+ resource /.test((error as Error).message)

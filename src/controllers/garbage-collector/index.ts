/** Deletes what has lost all its owners, and carries out foreground and orphaning deletions. */
import { createEventRecorder, createWorkQueue, type Discovery } from '#client'
import {
  isStatus,
  keyOf,
  type KubeObject,
  type ObjectKey,
  type OwnerReference,
  type ResourceRef,
} from '#machinery'
import { followDiscovery } from '../framework/discovered.ts'
import { groupOf, type Controller, type ControllerContext } from '../framework/index.ts'
import { createGraph, isNamedBy, type GraphNode } from './graph.ts'
import { judge, ORPHAN, ownersOf, type OwnerState, type Verdict } from './judge.ts'

const WORKERS = 20
/** How long the first look at all resources may take. */
const FIRST_SYNC_MS = 30_000
/** Owners that are known to be gone, so that a thousand dependents ask once. */
const ABSENT_MEMORY = 5000
/** Many and short-lived, and owned by nobody. */
const IGNORED = new Set(['/events', 'events.k8s.io/events'])

const idOf = ({ group, resource }: ResourceRef): string => `${group}/${resource}`
const kindId = (group: string, kind: string): string => `${group}/${kind}`

export const garbageCollector: Controller = { name: 'garbage-collector', start }

function start({ client, informers, env, signal }: ControllerContext): void {
  const log = env.log.for('garbage-collector')
  const graph = createGraph()
  const queue = createWorkQueue(env, { name: 'garbage_collector', metrics: env.metrics })
  const recorder = createEventRecorder(client, env, { component: 'garbage-collector-controller' })
  const followed = new Map<string, { readonly ref: ResourceRef; readonly stop: () => void }>()
  const kinds = new Map<string, ResourceRef>()
  const absent = new Set<string>()
  /** Judged once everything has been seen once: before that, owners seem to be missing. */
  let complete = false
  const judgeLater = (uids: readonly string[]): void => {
    if (complete) for (const uid of uids) queue.add(uid)
  }

  const follow = (ref: ResourceRef): Promise<void> => {
    const informer = informers.metadata(ref)
    const stop = informer.onChange((current, old) => {
      if (old !== undefined && old.metadata.uid !== current?.metadata.uid)
        judgeLater(graph.delete(old.metadata.uid))
      if (current !== undefined) judgeLater(graph.set({ ref, object: current }))
    })
    followed.set(idOf(ref), { ref, stop })
    return informer.synced
  }

  const discovered = followDiscovery({ client, informers, env }, signal)
  const refresh = async (): Promise<void> => {
    const { resources, failed } = await discovered.current()
    const wanted = deletable(resources)
    for (const ref of resources) kinds.set(kindId(ref.group, ref.kind), ref)
    const started: Promise<void>[] = []
    for (const [id, ref] of wanted) if (!followed.has(id)) started.push(follow(ref))
    for (const [id, { ref, stop }] of followed) {
      // A group that did not answer is not gone.
      const unsure = failed.some(({ groupVersion }) => groupOf(groupVersion) === ref.group)
      if (wanted.has(id) || unsure) continue
      stop()
      informers.forget(ref)
      followed.delete(id)
      for (const { ref: of, object } of graph.all())
        if (idOf(of) === id) judgeLater(graph.delete(object.metadata.uid))
    }
    if (!complete) {
      // One resource that cannot be read must not keep all the others from being collected.
      await Promise.race([
        Promise.all(started),
        env.clock.sleep(FIRST_SYNC_MS, signal).catch(() => undefined),
      ])
      complete = true
    } else absent.clear()
    // Those whose owners could not be told, or were missing from the beginning.
    for (const { object } of graph.all()) if (needsJudgement(object)) queue.add(object.metadata.uid)
  }
  const needsJudgement = (object: KubeObject): boolean =>
    object.metadata.deletionTimestamp !== undefined
      ? (object.metadata.finalizers ?? []).length > 0
      : ownersOf(object).some((reference) => {
          const owner = graph.get(reference.uid)
          return (
            owner === undefined ||
            owner.object.metadata.deletionTimestamp !== undefined ||
            !isNamedBy(owner, reference, object.metadata.namespace)
          )
        })

  /** From the graph when the owner is in it, otherwise from the server. */
  const ownerState = async (node: GraphNode, owner: OwnerReference): Promise<OwnerState> => {
    const { namespace } = node.object.metadata
    const found = graph.get(owner.uid)
    if (found !== undefined && isNamedBy(found, owner, namespace)) return stateOf(found.object)
    const ref = kinds.get(kindId(groupOf(owner.apiVersion), owner.kind))
    if (ref === undefined) return 'unknown'
    if (ref.namespaced && namespace === undefined) {
      recorder.event(
        node.object,
        'Warning',
        'OwnerRefInvalidNamespace',
        `ownerRef [${describe(owner)}] does not exist in namespace ""`,
      )
      return 'unknown'
    }
    const key: ObjectKey = {
      name: owner.name,
      ...(ref.namespaced && namespace !== undefined ? { namespace } : {}),
    }
    const id = `${idOf(ref)}/${keyOf({ metadata: key })}/${owner.uid}`
    if (absent.has(id)) return 'absent'
    const live = await client.getOptional(ref, key, { signal })
    if (live?.metadata.uid === owner.uid) return stateOf(live)
    absent.add(id)
    if (absent.size > ABSENT_MEMORY) absent.delete(absent.values().next().value ?? '')
    if (found !== undefined)
      recorder.event(
        node.object,
        'Warning',
        'OwnerRefInvalidNamespace',
        `ownerRef [${describe(owner)}] does not exist in namespace "${namespace ?? ''}"`,
      )
    return 'absent'
  }

  const work = async (uid: string): Promise<void> => {
    const node = graph.get(uid)
    if (node === undefined) return
    const states = new Map<string, OwnerState>()
    if (node.object.metadata.deletionTimestamp === undefined)
      for (const owner of ownersOf(node.object))
        states.set(owner.uid, await ownerState(node, owner))
    // It may have changed while the server was asked: then it comes again anyway.
    const dependents = graph.dependentsOf(uid)
    const verdict = judge(
      node.object,
      (owner) => states.get(owner.uid) ?? 'unknown',
      dependents.map(({ object }) => object),
    )
    if (verdict.type !== 'keep') await carryOut(node, verdict, dependents)
  }

  const carryOut = async (
    { ref, object }: GraphNode,
    verdict: Verdict,
    dependents: readonly GraphNode[],
  ): Promise<void> => {
    const { uid, resourceVersion } = object.metadata
    const cause = `garbage-collector/${keyOf(object)}@${resourceVersion}`
    const mine = client.because(cause)
    const patched = (target: GraphNode, metadata: object): Promise<unknown> =>
      mine.patch(
        target.ref,
        target.object.metadata,
        'merge',
        {
          metadata: {
            uid: target.object.metadata.uid,
            resourceVersion: target.object.metadata.resourceVersion,
            ...metadata,
          },
        },
        { signal },
      )
    const withoutFinalizer = (finalizer: string): Promise<unknown> =>
      patched(
        { ref, object },
        { finalizers: (object.metadata.finalizers ?? []).filter((each) => each !== finalizer) },
      )
    try {
      switch (verdict.type) {
        case 'keep':
          return
        case 'await':
          for (const dependent of verdict.dependents) queue.add(dependent.metadata.uid)
          return
        case 'orphanDependents':
          await Promise.all(
            dependents.map((each) =>
              patched(each, {
                ownerReferences: ownersOf(each.object).filter((owner) => owner.uid !== uid),
              }).catch(ignoreNotFound),
            ),
          )
          await withoutFinalizer(ORPHAN)
          return
        case 'removeFinalizer':
          await withoutFinalizer(verdict.finalizer)
          return
        case 'removeOwners':
          await patched(
            { ref, object },
            { ownerReferences: ownersOf(object).filter((owner) => !verdict.uids.has(owner.uid)) },
          )
          return
        case 'delete':
          if (verdict.unblock)
            await patched(
              { ref, object },
              {
                ownerReferences: ownersOf(object).map((owner) => ({
                  ...owner,
                  blockOwnerDeletion: false,
                })),
              },
            )
          await mine.delete(ref, object.metadata, {
            propagationPolicy: verdict.propagationPolicy,
            preconditions: verdict.unblock ? { uid } : { uid, resourceVersion },
            signal,
          })
      }
    } catch (error) {
      ignoreNotFound(error)
    }
  }

  void (async () => {
    for (let attempt = 0; !signal.aborted; attempt++)
      try {
        await refresh()
        break
      } catch (error) {
        if (signal.aborted) return
        log.warn('Cannot find out which resources there are', { error })
        await env.clock.sleep(Math.min(1000 * 2 ** attempt, 30_000), signal).catch(() => undefined)
      }
    discovered.onChange(() => {
      refresh().catch((error: unknown) => {
        if (!signal.aborted) log.warn('Cannot find out which resources there are', { error })
      })
    })
    queue.run(work, {
      concurrency: WORKERS,
      signal,
      onError: (uid, error) => {
        if (!isStatus(error, 'Conflict')) log.info('Cannot collect object', { uid, error })
      },
    })
  })()
}

const deletable = (resources: Discovery['resources']): ReadonlyMap<string, ResourceRef> =>
  new Map(
    resources
      .filter(
        (ref) =>
          !IGNORED.has(idOf(ref)) &&
          ['list', 'watch', 'delete'].every((verb) => ref.verbs.includes(verb)),
      )
      .map((ref) => [idOf(ref), ref]),
  )

const stateOf = ({ metadata }: KubeObject): OwnerState =>
  metadata.deletionTimestamp !== undefined &&
  metadata.finalizers?.includes('foregroundDeletion') === true
    ? 'waiting'
    : 'present'

const describe = ({ apiVersion, kind, name, uid }: OwnerReference): string =>
  `${apiVersion}/${kind}, name: ${name}, uid: ${uid}`

function ignoreNotFound(error: unknown): void {
  if (!isStatus(error, 'NotFound')) throw error
}

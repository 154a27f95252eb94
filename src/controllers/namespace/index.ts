/** Empties a namespace that is being deleted: pods first, then all else, then itself (KEP-5080). */
import { namespaces, pods, type Namespace } from '#api'
import { createWorkQueue, type Client, type Discovery } from '#client'
import { apiVersionOf, isStatus, type KubeObject } from '#machinery'
import { followDiscovery } from '../framework/discovered.ts'
import type { Controller, ControllerContext } from '../framework/index.ts'
import { withReport, type Remaining, type Report } from './report.ts'

const WORKERS = 10
/** Asked at once, for one namespace. */
const AT_ONCE = 8
/** What waits for finalizers is looked at again after this at first, and ever more seldom. */
const FIRST_LOOK_MS = 1000
const LAST_LOOK_MS = 15_000
const FINALIZER = 'kubernetes'

export const namespaceController: Controller = { name: 'namespace', start }

const isEnding = ({ metadata, spec }: Namespace): boolean =>
  metadata.deletionTimestamp !== undefined && (spec?.finalizers ?? []).includes(FINALIZER)

function start({ client, informers, env, signal }: ControllerContext): void {
  const log = env.log.for('namespace')
  const queue = createWorkQueue(env, { name: 'namespace', metrics: env.metrics })
  const known = informers.informer(namespaces)
  const allPods = informers.informer(pods)
  const discovered = followDiscovery({ client, informers, env }, signal)
  /** How often a namespace was looked at in vain. */
  const looks = new Map<string, number>()

  known.onChange((current, old) => {
    if (current === undefined) {
      if (old !== undefined) looks.delete(old.metadata.name)
    } else if (isEnding(current) && (old === undefined || !isEnding(old)))
      queue.add(current.metadata.name)
  })
  // The last pod opens the way for all else.
  allPods.onChange((current, old) => {
    if (current !== undefined || old === undefined) return
    const { namespace = '' } = old.metadata
    const found = known.get(namespace)
    if (found !== undefined && isEnding(found) && allPods.list(namespace).length === 0)
      queue.add(namespace)
  })

  const work = async (name: string): Promise<void> => {
    const namespace = await client.getOptional(namespaces, { name }, { signal })
    if (namespace === undefined || !isEnding(namespace)) return
    const mine = client.because(`namespace/${name}@${namespace.metadata.resourceVersion}`)
    const report = await empty(mine, name, await discovered.current(), signal)
    const told = withReport(namespace, report, env.clock.now())
    const current =
      told === undefined ? namespace : await mine.updateStatus(namespaces, told, { signal })
    const left = report.remaining.filter(({ count }) => count > 0)
    if (left.length === 0 && report.failures.length === 0 && report.undiscovered.length === 0) {
      looks.delete(name)
      await finalize(mine, current, signal)
      return
    }
    const count = looks.get(name) ?? 0
    looks.set(name, count + 1)
    queue.addAfter(name, Math.min(FIRST_LOOK_MS * 2 ** count, LAST_LOOK_MS))
  }

  void (async () => {
    try {
      await Promise.all([known.synced, allPods.synced])
    } catch {
      return
    }
    queue.run(
      async (name) => {
        try {
          await work(name)
        } catch (error) {
          if (!isStatus(error, 'NotFound')) throw error
        }
      },
      {
        concurrency: WORKERS,
        signal,
        onError: (name, error) => {
          if (!isStatus(error, 'Conflict'))
            log.info('Cannot empty namespace, will try again', { namespace: name, error })
        },
      },
    )
  })()
}

/** Asks for the deletion of everything, and reports what is there still. */
async function empty(
  client: Client,
  namespace: string,
  { resources, failed }: Discovery,
  signal: AbortSignal,
): Promise<Report> {
  const undiscovered = failed.map(({ groupVersion }) => groupVersion)
  const first = await emptyOne(client, namespace, podsAmong(resources), signal)
  if (first.failure !== undefined || first.remaining.count > 0)
    return {
      undiscovered,
      failures: first.failure === undefined ? [] : [first.failure],
      remaining: [first.remaining],
    }
  const others = resources.filter(
    (ref) =>
      ref.namespaced &&
      ref.verbs.includes('delete') &&
      ref.verbs.includes('list') &&
      !(ref.group === '' && ref.resource === 'pods'),
  )
  const results: Emptied[] = []
  for (let at = 0; at < others.length; at += AT_ONCE)
    results.push(
      ...(await Promise.all(
        others.slice(at, at + AT_ONCE).map((ref) => emptyOne(client, namespace, ref, signal)),
      )),
    )
  return {
    undiscovered,
    failures: results.flatMap(({ failure }) => (failure === undefined ? [] : [failure])),
    remaining: results.map(({ remaining }) => remaining),
  }
}

interface Emptied {
  readonly remaining: Remaining
  readonly failure?: string
}

type Deletable = Discovery['resources'][number]

const podsAmong = (resources: readonly Deletable[]): Deletable =>
  resources.find(({ group, resource }) => group === '' && resource === 'pods') ?? {
    ...pods,
    verbs: ['list', 'delete', 'deletecollection'],
  }

async function emptyOne(
  client: Client,
  namespace: string,
  ref: Deletable,
  signal: AbortSignal,
): Promise<Emptied> {
  const resource = ref.group === '' ? ref.resource : `${ref.resource}.${ref.group}`
  const listed = async (): Promise<readonly KubeObject[]> =>
    (await client.list<KubeObject>(ref, { namespace, signal })).items
  let failure: string | undefined
  let items: readonly KubeObject[]
  try {
    items = await listed()
    if (items.length > 0) {
      await deleteAll(client, namespace, ref, items, signal)
      items = await listed()
    }
  } catch (error) {
    if (signal.aborted) throw error
    // A custom resource may go while it is being emptied.
    if (isStatus(error, 'NotFound') || isStatus(error, 'MethodNotAllowed')) items = []
    else {
      const message = error instanceof Error ? error.message : String(error)
      failure = `unexpected error deleting ${apiVersionOf(ref)}, Resource=${ref.resource}: ${message}`
      items = await listed().catch(() => [])
    }
  }
  const finalizers = new Map<string, number>()
  for (const { metadata } of items)
    for (const name of metadata.finalizers ?? [])
      finalizers.set(name, (finalizers.get(name) ?? 0) + 1)
  return {
    remaining: { resource, count: items.length, finalizers },
    ...(failure === undefined ? {} : { failure }),
  }
}

async function deleteAll(
  client: Client,
  namespace: string,
  ref: Deletable,
  items: readonly KubeObject[],
  signal: AbortSignal,
): Promise<void> {
  if (ref.verbs.includes('deletecollection')) {
    await client.deleteCollection(ref, { namespace, propagationPolicy: 'Background', signal })
    return
  }
  for (const { metadata } of items)
    try {
      await client.delete(ref, metadata, { propagationPolicy: 'Background', signal })
    } catch (error) {
      if (!isStatus(error, 'NotFound')) throw error
    }
}

/** The server deletes a namespace that nothing holds any longer. */
async function finalize(client: Client, namespace: Namespace, signal: AbortSignal): Promise<void> {
  const { apiVersion, kind, metadata, spec } = namespace
  const finalizers = (spec?.finalizers ?? []).filter((each) => each !== FINALIZER)
  await client.transport.request({
    method: 'PUT',
    path: `/api/v1/namespaces/${encodeURIComponent(metadata.name)}/finalize`,
    body: { apiVersion, kind, metadata, spec: { ...spec, finalizers } },
    cause: `namespace/${metadata.name}@${metadata.resourceVersion}`,
    signal,
  })
}

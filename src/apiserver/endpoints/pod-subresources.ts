/** What can be done to a pod besides writing it: give it to a node, or ask it to leave. */
import {
  StatusError,
  badRequest,
  conflict,
  forbidden,
  notFound,
  selectorMatches,
  timestamp,
  type JsonObject,
  type KubeObject,
  type LabelSelector,
} from '#machinery'
import type { Pod, PodDisruptionBudget } from '#api'
import type { ExpectedKind } from '../expected-kind.ts'
import { shownAs, storedForm } from '../collection.ts'
import { copyJson, isObject } from '../json.ts'
import { keyFor } from '../keys.ts'
import { parseDeleteOptions, type WriteOptions } from '../options.ts'
import type { Registry } from '../registry.ts'
import {
  admitOnly,
  deleteObject,
  inTurn,
  replace,
  revisionDiffers,
  uidDiffers,
  type AdmissionTarget,
  type WriteTarget,
  type Writer,
} from '../writes/index.ts'

export const BINDING: ExpectedKind = {
  group: '',
  version: 'v1',
  kind: 'Binding',
  type: 'io.k8s.api.core.v1.Binding',
}
export const EVICTION: ExpectedKind = {
  group: 'policy',
  version: 'v1',
  kind: 'Eviction',
  // What drains nodes with kubectl before 1.22.
  alsoVersion: 'v1beta1',
  type: 'io.k8s.api.policy.v1.Eviction',
}

/** Changes an object that is there, by what is known to be right: no validation, no admission. Gives its new state. */
async function revise(
  writer: Writer,
  target: WriteTarget,
  name: string,
  change: (old: KubeObject) => KubeObject | undefined,
): Promise<KubeObject> {
  const { definition, collection, namespace, exchange } = target
  const key = keyFor(collection.prefix, namespace, name)
  const round = async (): Promise<KubeObject | undefined> => {
    await collection.refresh(exchange.signal)
    const entry = collection.cache.get(key)
    if (entry === undefined) throw notFound(definition.facts, name)
    const old = shownAs(definition, entry.object)
    const next = change(old) as unknown as JsonObject | undefined
    if (next === undefined) return old
    const stored = await storedForm(definition, next)
    const result = await replace(writer, target, key, entry, stored, next)
    return 'outcome' in result ? result.outcome.object() : undefined
  }
  return (await round()) ?? inTurn(collection, key, exchange.signal, round)
}

/** POST pods/NAME/binding: the scheduler's decision. */
export async function bindPod(
  writer: Writer,
  target: WriteTarget,
  name: string,
  binding: JsonObject,
  options: WriteOptions,
  /** What admission is asked about. */
  asked: AdmissionTarget = target,
): Promise<void> {
  const { target: to, metadata } = binding as unknown as {
    target?: { kind?: string; name?: string }
    metadata: {
      name?: string
      uid?: string
      resourceVersion?: string
      annotations?: object
      labels?: object
    }
  }
  if (metadata.name !== undefined && metadata.name !== '' && metadata.name !== name)
    throw badRequest(
      `the name of the object (${metadata.name}) does not match the name on the URL (${name})`,
    )
  if (to?.kind !== undefined && to.kind !== '' && to.kind !== 'Node' && to.kind !== 'Minion')
    throw badRequest(`a pod is bound to a Node, and target.kind is ${JSON.stringify(to.kind)}`)
  const nodeName = to?.name ?? ''
  if (nodeName === '') throw badRequest('target.name: Required value')
  await admitOnly(writer, asked, 'CREATE', name, options, { object: binding })
  const now = timestamp(writer.env.clock.now())
  const refuse = (why: string): StatusError =>
    conflict({ group: '', resource: 'pods/binding' }, name, why)
  const pods = { group: '', resource: 'pods' }
  const key = keyFor(target.collection.prefix, target.namespace, name)
  const bound = (old: KubeObject): KubeObject => {
    const pod = old as Pod
    const { spec, status } = pod
    if (metadata.uid && metadata.uid !== pod.metadata.uid)
      throw conflict(pods, name, uidDiffers(key, metadata.uid, pod.metadata.uid))
    if (metadata.resourceVersion && metadata.resourceVersion !== pod.metadata.resourceVersion)
      throw conflict(
        pods,
        name,
        revisionDiffers(key, metadata.resourceVersion, pod.metadata.resourceVersion ?? ''),
      )
    if (pod.metadata.deletionTimestamp !== undefined)
      throw refuse(`pod ${name} is being deleted, cannot be assigned to a host`)
    if (spec?.nodeName)
      throw refuse(`pod ${name} is already assigned to node ${JSON.stringify(spec.nodeName)}`)
    if ((spec?.schedulingGates?.length ?? 0) > 0)
      throw refuse(`pod ${name} has non-empty .spec.schedulingGates`)
    const others = (status?.conditions ?? []).filter(({ type }) => type !== 'PodScheduled')
    const next: unknown = {
      ...pod,
      metadata: {
        ...pod.metadata,
        ...merged('annotations', pod.metadata.annotations, metadata.annotations),
        ...merged('labels', pod.metadata.labels, metadata.labels),
      },
      spec: { ...spec, nodeName },
      status: {
        ...status,
        conditions: [
          ...others,
          {
            type: 'PodScheduled',
            status: 'True',
            lastProbeTime: null,
            lastTransitionTime: now,
            ...(pod.metadata.generation === undefined
              ? {}
              : { observedGeneration: pod.metadata.generation }),
          },
        ],
      },
    }
    return next as KubeObject
  }
  if (options.dryRun) {
    const entry = target.collection.cache.get(
      keyFor(target.collection.prefix, target.namespace, name),
    )
    if (entry === undefined) throw notFound(target.definition.facts, name)
    bound(entry.object)
    return
  }
  await revise(writer, target, name, bound)
}

const merged = (field: string, old: object | undefined, added: object | undefined): object =>
  added === undefined ? {} : { [field]: { ...old, ...added } }

const PDB = { group: 'policy', resource: 'poddisruptionbudgets' }
/** More pods than this being evicted at once says that nobody keeps the budget up to date. */
const MOST_DISRUPTED = 2000

/** POST pods/NAME/eviction: a delete that asks the disruption budgets first. */
export async function evictPod(
  writer: Writer,
  registry: Registry,
  target: WriteTarget,
  name: string,
  eviction: JsonObject,
  options: WriteOptions,
): Promise<void> {
  const { exchange, namespace, collection, definition } = target
  const given = (eviction['metadata'] as JsonObject)['name']
  if (given !== name) throw badRequest(`name in URL does not match name in Eviction object`)
  const body = isObject(eviction['deleteOptions']) ? copyJson(eviction['deleteOptions']) : {}
  const asked = parseDeleteOptions(body, exchange.query)
  const deletion = { ...asked, dryRun: asked.dryRun || options.dryRun }
  await admitOnly(writer, target, 'CREATE', name, options, { object: eviction })
  await collection.refresh(exchange.signal)
  const entry = collection.cache.get(keyFor(collection.prefix, namespace, name))
  if (entry === undefined) throw notFound(definition.facts, name)
  const pod = entry.object as Pod
  const plain: WriteTarget = { ...target, subresource: '' }
  // Who admits an eviction is not asked about the delete that it is.
  const admitted: Writer = { ...writer, admission: () => [] }
  const budgets = registry.get(PDB.group, 'v1', PDB.resource)
  if (isOutsideBudgets(pod) || budgets?.collection === undefined) {
    await deleteObject(admitted, plain, name, deletion)
    return
  }
  const pdbTarget: WriteTarget = {
    exchange,
    definition: budgets.definition,
    collection: budgets.collection,
    namespace,
    subresource: 'status',
  }
  const matching = budgets.collection.cache
    .list({ prefix: `${budgets.collection.prefix}${namespace}/` })
    .entries.map((each) => each.object as PodDisruptionBudget)
    .filter(({ spec }) =>
      selectorMatches(spec?.selector as LabelSelector | undefined, pod.metadata.labels),
    )
  if (matching.length > 1)
    throw new StatusError(
      '',
      'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.',
    )
  const [budget] = matching
  if (budget !== undefined && !isFree(pod, budget)) {
    if (deletion.dryRun) spend(budget, name, writer.env.clock.now())
    else
      await revise(writer, pdbTarget, budget.metadata.name, (old) =>
        spend(old as PodDisruptionBudget, name, writer.env.clock.now()),
      )
  }
  if (!deletion.dryRun)
    await revise(writer, plain, name, (old) => marked(old as Pod, writer.env.clock.now()))
  await deleteObject(admitted, plain, name, deletion)
}

const isOutsideBudgets = ({ metadata, status }: Pod): boolean =>
  metadata.deletionTimestamp !== undefined ||
  status?.phase === 'Succeeded' ||
  status?.phase === 'Failed' ||
  status?.phase === 'Pending'

const isReady = ({ status }: Pod): boolean =>
  (status?.conditions ?? []).some((each) => each.type === 'Ready' && each.status === 'True')

/** A pod that is not ready protects nobody, if the budget sees it that way or is met by the others. */
function isFree(pod: Pod, { spec, status }: PodDisruptionBudget): boolean {
  if (isReady(pod)) return false
  if (spec?.unhealthyPodEvictionPolicy === 'AlwaysAllow') return true
  const desired = status?.desiredHealthy ?? 0
  return desired > 0 && (status?.currentHealthy ?? 0) >= desired
}

const overBudget = (why: string, retryAfterSeconds?: number): StatusError =>
  new StatusError(
    'TooManyRequests',
    "Cannot evict pod as it would violate the pod's disruption budget.",
    {
      details: {
        causes: [{ reason: 'DisruptionBudget', message: why }],
        ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
      },
    },
  )

/** The budget with one disruption less. Throws 429 when none is left. */
function spend(budget: PodDisruptionBudget, pod: string, now: Date): KubeObject {
  const { metadata, status } = budget
  const { name, generation = 0 } = metadata
  const allowed = status?.disruptionsAllowed ?? 0
  if ((status?.observedGeneration ?? 0) < generation)
    throw overBudget(`The disruption budget ${name} is still being processed by the server.`, 10)
  const disrupted = (status?.disruptedPods ?? {}) as Record<string, string>
  if (allowed < 0) throw forbidden(PDB, name, 'pdb disruptions allowed is negative')
  if (Object.keys(disrupted).length > MOST_DISRUPTED)
    throw forbidden(
      PDB,
      name,
      'DisruptedPods map too big - too many evictions not confirmed by PDB controller',
    )
  if (allowed === 0)
    throw overBudget(
      `The disruption budget ${name} needs ${status?.desiredHealthy ?? 0} healthy pods and has ${status?.currentHealthy ?? 0} currently`,
    )
  const next: unknown = {
    ...budget,
    status: {
      ...status,
      disruptionsAllowed: allowed - 1,
      disruptedPods: { ...disrupted, [pod]: timestamp(now) },
    },
  }
  return next as KubeObject
}

/** Says in the pod's status why it goes. */
function marked(pod: Pod, now: Date): KubeObject | undefined {
  const conditions = pod.status?.conditions ?? []
  if (conditions.some(({ type, status }) => type === 'DisruptionTarget' && status === 'True'))
    return undefined
  const next: unknown = {
    ...pod,
    status: {
      ...pod.status,
      conditions: [
        ...conditions.filter(({ type }) => type !== 'DisruptionTarget'),
        {
          type: 'DisruptionTarget',
          status: 'True',
          lastProbeTime: null,
          lastTransitionTime: timestamp(now),
          reason: 'EvictionByEvictionAPI',
          message: 'Eviction API: evicting',
        },
      ],
    },
  }
  return next as KubeObject
}

/** The shell: follows the API, lets the decision decide, and carries it out. */
import { nodes, pods, type Node, type Pod } from '#api'
import type { Env } from '#base'
import type { Client, EventRecorder, Informers } from '#client'
import { createScheduler } from './class-cache.ts'
import {
  isSuccess,
  type ClusterEvent,
  type ClusterEventName,
  type Plugin,
  type Verdict,
} from './framework.ts'
import { createFramework } from './framework-run.ts'
import { describeFailure } from './messages.ts'
import type { NodeInfo } from './node-info.ts'
import { observe } from './observed.ts'
import { defaultBinder } from './plugins/default-binder.ts'
import { defaultPlugins } from './plugins/index.ts'
import { claimNamesOf } from './plugins/volumes.ts'
import { createPodInfo, type PodInfo } from './pod-info.ts'
import { preempt } from './preemption.ts'
import { schedulerCounts } from './metrics.ts'
import { SchedulingQueue, type QueuedPod } from './queue.ts'
import type { Diagnosis } from './schedule.ts'
import { Snapshot } from './snapshot.ts'
import { statusPatch, type ConditionInput } from './status.ts'

/** What the scheduler works with. */
export interface SchedulerOptions {
  readonly client: Client
  readonly informers: Informers
  readonly events: EventRecorder
  readonly env: Pick<Env, 'clock' | 'random' | 'log' | 'metrics' | 'tracing'>
  /** Schedules pods whose `spec.schedulerName` is this. */
  readonly schedulerName?: string
  /** Added to the default plugins. */
  readonly plugins?: readonly Plugin[]
}

/** A scheduler at work. */
export interface RunningScheduler {
  /** Once the caches are filled and pods are being scheduled. */
  readonly started: Promise<void>
  /** Why a pod is where it is not: what each node would say now. */
  explain(pod: Pod): ReadonlyMap<string, Verdict>
  readonly counts: SchedulingQueue['counts']
}

/** Bindings under way: more would only wait in the API server's queue. */
const MAX_BINDINGS = 128
/** Others on the same event loop get their turn after this. */
const SLICE_MS = 5

/** Gives pods their nodes until the signal aborts. */
export function startScheduler(options: SchedulerOptions, signal: AbortSignal): RunningScheduler {
  const { client, informers, events, env, schedulerName = 'default-scheduler' } = options
  const { clock, random } = env
  const log = env.log.for('scheduler')
  const snapshot = new Snapshot()
  // What the caches hold already is told at once: before there is a queue nobody waits for it.
  let tellQueue = (_event: ClusterEvent): void => undefined
  const observed = observe({
    client,
    informers,
    clock,
    snapshot,
    tell: (event) => tellQueue(event),
  })
  const framework = createFramework([
    ...defaultPlugins(observed),
    ...(options.plugins ?? []),
    defaultBinder(client),
  ])
  let wake = Promise.withResolvers<void>()
  const queue: SchedulingQueue = new SchedulingQueue({ clock, framework }, () => wake.resolve())
  tellQueue = (event) => queue.onEvent(event)
  const scheduler = createScheduler({ snapshot, framework, random })
  /** Given a node here, while the API does not show it yet. */
  const assumed = new Set<string>()
  const counts = schedulerCounts(
    options.env.metrics,
    schedulerName,
    () => queue.counts,
    () => ({
      nodes: snapshot.nodes.length,
      pods: snapshot.nodes.reduce((sum, node) => sum + node.pods.size, 0),
      assumed_pods: assumed.size,
    }),
  )
  let bindings = 0
  let preemptions = 0

  const tell = (name: ClusterEventName, about: Omit<ClusterEvent, 'name'> = {}) =>
    queue.onEvent({ name, ...about })

  function onPod(current: Pod | undefined, old: Pod | undefined): void {
    // The caches outlive a scheduler that no longer leads.
    if (signal.aborted) return
    if (old !== undefined && old.metadata.uid !== current?.metadata.uid) forget(old)
    if (current === undefined) return
    const { uid, deletionTimestamp } = current.metadata
    if (isEnded(current)) forget(current)
    else if ((current.spec.nodeName ?? '') !== '') onAssigned(current)
    else if (current.spec.schedulerName !== schedulerName || assumed.has(uid)) return
    else if (deletionTimestamp !== undefined) forget(current)
    else {
      queue.put(current)
      const queued = queue.get(uid)
      if (queued !== undefined) snapshot.nominate(queued.info, current.status?.nominatedNodeName)
    }
  }

  function forget({ metadata: { uid } }: Pod): void {
    queue.remove(uid)
    assumed.delete(uid)
    const nominated = snapshot.nominationOf(uid)
    const gone = snapshot.remove(uid)
    if (nominated !== undefined) snapshot.nominate(gone ?? ({ uid } as PodInfo), undefined)
    if (gone !== undefined) tell('pod/deleted', { pod: gone })
  }

  function onAssigned(pod: Pod): void {
    const info = createPodInfo(pod)
    const before = snapshot.podOf(info.uid)
    const isNew = before === undefined || assumed.delete(info.uid)
    snapshot.nominate(info, undefined)
    snapshot.place(info, pod.spec.nodeName ?? '')
    queue.remove(info.uid)
    if (isNew) tell('pod/assigned', { pod: info })
    else if (asksLess(info, before)) tell('pod/scaled-down', { pod: info })
    else if (before.isTerminating !== info.isTerminating || !sameText(before.labels, info.labels))
      tell('pod/labels', { pod: info })
  }

  function onNode(current: Node | undefined, old: Node | undefined): void {
    if (current === undefined) {
      if (old !== undefined) snapshot.removeNode(old.metadata.name)
      return
    }
    const name = nodeChange(current, old)
    // Heartbeats change nothing that matters here.
    if (name === undefined) return
    tell(name, { node: snapshot.setNode(current) })
  }

  /** Decides for one pod, and begins to carry it out. */
  function scheduleOne(queued: QueuedPod): void {
    const { info } = queued
    const started = clock.monotonic()
    const { tracing } = env
    const span = tracing?.start('schedule pod', {
      kind: 'internal',
      parent: tracing.writerOf(Number(info.pod.metadata.resourceVersion)),
      attributes: { pod: info.key, attempt: queued.attempts },
    })
    const decision = scheduler.schedule(info)
    counts.decided((clock.monotonic() - started) / 1000)
    span?.set({ node: decision.node?.name ?? '' })
    span?.end()
    if (decision.node === undefined) {
      counts.attempted('unschedulable', (clock.monotonic() - started) / 1000)
      onUnschedulable(queued, decision.diagnosis)
      return
    }
    const { node } = decision
    snapshot.place(info, node.name)
    assumed.add(info.uid)
    const reserved = framework.reserve(info, node)
    if (!isSuccess(reserved)) {
      giveUp(queued, info, node, reserved)
      return
    }
    // A pod may wait minutes for its volumes: it must not hold others up.
    const weight = claimNamesOf(info.pod).length === 0 ? 1 : 0
    bindings += weight
    void bind(queued, info, node, started).finally(() => {
      bindings -= weight
      wake.resolve()
    })
  }

  async function bind(
    queued: QueuedPod,
    info: PodInfo,
    node: NodeInfo,
    started: number,
  ): Promise<void> {
    const verdict = await runBinding(info, node)
    const now = clock.monotonic()
    counts.attempted(isSuccess(verdict) ? 'scheduled' : 'error', (now - started) / 1000)
    if (!isSuccess(verdict)) {
      if (!signal.aborted) giveUp(queued, info, node, verdict)
      return
    }
    counts.bound(queued.attempts, (now - queued.since) / 1000)
    framework.postBind(info, node)
    snapshot.nominate(info, undefined)
    events.event(
      withKind(info.pod),
      'Normal',
      'Scheduled',
      `Successfully assigned ${info.key} to ${node.name}`,
      { action: 'Binding' },
    )
  }

  async function runBinding(info: PodInfo, node: NodeInfo): Promise<Verdict> {
    try {
      const permitted = await framework.permit(info, node, signal)
      if (!isSuccess(permitted)) return permitted
      const ready = await framework.preBind(info, node, signal)
      return isSuccess(ready) ? await framework.bind(info, node, signal) : ready
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error)
      return { code: 'error', reasons: [`binding rejected: ${text}`] }
    }
  }

  /** Takes an assumption back. */
  function giveUp(queued: QueuedPod, info: PodInfo, node: NodeInfo, verdict: Verdict): void {
    framework.unreserve(info, node)
    // The API may have shown meanwhile that it is there after all.
    if (!assumed.delete(info.uid)) return
    snapshot.remove(info.uid)
    tell('pod/deleted', { pod: info })
    const message = verdict.reasons.join(', ')
    log.warn('Cannot bind pod', { pod: info.key, node: node.name, reason: message })
    const isRefusal = verdict.code === 'unschedulable' || verdict.code === 'unresolvable'
    if (isRefusal)
      queue.failed(queued, new Set(verdict.plugin === undefined ? [] : [verdict.plugin]))
    else queue.failedWithError(queued)
    report(queued.info, isRefusal ? 'Unschedulable' : 'SchedulerError', message)
  }

  function onUnschedulable(queued: QueuedPod, diagnosis: Diagnosis): void {
    const { info } = queued
    queue.failed(queued, diagnosis.refusedBy)
    let message = describeFailure(diagnosis)
    let nomination: string | undefined
    if (diagnosis.nodeCount > 0) {
      const context = { snapshot, framework, budgets: observed.budgets(), offset: preemptions++ }
      const preemption = preempt(info, diagnosis, context)
      if (preemption.node === undefined) {
        message = describeFailure(diagnosis, preemption.message)
        if (preemption.clear) nomination = ''
      } else {
        nomination = preemption.node.name
        makeRoom(info, preemption.node, preemption.victims)
        counts.preempted(preemption.victims.length)
      }
    }
    if (nomination !== undefined) snapshot.nominate(info, nomination)
    report(info, 'Unschedulable', message, nomination)
  }

  function makeRoom(info: PodInfo, node: NodeInfo, victims: readonly PodInfo[]): void {
    for (const other of snapshot.nominatedTo(node.name)) {
      if (other.priority >= info.priority || other.uid === info.uid) continue
      // The room that was made for it is not its own any more.
      snapshot.nominate(other, undefined)
      const patch = { status: { nominatedNodeName: null } }
      void attempt('clear the nomination of', other, () => patchStatus(other.pod, patch))
    }
    for (const victim of victims)
      if (!victim.isTerminating) void attempt('preempt', victim, () => evict(victim, info, node))
  }

  async function evict(victim: PodInfo, preemptor: PodInfo, node: NodeInfo): Promise<void> {
    const condition = {
      type: 'DisruptionTarget',
      status: 'True',
      reason: 'PreemptionByScheduler',
      message: `${schedulerName}: preempting to accommodate a higher priority pod`,
    } as const
    const patch = statusPatch(victim.pod, condition, { now: clock.now() })
    if (patch !== undefined) await patchStatus(victim.pod, patch)
    const cause = `pod/${preemptor.key}`
    await client.delete(pods, keyOfPod(victim.pod), {
      preconditions: { uid: victim.uid },
      signal,
      cause,
    })
    const message = `Preempted by pod ${preemptor.uid} on node ${node.name}`
    events.event(withKind(victim.pod), 'Normal', 'Preempted', message, {
      action: 'Preempting',
      related: withKind(preemptor.pod),
    })
  }

  /** Tells the user, and the pod's condition. */
  function report(
    info: PodInfo,
    reason: 'Unschedulable' | 'SchedulerError',
    message: string,
    nominatedNodeName?: string,
  ): void {
    events.event(withKind(info.pod), 'Warning', 'FailedScheduling', message, {
      action: 'Scheduling',
    })
    const condition: ConditionInput = { type: 'PodScheduled', status: 'False', reason, message }
    const patch = statusPatch(info.pod, condition, { now: clock.now(), nominatedNodeName })
    if (patch !== undefined) void attempt('report on', info, () => patchStatus(info.pod, patch))
  }

  const patchStatus = (pod: Pod, patch: object): Promise<Pod> =>
    client.patch(pods, keyOfPod(pod), 'strategic', patch, {
      subresource: 'status',
      signal,
      cause: `pod/${pod.metadata.namespace ?? ''}/${pod.metadata.name}`,
    })

  async function attempt(
    what: string,
    { key }: PodInfo,
    run: () => Promise<unknown>,
  ): Promise<void> {
    try {
      await run()
    } catch (error) {
      if (!signal.aborted)
        log.warn('Cannot complete an action on a pod', { action: what, pod: key, error })
    }
  }

  async function run(): Promise<void> {
    informers.informer(nodes).onChange(onNode)
    informers.informer(pods).onChange(onPod)
    await informers.synced()
    log.info('Scheduling pods', { schedulerName })
    started.resolve()
    let sliceEnd = clock.monotonic() + SLICE_MS
    while (!signal.aborted) {
      const queued = bindings < MAX_BINDINGS ? queue.pop() : undefined
      if (queued === undefined) {
        await wake.promise
        wake = Promise.withResolvers<void>()
        sliceEnd = clock.monotonic() + SLICE_MS
        continue
      }
      try {
        scheduleOne(queued)
      } catch (error) {
        log.error('Cannot decide on a pod', { pod: queued.info.key, error })
        queue.failedWithError(queued)
      }
      if (clock.monotonic() < sliceEnd) continue
      await clock.sleep(0, signal).catch(() => {})
      sliceEnd = clock.monotonic() + SLICE_MS
    }
  }

  const started = Promise.withResolvers<void>()
  started.promise.catch(() => {})
  signal.addEventListener('abort', () => {
    queue.close()
    wake.resolve()
    started.reject(signal.reason)
  })
  run().catch((error: unknown) => {
    started.reject(error)
    if (!signal.aborted) log.error('The scheduler has stopped', { error })
  })

  return {
    started: started.promise,
    explain(pod) {
      const info = createPodInfo(pod)
      const { refusal, filter } = framework.prepareFilters(info, snapshot)
      return new Map(snapshot.nodes.map((node) => [node.name, refusal ?? filter(node)]))
    },
    get counts() {
      return queue.counts
    },
  }
}

const isEnded = ({ status }: Pod): boolean =>
  status?.phase === 'Succeeded' || status?.phase === 'Failed'

const keyOfPod = ({ metadata: { namespace = '', name } }: Pod) => ({ namespace, name })

/** Events name the kind, which items of lists do not carry. */
const withKind = (pod: Pod): Pod => ({ ...pod, apiVersion: 'v1', kind: 'Pod' })

const sameText = (a: unknown, b: unknown): boolean =>
  a === b || JSON.stringify(a) === JSON.stringify(b)

const asksLess = (now: PodInfo, before: PodInfo): boolean =>
  Object.entries(before.requests).some(([name, amount]) => (now.requests[name] ?? 0) < amount)

/** What changed about a node, by what matters most; undefined when nothing did. */
function nodeChange(current: Node, old: Node | undefined): ClusterEventName | undefined {
  if (old === undefined) return 'node/add'
  if (!sameText(old.status?.allocatable, current.status?.allocatable)) return 'node/allocatable'
  if (!sameText(old.metadata.labels, current.metadata.labels)) return 'node/labels'
  if (
    !sameText(old.spec?.taints, current.spec?.taints) ||
    old.spec?.unschedulable !== current.spec?.unschedulable
  )
    return 'node/taints'
  return sameText(old.status?.images, current.status?.images) ? undefined : 'node/other'
}

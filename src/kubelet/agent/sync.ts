/** One round of a pod that is to run: looks at what there is, and brings it to what the spec asks for. */
import type { Pod } from '#api'
import { type Kill, type PodActions, computeActions, isIdle } from '../pod/actions.ts'
import { allContainers, findContainer, isTerminal, specGraceOf } from '../pod/containers.ts'
import { newestContainer, readySandbox } from '../pod/pod-runtime.ts'
import type { Prober } from '../probes/prober.ts'
import { startContainer } from './container-start.ts'
import type { ResizedPod, Resizer } from './resize.ts'
import type { Rounds } from './rounds.ts'
import type { StartedPod } from './started-pod.ts'
import { stopOne } from './termination.ts'

/** What a round needs of the pod's agent. */
export interface SyncedPod extends StartedPod, ResizedPod {
  /** As the API has it. */
  readonly spec: Pod
  readonly prober: Prober
  readonly resizer: Resizer
  readonly rounds: Rounds
  /** Ends when the kubelet stops. */
  readonly kubeletSignal: AbortSignal
  /** Whether the node takes the pod; one that it refuses has failed. */
  admit(): Promise<boolean>
  /** The node ends it. */
  fail(reason: string, message: string): void
  /** Its containers have done their work. */
  complete(): void
}

export async function syncPod(agent: SyncedPod): Promise<void> {
  const { view } = agent
  if (!isTerminal(agent.pod) && (!(await agent.admit()) || isOverdue(agent))) return
  if (await agent.resizer.allocate(agent, agent.spec)) agent.files.resized()
  for (;;) {
    agent.publish()
    const { pod } = agent
    if (isTerminal(pod)) {
      agent.complete()
      return
    }
    const actions = computeActions(
      pod,
      view.runtime,
      agent.prober,
      publishedRestarts(pod),
      view.again,
    )
    if (isIdle(actions)) break
    agent.rounds.begin(agent.spec)
    const before = view.runtime
    if (!(await carryOut(agent, actions))) return
    // Nothing moved: what is left waits for a timer, an image or an object.
    if (view.runtime === before) break
  }
  // Found running by a new kubelet: its volumes have to be kept up to date again.
  if (agent.files.mounted === undefined && readySandbox(view.runtime) !== undefined) {
    await makeReady(agent, undefined)
  }
  await agent.resizer.actuate(agent)
  agent.publish()
}

function isOverdue(agent: SyncedPod): boolean {
  const { pod } = agent
  const seconds = pod.spec.activeDeadlineSeconds
  const start = pod.status?.startTime
  if (seconds === undefined || start === undefined) return false
  const nowMs = agent.context.env.clock.now().getTime()
  const leftMs = Date.parse(start) + Number(seconds) * 1000 - nowMs
  if (leftMs > 0) {
    agent.wakeIn(leftMs)
    return false
  }
  const message = 'Pod was active on the node longer than the specified deadline'
  agent.event('Normal', 'DeadlineExceeded', message)
  agent.fail('DeadlineExceeded', message)
  return true
}

/** False when what containers need cannot be made now. */
async function carryOut(agent: SyncedPod, actions: PodActions): Promise<boolean> {
  await Promise.all(actions.kill.map((kill) => killOne(agent, kill)))
  for (const id of actions.stopSandboxes) await agent.sandboxes.stop(id)
  agent.signal.throwIfAborted()
  if (actions.createSandbox !== undefined) {
    if (!(await makeReady(agent, actions.createSandbox))) return false
    agent.signal.throwIfAborted()
  } else if (actions.start.length > 0) {
    if (agent.files.mounted === undefined && !(await makeReady(agent, undefined))) return false
    for (const start of actions.start) {
      const outcome = await agent.rounds.timed(`start container ${start.container.name}`, () =>
        startContainer(agent, start),
      )
      agent.signal.throwIfAborted()
      agent.publish()
      if (outcome === 'wait') break
    }
  }
  return true
}

/** Volumes, and a sandbox when one is asked for, side by side. */
async function makeReady(agent: SyncedPod, attempt: number | undefined): Promise<boolean> {
  const { pod, files, sandboxes, rounds } = agent
  const make = await files.resolve(pod)
  if (make === undefined) return false
  if (attempt === undefined) await sandboxes.findCgroup(pod)
  else prefetch(agent, pod)
  const [mounted, sandbox] = await Promise.allSettled([
    rounds.timed('mount volumes', make),
    attempt === undefined
      ? undefined
      : rounds.timed('create sandbox', () => sandboxes.create(pod, attempt)),
  ])
  if (mounted.status === 'rejected') files.failed(mounted.reason)
  else files.made(mounted.value)
  if (sandbox.status === 'rejected') sandboxes.failed(sandbox.reason)
  return mounted.status === 'fulfilled' && sandbox.status === 'fulfilled'
}

/** Images begin to be pulled while the sandbox is made. */
function prefetch(agent: SyncedPod, pod: Pod): void {
  for (const [container, kind] of allContainers(pod)) {
    if (kind === 'ephemeral' || newestContainer(agent.view.runtime, container.name)) continue
    void agent.context.images.ensure(agent.imageRequest(container, 0)).catch(() => {})
  }
}

async function killOne(agent: SyncedPod, { container, reason, message }: Kill): Promise<void> {
  agent.event('Normal', 'Killing', message, container.name)
  if (reason === 'changed') agent.view.replace(container.id)
  const { pod } = agent
  const spec = findContainer(pod, container.name)?.[0]
  const probe =
    reason === 'liveness'
      ? spec?.livenessProbe
      : reason === 'startup'
        ? spec?.startupProbe
        : undefined
  await stopOne(agent, container, {
    graceSeconds: Number(probe?.terminationGracePeriodSeconds ?? specGraceOf(pod)),
    announce: false,
    signal: agent.kubeletSignal,
  })
}

/** Counts of what has run before, for a runtime that has forgotten. */
function publishedRestarts(pod: Pod): ReadonlyMap<string, number> {
  const counts = new Map<string, number>()
  const { containerStatuses = [], initContainerStatuses = [] } = pod.status ?? {}
  for (const { name, containerID, restartCount } of [
    ...containerStatuses,
    ...initContainerStatuses,
  ]) {
    if (containerID !== undefined) counts.set(name, restartCount)
    // One that was lost counts as restarted already, before it runs again.
    else if (restartCount > 0) counts.set(name, restartCount - 1)
  }
  return counts
}

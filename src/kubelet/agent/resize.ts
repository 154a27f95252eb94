/**
 * In-place resize of one pod: whether the node has room for what the spec asks now, and then bringing the running
 * containers there. Until both are done the pod's conditions say what it waits for.
 */
import type { Pod, ResourceRequirements } from '#api'
import type { KubeletContext } from '../context.ts'
import { makePodCgroup } from '../host.ts'
import {
  type Allocation,
  askedFor,
  changedResources,
  largerOf,
  needsRestart,
  publishedAllocation,
  sameAllocation,
  withAllocation,
} from '../pod/allocation.ts'
import type { Condition } from '../pod/conditions.ts'
import { type AnyContainer, allContainers } from '../pod/containers.ts'
import { type PodContainer, type PodRuntime, newestContainer } from '../pod/pod-runtime.ts'
import { linuxResources } from '../pod/resources.ts'
import type { LinuxResources } from '../runtime.ts'

/** What a resize needs of the pod's agent. */
export interface ResizedPod {
  readonly context: KubeletContext
  /** With what it has been given. */
  readonly pod: Pod
  readonly runtime: PodRuntime
  event(type: 'Normal' | 'Warning', reason: string, message: string, container?: string): void
  wakeIn(ms: number): void
  /** Ends the container, which then starts again whatever the pod's policy is. */
  restart(container: PodContainer, message: string): Promise<void>
}

/** A resize that waits for room, or that the kernel refused, is tried again after this. */
const RETRY_MS = 10_000

const sameLinux = (a: LinuxResources, b: LinuxResources): boolean =>
  a.cpuQuota === b.cpuQuota &&
  a.cpuShares === b.cpuShares &&
  a.memoryLimitInBytes === b.memoryLimitInBytes

export class Resizer {
  #allocation: Allocation
  #pending: Condition | undefined
  #trouble: string | undefined
  #working = false
  /** What each container runs with, by its id. */
  readonly #actual = new Map<string, ResourceRequirements>()

  constructor(pod: Pod, runtime: PodRuntime | undefined) {
    const before = runtime !== undefined && runtime.sandboxes.length > 0
    this.#allocation = before ? publishedAllocation(pod) : askedFor(pod)
    for (const { id, name } of runtime?.containers ?? []) {
      this.#actual.set(id, this.#allocation.get(name) ?? {})
    }
  }

  given(pod: Pod): Pod {
    return withAllocation(pod, this.#allocation)
  }

  /** Whether it asks for no other amounts than it has been given. */
  hasGiven(pod: Pod): boolean {
    return sameAllocation(this.#allocation, askedFor(pod))
  }

  actual(containerId: string): ResourceRequirements | undefined {
    return this.#actual.get(containerId)
  }

  made(containerId: string, { resources = {} }: AnyContainer): void {
    this.#actual.set(containerId, resources)
  }

  forget(containerId: string): void {
    this.#actual.delete(containerId)
  }

  conditions(): readonly Condition[] {
    const found = this.#pending === undefined ? [] : [this.#pending]
    if (this.#trouble !== undefined) {
      const message = this.#trouble
      return [...found, { type: 'PodResizeInProgress', status: 'True', reason: 'Error', message }]
    }
    return this.#working ? [...found, { type: 'PodResizeInProgress', status: 'True' }] : found
  }

  /** Gives the pod what its spec asks for, when there is room for it; true when that is another amount. */
  async allocate(agent: ResizedPod, spec: Pod): Promise<boolean> {
    const wanted = askedFor(spec)
    if (sameAllocation(this.#allocation, wanted)) {
      this.#pending = undefined
      return false
    }
    const problem = await agent.context.room(spec)
    if (problem === undefined) {
      this.#pending = undefined
      this.#allocation = wanted
      this.#working = true
      agent.event('Normal', 'ResizeStarted', `Pod resize started: ${summaryOf(spec, wanted)}`)
      return true
    }
    const { reason, message } = problem
    if (this.#pending?.reason !== reason || this.#pending.message !== message) {
      agent.event('Warning', `Resize${reason}`, `Pod resize ${reason}: ${message}`)
    }
    this.#pending = { type: 'PodResizePending', status: 'True', reason, message }
    if (reason === 'Deferred') agent.wakeIn(RETRY_MS)
    return false
  }

  /** Brings the running containers to what they have been given. */
  async actuate(agent: ResizedPod): Promise<void> {
    const changes = this.#changes(agent)
    if (changes.length > 0) {
      this.#working = true
      try {
        await this.#bound(agent, largerOf(this.#running(agent), this.#allocation))
        for (const change of changes) await this.#apply(agent, change)
        await this.#bound(agent, this.#allocation)
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error)
        if (this.#trouble !== message) agent.event('Warning', 'ResizeError', message)
        this.#trouble = message
        agent.wakeIn(RETRY_MS)
        return
      }
    }
    this.#trouble = undefined
    // One that is being made anew is not there yet.
    if (!this.#working || this.#changes(agent).length > 0) return
    this.#working = false
    agent.event(
      'Normal',
      'ResizeCompleted',
      `Pod resize completed: ${summaryOf(agent.pod, this.#allocation)}`,
    )
  }

  #changes({ pod, runtime }: ResizedPod): readonly Change[] {
    const changes: Change[] = []
    for (const [container, kind] of allContainers(pod)) {
      if (kind === 'ephemeral') continue
      const running = newestContainer(runtime, container.name)
      if (running?.state !== 'running') continue
      const before = this.#actual.get(running.id)
      if (before === undefined) this.#actual.set(running.id, container.resources ?? {})
      else {
        const changed = changedResources(before, container.resources)
        if (changed.length > 0) changes.push({ container, running, before, changed })
      }
    }
    return changes
  }

  async #apply(agent: ResizedPod, change: Change): Promise<void> {
    const { container, running, before, changed } = change
    const { context, pod } = agent
    if (needsRestart(container, changed)) {
      await agent.restart(running, `Container ${container.name} resize requires restart`)
      return
    }
    const wanted = linuxResources(pod, container, context.machine)
    const now = linuxResources(pod, { ...container, resources: before }, context.machine)
    if (!sameLinux(wanted, now)) {
      const { oomScoreAdj: _, ...resources } = wanted
      await context.runtime.updateContainerResources(running.id, {
        ...resources,
        // Without a limit: as much as there is.
        cpuQuota: wanted.cpuQuota ?? -1,
      })
    }
    this.#actual.set(running.id, container.resources ?? {})
  }

  #running({ runtime, pod }: ResizedPod): Allocation {
    return new Map(
      [...allContainers(pod)].flatMap(([{ name }]) => {
        const id = newestContainer(runtime, name)?.id
        const resources = id === undefined ? undefined : this.#actual.get(id)
        return resources === undefined ? [] : [[name, resources] as const]
      }),
    )
  }

  /** The pod's own bounds grow before and shrink after its containers': theirs have to fit into them all the time. */
  async #bound({ context, pod }: ResizedPod, allocation: Allocation): Promise<void> {
    const { machine, runtime, config, env } = context
    if (runtime.simulated) return
    await makePodCgroup(
      withAllocation(pod, allocation),
      { machine, root: config.cgroupRoot, podPidsLimit: config.podPidsLimit },
      env,
    )
  }
}

interface Change {
  readonly container: AnyContainer
  readonly running: PodContainer
  readonly before: ResourceRequirements
  readonly changed: readonly string[]
}

const summaryOf = (pod: Pod, allocation: Allocation): string =>
  JSON.stringify({
    containers: pod.spec.containers.map(({ name }) => ({
      name,
      resources: allocation.get(name) ?? {},
    })),
    ...(pod.metadata.generation === undefined ? {} : { generation: pod.metadata.generation }),
  })

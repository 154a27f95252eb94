/** What to do next for a pod that should run: looks at the spec and at the runtime, and changes nothing. */
import type { Container, EphemeralContainer, Pod } from '#api'
import { ANNOTATION } from '../runtime.ts'
import {
  type AnyContainer,
  type ContainerKind,
  containerHash,
  isDeleted,
  isSidecar,
  restartsAfter,
} from './containers.ts'
import { type PodContainer, type PodRuntime, isRunning, newestContainer } from './pod-runtime.ts'

export type ProbeResult = 'success' | 'failure' | 'unknown'

/** The latest results by container id; `unknown` before the first. */
export interface ProbeResults {
  liveness(containerId: string): ProbeResult
  startup(containerId: string): ProbeResult
}

export type KillReason = 'liveness' | 'startup' | 'changed' | 'unknown' | 'sandbox'

export interface Kill {
  readonly container: PodContainer
  readonly reason: KillReason
  readonly message: string
}

export interface Start {
  readonly container: AnyContainer
  readonly kind: ContainerKind
  /** Becomes its restart count. */
  readonly attempt: number
}

export interface PodActions {
  /** These end before anything starts. */
  readonly kill: readonly Kill[]
  /** Stop these first, they are of no use any more. */
  readonly stopSandboxes: readonly string[]
  /** Attempt number of the sandbox to make; containers start once it is there. */
  readonly createSandbox: number | undefined
  /** In this order. */
  readonly start: readonly Start[]
}

const nothing: PodActions = { kill: [], stopSandboxes: [], createSandbox: undefined, start: [] }

export const isIdle = (actions: PodActions): boolean =>
  actions.kill.length === 0 &&
  actions.stopSandboxes.length === 0 &&
  actions.createSandbox === undefined &&
  actions.start.length === 0

export function computeActions(
  pod: Pod,
  runtime: PodRuntime,
  probes: ProbeResults,
  restartCounts: ReadonlyMap<string, number>,
  /** Ended to be made anew: they start again whatever the policy is. */
  again: ReadonlySet<string> = new Set(),
): PodActions {
  if (isDeleted(pod)) return nothing
  const sandbox = currentSandbox(pod, runtime)
  if (sandbox === undefined) return replaceSandbox(pod, runtime)

  const plan = new Plan(pod, runtime, probes, restartCounts, again)
  plan.ephemeral(pod.spec.ephemeralContainers ?? [])
  const init = plan.init(pod.spec.initContainers ?? [], sandbox)
  if (init === 'done') plan.regular(pod.spec.containers)
  return { ...nothing, kill: plan.kills, start: plan.starts }
}

/** The newest sandbox, when it is the only ready one, has an address, and is on the right network. */
function currentSandbox(pod: Pod, { sandboxes }: PodRuntime): string | undefined {
  const newest = sandboxes[0]
  if (newest?.state !== 'ready') return undefined
  if (sandboxes.some((other) => other !== newest && other.state === 'ready')) return undefined
  const wanted = pod.spec.hostNetwork === true ? 'NODE' : 'POD'
  if (newest.network !== wanted) return undefined
  return wanted === 'NODE' || newest.ips.length > 0 ? newest.id : undefined
}

function replaceSandbox(pod: Pod, runtime: PodRuntime): PodActions {
  const attempt = Math.max(-1, ...runtime.sandboxes.map(({ metadata }) => metadata.attempt)) + 1
  const kill = runtime.containers.filter(isRunning).map((container): Kill => ({
    container,
    reason: 'sandbox',
    message: 'Pod sandbox changed, it will be killed and re-created.',
  }))
  const stopSandboxes = runtime.sandboxes
    .filter(({ state }) => state === 'ready')
    .map(({ id }) => id)
  const needed =
    attempt === 0 ||
    runtime.containers.length === 0 ||
    pod.spec.containers.some((container) =>
      wantsStart(pod, container, 'regular', newestContainer(runtime, container.name)),
    )
  return {
    kill,
    stopSandboxes,
    // After the ends that come first; and not when all containers have done what they were for.
    createSandbox: needed && kill.length === 0 ? attempt : undefined,
    start: [],
  }
}

function wantsStart(
  pod: Pod,
  container: AnyContainer,
  kind: ContainerKind,
  status: PodContainer | undefined,
): boolean {
  if (status === undefined) return true
  if (status.state === 'running') return false
  if (status.state !== 'exited') return true
  return restartsAfter(pod, container, kind, status.exitCode)
}

class Plan {
  readonly kills: Kill[] = []
  readonly starts: Start[] = []
  readonly #pod: Pod
  readonly #runtime: PodRuntime
  readonly #probes: ProbeResults
  readonly #restartCounts: ReadonlyMap<string, number>
  readonly #again: ReadonlySet<string>

  constructor(
    pod: Pod,
    runtime: PodRuntime,
    probes: ProbeResults,
    restartCounts: ReadonlyMap<string, number>,
    again: ReadonlySet<string>,
  ) {
    this.#pod = pod
    this.#runtime = runtime
    this.#probes = probes
    this.#restartCounts = restartCounts
    this.#again = again
  }

  ephemeral(containers: readonly EphemeralContainer[]): void {
    for (const container of containers) {
      // They run once, whatever becomes of them.
      if (newestContainer(this.#runtime, container.name) !== undefined) continue
      this.starts.push({ container, kind: 'ephemeral', attempt: 0 })
    }
  }

  init(containers: readonly Container[], sandboxId: string): 'done' | 'waiting' {
    // What ran in an earlier sandbox counts no more: the network it prepared is gone.
    const inSandbox = (name: string) =>
      this.#runtime.containers.find(
        (status) => status.name === name && status.sandboxId === sandboxId,
      )
    const initialized = this.#pod.spec.containers.some(({ name }) => inSandbox(name) !== undefined)
    for (const container of containers) {
      const status = inSandbox(container.name)
      const settled = isSidecar(container, 'init')
        ? this.#sidecar(container, status)
        : initialized || this.#plainInit(container, status)
      if (!settled && !initialized) return 'waiting'
    }
    return 'done'
  }

  /** True once it has succeeded. */
  #plainInit(container: Container, status: PodContainer | undefined): boolean {
    if (status?.state === 'exited' && status.exitCode === 0) return true
    if (status?.state === 'running') {
      this.#killWhenChanged(container, status)
      return false
    }
    if (wantsStart(this.#pod, container, 'init', status)) this.#start(container, 'init')
    return false
  }

  /** True once it has started. */
  #sidecar(container: Container, status: PodContainer | undefined): boolean {
    if (status?.state !== 'running') {
      this.#start(container, 'init')
      return false
    }
    if (this.#killWhenUnfit(container, status)) return false
    return container.startupProbe === undefined || this.#probes.startup(status.id) === 'success'
  }

  regular(containers: readonly Container[]): void {
    for (const container of containers) {
      const status = newestContainer(this.#runtime, container.name)
      if (status?.state === 'running') this.#killWhenUnfit(container, status)
      else if (
        (status !== undefined && this.#again.has(status.id)) ||
        wantsStart(this.#pod, container, 'regular', status)
      )
        this.#start(container, 'regular')
    }
  }

  #killWhenUnfit(container: Container, status: PodContainer): boolean {
    if (this.#killWhenChanged(container, status)) return true
    if (this.#probes.startup(status.id) === 'failure') {
      return this.#kill(
        status,
        'startup',
        `Container ${container.name} failed startup probe, will be restarted`,
      )
    }
    if (this.#probes.liveness(status.id) === 'failure') {
      return this.#kill(
        status,
        'liveness',
        `Container ${container.name} failed liveness probe, will be restarted`,
      )
    }
    return false
  }

  #killWhenChanged(container: Container, status: PodContainer): boolean {
    const made = status.annotations[ANNOTATION.hash]
    if (made === undefined || made === containerHash(container)) return false
    return this.#kill(
      status,
      'changed',
      `Container ${container.name} definition changed, will be restarted`,
    )
  }

  #kill(container: PodContainer, reason: KillReason, message: string): true {
    this.kills.push({ container, reason, message })
    return true
  }

  #start(container: Container, kind: ContainerKind): void {
    this.starts.push({
      container,
      kind,
      attempt: nextAttempt(
        newestContainer(this.#runtime, container.name),
        this.#restartCounts.get(container.name),
      ),
    })
  }
}

/** Counts on from the runtime, or from the published status when the runtime has forgotten. */
function nextAttempt(last: PodContainer | undefined, published: number | undefined): number {
  const known = Math.max(
    last === undefined ? -1 : last.attempt,
    published === undefined || last !== undefined ? -1 : published,
  )
  return known + 1
}

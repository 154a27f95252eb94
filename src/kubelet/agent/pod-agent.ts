/**
 * The shell around one pod's worker: hears of everything that concerns the pod, has its parts do what the worker
 * decides, and tells the API.
 */
import type { Pod } from '#api'
import { CRASH_BACKOFF } from '../backoff.ts'
import type { KubeletContext } from '../context.ts'
import type { ImageRequest } from '../images.ts'
import { logDirectoryOf } from '../pod/configs.ts'
import {
  type AnyContainer,
  fieldPathOf,
  graceOf,
  isDeleted,
  isTerminal,
  uidOf,
} from '../pod/containers.ts'
import { type CrashState, afterRestart, crashKey } from '../pod/crash.ts'
import { type PodContainer, type PodRuntime, readySandbox } from '../pod/pod-runtime.ts'
import type { PodWorker } from '../pod/pod-worker.ts'
import { type PodFailure, type Waiting, statusOf } from '../pod/status.ts'
import type { Prober } from '../probes/prober.ts'
import { Ending, type EndingPod } from './ending.ts'
import { PodFiles } from './files.ts'
import { Lifecycle } from './lifecycle.ts'
import { podProber } from './probing.ts'
import { Resizer } from './resize.ts'
import { Rounds } from './rounds.ts'
import { Sandboxes } from './sandboxes.ts'
import { type SyncedPod, syncPod } from './sync.ts'
import { stopOne } from './termination.ts'
import { PodView } from './view.ts'

const FAILED_ROUND_RETRY_MS = 1000

/** What the kubelet does for all its agents. */
export interface AgentKeeper {
  /** Events of this container or sandbox are the agent's. */
  own(id: string, agent: PodAgent): void
  disown(id: string): void
  /** The pod is cleaned up: its object can go. */
  release(agent: PodAgent): void
}

export interface PodAgentOptions {
  readonly pod: Pod
  /** What an earlier kubelet has left running. */
  readonly runtime: PodRuntime | undefined
  readonly context: KubeletContext
  readonly keeper: AgentKeeper
  /** Ends everything, when the kubelet itself stops: containers stay as they are. */
  readonly kubeletSignal: AbortSignal
}

/** One pod on this node, from when it is first heard of until it is gone from the API. */
export class PodAgent implements SyncedPod, EndingPod {
  readonly context: KubeletContext
  readonly uid: string
  readonly kubeletSignal: AbortSignal
  readonly view: PodView
  readonly files: PodFiles
  readonly sandboxes: Sandboxes
  readonly resizer: Resizer
  readonly prober: Prober
  readonly rounds: Rounds
  readonly waiting = new Map<string, Waiting>()
  readonly crashes = new Map<string, CrashState>()
  readonly #keeper: AgentKeeper
  readonly #ending: Ending
  readonly #lifecycle: Lifecycle
  readonly #listeners = new Set<() => void>()
  /** Until when containers are not started again, on the monotonic clock. */
  readonly #heldUntilMs = new Map<string, number>()
  #admitted: boolean
  #failed: PodFailure | undefined
  /** The API does not know it any more. */
  #removed = false
  /** When it was first seen here, until it runs. */
  #seenAtMs: number | undefined

  constructor({ pod, runtime, context, keeper, kubeletSignal }: PodAgentOptions) {
    this.context = context
    this.uid = uidOf(pod)
    this.kubeletSignal = kubeletSignal
    this.#keeper = keeper
    this.#lifecycle = new Lifecycle(pod, context.env.clock, {
      sync: () => this.rounds.ask(),
      stop: (graceSeconds) => this.#ending.stop(graceSeconds),
      finished: () => this.publish(),
      cleanUp: () => this.#ending.cleanUp(),
      release: () => keeper.release(this),
    })
    this.view = new PodView(this, runtime)
    // What runs already was admitted by an earlier kubelet.
    this.#admitted = this.runtime.sandboxes.length > 0
    if (!this.#admitted) this.#seenAtMs = context.env.clock.monotonic()
    this.resizer = new Resizer(pod, runtime)
    this.files = new PodFiles(this, pod)
    this.sandboxes = new Sandboxes(this)
    this.prober = podProber(this)
    this.rounds = new Rounds({
      env: context.env,
      metrics: context.metrics,
      goesOn: () => this.phase === 'syncing',
      run: () => syncPod(this),
      failed: (error) => this.#roundFailed(error),
      signal: kubeletSignal,
    })
    this.#ending = new Ending(this)
    for (const { id } of [...this.runtime.sandboxes, ...this.runtime.containers]) this.own(id)
  }

  /** As the API has it. */
  get spec(): Pod {
    return this.worker.pod
  }

  /** With its status as far as this node knows it, and with what it has been given of what it asks for. */
  get pod(): Pod {
    return this.resizer.given(this.context.statuses.current(this.spec))
  }

  get worker(): PodWorker {
    return this.#lifecycle.worker
  }

  get phase(): PodWorker['phase'] {
    return this.worker.phase
  }

  get runtime(): PodRuntime {
    return this.view.runtime
  }

  get signal(): AbortSignal {
    return this.#lifecycle.signal
  }

  get podIps(): readonly string[] {
    if (this.spec.spec.hostNetwork === true) return this.context.config.nodeIps
    return readySandbox(this.runtime)?.ips ?? []
  }

  get logDirectory(): string {
    return logDirectoryOf(this.context.config.logRoot, this.spec)
  }

  /**
   * Whether its requests are taken: not when it was refused, nor when the API knows it no more, for then
   * the scheduler has given its place to another.
   */
  get isCounted(): boolean {
    const refused = !this.#admitted && this.#failed !== undefined
    return !refused && !this.#removed && this.phase !== 'terminated' && !isTerminal(this.pod)
  }

  get isAdmitted(): boolean {
    return this.#admitted
  }

  // --- what it hears ---

  /** The API has this version of it. */
  update(pod: Pod): void {
    const before = this.spec
    this.context.statuses.seen(pod)
    if (isDeleted(pod)) this.#lifecycle.requestStop(pod, graceOf(pod), { type: 'deleted' })
    else if (isTerminal(pod) && this.phase === 'syncing' && !isTerminal(before)) {
      this.#lifecycle.requestStop(pod, graceOf(pod), { type: 'completed' })
    } else this.#lifecycle.updated(pod)
    // One that was added may mount what no other does, and be privileged.
    const added = (pod.spec.ephemeralContainers ?? []).length
    if (added > (before.spec.ephemeralContainers ?? []).length) {
      this.files.remount()
      this.sandboxes.reconfigure()
    }
    if (this.phase === 'syncing' && before !== pod) this.files.podChanged(before, pod)
    // A round may be under way that takes long: for an image, or a container that is slow to end.
    if (
      this.phase === 'syncing' &&
      this.#admitted &&
      before.metadata.generation !== pod.metadata.generation &&
      this.resizer.hasGiven(pod)
    )
      this.publish()
  }

  /** The object is gone from the API: nothing waits for it any more. */
  removed(pod: Pod): void {
    this.#removed = true
    const deletionTimestamp =
      pod.metadata.deletionTimestamp ?? this.context.env.clock.now().toISOString()
    const deleted = { ...pod, metadata: { ...pod.metadata, deletionTimestamp } }
    this.#lifecycle.requestStop(deleted, graceOf(pod), { type: 'deleted' })
  }

  /** `disrupts` says that the node ends it for its own sake. */
  fail(reason: string, message: string, graceSeconds = graceOf(this.spec), disrupts = false): void {
    this.#failed = { reason, message, disrupts }
    this.#lifecycle.requestStop(this.spec, graceSeconds, { type: 'failed', reason, message })
  }

  complete(): void {
    this.#lifecycle.requestStop(this.spec, graceOf(this.pod), { type: 'completed' })
  }

  /** Something that the pod's volumes or environments come from has changed. */
  sourcesChanged(): void {
    if (this.phase !== 'syncing') return
    this.#heldUntilMs.clear()
    this.files.sourcesChanged()
    this.rounds.ask()
  }

  /** Something happened to the container or sandbox. */
  async runtimeChanged(id: string): Promise<void> {
    try {
      await this.view.refreshInTurn(id)
    } catch (error) {
      this.warn('Cannot read a container from the runtime', error)
    }
    this.rounds.ask()
  }

  /** The runtime does not know the container or sandbox any more, though it should. */
  vanished(id: string): void {
    this.view.vanished(id)
    this.publish()
    this.rounds.ask()
  }

  /** The kubelet stops; the pod goes on. */
  async halt(): Promise<void> {
    this.#lifecycle.halt()
    this.rounds.stopTimer()
    this.prober.stop()
    await this.rounds.settled()
  }

  /** Calls back whenever something of the pod was looked at anew; the returned function ends that. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  // --- what it tells ---

  /** Writes the status as it follows from what is known now. */
  publish(): void {
    const { config, env, statuses, runtimeVersion, metrics } = this.context
    const { pod, view } = this
    const { isFinished } = this.#lifecycle
    const terminating = this.phase !== 'syncing'
    const shown = view.shown()
    this.prober.update(pod, shown, { terminating })
    const told = terminating ? shown : view.told(shown)
    for (const listener of this.#listeners) listener()
    if (this.worker.phase === 'terminated' && this.worker.cleaned) return
    const status = statusOf({
      pod,
      runtime: told,
      waiting: this.waiting,
      readiness: (id) => this.prober.readiness(id),
      startup: (id) => this.prober.startup(id),
      messages: view.messages,
      finished: isFinished,
      failed: isFinished || !this.#admitted ? this.#failed : undefined,
      rejected: !this.#admitted && this.#failed !== undefined,
      actual: (id) => this.resizer.actual(id),
      resize: this.resizer.conditions(),
      nodeIps: config.nodeIps,
      runtimeName: runtimeVersion.name,
      now: env.clock.now(),
    })
    if (status.phase === 'Running' && this.#seenAtMs !== undefined) {
      metrics.podStarted((env.clock.monotonic() - this.#seenAtMs) / 1000)
      this.#seenAtMs = undefined
    }
    statuses.set(this.spec, status)
  }

  event(
    type: 'Normal' | 'Warning',
    reason: string,
    message: string,
    containerName?: string,
    annotations?: Readonly<Record<string, string>>,
  ): void {
    const about = { ...this.spec, apiVersion: 'v1', kind: 'Pod' }
    this.context.events.event(about, type, reason, message, {
      ...(containerName === undefined ? {} : { fieldPath: fieldPathOf(this.spec, containerName) }),
      ...(annotations === undefined ? {} : { annotations }),
    })
  }

  warn(message: string, error: unknown): void {
    const { metadata } = this.spec
    this.context.env.log.warn(message, {
      pod: `${metadata.namespace ?? ''}/${metadata.name}`,
      error: error instanceof Error ? error : new Error(String(error)),
    })
  }

  // --- what its parts ask for ---

  own(id: string): void {
    this.#keeper.own(id, this)
  }

  /** A container that ended is gone from the runtime. */
  forget(id: string): void {
    this.view.dropContainer(id)
  }

  disown(id: string): void {
    this.#keeper.disown(id)
    this.resizer.forget(id)
  }

  wakeIn(ms: number): void {
    this.rounds.askIn(ms)
  }

  async admit(): Promise<boolean> {
    if (this.#admitted || this.#failed !== undefined) return this.#failed === undefined
    const rejection = await this.context.admit(this.spec)
    if (rejection === undefined) {
      this.#admitted = true
      return true
    }
    this.event('Warning', rejection.reason, rejection.message.replace(/^Pod was rejected: /, ''))
    this.fail(rejection.reason, rejection.message)
    return false
  }

  imageRequest(container: AnyContainer, attempt: number): ImageRequest {
    return {
      pod: this.spec,
      container,
      attempt,
      report: (about, type, reason, message) => this.event(type, reason, message, about.name),
      onDone: () => this.rounds.ask(),
      signal: this.signal,
    }
  }

  made(id: string, container: AnyContainer): void {
    this.resizer.made(id, container)
  }

  restarted(container: AnyContainer, endedMs: number): void {
    const nowMs = this.context.env.clock.now().getTime()
    const key = crashKey(container)
    this.crashes.set(key, afterRestart(this.crashes.get(key), endedMs, nowMs, CRASH_BACKOFF))
  }

  async restart(container: PodContainer, message: string): Promise<void> {
    this.event('Normal', 'Killing', message, container.name)
    this.view.replace(container.id)
    await stopOne(this, container, {
      graceSeconds: graceOf(this.pod),
      announce: false,
      signal: this.signal,
    })
    this.rounds.ask()
  }

  hold(name: string, ms: number): void {
    this.#heldUntilMs.set(name, this.context.env.clock.monotonic() + ms)
    this.wakeIn(ms)
  }

  isHeld(name: string): boolean {
    return (this.#heldUntilMs.get(name) ?? 0) > this.context.env.clock.monotonic()
  }

  /** Takes containers, sandboxes and logs out of the runtime: nobody can ask for them any more. */
  purge(): Promise<void> {
    return this.#ending.purge()
  }

  #roundFailed(error: unknown): boolean {
    if (this.kubeletSignal.aborted || this.signal.aborted) return false
    this.warn('Cannot bring a pod to its wanted state; trying again', error)
    this.wakeIn(FAILED_ROUND_RETRY_MS)
    return true
  }
}

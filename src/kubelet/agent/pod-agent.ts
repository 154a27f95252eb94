/**
 * The shell around one pod's worker: looks at the runtime, asks the pure parts what to do, does it,
 * and tells the API. One round at a time; whatever happens meanwhile asks for another round.
 */
import { aborted, type Span } from '#base'
import type { Pod } from '#api'
import type { KubeletContext } from '../context.ts'
import { CRASH_BACKOFF } from '../backoff.ts'
import { makePodCgroup, removePodCgroup } from '../host.ts'
import { type KillOptions, stopContainers, stopOne } from './termination.ts'
import { type StartedPod, startContainer } from './container-start.ts'
import { terminationMessage } from './termination-message.ts'
import { type Kill, computeActions, isIdle } from '../pod/actions.ts'
import { podCgroup } from '../pod/cgroups.ts'
import { logDirectoryOf, sandboxConfig } from '../pod/configs.ts'
import {
  type AnyContainer,
  allContainers,
  isDeleted,
  isTerminal,
  uidOf,
} from '../pod/containers.ts'
import { type CrashState, afterRestart, crashKey } from '../pod/crash.ts'
import { dnsConfigOf, hostnameOf } from '../pod/network-files.ts'
import {
  type PodContainer,
  type PodRuntime,
  byAge,
  emptyPodRuntime,
  newestContainer,
  readySandbox,
  runningContainers,
} from '../pod/pod-runtime.ts'
import {
  type PodEffect,
  type PodEvent,
  type PodWorker,
  type StopReason,
  graceLeft,
  newWorker,
  step,
} from '../pod/pod-worker.ts'
import { type Waiting, statusOf } from '../pod/status.ts'
import { Prober } from '../probes/prober.ts'
import { probeTitle } from '../probes/decide.ts'
import { runProbe } from '../probes/run.ts'
import type { PodSandboxConfig } from '../runtime.ts'
import { type MountedVolume, PodVolumes, downwardVolumes } from '../volumes/pod-volumes.ts'
import { Resizer } from './resize.ts'

const DEFAULT_GRACE_SECONDS = 30
const MAX_DRAIN_MS = 10_000
const UNKNOWN_EXIT_CODE = 137
/** How late upstream's kubelet may see that a container has ended. */
const SEEN_LATE_MS = 1000
const RETRY_FIRST_MS = 500
const RETRY_LAST_MS = 120_000

export class PodAgent implements StartedPod {
  readonly context: KubeletContext
  readonly uid: string
  readonly prober: Prober
  readonly volumes: PodVolumes
  /** By container name. */
  readonly waiting = new Map<string, Waiting>()
  readonly crashes = new Map<string, CrashState>()
  runtime: PodRuntime
  mounted: ReadonlyMap<string, MountedVolume> | undefined
  sandboxConfig: PodSandboxConfig | undefined
  /** Ends what the syncing phase does, when the pod is to stop. */
  readonly #syncing = new AbortController()
  /** Ends everything, when the kubelet itself stops: containers stay as they are. */
  readonly #signal: AbortSignal
  readonly #messages = new Map<string, string>()
  readonly #resizer: Resizer
  /** Containers that were ended to be made anew. */
  readonly #again = new Set<string>()
  /** Containers whose first hook has not ended. */
  readonly #heldBack = new Set<string>()
  #worker: PodWorker
  #dirty = false
  #running: Promise<void> | undefined
  #cancelWake = () => {}
  #wakeMs = Number.POSITIVE_INFINITY
  #failed: { readonly reason: string; readonly message: string } | undefined
  #admitted: boolean
  #finished = false
  #removed = false
  #volumeRetryMs = RETRY_FIRST_MS
  #sandboxRetryMs = RETRY_FIRST_MS
  #cgroup: string | undefined
  readonly #listeners = new Set<() => void>()
  /** Of the present round, once it does something. */
  #round: Span | undefined
  #roundAt: number | undefined
  /** When it was first seen here, until it runs. */
  #seenAt: number | undefined
  readonly #heldUntilMs = new Map<string, number>()
  readonly #runtimeUpdates = new Map<string, Promise<void>>()

  constructor(
    pod: Pod,
    runtime: PodRuntime | undefined,
    context: KubeletContext,
    stop: AbortSignal,
  ) {
    this.context = context
    this.uid = uidOf(pod)
    this.runtime = runtime ?? emptyPodRuntime
    // What runs already was admitted by an earlier kubelet.
    this.#admitted = this.runtime.sandboxes.length > 0
    this.#resizer = new Resizer(pod, runtime)
    this.#worker = newWorker(pod)
    this.#signal = stop
    if (!this.#admitted) this.#seenAt = context.env.clock.monotonic()
    this.volumes = new PodVolumes(pod, context.volumeOptions)
    this.prober = new Prober({
      env: context.env,
      onChange: () => this.kick(),
      probe: (probe, container, containerId, signal) =>
        runProbe(
          probe,
          { container, containerId, podIp: this.podIps[0] ?? '' },
          context.runtime,
          context.env,
          signal,
        ),
      onOutcome: (kind, container, _id, outcome) => {
        if (outcome.ok) {
          if (outcome.warning !== undefined) {
            this.event('Warning', 'ProbeWarning', outcome.warning, container.name)
          }
          return
        }
        const text = `${probeTitle(kind)} failed: ${outcome.message}`
        this.event('Warning', 'Unhealthy', text, container.name)
      },
    })
  }

  /** With its status as far as this node knows it, and with what it has been given of what it asks for. */
  get pod(): Pod {
    return this.#resizer.given(this.context.statuses.current(this.#worker.pod))
  }

  get phase(): PodWorker['phase'] {
    return this.#worker.phase
  }

  /** Stops when the pod is to stop. */
  get signal(): AbortSignal {
    return this.#syncing.signal
  }

  get podIps(): readonly string[] {
    if (this.#worker.pod.spec.hostNetwork === true) return this.context.config.nodeIps
    return readySandbox(this.runtime)?.ips ?? []
  }

  get logDirectory(): string {
    return logDirectoryOf(this.context.config.logRoot, this.#worker.pod)
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

  /** The API has this version of it. */
  update(pod: Pod): void {
    const before = this.#worker.pod
    this.context.statuses.seen(pod)
    if (isDeleted(pod)) {
      this.#requestStop(pod, graceOf(pod), { type: 'deleted' })
    } else if (isTerminal(pod) && this.#worker.phase === 'syncing' && !isTerminal(before)) {
      this.#requestStop(pod, graceOf(pod), { type: 'completed' })
    } else this.#dispatch({ type: 'updated', pod })
    // One that was added may mount what no other does, and be privileged.
    const added = (pod.spec.ephemeralContainers ?? []).length
    if (added > (before.spec.ephemeralContainers ?? []).length) {
      this.mounted = undefined
      this.sandboxConfig = undefined
    }
    if (this.#worker.phase === 'syncing' && before !== pod) this.#refreshDownward(before, pod)
    // A round may be under way that takes long: for an image, or a container that is slow to end.
    if (
      this.#worker.phase === 'syncing' &&
      this.#admitted &&
      before.metadata.generation !== pod.metadata.generation &&
      this.#resizer.hasGiven(pod)
    )
      this.publish()
  }

  /** The object is gone from the API: nothing waits for it any more. */
  removed(pod: Pod): void {
    this.#removed = true
    const deleted = {
      ...pod,
      metadata: {
        ...pod.metadata,
        deletionTimestamp:
          pod.metadata.deletionTimestamp ?? this.context.env.clock.now().toISOString(),
      },
    }
    this.#requestStop(deleted, Math.min(graceOf(pod), graceOf(deleted)), { type: 'deleted' })
  }

  /** The node ends it: evicted, for one. */
  fail(reason: string, message: string, graceSeconds = graceOf(this.#worker.pod)): void {
    this.#failed = { reason, message }
    this.#requestStop(this.#worker.pod, graceSeconds, { type: 'failed', reason, message })
  }

  /** Something that the pod's volumes or environments come from has changed. */
  sourcesChanged(): void {
    if (this.#worker.phase !== 'syncing') return
    this.#volumeRetryMs = RETRY_FIRST_MS
    this.#heldUntilMs.clear()
    // What was fetched for files that are being made may be old already.
    if (this.mounted === undefined) this.#filesAreOld = true
    else this.#refreshFiles()
    this.kick()
  }

  #filesAreOld = false
  #refreshFiles(): void {
    this.#filesAreOld = false
    void this.volumes
      .refresh(this.pod, this.signal)
      .catch((error: unknown) => this.#volumeTrouble(error))
  }

  /** Something happened to the container or sandbox. */
  async runtimeChanged(id: string): Promise<void> {
    // One question at a time for each; what comes while one is under way asks again.
    const before = this.#runtimeUpdates.get(id) ?? Promise.resolve()
    const mine = before.then(() => this.refresh(id))
    this.#runtimeUpdates.set(id, mine)
    try {
      await mine
    } catch (error) {
      this.#log('Cannot read a container from the runtime', error)
    } finally {
      if (this.#runtimeUpdates.get(id) === mine) this.#runtimeUpdates.delete(id)
    }
    this.kick()
  }

  /** The runtime does not know it any more, though it should: it has ended, and nobody knows how. */
  async vanished(id: string): Promise<void> {
    const container = this.runtime.containers.find((found) => found.id === id)
    if (container !== undefined) {
      this.setContainer({
        ...container,
        state: 'exited',
        exitCode: UNKNOWN_EXIT_CODE,
        reason: 'ContainerStatusUnknown',
        message: 'The container could not be located in the container runtime.',
        finishedAt: this.context.env.clock.now(),
      })
    } else {
      const sandboxes = this.runtime.sandboxes.filter((sandbox) => sandbox.id !== id)
      this.runtime = { ...this.runtime, sandboxes }
    }
    this.publish()
    this.kick()
  }

  /** Calls back whenever something of the pod was looked at anew; the returned function ends that. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** Asks the runtime, and publishes what it says. */
  async refresh(id: string): Promise<void> {
    const { runtime } = this.context
    const known = this.runtime.containers.find((container) => container.id === id)
    if (known !== undefined) {
      const status = await runtime.containerStatus(id)
      if (status === undefined) return
      const next = { ...status, sandboxId: known.sandboxId }
      if (next.state === 'exited' && known.state !== 'exited') await this.#readMessage(next)
      this.setContainer(next)
    } else if (this.runtime.sandboxes.some((sandbox) => sandbox.id === id)) {
      const status = await runtime.podSandboxStatus(id)
      const others = this.runtime.sandboxes.filter((sandbox) => sandbox.id !== id)
      this.runtime = {
        ...this.runtime,
        sandboxes: status === undefined ? others : sortSandboxes([...others, status]),
      }
    }
    this.publish()
  }

  setContainer(container: PodContainer): void {
    const others = this.runtime.containers.filter(({ id }) => id !== container.id)
    this.context.own(container.id, this)
    this.runtime = { ...this.runtime, containers: [...others, container].toSorted(byAge) }
  }

  dropContainer(id: string): void {
    const containers = this.runtime.containers.filter((container) => container.id !== id)
    this.context.disown(id)
    this.#resizer.forget(id)
    this.#again.delete(id)
    this.runtime = { ...this.runtime, containers }
  }

  holdBack(id: string): () => void {
    this.#heldBack.add(id)
    return () => {
      this.#heldBack.delete(id)
      this.publish()
    }
  }

  /** The runtime as others see it. */
  #shown(): PodRuntime {
    if (this.#heldBack.size === 0) return this.runtime
    const containers = this.runtime.containers.map((container) =>
      container.state === 'running' && this.#heldBack.has(container.id)
        ? { ...container, state: 'created' as const }
        : container,
    )
    return { ...this.runtime, containers }
  }

  /**
   * What a status tells of containers that follow others: one that is made, and does not run yet, is not told of, so
   * that a restart counts once it has happened. And one that ended because it is made anew counts as running until the
   * next one does, within the second that clients are used to: who changes an image and reads on finds the pod as ready
   * as it was.
   */
  #told(shown: PodRuntime): PodRuntime {
    const ended = new Set(
      shown.containers.filter(({ state }) => state === 'exited').map(({ name }) => name),
    )
    const containers = shown.containers.filter(
      ({ name, state }) => state !== 'created' || !ended.has(name),
    )
    const now = this.context.env.clock.now().getTime()
    const isReplaced = ({ id, name, state, finishedAt }: PodContainer): boolean => {
      if (state !== 'exited' || !this.#again.has(id)) return false
      if (containers.find((each) => each.name === name)?.id !== id) return false
      const leftMs = (finishedAt?.getTime() ?? 0) + SEEN_LATE_MS - now
      if (leftMs > 0) this.wakeIn(leftMs)
      return leftMs > 0
    }
    return {
      ...shown,
      containers: containers.map((container) =>
        isReplaced(container) ? { ...container, state: 'running' as const } : container,
      ),
    }
  }

  made(id: string, container: AnyContainer): void {
    this.#resizer.made(id, container)
  }

  async restart(container: PodContainer, message: string): Promise<void> {
    this.event('Normal', 'Killing', message, container.name)
    this.#again.add(container.id)
    await stopOne(this, container, {
      graceSeconds: graceOf(this.pod),
      announce: false,
      signal: this.signal,
    })
    this.kick()
  }

  hold(name: string, ms: number): void {
    this.#heldUntilMs.set(name, this.context.env.clock.monotonic() + ms)
    this.wakeIn(ms)
  }

  isHeld(name: string): boolean {
    return (this.#heldUntilMs.get(name) ?? 0) > this.context.env.clock.monotonic()
  }

  /** Asks for another round. */
  kick(): void {
    this.#dirty = true
    this.#running ??= this.#loop().finally(() => {
      this.#running = undefined
      if (this.#dirty && !this.#signal.aborted) this.kick()
    })
  }

  /** Another round after so long at the latest. */
  wakeIn(ms: number): void {
    const { clock } = this.context.env
    const at = clock.monotonic() + ms
    if (at >= this.#wakeMs) return
    this.#cancelWake()
    this.#wakeMs = at
    this.#cancelWake = clock.schedule(ms, () => {
      this.#wakeMs = Number.POSITIVE_INFINITY
      this.kick()
    })
  }

  event(type: 'Normal' | 'Warning', reason: string, message: string, containerName?: string): void {
    const { pod } = this.#worker
    this.context.events.event(
      { ...pod, apiVersion: 'v1', kind: 'Pod' },
      type,
      reason,
      message,
      containerName === undefined ? {} : { fieldPath: fieldPathOf(pod, containerName) },
    )
  }

  /** Writes the status as it follows from what is known now. */
  publish(): void {
    const { config, env, statuses, runtimeVersion } = this.context
    const { pod } = this
    const terminating = this.#worker.phase !== 'syncing'
    const shown = this.#shown()
    this.prober.update(pod, shown, { terminating })
    const told = terminating ? shown : this.#told(shown)
    for (const listener of this.#listeners) listener()
    if (this.#worker.phase === 'terminated' && this.#worker.cleaned) return
    const status = statusOf({
      pod,
      runtime: told,
      waiting: this.waiting,
      readiness: (id) => this.prober.readiness(id),
      startup: (id) => this.prober.startup(id),
      messages: this.#messages,
      finished: this.#finished,
      failed: this.#finished || !this.#admitted ? this.#failed : undefined,
      rejected: !this.#admitted && this.#failed !== undefined,
      actual: (id) => this.#resizer.actual(id),
      resize: this.#resizer.conditions(),
      nodeIps: config.nodeIps,
      runtimeName: runtimeVersion.name,
      now: env.clock.now(),
    })
    if (status.phase === 'Running' && this.#seenAt !== undefined) {
      this.context.metrics.podStarted((env.clock.monotonic() - this.#seenAt) / 1000)
      this.#seenAt = undefined
    }
    statuses.set(this.#worker.pod, status)
  }

  /** The kubelet stops; the pod goes on. */
  async halt(): Promise<void> {
    this.#syncing.abort(new Error('the kubelet stops'))
    this.#cancelWake()
    this.prober.stop()
    await this.#running?.catch(() => {})
  }

  // --- the worker ---

  #requestStop(pod: Pod, graceSeconds: number, why: StopReason): void {
    const nowMs = this.context.env.clock.monotonic()
    this.#dispatch({ type: 'stopRequested', pod, graceSeconds, nowMs, why })
  }

  #dispatch(event: PodEvent): void {
    const [worker, ...effects] = step(this.#worker, event)
    this.#worker = worker
    for (const effect of effects) this.#perform(effect)
  }

  #perform(effect: PodEffect): void {
    switch (effect.type) {
      case 'sync':
        this.kick()
        return
      case 'kill':
        this.#syncing.abort(new Error('the pod stops'))
        void this.#kill(effect.graceSeconds)
        return
      case 'cleanUp':
        void this.#cleanUp()
        return
      case 'release':
        void this.#release()
    }
  }

  async #loop(): Promise<void> {
    while (this.#dirty && !this.#signal.aborted && this.#worker.phase === 'syncing') {
      this.#dirty = false
      let failure: unknown
      try {
        await this.#sync()
      } catch (error) {
        failure = error
        if (this.#signal.aborted || this.signal.aborted) return
        this.#log('Cannot bring a pod to its wanted state; trying again', error)
        this.wakeIn(RETRY_FIRST_MS * 2)
      } finally {
        this.#round?.end(failure)
        this.#round = undefined
        if (this.#roundAt !== undefined) {
          const ms = this.context.env.clock.monotonic() - this.#roundAt
          this.context.metrics.podSynced(ms / 1000)
        }
        this.#roundAt = undefined
      }
    }
    this.#dirty = false
  }

  async #sync(): Promise<void> {
    if (!isTerminal(this.pod) && (!(await this.#admit()) || this.#isOverdue())) return
    await this.#resizer.allocate(this, this.#worker.pod)
    for (;;) {
      this.publish()
      const { pod } = this
      if (isTerminal(pod)) {
        this.#requestStop(this.#worker.pod, graceOf(pod), { type: 'completed' })
        return
      }
      const actions = computeActions(
        pod,
        this.runtime,
        this.prober,
        publishedRestarts(pod),
        this.#again,
      )
      if (isIdle(actions)) break
      this.#beginRound()
      const before = this.runtime
      await Promise.all(actions.kill.map((kill) => this.#killOne(kill)))
      for (const id of actions.stopSandboxes) await this.#stopSandbox(id)
      this.signal.throwIfAborted()
      if (actions.createSandbox !== undefined) {
        if (!(await this.#makeReady(actions.createSandbox))) return
        this.signal.throwIfAborted()
      } else if (actions.start.length > 0) {
        if (this.mounted === undefined && !(await this.#makeReady(undefined))) return
        for (const start of actions.start) {
          const outcome = await this.#timed(`start container ${start.container.name}`, () =>
            startContainer(this, start),
          )
          this.signal.throwIfAborted()
          this.publish()
          if (outcome === 'wait') break
        }
      }
      // Nothing moved: what is left waits for a timer, an image or an object.
      if (this.runtime === before) break
    }
    // Found running by a new kubelet: its volumes have to be kept up to date again.
    if (this.mounted === undefined && readySandbox(this.runtime) !== undefined) {
      await this.#makeReady(undefined)
    }
    await this.#resizer.actuate(this)
    this.publish()
  }

  /** It belongs to the trace of who wrote the pod as it is. */
  #beginRound(): void {
    const { tracing, clock } = this.context.env
    const { metadata, spec } = this.#worker.pod
    this.#roundAt ??= clock.monotonic()
    this.#round ??= tracing?.start('sync pod', {
      kind: 'internal',
      parent: tracing.writerOf(Number(metadata.resourceVersion)),
      attributes: {
        pod: `${metadata.namespace ?? ''}/${metadata.name}`,
        uid: this.uid,
        node: spec.nodeName ?? '',
      },
    })
  }

  async #timed<T>(name: string, run: () => Promise<T>): Promise<T> {
    const span = this.#round?.child(name)
    let failure: unknown
    try {
      return await run()
    } catch (error) {
      failure = error
      throw error
    } finally {
      span?.end(failure)
    }
  }

  async #admit(): Promise<boolean> {
    if (this.#admitted || this.#failed !== undefined) return this.#failed === undefined
    const rejection = await this.context.admit(this.#worker.pod)
    if (rejection === undefined) {
      this.#admitted = true
      return true
    }
    this.event('Warning', rejection.reason, rejection.message.replace(/^Pod was rejected: /, ''))
    this.fail(rejection.reason, rejection.message)
    return false
  }

  #isOverdue(): boolean {
    const { pod } = this
    const seconds = pod.spec.activeDeadlineSeconds
    const start = pod.status?.startTime
    if (seconds === undefined || start === undefined) return false
    const leftMs = Date.parse(start) + seconds * 1000 - this.context.env.clock.now().getTime()
    if (leftMs > 0) {
      this.wakeIn(leftMs)
      return false
    }
    const message = 'Pod was active on the node longer than the specified deadline'
    this.event('Normal', 'DeadlineExceeded', message)
    this.fail('DeadlineExceeded', message)
    return true
  }

  // --- what a round does ---

  /** Volumes, and a sandbox when one is asked for, side by side. */
  async #makeReady(attempt: number | undefined): Promise<boolean> {
    const { pod } = this
    let make: () => Promise<ReadonlyMap<string, MountedVolume>>
    try {
      make = await this.volumes.resolve(pod, this.signal)
    } catch (error) {
      this.#volumeTrouble(error)
      return false
    }
    if (attempt === undefined) await this.#findCgroup(pod)
    else this.#prefetch(pod)
    const [mounted, sandbox] = await Promise.allSettled([
      this.#timed('mount volumes', make),
      attempt === undefined
        ? undefined
        : this.#timed('create sandbox', () => this.#createSandbox(pod, attempt)),
    ])
    if (mounted.status === 'rejected') {
      this.#volumeTrouble(mounted.reason)
    } else {
      this.mounted = mounted.value
      if (this.#filesAreOld) this.#refreshFiles()
      this.#volumeRetryMs = RETRY_FIRST_MS
    }
    if (sandbox.status === 'rejected') {
      this.#sandboxTrouble(sandbox.reason)
      return false
    }
    return mounted.status === 'fulfilled'
  }

  /** Of a pod that an earlier kubelet began: containers that are added belong where the others are. */
  async #findCgroup(pod: Pod): Promise<void> {
    const { machine, config, runtime, env } = this.context
    if (this.#cgroup !== undefined || runtime.simulated) return
    const path = podCgroup(pod, config.cgroupRoot)
    const base = Object.values(machine.cgroupRoots)[0]
    const made = base === undefined ? undefined : await env.fs.stat(`${base}${path}`)
    this.#cgroup = made === undefined ? '' : path
  }

  /** Images begin to be pulled while the sandbox is made. */
  #prefetch(pod: Pod): void {
    for (const [container, kind] of allContainers(pod)) {
      if (kind === 'ephemeral' || newestContainer(this.runtime, container.name)) continue
      void this.context.images.ensure(this.imageRequest(container, 0)).catch(() => {})
    }
  }

  imageRequest(container: Parameters<StartedPod['imageRequest']>[0], attempt: number) {
    return {
      pod: this.#worker.pod,
      container,
      attempt,
      report: (
        about: { readonly name: string },
        type: 'Normal' | 'Warning',
        reason: string,
        message: string,
      ) => this.event(type, reason, message, about.name),
      onDone: () => this.kick(),
      signal: this.signal,
    }
  }

  async #createSandbox(pod: Pod, attempt: number): Promise<void> {
    const { config, runtime, env, machine } = this.context
    const handler = await this.context.runtimeHandler(pod)
    const { hostname } = hostnameOf(pod, config.clusterDomain)
    this.#cgroup ??= runtime.simulated
      ? ''
      : await makePodCgroup(
          pod,
          { machine, root: config.cgroupRoot, podPidsLimit: config.podPidsLimit },
          env,
        )
    await runtime.logFiles.makeFolder(this.logDirectory)
    this.sandboxConfig = sandboxConfig({
      pod,
      attempt,
      hostname,
      dns: dnsConfigOf(pod, this.context.dns),
      logRoot: config.logRoot,
      cgroupParent: this.#cgroup,
      security: this.context.security,
    })
    const id = await runtime.runPodSandbox(this.sandboxConfig, handler)
    this.context.own(id, this)
    const status = await runtime.podSandboxStatus(id)
    if (status === undefined) throw new Error(`sandbox ${id} is gone after it was made`)
    this.runtime = {
      ...this.runtime,
      sandboxes: sortSandboxes([...this.runtime.sandboxes, status]),
    }
    this.#sandboxRetryMs = RETRY_FIRST_MS
    this.publish()
    void this.#removeOldSandboxes()
  }

  /** The configuration that containers of the present sandbox are made with. */
  currentSandbox(): { readonly id: string; readonly config: PodSandboxConfig } | undefined {
    const sandbox = readySandbox(this.runtime)
    if (sandbox === undefined) return undefined
    const { config } = this.context
    const { pod } = this
    this.sandboxConfig ??= sandboxConfig({
      pod,
      attempt: sandbox.metadata.attempt,
      hostname: hostnameOf(pod, config.clusterDomain).hostname,
      dns: dnsConfigOf(pod, this.context.dns),
      logRoot: config.logRoot,
      cgroupParent: this.#cgroup ?? '',
      security: this.context.security,
    })
    return { id: sandbox.id, config: this.sandboxConfig }
  }

  async #removeOldSandboxes(): Promise<void> {
    const current = readySandbox(this.runtime)
    const used = new Set(this.runtime.containers.map(({ sandboxId }) => sandboxId))
    for (const { id, state } of this.runtime.sandboxes) {
      if (id === current?.id || state === 'ready' || used.has(id)) continue
      try {
        await this.context.runtime.removePodSandbox(id)
        this.context.disown(id)
        this.runtime = {
          ...this.runtime,
          sandboxes: this.runtime.sandboxes.filter((sandbox) => sandbox.id !== id),
        }
      } catch (error) {
        this.#log('Cannot remove an old sandbox', error)
      }
    }
  }

  async #stopSandbox(id: string): Promise<void> {
    this.event('Normal', 'SandboxChanged', 'Pod sandbox changed, it will be killed and re-created.')
    await this.context.runtime.stopPodSandbox(id)
    await this.refresh(id)
  }

  async #killOne({ container, reason, message }: Kill): Promise<void> {
    this.event('Normal', 'Killing', message, container.name)
    if (reason === 'changed') this.#again.add(container.id)
    const { pod } = this
    const spec = allContainersByName(pod).get(container.name)
    const probe =
      reason === 'liveness'
        ? spec?.livenessProbe
        : reason === 'startup'
          ? spec?.startupProbe
          : undefined
    const graceSeconds =
      probe?.terminationGracePeriodSeconds ??
      pod.spec.terminationGracePeriodSeconds ??
      DEFAULT_GRACE_SECONDS
    await stopOne(this, container, { graceSeconds, announce: false, signal: this.#signal })
  }

  // --- troubles ---

  #volumeTrouble(error: unknown): void {
    if (this.signal.aborted) return
    const errors: readonly unknown[] = error instanceof AggregateError ? error.errors : [error]
    for (const each of errors) {
      const why = each instanceof Error ? each.message : String(each)
      this.event('Warning', 'FailedMount', why)
    }
    this.publish()
    this.wakeIn(this.#volumeRetryMs)
    this.#volumeRetryMs = Math.min(this.#volumeRetryMs * 2, RETRY_LAST_MS)
  }

  #sandboxTrouble(error: unknown): void {
    if (this.signal.aborted) return
    const why = error instanceof Error ? error.message : String(error)
    this.event('Warning', 'FailedCreatePodSandBox', `Failed to create pod sandbox: ${why}`)
    this.publish()
    this.wakeIn(this.#sandboxRetryMs)
    this.#sandboxRetryMs = Math.min(this.#sandboxRetryMs * 2, RETRY_LAST_MS / 4)
  }

  #log(message: string, error: unknown): void {
    const { metadata } = this.#worker.pod
    this.context.env.log.warn(message, {
      pod: `${metadata.namespace ?? ''}/${metadata.name}`,
      error: error instanceof Error ? error : new Error(String(error)),
    })
  }

  #refreshDownward(before: Pod, after: Pod): void {
    const { labels, annotations } = after.metadata
    const unchanged =
      JSON.stringify([before.metadata.labels, before.metadata.annotations]) ===
      JSON.stringify([labels, annotations])
    const names = downwardVolumes(after)
    if (unchanged || names.size === 0 || this.mounted === undefined) return
    void this.volumes
      .refresh(after, this.signal, names)
      .catch((error: unknown) => this.#volumeTrouble(error))
  }

  async #readMessage(container: PodContainer): Promise<void> {
    const text = await terminationMessage(this, container)
    if (text !== undefined) this.#messages.set(container.id, text)
  }

  // --- the end ---

  #kills = 0

  /** Ends all containers and sandboxes, however often that takes. */
  async #kill(graceSeconds: number): Promise<void> {
    const mine = ++this.#kills
    const { clock } = this.context.env
    const sinceMs = clock.monotonic()
    this.publish()
    if (mine === 1) await this.#drain(graceSeconds)
    // What the last round began has to be there, so that it can be ended.
    await this.#running?.catch(() => {})
    for (let wait = RETRY_FIRST_MS; this.#worker.phase === 'terminating';) {
      if (this.#signal.aborted) return
      try {
        const left = Math.min(
          graceLeft(this.#worker, clock.monotonic()),
          graceLeft({ graceSeconds, sinceMs }, clock.monotonic()),
        )
        const options: KillOptions = {
          graceSeconds: left,
          announce: mine === 1,
          signal: this.#signal,
        }
        await stopContainers(this, options)
        for (const { id } of this.runtime.sandboxes) {
          await this.context.runtime.stopPodSandbox(id)
          await this.refresh(id)
        }
        if (runningContainers(this.runtime).length > 0) throw new Error('containers still run')
        break
      } catch (error) {
        if (this.#signal.aborted) return
        this.event('Warning', 'FailedKillPod', `error killing pod: ${String(error)}`)
        this.#log('Cannot stop a pod; trying again', error)
        await clock.sleep(wait, this.#signal).catch(() => {})
        wait = Math.min(wait * 2, RETRY_LAST_MS)
      }
    }
    if (this.#signal.aborted) return
    this.#finished = true
    this.publish()
    this.#dispatch({ type: 'containersStopped' })
  }

  /** Until nobody sends it anything new: then it can be told to stop without losing a request. */
  async #drain(graceSeconds: number): Promise<void> {
    const { config, env } = this.context
    const worker = this.#worker
    if (config.drained === undefined || graceSeconds <= 0) return
    if (worker.phase !== 'terminating' || worker.why.type !== 'deleted') return
    if (runningContainers(this.runtime).length === 0) return
    const limit = new AbortController()
    const boundMs = Math.min(graceSeconds * 1000, MAX_DRAIN_MS)
    const cancel = env.clock.schedule(boundMs, () => limit.abort())
    const signal = AbortSignal.any([limit.signal, this.#signal])
    await Promise.race([config.drained(worker.pod, signal).catch(() => {}), aborted(signal)])
    cancel()
  }

  async #cleanUp(): Promise<void> {
    const { env, runtime, machine, config, sources, tokens, certificates, images } = this.context
    this.prober.stop()
    this.#cancelWake()
    sources.forget(this.uid)
    tokens.forget(this.uid)
    certificates.forget(this.uid)
    images.forget(this.uid)
    for (let wait = RETRY_FIRST_MS; !this.#signal.aborted;) {
      try {
        await this.volumes.tearDown()
        if (!runtime.simulated) {
          await removePodCgroup(this.#worker.pod, { machine, root: config.cgroupRoot }, env)
        }
        break
      } catch (error) {
        this.#log('Cannot clean up after a pod; trying again', error)
        await env.clock.sleep(wait, this.#signal).catch(() => {})
        wait = Math.min(wait * 2, RETRY_LAST_MS)
      }
    }
    if (!this.#signal.aborted) this.#dispatch({ type: 'cleanedUp' })
  }

  async #release(): Promise<void> {
    await this.context.release(this)
  }

  /** Takes containers, sandboxes and logs out of the runtime: nobody can ask for them any more. */
  async purge(): Promise<void> {
    const { runtime } = this.context
    for (const { id } of this.runtime.containers) await runtime.removeContainer(id)
    for (const { id } of this.runtime.sandboxes) await runtime.removePodSandbox(id)
    await runtime.logFiles.remove(this.logDirectory)
  }

  /** A container was started again after its end. */
  restarted(container: AnyContainer, endedMs: number): void {
    const nowMs = this.context.env.clock.now().getTime()
    const key = crashKey(container)
    this.crashes.set(key, afterRestart(this.crashes.get(key), endedMs, nowMs, CRASH_BACKOFF))
  }
}

const sortSandboxes = (sandboxes: PodRuntime['sandboxes']): PodRuntime['sandboxes'] =>
  sandboxes.toSorted(
    (a, b) =>
      b.createdAt.getTime() - a.createdAt.getTime() || b.metadata.attempt - a.metadata.attempt,
  )

/** The API states it when it is deleted; before that it is the spec's. */
const graceOf = (pod: Pod): number =>
  pod.metadata.deletionGracePeriodSeconds ??
  pod.spec.terminationGracePeriodSeconds ??
  DEFAULT_GRACE_SECONDS

const allContainersByName = (pod: Pod) =>
  new Map([...allContainers(pod)].map(([container]) => [container.name, container]))

function fieldPathOf(pod: Pod, name: string): string {
  const kind = [...allContainers(pod)].find(([container]) => container.name === name)?.[1]
  const list =
    kind === 'init' ? 'initContainers' : kind === 'ephemeral' ? 'ephemeralContainers' : 'containers'
  return `spec.${list}{${name}}`
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
  }
  return counts
}

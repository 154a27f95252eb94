/** Runs the probes of one pod's containers: a timer each, and nothing between two tries. */
import type { Env } from '#base'
import type { Pod, Probe } from '#api'
import type { ProbeResult, ProbeResults } from '../pod/actions.ts'
import { type AnyContainer, allContainers, isSidecar } from '../pod/containers.ts'
import type { PodRuntime } from '../pod/pod-runtime.ts'
import { isRunning, newestContainer } from '../pod/pod-runtime.ts'
import {
  type ProbeKind,
  type ProbeOutcome,
  type ProbeState,
  initialState,
  periodMs,
  record,
} from './decide.ts'

export interface ProberOptions {
  readonly env: Pick<Env, 'clock'>
  readonly probe: (
    probe: Probe,
    container: AnyContainer,
    containerId: string,
    signal: AbortSignal,
  ) => Promise<ProbeOutcome>
  /** A result is another than before. */
  readonly onChange: () => void
  readonly onOutcome: (
    kind: ProbeKind,
    container: AnyContainer,
    containerId: string,
    outcome: ProbeOutcome,
  ) => void
}

export interface ProbeCount {
  readonly kind: ProbeKind
  readonly container: string
  readonly result: 'successful' | 'failed' | 'unknown'
  readonly times: number
}

interface Watch {
  readonly kind: ProbeKind
  readonly probe: Probe
  readonly container: AnyContainer
  readonly containerId: string
  readonly stop: AbortController
  state: ProbeState
  cancelTimer: () => void
}

export class Prober implements ProbeResults {
  readonly #options: ProberOptions
  readonly #watches = new Map<string, Watch>()
  readonly #counts = new Map<string, ProbeCount>()
  #stopped = false

  constructor(options: ProberOptions) {
    this.#options = options
  }

  /** Probes what runs, and forgets what does not. While a pod ends, only readiness is asked for. */
  update(pod: Pod, runtime: PodRuntime, { terminating }: { readonly terminating: boolean }): void {
    if (this.#stopped) return
    const wanted = new Set<string>()
    for (const [container, kind] of allContainers(pod)) {
      if (kind === 'ephemeral' || (kind === 'init' && !isSidecar(container, kind))) continue
      const status = newestContainer(runtime, container.name)
      if (status === undefined || !isRunning(status)) continue
      const startedMs = (status.startedAt ?? status.createdAt).getTime()
      const started = container.startupProbe === undefined || this.startup(status.id) === 'success'
      const add = (probeKind: ProbeKind, probe: Probe | undefined) => {
        if (probe === undefined) return
        const key = `${probeKind}/${status.id}`
        wanted.add(key)
        if (this.#watches.has(key)) return
        const known = publishedResult(pod, probeKind, status.id)
        this.#begin(
          { key, kind: probeKind, probe, container, containerId: status.id },
          startedMs,
          known,
        )
      }
      add('startup', container.startupProbe)
      // The others wait until it has started, and a liveness failure is final.
      if (started && !terminating) add('liveness', container.livenessProbe)
      if (started) add('readiness', container.readinessProbe)
    }
    for (const [key, watch] of this.#watches) if (!wanted.has(key)) this.#end(key, watch)
  }

  /** For good. */
  stop(): void {
    this.#stopped = true
    for (const [key, watch] of this.#watches) this.#end(key, watch)
  }

  liveness(containerId: string): ProbeResult {
    return this.#watches.get(`liveness/${containerId}`)?.state.result ?? 'unknown'
  }
  startup(containerId: string): ProbeResult {
    return this.#watches.get(`startup/${containerId}`)?.state.result ?? 'unknown'
  }
  readiness(containerId: string): ProbeResult {
    return this.#watches.get(`readiness/${containerId}`)?.state.result ?? 'failure'
  }

  #begin(
    { key, ...what }: Pick<Watch, 'kind' | 'probe' | 'container' | 'containerId'> & { key: string },
    startedMs: number,
    known: ProbeResult | undefined,
  ): void {
    const { clock } = this.#options.env
    const fresh = initialState(what.kind)
    const watch: Watch = {
      ...what,
      stop: new AbortController(),
      state: known === undefined ? fresh : { ...fresh, result: known },
      cancelTimer: () => {},
    }
    this.#watches.set(key, watch)
    // It started before this kubelet did.
    if (watch.kind === 'startup' && known === 'success') return
    const { probe } = watch
    const runFor = clock.now().getTime() - startedMs
    const delay = Math.max(0, (probe.initialDelaySeconds ?? 0) * 1000 - runFor)
    watch.cancelTimer = clock.schedule(delay, () => void this.#try(watch))
  }

  async #try(watch: Watch): Promise<void> {
    const { env, probe, onChange, onOutcome } = this.#options
    const { signal } = watch.stop
    const began = env.clock.monotonic()
    let outcome: ProbeOutcome
    try {
      outcome = await probe(watch.probe, watch.container, watch.containerId, signal)
    } catch (error) {
      if (!signal.aborted) this.#count(watch, 'unknown')
      // The node could not ask: that says nothing of the container.
      if (!signal.aborted) {
        const took = env.clock.monotonic() - began
        watch.cancelTimer = env.clock.schedule(
          Math.max(0, periodMs(watch.probe) - took),
          () => void this.#try(watch),
        )
      }
      void error
      return
    }
    if (signal.aborted) return
    this.#count(watch, outcome.ok ? 'successful' : 'failed')
    const before = watch.state.result
    watch.state = record(watch.state, outcome, watch.probe)
    onOutcome(watch.kind, watch.container, watch.containerId, outcome)
    // Once started, it stays so; once found dead, the container is killed.
    const settled =
      (watch.kind === 'startup' && watch.state.result !== 'unknown') ||
      (watch.kind === 'liveness' && watch.state.result === 'failure')
    if (!settled && !signal.aborted) {
      const took = env.clock.monotonic() - began
      watch.cancelTimer = env.clock.schedule(
        Math.max(0, periodMs(watch.probe) - took),
        () => void this.#try(watch),
      )
    }
    if (watch.state.result !== before) onChange()
  }

  /** How often each probe was asked, by what it said. */
  get counts(): Iterable<ProbeCount> {
    return this.#counts.values()
  }

  #count({ kind, container: { name } }: Watch, result: ProbeCount['result']): void {
    const key = `${kind}/${name}/${result}`
    const times = (this.#counts.get(key)?.times ?? 0) + 1
    this.#counts.set(key, { kind, container: name, result, times })
  }

  #end(key: string, watch: Watch): void {
    watch.cancelTimer()
    watch.stop.abort()
    this.#watches.delete(key)
  }
}

/** What was published of a container that ran before this kubelet did: stays true until a probe says otherwise. */
function publishedResult(pod: Pod, kind: ProbeKind, id: string): ProbeResult | undefined {
  const { containerStatuses = [], initContainerStatuses = [] } = pod.status ?? {}
  const status = [...containerStatuses, ...initContainerStatuses].find(({ containerID = '' }) =>
    containerID.endsWith(`//${id}`),
  )
  if (kind === 'startup' && status?.started === true) return 'success'
  if (kind === 'readiness' && status?.ready === true) return 'success'
  return undefined
}

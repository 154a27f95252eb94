/** The end of a pod: its containers are told to stop, however often that takes, and then what it had is given back. */
import { aborted } from '#base'
import type { Pod } from '#api'
import { logFolderOf } from '../pod/configs.ts'
import { GrowingDelay } from '../backoff.ts'
import { removePodCgroup } from '../host.ts'
import { uidOf } from '../pod/containers.ts'
import { runningContainers } from '../pod/pod-runtime.ts'
import { type PodWorker, graceLeft } from '../pod/pod-worker.ts'
import type { Prober } from '../probes/prober.ts'
import type { Rounds } from './rounds.ts'
import type { StartedPod } from './started-pod.ts'
import { stopContainers } from './termination.ts'

/** What the end needs of the pod's agent. */
export interface EndingPod extends StartedPod {
  /** As the API has it. */
  readonly spec: Pod
  readonly worker: PodWorker
  readonly prober: Prober
  readonly rounds: Rounds
  /** Ends when the kubelet stops. */
  readonly kubeletSignal: AbortSignal
  warn(message: string, error: unknown): void
}

const MAX_DRAIN_MS = 10_000
const RETRY_FIRST_MS = 500
const RETRY_LAST_MS = 120_000

export class Ending {
  readonly #agent: EndingPod
  #stops = 0

  constructor(agent: EndingPod) {
    this.#agent = agent
  }

  /**
   * Stops all containers and sandboxes. Another call, with less grace, shortens the wait of those that are under way.
   * False when the kubelet stops before.
   */
  async stop(graceSeconds: number): Promise<boolean> {
    const agent = this.#agent
    const { clock } = agent.context.env
    const isFirst = ++this.#stops === 1
    const sinceMs = clock.monotonic()
    agent.publish()
    if (isFirst) await this.#drain(graceSeconds)
    // What the last round began has to be there, so that it can be ended.
    await agent.rounds.settled()
    await this.#untilDone('Cannot stop a pod; trying again', {
      isWanted: () => agent.worker.phase === 'terminating',
      run: () => this.#stopAll({ graceSeconds, sinceMs, announce: isFirst }),
      onFailure: (error) =>
        agent.event('Warning', 'FailedKillPod', `error killing pod: ${String(error)}`),
    })
    return !agent.kubeletSignal.aborted
  }

  /** Until nobody sends it anything new: then it can be told to stop without losing a request. */
  async #drain(graceSeconds: number): Promise<void> {
    const { context, worker, view, kubeletSignal } = this.#agent
    const { config, env } = context
    if (config.drained === undefined || graceSeconds <= 0) return
    if (worker.phase !== 'terminating' || worker.why.type !== 'deleted') return
    if (runningContainers(view.runtime).length === 0) return
    const limit = new AbortController()
    const boundMs = Math.min(graceSeconds * 1000, MAX_DRAIN_MS)
    const cancel = env.clock.schedule(boundMs, () => limit.abort())
    const signal = AbortSignal.any([limit.signal, kubeletSignal])
    await Promise.race([config.drained(worker.pod, signal).catch(() => {}), aborted(signal)])
    cancel()
  }

  async #stopAll({
    announce,
    ...asked
  }: {
    readonly graceSeconds: number
    readonly sinceMs: number
    readonly announce: boolean
  }): Promise<void> {
    const agent = this.#agent
    const { worker, view } = agent
    if (worker.phase !== 'terminating') return
    const nowMs = agent.context.env.clock.monotonic()
    await stopContainers(agent, {
      graceSeconds: Math.min(graceLeft(worker, nowMs), graceLeft(asked, nowMs)),
      announce,
      signal: agent.kubeletSignal,
    })
    for (const { id } of view.runtime.sandboxes) {
      await agent.context.runtime.stopPodSandbox(id)
      await view.refresh(id)
    }
    if (runningContainers(view.runtime).length > 0) throw new Error('containers still run')
  }

  /** Gives back what it had beside its containers, which stay for their logs. False when the kubelet stops before. */
  async cleanUp(): Promise<boolean> {
    const agent = this.#agent
    const { context, spec } = agent
    const { env, runtime, machine, config } = context
    const uid = uidOf(spec)
    agent.prober.stop()
    agent.rounds.stopTimer()
    for (const keeper of [context.sources, context.tokens, context.certificates, context.images]) {
      keeper.forget(uid)
    }
    await this.#untilDone('Cannot clean up after a pod; trying again', {
      run: async () => {
        await agent.files.tearDown()
        if (!runtime.simulated) {
          await removePodCgroup(agent.spec, { machine, root: config.cgroupRoot }, env)
        }
      },
    })
    return !agent.kubeletSignal.aborted
  }

  /** Takes containers, sandboxes and logs out of the runtime: nobody can ask for them any more. */
  async purge(): Promise<void> {
    const { context, view, spec } = this.#agent
    for (const { id } of view.runtime.containers) await context.runtime.removeContainer(id)
    for (const { id } of view.runtime.sandboxes) await context.runtime.removePodSandbox(id)
    await context.podLogs.end(logFolderOf(spec))
  }

  /** Again and again, ever later, until it succeeds, is not wanted any more, or the kubelet stops. */
  async #untilDone(
    trouble: string,
    {
      isWanted = () => true,
      run,
      onFailure = () => {},
    }: {
      readonly isWanted?: () => boolean
      readonly run: () => Promise<void>
      readonly onFailure?: (error: unknown) => void
    },
  ): Promise<void> {
    const { context, kubeletSignal } = this.#agent
    const delay = new GrowingDelay({ firstMs: RETRY_FIRST_MS, lastMs: RETRY_LAST_MS })
    while (!kubeletSignal.aborted && isWanted()) {
      try {
        await run()
        return
      } catch (error) {
        if (kubeletSignal.aborted) return
        onFailure(error)
        this.#agent.warn(trouble, error)
        await context.env.clock.sleep(delay.next(), kubeletSignal).catch(() => {})
      }
    }
  }
}

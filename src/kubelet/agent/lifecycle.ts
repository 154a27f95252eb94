/** Drives a pod's worker: hands it what happens, and has done what it decides. */
import type { Pod } from '#api'
import type { Clock } from '#base'
import {
  type PodEffect,
  type PodEvent,
  type PodWorker,
  type StopReason,
  newWorker,
  step,
} from '../pod/pod-worker.ts'

/** What a worker decides has to be done by these. */
export interface Hands {
  /** Another round is wanted. */
  sync(): void
  /** Ends its containers; false when the kubelet stops before they have ended. */
  stop(graceSeconds: number): Promise<boolean>
  /** Its containers have ended. */
  finished(): void
  /** Gives back what it had; false when the kubelet stops before. */
  cleanUp(): Promise<boolean>
  /** Nothing of it is left. */
  release(): void
}

export class Lifecycle {
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #hands: Hands
  /** Ends what the syncing phase does, when the pod is to stop. */
  readonly #syncing = new AbortController()
  #worker: PodWorker
  #finished = false

  constructor(pod: Pod, clock: Pick<Clock, 'monotonic'>, hands: Hands) {
    this.#worker = newWorker(pod)
    this.#clock = clock
    this.#hands = hands
  }

  get worker(): PodWorker {
    return this.#worker
  }

  /** Aborts when the pod is to stop. */
  get signal(): AbortSignal {
    return this.#syncing.signal
  }

  /** Nothing of it runs any more. */
  get isFinished(): boolean {
    return this.#finished
  }

  updated(pod: Pod): void {
    this.#dispatch({ type: 'updated', pod })
  }

  requestStop(pod: Pod, graceSeconds: number, why: StopReason): void {
    const nowMs = this.#clock.monotonic()
    this.#dispatch({ type: 'stopRequested', pod, graceSeconds, nowMs, why })
  }

  /** The kubelet stops: what is under way ends, and the pod goes on. */
  halt(): void {
    this.#syncing.abort(new Error('the kubelet stops'))
  }

  #dispatch(event: PodEvent): void {
    const [worker, ...effects] = step(this.#worker, event)
    this.#worker = worker
    for (const effect of effects) this.#perform(effect)
  }

  #perform(effect: PodEffect): void {
    switch (effect.type) {
      case 'sync':
        this.#hands.sync()
        return
      case 'kill':
        this.#syncing.abort(new Error('the pod stops'))
        void this.#stop(effect.graceSeconds)
        return
      case 'cleanUp':
        void this.#cleanUp()
        return
      case 'release':
        this.#hands.release()
    }
  }

  async #stop(graceSeconds: number): Promise<void> {
    if (!(await this.#hands.stop(graceSeconds))) return
    this.#finished = true
    this.#hands.finished()
    this.#dispatch({ type: 'containersStopped' })
  }

  async #cleanUp(): Promise<void> {
    if (await this.#hands.cleanUp()) this.#dispatch({ type: 'cleanedUp' })
  }
}

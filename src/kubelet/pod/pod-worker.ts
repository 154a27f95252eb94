/**
 * One pod on one node. It only moves forward: syncing, terminating, terminated, and once it is
 * terminated nothing of it runs. The shell in `../agent/pod-agent.ts` carries out the effects.
 */
import type { Pod } from '#api'

export type PodWorker =
  | { readonly phase: 'syncing'; readonly pod: Pod }
  | {
      readonly phase: 'terminating'
      readonly pod: Pod
      readonly graceSeconds: number
      /** Where the grace began, on the monotonic clock. */
      readonly sinceMs: number
      readonly why: StopReason
    }
  | { readonly phase: 'terminated'; readonly pod: Pod; readonly cleaned: boolean }

/** Why a pod stops; `reason` and `message` go into its status when they are there. */
export interface StopReason {
  /** `deleted`: by the API. `completed`: its containers have done their work. `failed`: the node decided. */
  readonly type: 'deleted' | 'completed' | 'failed'
  readonly reason?: string
  readonly message?: string
}

export type PodEvent =
  | { readonly type: 'updated'; readonly pod: Pod }
  | {
      readonly type: 'stopRequested'
      readonly pod: Pod
      readonly graceSeconds: number
      readonly nowMs: number
      readonly why: StopReason
    }
  | { readonly type: 'containersStopped' }
  | { readonly type: 'cleanedUp' }

export type PodEffect =
  | { readonly type: 'sync' }
  /** Ends the containers; a later one with less grace shortens the wait of the one under way. */
  | { readonly type: 'kill'; readonly graceSeconds: number }
  /** Gives back volumes, network, cgroups. */
  | { readonly type: 'cleanUp' }
  /** Takes the object out of the API: nothing of it is left on the node. */
  | { readonly type: 'release' }

export const newWorker = (pod: Pod): PodWorker => ({ phase: 'syncing', pod })

export function step(worker: PodWorker, event: PodEvent): readonly [PodWorker, ...PodEffect[]] {
  switch (event.type) {
    case 'updated':
      if (worker.phase === 'syncing') return [{ ...worker, pod: event.pod }, { type: 'sync' }]
      return [{ ...worker, pod: event.pod }]
    case 'stopRequested': {
      if (worker.phase === 'terminated') {
        const next = { ...worker, pod: event.pod }
        return worker.cleaned && event.why.type === 'deleted' ? [next, { type: 'release' }] : [next]
      }
      const { pod, nowMs: sinceMs, why } = event
      if (worker.phase === 'syncing') {
        const graceSeconds = Math.max(0, event.graceSeconds)
        return [
          { phase: 'terminating', pod, graceSeconds, sinceMs, why },
          { type: 'kill', graceSeconds },
        ]
      }
      // A second request may shorten the wait, and never lengthens it.
      const graceSeconds = Math.min(Math.max(0, event.graceSeconds), graceLeft(worker, sinceMs))
      if (graceSeconds >= graceLeft(worker, sinceMs)) return [{ ...worker, pod }]
      return [
        { ...worker, pod, graceSeconds, sinceMs },
        { type: 'kill', graceSeconds },
      ]
    }
    case 'containersStopped':
      if (worker.phase === 'terminated') return [worker]
      return [{ phase: 'terminated', pod: worker.pod, cleaned: false }, { type: 'cleanUp' }]
    case 'cleanedUp':
      if (worker.phase !== 'terminated' || worker.cleaned) return [worker]
      return worker.pod.metadata.deletionTimestamp === undefined
        ? [{ ...worker, cleaned: true }]
        : [{ ...worker, cleaned: true }, { type: 'release' }]
  }
}

/** Seconds of grace that are left at `nowMs`. */
export const graceLeft = (
  worker: { readonly graceSeconds: number; readonly sinceMs: number },
  nowMs: number,
): number => Math.max(0, worker.graceSeconds - (nowMs - worker.sinceMs) / 1000)

/** How long a container that ended waits before it runs again. */
import type { BackoffLimits } from '../backoff.ts'
import { duration } from '../images.ts'
import { type AnyContainer, containerHash, podLabel } from './containers.ts'
import type { Pod } from '#api'
import type { Waiting } from './status.ts'

/** Of one container of one pod: which ended attempt the present delay belongs to. */
export interface CrashState {
  readonly delayMs: number
  /** When the attempt ended that was last restarted from; milliseconds since 1970. */
  readonly endedMs: number
  /** When it was restarted. */
  readonly restartedMs: number
}

/** Another image is another container: it does not pay for what the last one did. */
export const crashKey = (container: AnyContainer): string =>
  `${container.name}/${containerHash(container)}`

/**
 * The first end is followed by a restart at once. After that a restart waits for the delay counted
 * from the end, and each restart doubles the delay.
 */
export function crashWaitMs(
  state: CrashState | undefined,
  endedMs: number,
  nowMs: number,
  limits: BackoffLimits,
): number {
  if (state === undefined || isCalm(state, endedMs, limits)) return 0
  return Math.max(0, endedMs + state.delayMs - nowMs)
}

/** The state after a restart. */
export function afterRestart(
  state: CrashState | undefined,
  endedMs: number,
  nowMs: number,
  limits: BackoffLimits,
): CrashState {
  const delayMs =
    state === undefined || isCalm(state, endedMs, limits)
      ? limits.firstMs
      : Math.min(state.delayMs * 2, limits.lastMs)
  return { delayMs, endedMs, restartedMs: nowMs }
}

/** It ran long enough that what was before is forgiven. */
const isCalm = (state: CrashState, endedMs: number, { resetMs }: BackoffLimits): boolean =>
  endedMs - state.restartedMs > resetMs

export const crashMessage = (pod: Pod, container: AnyContainer, delayMs: number): Waiting => ({
  reason: 'CrashLoopBackOff',
  message: `back-off ${backoffText(delayMs)} restarting failed container=${container.name} pod=${podLabel(pod)}`,
})

/** `10s`, `1m20s`, `5m0s`. */
const backoffText = (ms: number): string => duration(ms)

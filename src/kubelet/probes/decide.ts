/** Thresholds of a probe: how single answers become a result. */
import type { Probe } from '#api'
import type { ProbeResult } from '../pod/actions.ts'

export type ProbeKind = 'liveness' | 'readiness' | 'startup'

/** What one try found. */
export type ProbeOutcome =
  | { readonly ok: true; readonly warning?: string }
  | { readonly ok: false; readonly message: string }

export interface ProbeState {
  readonly result: ProbeResult
  /** Answers of the same kind in a row. */
  readonly run: number
  readonly lastOk: boolean | undefined
}

/** Until a first answer: alive, but neither ready nor started. */
export const initialState = (kind: ProbeKind): ProbeState => ({
  result: kind === 'liveness' ? 'success' : kind === 'readiness' ? 'failure' : 'unknown',
  run: 0,
  lastOk: undefined,
})

export function record(state: ProbeState, outcome: ProbeOutcome, probe: Probe): ProbeState {
  const run = state.lastOk === outcome.ok ? state.run + 1 : 1
  const threshold = outcome.ok ? (probe.successThreshold ?? 1) : (probe.failureThreshold ?? 3)
  const result = run < threshold ? state.result : outcome.ok ? 'success' : 'failure'
  return { result, run, lastOk: outcome.ok }
}

export const periodMs = ({ periodSeconds = 10 }: Probe): number => Math.max(1, periodSeconds) * 1000
export const timeoutMs = ({ timeoutSeconds = 1 }: Probe): number =>
  Math.max(1, timeoutSeconds) * 1000

/** `Liveness probe failed: …`, as events say it. */
export const probeTitle = (kind: ProbeKind): string =>
  `${kind.charAt(0).toUpperCase()}${kind.slice(1)} probe`

/** How fast and how far replicas may change: stabilization, rates, and the bounds of the autoscaler. Pure. */
import type { HPAScalingRules, HorizontalPodAutoscaler } from '#api'

/** What was proposed and done before: the newest last. */
export interface History {
  readonly recommendations: readonly { readonly atMs: number; readonly replicas: number }[]
  readonly ups: readonly Step[]
  readonly downs: readonly Step[]
}
interface Step {
  readonly atMs: number
  readonly change: number
}
export const noHistory: History = { recommendations: [], ups: [], downs: [] }

export interface Verdict {
  readonly replicas: number
  /** Condition `AbleToScale`. */
  readonly able: { readonly reason: string; readonly message: string }
  /** Condition `ScalingLimited`. */
  readonly limited: {
    readonly status: 'True' | 'False'
    readonly reason: string
    readonly message: string
  }
}

const DOWN_WINDOW_S = 300
const LONGEST_MS = 3600_000
const UP: Required<Pick<HPAScalingRules, 'policies' | 'selectPolicy'>> = {
  selectPolicy: 'Max',
  policies: [
    { type: 'Pods', value: 4, periodSeconds: 15 },
    { type: 'Percent', value: 100, periodSeconds: 15 },
  ],
}
const DOWN: typeof UP = {
  selectPolicy: 'Max',
  policies: [{ type: 'Percent', value: 100, periodSeconds: 15 }],
}

const changeIn = (steps: readonly Step[], seconds: number, nowMs: number): number =>
  steps
    .filter(({ atMs }) => atMs > nowMs - seconds * 1000)
    .reduce((total, { change }) => total + change, 0)

interface Now {
  readonly current: number
  readonly nowMs: number
}

/** The most that it may be now. */
function upLimit(rules: HPAScalingRules, { ups, downs }: History, { current, nowMs }: Now): number {
  const { selectPolicy = UP.selectPolicy, policies = UP.policies } = rules
  if (selectPolicy === 'Disabled') return current
  const limits = policies.map(({ type, value, periodSeconds }) => {
    const before =
      current - changeIn(ups, periodSeconds, nowMs) + changeIn(downs, periodSeconds, nowMs)
    return type === 'Pods' ? before + value : Math.ceil(before * (1 + value / 100))
  })
  return selectPolicy === 'Min' ? Math.min(...limits) : Math.max(...limits)
}

/** The least. */
function downLimit(
  rules: HPAScalingRules,
  { ups, downs }: History,
  { current, nowMs }: Now,
): number {
  const { selectPolicy = DOWN.selectPolicy, policies = DOWN.policies } = rules
  if (selectPolicy === 'Disabled') return current
  const limits = policies.map(({ type, value, periodSeconds }) => {
    const before =
      current - changeIn(ups, periodSeconds, nowMs) + changeIn(downs, periodSeconds, nowMs)
    return type === 'Pods' ? before - value : Math.trunc(before * (1 - value / 100))
  })
  return selectPolicy === 'Min' ? Math.max(...limits) : Math.min(...limits)
}

/** What becomes of a proposal. */
export function limit(
  { minReplicas = 1, maxReplicas, behavior = {} }: HorizontalPodAutoscaler['spec'],
  proposed: number,
  history: History,
  now: Now,
): Verdict {
  const { current, nowMs } = now
  const { scaleUp = {}, scaleDown = {} } = behavior
  const within = (seconds: number): readonly number[] =>
    history.recommendations
      .filter(({ atMs }) => atMs > nowMs - seconds * 1000)
      .map(({ replicas }) => replicas)
  const highest = Math.max(
    proposed,
    ...within(scaleDown.stabilizationWindowSeconds ?? DOWN_WINDOW_S),
  )
  const lowest = Math.min(proposed, ...within(scaleUp.stabilizationWindowSeconds ?? 0))
  const stable = current < lowest ? lowest : current > highest ? highest : current
  const able =
    stable === proposed
      ? { reason: 'ReadyForNewScale', message: 'recommended size matches current size' }
      : proposed < stable
        ? {
            reason: 'ScaleDownStabilized',
            message:
              'recent recommendations were higher than current one, applying the highest recent recommendation',
          }
        : {
            reason: 'ScaleUpStabilized',
            message:
              'recent recommendations were lower than current one, applying the lowest recent recommendation',
          }
  const limited = (reason: string, message: string): Verdict['limited'] => ({
    status: 'True',
    reason,
    message,
  })
  const rate = (faster: string): string =>
    `the desired replica count is ${faster} faster than the maximum scale rate`
  if (stable > current) {
    const allowed = Math.max(current, upLimit(scaleUp, history, now))
    const most = Math.min(allowed, maxReplicas)
    if (stable > most)
      return {
        replicas: most,
        able,
        limited:
          allowed >= maxReplicas
            ? limited(
                'TooManyReplicas',
                'the desired replica count is more than the maximum replica count',
              )
            : limited('ScaleUpLimit', rate('increasing')),
      }
  } else if (stable < current || stable < minReplicas) {
    const allowed = Math.min(current, downLimit(scaleDown, history, now))
    const least = Math.max(allowed, minReplicas)
    if (stable < least)
      return {
        replicas: least,
        able,
        limited:
          allowed <= minReplicas
            ? limited(
                'TooFewReplicas',
                'the desired replica count is less than the minimum replica count',
              )
            : limited('ScaleDownLimit', rate('decreasing')),
      }
  }
  return {
    replicas: stable,
    able,
    limited: {
      status: 'False',
      reason: 'DesiredWithinRange',
      message: 'the desired count is within the acceptable range',
    },
  }
}

const young = <T extends { readonly atMs: number }>(list: readonly T[], nowMs: number): T[] =>
  list.filter(({ atMs }) => atMs > nowMs - LONGEST_MS)

export const recommended = (history: History, replicas: number, atMs: number): History => ({
  ...history,
  recommendations: [...young(history.recommendations, atMs), { atMs, replicas }],
})

export const scaledTo = (history: History, current: number, next: number, atMs: number): History =>
  next > current
    ? { ...history, ups: [...young(history.ups, atMs), { atMs, change: next - current }] }
    : { ...history, downs: [...young(history.downs, atMs), { atMs, change: current - next }] }

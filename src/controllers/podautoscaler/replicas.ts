/** From what pods use to how many there should be: the arithmetic of autoscaling, pure. */
import type { Pod } from '#api'
import { milliValue } from '#machinery'

/** What one pod uses, in thousandths. */
export interface PodValue {
  readonly milli: number
  readonly atMs: number
  readonly windowMs: number
}

export interface Counting {
  readonly currentReplicas: number
  readonly pods: readonly Pod[]
  /** By the pod's name. */
  readonly values: ReadonlyMap<string, PodValue>
  /** Of the processor it is known that it is high while a program starts. */
  readonly isCpu: boolean
  readonly tolerance: Tolerance
  readonly nowMs: number
}

export interface Tolerance {
  readonly up: number
  readonly down: number
}

export interface Proposal {
  readonly replicas: number
  /** The average of the pods that count. */
  readonly averageMilli: number
  /** Of what they ask for, when that was asked. */
  readonly utilization?: number
}

/** Why nothing can be proposed, in upstream's words. */
export class MetricsError extends Error {}

const CPU_START_MS = 5 * 60_000
const READINESS_DELAY_MS = 30_000

interface Groups {
  readonly ready: number
  readonly missing: readonly string[]
  readonly unready: readonly string[]
  readonly ignored: ReadonlySet<string>
}

function groupsOf({ pods, values, isCpu, nowMs }: Counting): Groups {
  const missing: string[] = []
  const unready: string[] = []
  const ignored = new Set<string>()
  let ready = 0
  for (const pod of pods) {
    const { name, deletionTimestamp } = pod.metadata
    const phase = pod.status?.phase
    if (deletionTimestamp !== undefined || phase === 'Failed' || phase === 'Succeeded') {
      ignored.add(name)
      continue
    }
    if (phase === 'Pending') {
      unready.push(name)
      continue
    }
    const value = values.get(name)
    if (value === undefined) missing.push(name)
    else if (isCpu && isStarting(pod, value, nowMs)) unready.push(name)
    else ready++
  }
  return { ready, missing, unready, ignored }
}

/** What is said of a program that starts is not what it will use. */
function isStarting({ status }: Pod, { atMs, windowMs }: PodValue, nowMs: number): boolean {
  const condition = status?.conditions?.find(({ type }) => type === 'Ready')
  const started = Date.parse(status?.startTime ?? '')
  if (condition === undefined || Number.isNaN(started)) return true
  const changed = Date.parse(condition.lastTransitionTime ?? '')
  if (started + CPU_START_MS > nowMs)
    return condition.status === 'False' || atMs < changed + windowMs
  return condition.status === 'False' && started + READINESS_DELAY_MS > changed
}

const sum = (numbers: Iterable<number>): number => [...numbers].reduce((a, b) => a + b, 0)

/** @param requests what each pod asks for, in thousandths */
export function byUtilization(
  counting: Counting,
  target: number,
  requests: ReadonlyMap<string, number>,
): Proposal {
  const ratioOf = (values: ReadonlyMap<string, number>) => {
    const used = sum(values.values())
    const asked = sum(Array.from(values.keys(), (name) => requests.get(name) ?? 0))
    if (asked === 0) throw new MetricsError('no metrics returned matched known pods')
    const utilization = Math.trunc((used * 100) / asked)
    return { ratio: utilization / target, utilization, average: Math.trunc(used / values.size) }
  }
  const stand = Math.max(100, target)
  const standIn = (name: string): number => ((requests.get(name) ?? 0) * stand) / 100
  return propose(counting, ratioOf, standIn)
}

/** @param target of one pod, in thousandths */
export function byAverage(counting: Counting, target: number): Proposal {
  const ratioOf = (values: ReadonlyMap<string, number>) => {
    const average = Math.trunc(sum(values.values()) / values.size)
    return { ratio: average / target, utilization: undefined, average }
  }
  return propose(counting, ratioOf, () => target)
}

function propose(
  counting: Counting,
  ratioOf: (values: ReadonlyMap<string, number>) => {
    readonly ratio: number
    readonly utilization: number | undefined
    readonly average: number
  },
  /** What a pod that says nothing is taken to use when others use little. */
  standIn: (name: string) => number,
): Proposal {
  const { currentReplicas, pods, values, tolerance } = counting
  if (pods.length === 0)
    throw new MetricsError('no pods returned by selector while calculating replica count')
  const { ready, missing, unready, ignored } = groupsOf(counting)
  const left = new Set([...ignored, ...unready])
  const known = new Set(pods.map(({ metadata }) => metadata.name))
  const used = new Map<string, number>()
  for (const [name, { milli }] of values)
    if (known.has(name) && !left.has(name)) used.set(name, milli)
  if (used.size === 0)
    throw new MetricsError('did not receive metrics for targeted pods (pods might be unready)')
  const first = ratioOf(used)
  const shown = {
    averageMilli: first.average,
    ...(first.utilization === undefined ? {} : { utilization: first.utilization }),
  }
  const withUnready = unready.length > 0 && first.ratio > 1
  if (!withUnready && missing.length === 0) {
    if (isWithin(first.ratio, tolerance)) return { replicas: currentReplicas, ...shown }
    return { replicas: Math.ceil(first.ratio * ready), ...shown }
  }
  if (missing.length > 0)
    for (const name of missing)
      if (first.ratio < 1) used.set(name, standIn(name))
      else if (first.ratio > 1) used.set(name, 0)
  if (withUnready) for (const name of unready) used.set(name, 0)
  const { ratio } = ratioOf(used)
  const turned = (first.ratio < 1 && ratio > 1) || (first.ratio > 1 && ratio < 1)
  if (isWithin(ratio, tolerance) || turned) return { replicas: currentReplicas, ...shown }
  const replicas = Math.ceil(ratio * used.size)
  // What is guessed must not turn things around.
  const contrary =
    (ratio < 1 && replicas > currentReplicas) || (ratio > 1 && replicas < currentReplicas)
  return { replicas: contrary ? currentReplicas : replicas, ...shown }
}

const isWithin = (ratio: number, { up, down }: Tolerance): boolean =>
  1 - down <= ratio && ratio <= 1 + up

/** A value of something else than pods: as a whole, or for each of the ready pods. */
export function byValue(
  { currentReplicas, pods, tolerance }: Pick<Counting, 'currentReplicas' | 'pods' | 'tolerance'>,
  milli: number,
  target: { readonly value: number } | { readonly average: number },
): number {
  if ('average' in target) {
    const ratio = milli / (target.average * currentReplicas)
    return isWithin(ratio, tolerance) ? currentReplicas : Math.ceil(milli / target.average)
  }
  const ratio = milli / target.value
  if (currentReplicas === 0) return Math.ceil(ratio)
  if (isWithin(ratio, tolerance)) return currentReplicas
  const ready = pods.filter(
    ({ status }) =>
      status?.phase === 'Running' &&
      status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True'),
  ).length
  return Math.ceil(ratio * ready)
}

/** What pods ask for of a resource, in thousandths. Throws when a container asks for nothing. */
export function requestsOf(
  pods: readonly Pod[],
  resource: string,
  container: string | undefined,
): ReadonlyMap<string, number> {
  return new Map(
    pods.map(({ metadata, spec }) => {
      const sidecars = (spec.initContainers ?? []).filter(
        ({ restartPolicy }) => restartPolicy === 'Always',
      )
      const all = [...(spec.containers ?? []), ...sidecars]
      const wanted = all.filter(({ name }) => container === undefined || name === container)
      const total = wanted.map(({ name, resources }) => {
        const request = resources?.requests?.[resource]
        if (request === undefined)
          throw new MetricsError(
            `missing request for ${resource} in container ${name} of Pod ${metadata.name}`,
          )
        return milliValue(request)
      })
      return [metadata.name, sum(total)]
    }),
  )
}

/** What nodes and containers use, from two looks at what they have used so far. */
import { isObject } from '../json.ts'

/** One look at a node: `/stats/summary` of its kubelet. */
export interface Sample {
  readonly atMs: number
  readonly node: Counts
  readonly pods: ReadonlyMap<string, readonly (Counts & { readonly name: string })[]>
}

interface Counts {
  /** Of processor time, since it began. */
  readonly cpuNanoSeconds: number
  readonly memoryBytes: number
}

/** As metrics.k8s.io has it: nano cores and kibibytes. */
export interface Usage {
  readonly [resource: string]: string
  readonly cpu: string
  readonly memory: string
}

export interface PodUsage {
  readonly containers: readonly { readonly name: string; readonly usage: Usage }[]
}

const numberOf = (value: unknown, field: string): number => {
  const found = isObject(value) ? value[field] : undefined
  return typeof found === 'number' ? found : 0
}
const countsOf = (value: unknown): Counts =>
  isObject(value)
    ? {
        cpuNanoSeconds: numberOf(value['cpu'], 'usageCoreNanoSeconds'),
        memoryBytes: numberOf(value['memory'], 'workingSetBytes'),
      }
    : { cpuNanoSeconds: 0, memoryBytes: 0 }
const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])
const textOf = (value: unknown, field: string): string => {
  const found = isObject(value) ? value[field] : undefined
  return typeof found === 'string' ? found : ''
}

/** Reads a summary; what is not there is nothing used. */
export function sampleOf(summary: unknown, atMs: number): Sample {
  const body = isObject(summary) ? summary : {}
  return {
    atMs,
    node: countsOf(body['node']),
    pods: new Map(
      list(body['pods']).flatMap((pod) => {
        if (!isObject(pod)) return []
        const ref = pod['podRef']
        const containers = list(pod['containers']).map((each) => ({
          name: textOf(each, 'name'),
          ...countsOf(each),
        }))
        return [[`${textOf(ref, 'namespace')}/${textOf(ref, 'name')}`, containers] as const]
      }),
    ),
  }
}

const usage = (before: Counts | undefined, now: Counts, seconds: number): Usage => {
  // A container that was started again counts from the beginning.
  const used = Math.max(0, now.cpuNanoSeconds - (before?.cpuNanoSeconds ?? now.cpuNanoSeconds))
  const nanoCores = seconds > 0 ? Math.round(used / seconds) : 0
  return { cpu: `${nanoCores}n`, memory: `${Math.ceil(now.memoryBytes / 1024)}Ki` }
}

export const nodeUsage = (before: Sample, now: Sample): Usage =>
  usage(before.node, now.node, (now.atMs - before.atMs) / 1000)

/** Undefined for a pod that was not there at both looks: nothing is known of it yet. */
export function podUsage(before: Sample, now: Sample, pod: string): PodUsage | undefined {
  const containers = now.pods.get(pod)
  const earlier = before.pods.get(pod)
  if (containers === undefined || earlier === undefined || containers.length === 0) return undefined
  const seconds = (now.atMs - before.atMs) / 1000
  return {
    containers: containers.map((each) => ({
      name: each.name,
      usage: usage(
        earlier.find(({ name }) => name === each.name),
        each,
        seconds,
      ),
    })),
  }
}

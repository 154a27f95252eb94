/** Flags of kubelets, under the names that stock ones have. */
import {
  checkSoft,
  parseGracePeriods,
  parseNodeLabels,
  parseTaints,
  parseThresholds,
  SettingError,
  type DiskMarks,
  type SoftThresholds,
} from '#kubelet'
import type { NodeSettings } from '#cluster'
import { UsageError, wholeNumber, type OptionSpec, type ParsedArguments } from '../arguments.ts'
import { first } from './common.ts'

export const nodeOptions: readonly OptionSpec[] = [
  {
    name: 'max-pods',
    value: 'N',
    summary: 'How many pods a node takes (default 110)',
  },
  {
    name: 'node-labels',
    value: 'LIST',
    summary: 'Labels that nodes register with: disk=ssd,topology.kubernetes.io/zone=a',
  },
  {
    name: 'register-with-taints',
    value: 'LIST',
    summary: 'Taints that nodes register with: dedicated=db:NoSchedule',
  },
  {
    name: 'eviction-hard',
    value: 'LIST',
    summary:
      'What must stay available, or pods end at once: memory.available<100Mi,nodefs.available<10%; replaces all defaults',
  },
  {
    name: 'eviction-soft',
    value: 'LIST',
    summary: 'What should stay available: pods end when it has not for the grace period',
  },
  {
    name: 'eviction-soft-grace-period',
    value: 'LIST',
    summary: 'How long, for each soft threshold: memory.available=1m30s',
  },
  {
    name: 'eviction-max-pod-grace-period',
    value: 'SECONDS',
    summary: 'How long pods have to end below a soft threshold (default 0: a second)',
  },
  {
    name: 'image-gc-high-threshold',
    value: 'PERCENT',
    summary: 'Images are removed when the disk is as full as this (default 85)',
  },
  {
    name: 'image-gc-low-threshold',
    value: 'PERCENT',
    summary: 'And until it is no fuller than this (default 80)',
  },
  {
    name: 'healthz-port',
    value: 'PORT',
    summary: "Where the kubelet's health is told on 127.0.0.1 (default 10248; 0 for nowhere)",
  },
]

/** Undefined when nothing of it is given. */
export function nodeSettings(parsed: ParsedArguments): NodeSettings | undefined {
  const given = nodeOptions.flatMap(({ name }) => {
    const value = first(parsed, name)
    return value === undefined ? [] : [`--${name}=${value}`]
  })
  if (given.length === 0) return undefined
  const read = <T>(name: string, parse: (text: string) => T): T | undefined => {
    const text = first(parsed, name)
    return text === undefined ? undefined : told(name, () => parse(text))
  }
  const number = (name: string, max: number) =>
    read(name, (text) => wholeNumber(name, text, { min: 0, max }))
  const marks = imageMarks(
    number('image-gc-high-threshold', 100),
    number('image-gc-low-threshold', 100),
  )
  const soft = softThresholds(read, number)
  return {
    maxPods: number('max-pods', 10_000),
    labels: read('node-labels', parseNodeLabels),
    taints: read('register-with-taints', parseTaints),
    thresholds: read('eviction-hard', parseThresholds),
    softThresholds: soft,
    imageMarks: marks,
    healthzPort: number('healthz-port', 65_535),
    flags: given,
  }
}

function told<T>(name: string, run: () => T): T {
  try {
    return run()
  } catch (error) {
    if (error instanceof SettingError) throw new UsageError(`--${name}: ${error.message}`)
    throw error
  }
}

function softThresholds(
  read: <T>(name: string, parse: (text: string) => T) => T | undefined,
  number: (name: string, max: number) => number | undefined,
): SoftThresholds | undefined {
  const thresholds = read('eviction-soft', parseThresholds)
  const afterMs = read('eviction-soft-grace-period', parseGracePeriods) ?? {}
  const maxGraceSeconds = number('eviction-max-pod-grace-period', 1_000_000) ?? 0
  if (thresholds === undefined) return undefined
  told('eviction-soft-grace-period', () => checkSoft(thresholds, afterMs))
  return { thresholds, afterMs, maxGraceSeconds }
}

function imageMarks(high: number | undefined, low: number | undefined): DiskMarks | undefined {
  if (high === undefined && low === undefined) return undefined
  const marks = { highPercent: high ?? 85, lowPercent: low ?? 80 }
  if (marks.lowPercent >= marks.highPercent)
    throw new UsageError(
      `--image-gc-low-threshold ${marks.lowPercent} must be less than --image-gc-high-threshold ${marks.highPercent}`,
    )
  // Who says when means it, however much room that leaves.
  return { ...marks, enoughBytes: Number.POSITIVE_INFINITY }
}

/** What a node must not run out of, and whether it does. */

export const SIGNALS = [
  'memory.available',
  'nodefs.available',
  'nodefs.inodesFree',
  'imagefs.available',
  'imagefs.inodesFree',
  'pid.available',
] as const
export type Signal = (typeof SIGNALS)[number]

/** Bytes, inodes or processes. */
export interface Observation {
  readonly available: number
  readonly capacity: number
}
export type Observations = Readonly<Partial<Record<Signal, Observation>>>

/** A part of the whole, but no more than so much. */
export interface Bound {
  readonly part: number
  readonly most: number
}

export const boundOf = ({ part, most }: Bound, capacity: number): number =>
  Math.min(capacity * part, most)

/** What must stay available; a signal that is not there has no threshold. */
export type Thresholds = Readonly<Partial<Record<Signal, Bound>>>

/** So much, however large the whole is. */
export const amount = (most: number): Bound => ({ part: Number.POSITIVE_INFINITY, most })

const GIB = 2 ** 30

/**
 * The parts that upstream evicts at by default, for disks of a few GiB. On a machine that is more than a node (a
 * laptop whose disk is nine tenths full of other things) pods run on for as long as there is room.
 */
export const DEFAULT_THRESHOLDS: Thresholds = {
  'memory.available': amount(100 * 2 ** 20),
  'nodefs.available': { part: 0.1, most: GIB },
  'nodefs.inodesFree': { part: 0.05, most: 100_000 },
  'imagefs.available': { part: 0.15, most: 2 * GIB },
  'imagefs.inodesFree': { part: 0.05, most: 100_000 },
}
/** Nothing is evicted for want of processes unless somebody says so; the node says when they run out. */
const PROCESSES: Bound = { part: 0.05, most: Number.POSITIVE_INFINITY }

/** What a pod is evicted for, as messages name it. */
export type Resource = 'memory' | 'ephemeral-storage' | 'inodes' | 'pids'

export interface Shortage {
  readonly signal: Signal
  readonly resource: Resource
  readonly condition: Pressure
  /** What should be available. */
  readonly threshold: number
  readonly available: number
  /** Pods end for it. */
  readonly evicts: boolean
  /** Pods may take longer to end than a second: the threshold is a soft one. */
  readonly graceSeconds?: number
}

export type Pressure = 'MemoryPressure' | 'DiskPressure' | 'PIDPressure'

const MEANINGS: Readonly<Record<Signal, readonly [Resource, Pressure]>> = {
  'memory.available': ['memory', 'MemoryPressure'],
  'nodefs.available': ['ephemeral-storage', 'DiskPressure'],
  'nodefs.inodesFree': ['inodes', 'DiskPressure'],
  'imagefs.available': ['ephemeral-storage', 'DiskPressure'],
  'imagefs.inodesFree': ['inodes', 'DiskPressure'],
  'pid.available': ['pids', 'PIDPressure'],
}

/** The most urgent first: memory, then disks. */
export function shortages(observations: Observations, thresholds: Thresholds): readonly Shortage[] {
  return (Object.keys(MEANINGS) as readonly Signal[]).flatMap((signal): Shortage[] => {
    const observed = observations[signal]
    if (observed === undefined || observed.capacity === 0) return []
    const own = thresholds[signal]
    const bound = own ?? (signal === 'pid.available' ? PROCESSES : undefined)
    if (bound === undefined) return []
    const threshold = Math.floor(boundOf(bound, observed.capacity))
    if (observed.available >= threshold) return []
    const [resource, condition] = MEANINGS[signal]
    const { available } = observed
    return [{ signal, resource, condition, threshold, available, evicts: own !== undefined }]
  })
}

/** When each pressure was last seen, on the monotonic clock. */
export type Seen = ReadonlyMap<Pressure, number>

/** A node that was short of something says so for a while longer, so that it does not flap. */
export const TRANSITION_MS = 5 * 60_000

export function pressuresSeen(before: Seen, found: readonly Shortage[], nowMs: number): Seen {
  const seen = new Map([...before].filter(([, atMs]) => nowMs - atMs < TRANSITION_MS))
  for (const { condition } of found) seen.set(condition, nowMs)
  return seen
}

/** Thresholds below which pods are ended only after a while, and in their own time. */
export interface SoftThresholds {
  readonly thresholds: Thresholds
  /** How long the node must have been short of it, milliseconds. */
  readonly afterMs: Readonly<Partial<Record<Signal, number>>>
  /** Pods have no longer than this to end. */
  readonly maxGraceSeconds: number
}
export const NO_SOFT_THRESHOLDS: SoftThresholds = {
  thresholds: {},
  afterMs: {},
  maxGraceSeconds: 0,
}

/** Since when the node has been short of what, by signal. */
export type Since = ReadonlyMap<Signal, number>

/** Those that have lasted long enough. */
export function softShortages(
  before: Since,
  found: readonly Shortage[],
  { afterMs, maxGraceSeconds }: SoftThresholds,
  nowMs: number,
): { readonly since: Since; readonly lasting: readonly Shortage[] } {
  const since = new Map(found.map(({ signal }) => [signal, before.get(signal) ?? nowMs]))
  const lasting = found
    .filter(({ signal }) => nowMs - (since.get(signal) ?? nowMs) >= (afterMs[signal] ?? 0))
    .map((shortage) => ({ ...shortage, graceSeconds: maxGraceSeconds }))
  return { since, lasting }
}

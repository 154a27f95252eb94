/** What a node must not run out of, and whether it does. */

export type Signal =
  | 'memory.available'
  | 'nodefs.available'
  | 'nodefs.inodesFree'
  | 'imagefs.available'
  | 'imagefs.inodesFree'
  | 'pid.available'

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

/** What must stay available. */
export interface Thresholds {
  readonly memoryAvailableBytes: number
  /** Of the disk of pods and logs. */
  readonly disk: Bound
  readonly inodes: Bound
  /** Of the disk of images and containers. */
  readonly imageDisk: Bound
  readonly imageInodes: Bound
}

const GIB = 2 ** 30

/**
 * The parts that upstream evicts at by default, for disks of a few GiB. On a machine that is more than a node (a
 * laptop whose disk is nine tenths full of other things) pods run on for as long as there is room.
 */
export const DEFAULT_THRESHOLDS: Thresholds = {
  memoryAvailableBytes: 100 * 2 ** 20,
  disk: { part: 0.1, most: GIB },
  inodes: { part: 0.05, most: 100_000 },
  imageDisk: { part: 0.15, most: 2 * GIB },
  imageInodes: { part: 0.05, most: 100_000 },
}
/** Processes have no threshold upstream: nothing is evicted for them, and the node says when they run out. */
const PROCESSES_FREE = 0.05

/** What a pod is evicted for, as messages name it. */
export type Resource = 'memory' | 'ephemeral-storage' | 'inodes' | 'pids'

export interface Shortage {
  readonly signal: Signal
  readonly resource: Resource
  readonly condition: Pressure
  /** What should be available. */
  readonly threshold: number
  readonly available: number
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
  const wanted = (signal: Signal, { capacity }: Observation): number => {
    switch (signal) {
      case 'memory.available':
        return thresholds.memoryAvailableBytes
      case 'nodefs.available':
        return boundOf(thresholds.disk, capacity)
      case 'nodefs.inodesFree':
        return boundOf(thresholds.inodes, capacity)
      case 'imagefs.available':
        return boundOf(thresholds.imageDisk, capacity)
      case 'imagefs.inodesFree':
        return boundOf(thresholds.imageInodes, capacity)
      case 'pid.available':
        return capacity * PROCESSES_FREE
    }
  }
  return (Object.keys(MEANINGS) as readonly Signal[]).flatMap((signal): Shortage[] => {
    const observed = observations[signal]
    if (observed === undefined || observed.capacity === 0) return []
    const threshold = Math.floor(wanted(signal, observed))
    if (observed.available >= threshold) return []
    const [resource, condition] = MEANINGS[signal]
    return [{ signal, resource, condition, threshold, available: observed.available }]
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

/** A world of its own: time moves only when told, chance comes from a seed, the network and the disk are in memory. */
import type { Env, Processes } from './env.ts'
import { silentLogger } from './log.ts'
import { failure, memoryFileSystem } from './memory-files.ts'
import { memoryNetwork } from './memory-network.ts'
import { createMetrics } from './metrics.ts'
import { seededRandom } from './seeded-random.ts'
import { settle, virtualClock } from './virtual-clock.ts'

/** A world in memory whose time moves only when told. */
export interface VirtualEnv extends Env {
  /** Lets `ms` of virtual time pass: timers run in order, and what they start settles before the next one. */
  advance(ms: number): Promise<void>
  /** Lets what is ready run, without time passing. */
  settle(): Promise<void>
  /** Sets the wall clock forward, or back: no time passes. */
  jump(ms: number): void
  /** Milliseconds until the next timer; undefined when nothing waits. */
  nextTimer(): number | undefined
}

/** Where virtual time and chance begin, and what is there. */
export interface VirtualEnvOptions {
  readonly seed?: number
  /** Wall time at the beginning. */
  readonly start?: Date
  readonly log?: Env['log']
}

/** The same seed gives the same chance, and the same order of timers. */
export function virtualEnv({
  seed = 1,
  start = new Date('2026-01-01T00:00:00Z'),
  log = silentLogger,
}: VirtualEnvOptions = {}): VirtualEnv {
  const time = virtualClock(start)
  return {
    clock: time.clock,
    random: seededRandom(seed),
    net: memoryNetwork(),
    fs: memoryFileSystem(time.clock),
    process: noProcesses,
    metrics: createMetrics(),
    log,
    advance: time.advance,
    settle,
    jump: time.jump,
    nextTimer: time.next,
  }
}

const noProcesses: Processes = {
  pid: 1,
  environment: {},
  run: async ([command]) => {
    throw failure('ENOENT', `${command}: there are no processes in a virtual world`)
  },
  spawn: ([command]) => {
    throw failure('ENOENT', `${command}: there are no processes in a virtual world`)
  },
}

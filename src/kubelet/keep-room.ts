/** What keeps one node from filling up: eviction where there is something to run short of, and garbage collection. */
import type { EventRecorder } from '#client'
import type { KubeletContext } from './context.ts'
import { Eviction } from './eviction/index.ts'
import type { Readings } from './eviction/readings.ts'
import { Garbage } from './garbage/index.ts'
import type { MeasuredNode } from './measure/pods.ts'
import type { NodeAgent } from './node/node-agent.ts'

/** A node that has what keeps it from filling up. */
export interface Room {
  /** Undefined for a node that runs short of nothing. */
  readonly eviction: Eviction | undefined
  /** Until the signal aborts. */
  run(signal: AbortSignal): Promise<void>
}

/** Nothing runs before `run`. */
export function keepRoom(
  core: Omit<MeasuredNode, 'machine'> & Pick<KubeletContext, 'metrics' | 'podLogs'>,
  {
    readings,
    events,
    node,
    track,
  }: {
    readonly readings: Readings | undefined
    readonly events: EventRecorder
    readonly node: () => NodeAgent
    /** Goes on beside. */
    readonly track: (task: Promise<unknown>) => void
  },
): Room {
  const { env, runtime, agents, config, metrics, podLogs } = core
  const shared = { env, agents, events, node: () => node().about }
  const garbage = new Garbage({
    ...shared,
    runtime,
    podLogs,
    marks: config.imageMarks,
    onRemoved: () => track(node().refreshImages()),
  })
  const eviction =
    readings &&
    new Eviction({
      ...shared,
      readings,
      thresholds: config.thresholds,
      soft: config.softThresholds,
      freeDisk: () => garbage.freeDisk(),
      onChange: () => track(node().refresh()),
      counted: (signal) => metrics.podEvicted(signal),
    })
  return {
    eviction,
    async run(signal) {
      await Promise.all([
        eviction?.run(signal),
        runtime.simulated ? undefined : garbage.run(signal),
      ])
    },
  }
}

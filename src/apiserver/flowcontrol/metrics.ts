/** What is counted of flow control, under upstream's names. */
import type { Counter, Histogram, Metrics, Sample } from '#base'
import type { LevelState, Rejection } from './levels.ts'

/** One flow schema at one priority level. */
export interface FlowCounts {
  inQueue: number
  inQueueSeats: number
  executing: number
  executingSeats: number
  readonly dispatched: Counter
  /** Seconds until it was let in, or until it was refused. */
  waited(seconds: number, isLetIn: boolean): void
  readonly took: Histogram
  readonly seats: Histogram
  /** Length of the queue that it was put into, itself included. */
  readonly queueLength: Histogram
  rejected(reason: Rejection): void
}

export interface FlowMetrics {
  of(level: string, schema: string): FlowCounts
}

const PREFIX = 'apiserver_flowcontrol_'
const TIMES = [0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30]
const LENGTHS = [0, 10, 25, 50, 100, 250, 500, 1000]
const FLOW = ['priority_level', 'flow_schema']

export function flowMetrics(metrics: Metrics, levels: () => Iterable<LevelState>): FlowMetrics {
  const flows = new Map<
    string,
    { readonly names: readonly [string, string]; readonly counts: FlowCounts }
  >()
  const gauge = (name: string, help: string, read: (counts: FlowCounts) => number): void =>
    void metrics.gauge({ name: `${PREFIX}${name}`, help, labels: FLOW }, () =>
      Array.from(flows.values(), ({ names, counts }): Sample => [names, read(counts)]),
    )
  const ofLevels = (name: string, help: string, read: (level: LevelState) => number): void =>
    void metrics.gauge({ name: `${PREFIX}${name}`, help, labels: ['priority_level'] }, () =>
      Array.from(levels(), (level): Sample => [[level.name], read(level)]),
    )
  const histogram = (name: string, help: string, buckets: readonly number[], more?: string) =>
    metrics.histogram({
      name: `${PREFIX}${name}`,
      help,
      labels: more === undefined ? FLOW : [...FLOW, more],
      buckets,
    })

  gauge('current_inqueue_requests', 'Requests that wait.', ({ inQueue }) => inQueue)
  gauge('current_inqueue_seats', 'Seats of requests that wait.', (each) => each.inQueueSeats)
  gauge('current_executing_requests', 'Requests in the works.', ({ executing }) => executing)
  gauge('current_executing_seats', 'Seats in use.', ({ executingSeats }) => executingSeats)
  ofLevels('nominal_limit_seats', "A level's own seats.", ({ nominalSeats }) => nominalSeats)
  ofLevels('current_limit_seats', 'Seats that a level may use now.', (each) => each.currentSeats)
  ofLevels('lower_limit_seats', 'Seats that a level never lends.', (each) => each.lowestSeats)
  ofLevels('upper_limit_seats', 'Seats that a level has at most.', (each) => each.highestSeats)
  const dispatched = metrics.counter({
    name: `${PREFIX}dispatched_requests_total`,
    help: 'Requests that were let in.',
    labels: FLOW,
  })
  const rejected = metrics.counter({
    name: `${PREFIX}rejected_requests_total`,
    help: 'Requests that were refused, and why.',
    labels: [...FLOW, 'reason'],
  })
  const waits = histogram('request_wait_duration_seconds', 'Time in a queue.', TIMES, 'execute')
  const times = histogram('request_execution_seconds', 'Time in the works.', [...TIMES, 60], 'type')
  const seats = histogram('work_estimated_seats', 'Seats that requests take.', [1, 2, 4, 10])
  const lengths = histogram(
    'request_queue_length_after_enqueue',
    'Length of the queue that a request found.',
    LENGTHS,
  )

  const countsOf = (names: readonly [string, string]): FlowCounts => {
    const letIn = waits.with(...names, 'true')
    return {
      inQueue: 0,
      inQueueSeats: 0,
      executing: 0,
      executingSeats: 0,
      dispatched: dispatched.with(...names),
      waited: (seconds, isLetIn) =>
        (isLetIn ? letIn : waits.with(...names, 'false')).observe(seconds),
      took: times.with(...names, 'regular'),
      seats: seats.with(...names),
      queueLength: lengths.with(...names),
      rejected: (reason) => rejected.with(...names, reason).add(),
    }
  }
  return {
    of(level, schema) {
      const key = `${level}\0${schema}`
      let found = flows.get(key)
      if (found === undefined) {
        const names = [level, schema] as const
        found = { names, counts: countsOf(names) }
        flows.set(key, found)
      }
      return found.counts
    },
  }
}

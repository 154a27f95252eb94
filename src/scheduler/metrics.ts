/** What the scheduler counts of itself, under upstream's names. */
import { exponential, type Metrics } from '#base'
import type { SchedulingQueue } from './queue.ts'

export interface SchedulerCounts {
  /** The decision alone. */
  decided(seconds: number): void
  /** Room was made for a pod by ending others. */
  preempted(victims: number): void
  /** One attempt to find a node, from the decision to the binding. */
  attempted(result: 'scheduled' | 'unschedulable' | 'error', seconds: number): void
  /** From when the pod was first seen until it was bound. */
  bound(attempts: number, seconds: number): void
}

export function schedulerCounts(
  metrics: Metrics,
  profile: string,
  queue: () => SchedulingQueue['counts'],
  /** What it knows of the cluster. */
  cache: () => Readonly<Record<'nodes' | 'pods' | 'assumed_pods', number>>,
): SchedulerCounts {
  metrics.gauge(
    { name: 'scheduler_pending_pods', help: 'Pods that wait, by queue.', labels: ['queue'] },
    () => {
      const { active, backoff, unschedulable, gated } = queue()
      return [
        [['active'], active],
        [['backoff'], backoff],
        [['unschedulable'], unschedulable],
        [['gated'], gated],
      ]
    },
  )
  metrics.gauge(
    { name: 'scheduler_cache_size', help: 'What the scheduler knows of.', labels: ['type'] },
    () => Object.entries(cache()).map(([type, count]) => [[type], count] as const),
  )
  const labels = ['result', 'profile']
  const decisions = metrics.histogram({
    name: 'scheduler_scheduling_algorithm_duration_seconds',
    help: 'Time of a decision.',
    buckets: exponential(0.001, 2, 15),
  })
  const tried = metrics.histogram({
    name: 'scheduler_pod_scheduling_attempts',
    help: 'Attempts that it took to bind a pod.',
    buckets: exponential(1, 2, 5),
  })
  const preemptions = metrics.counter({
    name: 'scheduler_preemption_attempts_total',
    help: 'Times that room was made for a pod.',
  })
  const victims = metrics.histogram({
    name: 'scheduler_preemption_victims',
    help: 'Pods that were ended to make room for another.',
    buckets: exponential(1, 2, 7),
  })
  const attempts = metrics.counter({
    name: 'scheduler_schedule_attempts_total',
    help: 'Attempts to schedule pods, by result.',
    labels,
  })
  const times = metrics.histogram({
    name: 'scheduler_scheduling_attempt_duration_seconds',
    help: 'Time of an attempt: the decision and the binding.',
    labels,
    buckets: exponential(0.001, 2, 15),
  })
  const waits = metrics.histogram({
    name: 'scheduler_pod_scheduling_sli_duration_seconds',
    help: 'Time from when a pod was first seen until it was bound.',
    labels: ['attempts'],
    buckets: exponential(0.01, 2, 20),
  })
  return {
    attempted(result, seconds) {
      attempts.with(result, profile).add()
      times.with(result, profile).observe(seconds)
    },
    bound(tries, seconds) {
      waits.with(tries >= 16 ? '16+' : String(tries)).observe(seconds)
      tried.with().observe(tries)
    },
    decided: (seconds) => decisions.with().observe(seconds),
    preempted(count) {
      preemptions.with().add()
      victims.with().observe(count)
    },
  }
}

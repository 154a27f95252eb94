/** A job in a table. */
import { humanDuration } from '#machinery'
import type { Job } from '../../types.gen.ts'

const hasCondition = (job: Job, type: string): boolean =>
  (job.status?.conditions ?? []).some((each) => each.type === type && each.status === 'True')

/** The condition that says most of it. */
export function statusText(job: Job): string {
  if (hasCondition(job, 'Complete')) return 'Complete'
  if (hasCondition(job, 'Failed')) return 'Failed'
  if (job.metadata.deletionTimestamp !== undefined) return 'Terminating'
  for (const type of ['Suspended', 'FailureTarget', 'SuccessCriteriaMet']) {
    if (hasCondition(job, type)) return type
  }
  return 'Running'
}

/** `2/3`, or `0/1 of 4` where any one pod that succeeds is the end of it. */
export function completionsText({ spec, status }: Job): string {
  const done = status?.succeeded ?? 0
  if (spec.completions !== undefined) return `${done}/${spec.completions}`
  const parallelism = spec.parallelism ?? 0
  return parallelism > 1 ? `${done}/1 of ${parallelism}` : `${done}/1`
}

/** How long it took, or takes so far. */
export function durationText({ status }: Job, now: Date): string {
  if (status?.startTime === undefined) return ''
  const end =
    status.completionTime === undefined ? now.getTime() : Date.parse(status.completionTime)
  return humanDuration(end - Date.parse(status.startTime))
}

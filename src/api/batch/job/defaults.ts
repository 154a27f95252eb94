/** What a job has that says nothing. */
import { defaultPodTemplate } from '../../core/pod/defaults.ts'
import type { Mutable } from '../../mutable.ts'
import type { Job, JobSpec } from '../../types.gen.ts'
import { copyLabels, labelTemplate } from './selector.ts'

const MAX_INT32 = 2_147_483_647

function defaultJobSpec(spec: Mutable<JobSpec>): void {
  defaultPodTemplate(spec.template)
  if (spec.completions === undefined && spec.parallelism === undefined) spec.completions = 1
  spec.parallelism ??= 1
  spec.backoffLimit ??= spec.backoffLimitPerIndex === undefined ? 6 : MAX_INT32
  spec.completionMode ??= 'NonIndexed'
  spec.suspend ??= false
  spec.podReplacementPolicy ??= spec.podFailurePolicy ? 'Failed' : 'TerminatingOrFailed'
  for (const rule of spec.podFailurePolicy?.rules ?? []) {
    for (const pattern of rule.onPodConditions ?? []) pattern.status ??= 'True'
  }
}

/** Completes it in place. Labels come last: a template's own may be there only now. */
export function defaultJob(job: Mutable<Job>): void {
  defaultJobSpec(job.spec)
  job.spec.manualSelector ??= false
  labelTemplate(job)
  copyLabels(job)
}

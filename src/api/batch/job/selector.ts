/** How a job finds its pods: by labels that carry its own uid, unless the user chose others. */
import { FieldPath, invalidValue, selectorMatches, type FieldError } from '#machinery'
import type { Mutable } from '../../mutable.ts'
import type { Job } from '../../types.gen.ts'

const path = FieldPath.of('spec')

const UID_LABEL = 'batch.kubernetes.io/controller-uid'
const NAME_LABEL = 'batch.kubernetes.io/job-name'
/** What the same labels were called before labels had prefixes. */
const OLD_UID_LABEL = 'controller-uid'
const OLD_NAME_LABEL = 'job-name'

/** A job without labels has those of its pods. */
export function copyLabels({ metadata, spec }: Mutable<Job>): void {
  const labels = spec.template.metadata?.labels
  if (labels && Object.keys(metadata.labels ?? {}).length === 0) metadata.labels = { ...labels }
}

/** Unless the user chose a selector, the job's own uid finds its pods. */
export function generateSelector(job: Mutable<Job>): void {
  const { uid } = job.metadata
  if (job.spec.manualSelector === true || uid === undefined || uid === '') return
  const selector = (job.spec.selector ??= {})
  selector.matchLabels = { ...selector.matchLabels, [UID_LABEL]: uid }
  labelTemplate(job)
  copyLabels(job)
}

/** A generated name is known only after the uid is. */
export function labelTemplate(job: Mutable<Job>): void {
  const { uid, name } = job.metadata
  const { template, selector, manualSelector } = job.spec
  const isOurs = (uid ?? '') !== '' && selector?.matchLabels?.[UID_LABEL] === uid
  if (manualSelector === true || !isOurs) return
  const known = template.metadata?.labels ?? {}
  const named = (name ?? '') === '' ? {} : { [OLD_NAME_LABEL]: name, [NAME_LABEL]: name }
  const labels = { ...known, [OLD_UID_LABEL]: uid, [UID_LABEL]: uid, ...named }
  if (Object.entries(labels).every(([key, value]) => known[key] === value)) return
  template.metadata = { ...template.metadata, labels } as NonNullable<typeof template.metadata>
}

/** Labels of another job, such as those of one that was exported and is created again, find nothing. */
export function validateGenerated({ spec, metadata }: Job): readonly FieldError[] {
  const { selector, manualSelector } = spec
  if (manualSelector === true || selector === undefined) return []
  const known = {
    [OLD_UID_LABEL]: metadata.uid,
    [UID_LABEL]: metadata.uid,
    [OLD_NAME_LABEL]: metadata.name,
    [NAME_LABEL]: metadata.name,
  }
  return selectorMatches(selector, known)
    ? []
    : [invalidValue(path.child('selector'), selector, '`selector` not auto-generated')]
}

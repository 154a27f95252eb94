/** Jobs: pods that run until enough of them have succeeded. */
import { FieldPath, invalidValue, type FieldError, type StrategyContext } from '#machinery'
import { containerImages, containerNames, selectorText } from '../../columns.ts'
import {
  IN_POD_NAMES,
  hostnameWarnings,
  isNewSpec,
  podTemplateWarnings,
} from '../../core/pod/warnings.ts'
import { defineResource } from '../../define.ts'
import { jobs as jobsRef } from '../../resources.gen.ts'
import { dnsLabel } from '../../rules.ts'
import type { Job } from '../../types.gen.ts'
import { completionsText, durationText, statusText } from './columns.ts'
import { defaultJob } from './defaults.ts'
import { generateSelector, validateGenerated } from './selector.ts'
import { validateUpdate } from './update.ts'
import { validateJobSpec } from './validate.ts'

const path = FieldPath.of('spec')

const jobWarnings = ({ spec, metadata }: Job, old: Job | undefined): readonly string[] => [
  ...hostnameWarnings(old === undefined ? metadata.name : undefined, IN_POD_NAMES),
  ...podTemplateWarnings(spec.template),
  ...(spec.completionMode === 'Indexed' &&
  (spec.completions ?? 0) > 100_000 &&
  (spec.parallelism ?? 0) > 10_000
    ? [
        'spec.completions: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail',
      ]
    : []),
]

/** The pods of an indexed job have its name and their index for a host name. */
function validateHostname({ metadata: { name }, spec }: Job): readonly FieldError[] {
  if (spec.completionMode !== 'Indexed' || (spec.completions ?? 0) <= 0) return []
  const last = `${name ?? ''}-${(spec.completions ?? 0) - 1}`
  return dnsLabel(last).length === 0
    ? []
    : [
        invalidValue(
          FieldPath.of('metadata', 'name'),
          name ?? '',
          `will not able to create pod with invalid DNS label: ${last}`,
        ),
      ]
}

/** Counts its pods by their uid label, and leaves them behind unless told otherwise. */
export const jobs = defineResource(jobsRef, {
  defaults: defaultJob,
  validate: (job) => [
    ...validateGenerated(job),
    ...validateJobSpec(job.spec, path),
    ...validateHostname(job),
  ],
  validateUpdate: (now, old, { subresource }: StrategyContext) =>
    subresource === '' ? validateUpdate(now, old) : [],
  prepareForCreate: generateSelector,
  warnings: (now, old) => (isNewSpec(now, old) ? jobWarnings(now, old) : []),
  defaultPropagation: 'Orphan',
  fields: ({ status }) => ({ 'status.successful': String(status?.succeeded ?? 0) }),
  cells: {
    Status: statusText,
    Completions: completionsText,
    Duration: durationText,
    Containers: ({ spec }) => containerNames(spec.template.spec),
    Images: ({ spec }) => containerImages(spec.template.spec),
    Selector: ({ spec }) => selectorText(spec.selector),
  },
})

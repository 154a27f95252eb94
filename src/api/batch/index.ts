/** The group batch: work that ends. */
import { ageOf, FieldPath, invalidValue, required, type FieldError } from '#machinery'
import { containerImages, containerNames, NONE, selectorText, UNSET } from '../columns.ts'
import { defaultPodTemplate } from '../core/pod/defaults.ts'
import {
  IN_POD_NAMES,
  hostnameWarnings,
  isNewSpec,
  podTemplateWarnings,
} from '../core/pod/warnings.ts'
import { defineResource } from '../define.ts'
import { cronJobs as cronJobsRef } from '../resources.gen.ts'
import { nonNegative } from '../rules.ts'
import type { CronJob } from '../types.gen.ts'
import { jobs } from './job/index.ts'
import { validateJobSpec } from './job/validate.ts'
import { isTimeZone, scheduleError } from './schedule.ts'

const path = FieldPath.of('spec')
/** Jobs append a minute to the name, and pods of jobs a few letters more. */
const MAX_NAME = 52

function validateCronJob({ metadata, spec }: CronJob): readonly FieldError[] {
  const errors: FieldError[] = []
  const { schedule, timeZone } = spec
  if (schedule === '') errors.push(required(path.child('schedule')))
  else errors.push(...validateSchedule(schedule))
  if (timeZone !== undefined) errors.push(...validateTimeZone(timeZone))
  for (const name of [
    'startingDeadlineSeconds',
    'successfulJobsHistoryLimit',
    'failedJobsHistoryLimit',
  ] as const) {
    errors.push(...nonNegative(spec[name], path.child(name)))
  }
  if (spec.jobTemplate.spec) {
    errors.push(
      ...validateJobSpec(spec.jobTemplate.spec, path.child('jobTemplate', 'spec'), {
        inCronJob: true,
      }),
    )
  }
  if ((metadata.name ?? '').length > MAX_NAME) {
    errors.push(
      invalidValue(
        FieldPath.of('metadata', 'name'),
        metadata.name,
        `must be no more than ${MAX_NAME} characters`,
      ),
    )
  }
  return errors
}

function validateSchedule(schedule: string): readonly FieldError[] {
  const at = path.child('schedule')
  // A zone before the fields could be read, and is not wanted.
  const wrong = scheduleError(schedule.replace(/^(?:CRON_)?TZ=\S* */, ''))
  const zone = 'cannot use TZ or CRON_TZ in schedule, use timeZone field instead'
  return [
    ...(wrong === undefined ? [] : [invalidValue(at, schedule, wrong)]),
    ...(schedule.includes('TZ') ? [invalidValue(at, schedule, zone)] : []),
  ]
}

function validateTimeZone(timeZone: string): readonly FieldError[] {
  const at = path.child('timeZone')
  if (timeZone === '') {
    return [invalidValue(at, timeZone, 'timeZone must be nil or non-empty string')]
  }
  if (timeZone.toLowerCase() === 'local') {
    return [
      invalidValue(
        at,
        timeZone,
        'timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones',
      ),
    ]
  }
  return isTimeZone(timeZone) ? [] : [invalidValue(at, timeZone, `unknown time zone ${timeZone}`)]
}

const truth = (value: boolean | undefined): string =>
  value === undefined ? UNSET : value ? 'True' : 'False'

const cronJobs = defineResource(cronJobsRef, {
  defaults({ spec }) {
    spec.concurrencyPolicy ??= 'Allow'
    spec.suspend ??= false
    spec.successfulJobsHistoryLimit ??= 3
    spec.failedJobsHistoryLimit ??= 1
    // The job's own fields are filled in when the job is made.
    defaultPodTemplate(spec.jobTemplate.spec?.template)
  },
  validate: validateCronJob,
  warnings: (now, old) =>
    isNewSpec(now, old)
      ? [
          ...hostnameWarnings(old === undefined ? now.metadata.name : undefined, IN_POD_NAMES),
          ...podTemplateWarnings(
            now.spec.jobTemplate.spec?.template,
            'spec.jobTemplate.spec.template',
          ),
        ]
      : [],
  cells: {
    Schedule: ({ spec }) => spec.schedule,
    Timezone: ({ spec }) => spec.timeZone ?? NONE,
    Suspend: ({ spec }) => truth(spec.suspend),
    Active: ({ status }) => status?.active?.length ?? 0,
    'Last Schedule': ({ status }, now) =>
      status?.lastScheduleTime === undefined ? NONE : ageOf(status.lastScheduleTime, now),
    Containers: ({ spec }) => containerNames(spec.jobTemplate.spec?.template.spec),
    Images: ({ spec }) => containerImages(spec.jobTemplate.spec?.template.spec),
    Selector: ({ spec }) => selectorText(spec.jobTemplate.spec?.selector),
  },
})

export const batch = [cronJobs, jobs]

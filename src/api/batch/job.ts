/** Jobs: pods that run until enough of them have succeeded. */
import {
  FieldPath,
  humanDuration,
  invalidValue,
  notSupported,
  required,
  type FieldError,
  type StrategyContext,
} from '#machinery'
import { containerImages, containerNames, selectorText } from '../columns.ts'
import { defaultPodTemplate } from '../core/pod/defaults.ts'
import { validatePodTemplate } from '../core/pod/validate.ts'
import {
  IN_POD_NAMES,
  hostnameWarnings,
  isNewSpec,
  podTemplateWarnings,
} from '../core/pod/warnings.ts'
import { defineResource } from '../define.ts'
import { equal } from '../equal.ts'
import type { Mutable } from '../mutable.ts'
import { jobs as jobsRef } from '../resources.gen.ts'
import { immutable, nonNegative, selects, validateLabelSelector } from '../rules.ts'
import type {
  Job,
  JobSpec,
  PodFailurePolicy,
  PodTemplateSpec,
  SuccessPolicyRule,
} from '../types.gen.ts'
import { readIndexes } from './indexes.ts'
import { validateMatch } from '../workload.ts'

const UID_LABEL = 'batch.kubernetes.io/controller-uid'
const NAME_LABEL = 'batch.kubernetes.io/job-name'
/** What the same labels were called before labels had prefixes. */
const OLD_UID_LABEL = 'controller-uid'
const OLD_NAME_LABEL = 'job-name'

const MAX_INDEXED_PARALLELISM = 100_000
const MAX_RULES = 20
const MAX_INT32 = 2_147_483_647
const path = FieldPath.of('spec')

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

function defaultJob(job: Mutable<Job>): void {
  defaultJobSpec(job.spec)
  job.spec.manualSelector ??= false
  labelTemplate(job)
  copyLabels(job)
}

/** A job without labels has those of its pods. */
function copyLabels({ metadata, spec }: Mutable<Job>): void {
  const labels = spec.template.metadata?.labels
  if (labels && Object.keys(metadata.labels ?? {}).length === 0) metadata.labels = { ...labels }
}

/** Unless the user chose a selector, the job's own uid finds its pods. */
function generateSelector(job: Mutable<Job>): void {
  const { uid } = job.metadata
  if (job.spec.manualSelector === true || uid === undefined || uid === '') return
  const selector = (job.spec.selector ??= {})
  selector.matchLabels = { ...selector.matchLabels, [UID_LABEL]: uid }
  labelTemplate(job)
  copyLabels(job)
}

/** A generated name is known only after the uid is. */
function labelTemplate(job: Mutable<Job>): void {
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
function validateGenerated({ spec, metadata }: Job): readonly FieldError[] {
  const { selector, manualSelector } = spec
  if (manualSelector === true || selector === undefined) return []
  const known = {
    [OLD_UID_LABEL]: metadata.uid,
    [UID_LABEL]: metadata.uid,
    [OLD_NAME_LABEL]: metadata.name,
    [NAME_LABEL]: metadata.name,
  }
  return selects(selector, known)
    ? []
    : [invalidValue(path.child('selector'), selector, '`selector` not auto-generated')]
}

export function validateJobSpec(
  spec: JobSpec,
  at: FieldPath,
  { inCronJob = false }: { readonly inCronJob?: boolean } = {},
): readonly FieldError[] {
  const errors: FieldError[] = []
  const numbers = [
    'parallelism',
    'completions',
    'activeDeadlineSeconds',
    'backoffLimit',
    'ttlSecondsAfterFinished',
    'backoffLimitPerIndex',
    'maxFailedIndexes',
  ] as const
  for (const name of numbers) errors.push(...nonNegative(spec[name], at.child(name)))
  errors.push(...validateCompletion(spec, at))
  if (
    spec.managedBy !== undefined &&
    (!spec.managedBy.includes('/') || spec.managedBy.length > 63)
  ) {
    errors.push(
      invalidValue(
        at.child('managedBy'),
        spec.managedBy,
        'must be a domain-prefixed path (such as "acme.io/foo")',
      ),
    )
  }
  if (spec.podFailurePolicy) {
    errors.push(...validateFailurePolicy(spec, at))
    if (spec.podReplacementPolicy === 'TerminatingOrFailed')
      errors.push(notSupported(at.child('podReplacementPolicy'), 'TerminatingOrFailed', ['Failed']))
  }
  errors.push(...validateSuccessPolicy(spec, at))
  if (!inCronJob) {
    if (spec.selector === undefined) errors.push(required(at.child('selector')))
    errors.push(...validateLabelSelector(spec.selector, at.child('selector')))
    errors.push(...validateMatch(spec.selector, spec.template, at.child('template')))
  } else if (spec.manualSelector === true) {
    errors.push({
      type: 'FieldValueNotSupported',
      field: at.child('manualSelector').toString(),
      detail: 'Unsupported value: true: supported values: "nil", "false"',
    })
  }
  errors.push(...validatePodTemplate(spec.template, at.child('template')))
  const restarts = spec.template.spec?.restartPolicy
  const policyPath = at.child('template', 'spec', 'restartPolicy')
  if (restarts !== 'OnFailure' && restarts !== 'Never') {
    errors.push(required(policyPath, 'valid values: "OnFailure", "Never"'))
  } else if (spec.podFailurePolicy && restarts !== 'Never') {
    errors.push(
      invalidValue(
        policyPath,
        restarts,
        'only "Never" is supported when podFailurePolicy is specified',
      ),
    )
  }
  return errors
}

function validateCompletion(spec: JobSpec, at: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  const indexed = spec.completionMode === 'Indexed'
  if (indexed) {
    if (spec.completions === undefined) {
      errors.push(required(at.child('completions'), 'when completion mode is Indexed'))
    }
    if ((spec.parallelism ?? 0) > MAX_INDEXED_PARALLELISM) {
      errors.push(
        invalidValue(
          at.child('parallelism'),
          spec.parallelism,
          `must be less than or equal to ${MAX_INDEXED_PARALLELISM} when completion mode is Indexed`,
        ),
      )
    }
  }
  if (spec.backoffLimitPerIndex !== undefined && !indexed) {
    errors.push(
      invalidValue(
        at.child('backoffLimitPerIndex'),
        spec.backoffLimitPerIndex,
        'requires indexed completion mode',
      ),
    )
  }
  const failed = spec.maxFailedIndexes
  if (failed !== undefined) {
    if (spec.backoffLimitPerIndex === undefined) {
      errors.push(required(at.child('backoffLimitPerIndex'), 'when maxFailedIndexes is specified'))
    }
    if (spec.completions !== undefined && failed > spec.completions) {
      errors.push(
        invalidValue(
          at.child('maxFailedIndexes'),
          failed,
          'must be less than or equal to completions',
        ),
      )
    }
  }
  return errors
}

type FailureRule = PodFailurePolicy['rules'][number]
const ACTIONS = ['Count', 'FailIndex', 'FailJob', 'Ignore']

function validateFailurePolicy(spec: JobSpec, at: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  const rules = spec.podFailurePolicy?.rules ?? []
  const list = at.child('podFailurePolicy', 'rules')
  if (rules.length > MAX_RULES) {
    errors.push({
      type: 'FieldValueTooMany',
      field: list.toString(),
      detail: `Too many: ${rules.length}: must have at most ${MAX_RULES} items`,
    })
  }
  const containers = new Set(
    [...(spec.template.spec?.containers ?? []), ...(spec.template.spec?.initContainers ?? [])].map(
      ({ name }) => name,
    ),
  )
  for (const [i, rule] of rules.entries()) {
    errors.push(...validateFailureRule(rule, spec, containers, list.index(i)))
  }
  return errors
}

function validateFailureRule(
  rule: FailureRule,
  spec: JobSpec,
  containers: ReadonlySet<string>,
  at: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  const { onExitCodes, onPodConditions = [] } = rule
  const action: string = rule.action
  if (action !== '' && !ACTIONS.includes(action)) {
    errors.push({
      type: 'FieldValueNotSupported',
      field: at.child('action').toString(),
      detail: `Unsupported value: ${JSON.stringify(action)}: supported values: ${ACTIONS.map((a) => `"${a}"`).join(', ')}`,
    })
  }
  if (action === 'FailIndex' && spec.backoffLimitPerIndex === undefined) {
    errors.push(
      invalidValue(at.child('action'), action, 'requires the backoffLimitPerIndex to be set'),
    )
  }
  if (onExitCodes && onPodConditions.length > 0) {
    errors.push(
      invalidValue(at, rule, 'specifying both OnExitCodes and OnPodConditions is not supported'),
    )
  }
  if (!onExitCodes && onPodConditions.length === 0) {
    errors.push(
      invalidValue(at, rule, 'specifying one of OnExitCodes and OnPodConditions is required'),
    )
  }
  if (!onExitCodes) return errors
  const codes = at.child('onExitCodes')
  const { values, operator, containerName } = onExitCodes
  if (values.length === 0) {
    errors.push(invalidValue(codes.child('values'), values, 'at least one value is required'))
  }
  for (const [i, value] of values.entries()) {
    if (values.indexOf(value) < i) {
      errors.push({
        type: 'FieldValueDuplicate',
        field: codes.child('values').index(i).toString(),
        detail: `Duplicate value: ${value}`,
      })
    }
    if (operator === 'In' && value === 0) {
      errors.push(
        invalidValue(codes.child('values').index(i), value, 'must not be 0 for the In operator'),
      )
    }
  }
  if (values.some((value, i) => i > 0 && value < (values[i - 1] ?? value))) {
    errors.push(invalidValue(codes.child('values'), values, 'must be ordered'))
  }
  if (containerName !== undefined && !containers.has(containerName)) {
    errors.push(
      invalidValue(
        codes.child('containerName'),
        containerName,
        'must be one of the container or initContainer names in the pod template',
      ),
    )
  }
  return errors
}

function validateSuccessPolicy(spec: JobSpec, at: FieldPath): readonly FieldError[] {
  const { successPolicy } = spec
  if (successPolicy === undefined) return []
  const list = at.child('successPolicy', 'rules')
  const errors: FieldError[] = []
  if (spec.completionMode !== 'Indexed') {
    errors.push(
      invalidValue(at.child('successPolicy'), successPolicy, 'requires indexed completion mode'),
    )
  }
  for (const [i, rule] of successPolicy.rules.entries()) {
    if (rule.succeededCount === undefined && rule.succeededIndexes === undefined) {
      errors.push(
        required(
          list.index(i),
          'at least one of succeededCount or succeededIndexes must be specified',
        ),
      )
    }
    errors.push(...validateSuccessRule(rule, spec.completions ?? 0, list.index(i)))
  }
  return errors
}

function validateSuccessRule(
  { succeededCount: count, succeededIndexes }: SuccessPolicyRule,
  completions: number,
  at: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  const indexes =
    succeededIndexes === undefined ? undefined : readIndexes(succeededIndexes, completions)
  if (indexes !== undefined && 'problem' in indexes)
    errors.push(
      invalidValue(
        at.child('succeededIndexes'),
        succeededIndexes,
        `error parsing succeededIndexes: ${indexes.problem}`,
      ),
    )
  if (count === undefined) return errors
  errors.push(...nonNegative(count, at.child('succeededCount')))
  const tooMany = (limit: number, of: string): void =>
    void errors.push(
      invalidValue(
        at.child('succeededCount'),
        count,
        `must be less than or equal to ${limit} (the number of ${of})`,
      ),
    )
  if (count > completions) tooMany(completions, 'specified completions')
  if (indexes !== undefined && 'count' in indexes && count > indexes.count)
    tooMany(indexes.count, 'indexes in the specified succeededIndexes field')
  return errors
}

/** Suspended jobs without pods may change where they run, and with how much (KEP-2926, KEP-5440); not what. */
function withScheduling(template: PodTemplateSpec, from: PodTemplateSpec): PodTemplateSpec {
  const names = ['nodeSelector', 'tolerations', 'schedulingGates', 'affinity'] as const
  const spec: Record<string, unknown> = { ...template.spec }
  for (const name of names) {
    const value = from.spec?.[name]
    if (value === undefined) delete spec[name]
    else spec[name] = value
  }
  for (const field of ['initContainers', 'containers'] as const) {
    const known = new Map(from.spec?.[field]?.map(({ name, resources }) => [name, resources]))
    const given = template.spec?.[field]
    if (given !== undefined)
      spec[field] = given.map(({ resources, ...container }) => ({
        ...container,
        resources: known.has(container.name) ? known.get(container.name) : resources,
      }))
  }
  const metadata = {
    ...template.metadata,
    annotations: from.metadata?.annotations ?? {},
    labels: from.metadata?.labels ?? {},
  }
  return { ...template, metadata, spec } as unknown as PodTemplateSpec
}

function validateUpdate(now: Job, old: Job): readonly FieldError[] {
  const errors: FieldError[] = []
  const { spec } = now
  const before = old.spec
  const at = path.child('completions')
  const { completions } = spec
  // An indexed job may grow and shrink as long as all its indexes may run at once.
  if (before.completionMode !== 'Indexed')
    errors.push(...immutable(completions, before.completions, at))
  else if (
    completions !== undefined &&
    completions !== before.completions &&
    completions !== spec.parallelism
  )
    errors.push(
      invalidValue(at, completions, 'can only be modified in tandem with spec.parallelism'),
    )
  errors.push(...immutable(spec.selector, before.selector, path.child('selector')))
  const mayMove = before.suspend === true && (old.status?.active ?? 0) === 0
  const template = mayMove ? withScheduling(spec.template, before.template) : spec.template
  const was = mayMove ? withScheduling(before.template, before.template) : before.template
  if (!equal(template, was)) {
    errors.push(invalidValue(path.child('template'), spec.template, 'field is immutable'))
  }
  for (const name of [
    'completionMode',
    'podFailurePolicy',
    'backoffLimitPerIndex',
    'managedBy',
    'successPolicy',
  ] as const) {
    errors.push(...immutable(spec[name], before[name], path.child(name)))
  }
  return errors
}

const hasCondition = (job: Job, type: string): boolean =>
  (job.status?.conditions ?? []).some((each) => each.type === type && each.status === 'True')

function statusText(job: Job): string {
  if (hasCondition(job, 'Complete')) return 'Complete'
  if (hasCondition(job, 'Failed')) return 'Failed'
  if (job.metadata.deletionTimestamp !== undefined) return 'Terminating'
  for (const type of ['Suspended', 'FailureTarget', 'SuccessCriteriaMet']) {
    if (hasCondition(job, type)) return type
  }
  return 'Running'
}

function completionsText({ spec, status }: Job): string {
  const done = status?.succeeded ?? 0
  if (spec.completions !== undefined) return `${done}/${spec.completions}`
  const parallelism = spec.parallelism ?? 0
  return parallelism > 1 ? `${done}/1 of ${parallelism}` : `${done}/1`
}

function durationText({ status }: Job, now: Date): string {
  if (status?.startTime === undefined) return ''
  const end =
    status.completionTime === undefined ? now.getTime() : Date.parse(status.completionTime)
  return humanDuration(end - Date.parse(status.startTime))
}

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

export const jobs = defineResource(jobsRef, {
  defaults: defaultJob,
  validate: (job) => [...validateGenerated(job), ...validateJobSpec(job.spec, path)],
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

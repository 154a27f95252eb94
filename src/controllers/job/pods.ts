/** The pods of a Job: what they say, and how they are made. */
import {
  jobs,
  type Container,
  type Job,
  type Pod,
  type PodFailurePolicyRule,
  type PodTemplateSpec,
} from '#api'
import { keyOf, type Draft } from '#machinery'
import { isTerminating, podFromTemplate } from '../framework/index.ts'

/** Holds a pod until the Job has counted it. */
export const TRACKING = 'batch.kubernetes.io/job-tracking'
const INDEX = 'batch.kubernetes.io/job-completion-index'
const FAILURES = 'batch.kubernetes.io/job-index-failure-count'
const IGNORED_FAILURES = 'batch.kubernetes.io/job-index-ignored-failure-count'

export const isTracked = ({ metadata }: Pod): boolean =>
  metadata.finalizers?.includes(TRACKING) === true
export const isIndexed = ({ spec }: Job): boolean => spec.completionMode === 'Indexed'

/** Undefined for a pod that has none, or none that makes sense. */
export function indexOf({ metadata }: Pod): number | undefined {
  const text = metadata.annotations?.[INDEX]
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined
}

export const hasSucceeded = ({ status }: Pod): boolean => status?.phase === 'Succeeded'

/** A pod on its way out counts as failed, unless replacements are to wait until it has ended. */
export const hasFailed = (job: Job, pod: Pod): boolean =>
  pod.status?.phase === 'Failed' ||
  (job.spec.podReplacementPolicy !== 'Failed' && isTerminating(pod) && !hasSucceeded(pod))

/** When it ended, in milliseconds since the epoch. */
export function endedAt({ metadata, status }: Pod): number {
  const ends = (status?.containerStatuses ?? []).flatMap(({ state }) => {
    const time = Date.parse(state?.terminated?.finishedAt ?? '')
    return Number.isNaN(time) ? [] : [time]
  })
  if (ends.length > 0) return Math.max(...ends)
  const ready = status?.conditions?.find(({ type }) => type === 'Ready')?.lastTransitionTime
  return Date.parse(ready ?? metadata.deletionTimestamp ?? metadata.creationTimestamp) || 0
}

export interface FailureVerdict {
  readonly action: 'Count' | 'FailIndex' | 'FailJob' | 'Ignore'
  readonly message: string
}

/** By the first rule that matches; a failure that no rule matches counts. */
export function judgeFailure(job: Job, pod: Pod): FailureVerdict {
  for (const [at, rule] of (job.spec.podFailurePolicy?.rules ?? []).entries()) {
    const message = matched(rule, pod, at)
    if (message !== undefined) return { action: rule.action, message }
  }
  return { action: 'Count', message: '' }
}

function matched(rule: PodFailurePolicyRule, pod: Pod, at: number): string | undefined {
  const { onExitCodes, onPodConditions, action } = rule
  if (onExitCodes !== undefined) {
    const statuses = [
      ...(pod.status?.initContainerStatuses ?? []),
      ...(pod.status?.containerStatuses ?? []),
    ]
    for (const { name, state } of statuses) {
      const exitCode = state?.terminated?.exitCode
      if (exitCode === undefined || exitCode === 0) continue
      if (onExitCodes.containerName !== undefined && onExitCodes.containerName !== name) continue
      if (onExitCodes.values.includes(exitCode) === (onExitCodes.operator === 'In'))
        return `Container ${name} for pod ${keyOf(pod)} failed with exit code ${exitCode} matching ${action} rule at index ${at}`
    }
  }
  for (const pattern of onPodConditions ?? []) {
    const found = pod.status?.conditions?.some(
      ({ type, status }) => type === pattern.type && status === (pattern.status ?? 'True'),
    )
    if (found)
      return `Pod ${keyOf(pod)} has condition ${pattern.type} matching ${action} rule at index ${at}`
  }
  return undefined
}

export interface IndexFailures {
  readonly counted: number
  readonly ignored: number
}
const numberAt = (pod: Pod, annotation: string): number =>
  Number(pod.metadata.annotations?.[annotation] ?? 0) || 0

/** Failures of its index up to and with this pod, which has failed. */
export function failuresWith(job: Job, pod: Pod): IndexFailures {
  const before = { counted: numberAt(pod, FAILURES), ignored: numberAt(pod, IGNORED_FAILURES) }
  return judgeFailure(job, pod).action === 'Ignore'
    ? { ...before, ignored: before.ignored + 1 }
    : { ...before, counted: before.counted + 1 }
}

export function podOf(job: Job, index?: number, failures?: IndexFailures): Draft<Pod> {
  const { template } = job.spec
  const drafted = podFromTemplate(jobs, job, template)
  const finalizers = [...(drafted.metadata.finalizers ?? []), TRACKING]
  if (index === undefined) return { ...drafted, metadata: { ...drafted.metadata, finalizers } }
  const text = String(index)
  const { name } = job.metadata
  return {
    metadata: {
      ...drafted.metadata,
      finalizers,
      // Names end in five letters, and have 63 at most.
      generateName: `${name.slice(0, 63 - 5 - text.length - 2)}-${text}-`,
      labels: { ...drafted.metadata.labels, [INDEX]: text },
      annotations: {
        ...drafted.metadata.annotations,
        [INDEX]: text,
        ...(job.spec.backoffLimitPerIndex === undefined
          ? {}
          : {
              [FAILURES]: String(failures?.counted ?? 0),
              ...(failures !== undefined && failures.ignored > 0
                ? { [IGNORED_FAILURES]: String(failures.ignored) }
                : {}),
            }),
      },
    },
    spec: indexedSpec(template, `${name}-${text}`),
  }
}

function indexedSpec(template: PodTemplateSpec, hostname: string): Pod['spec'] {
  const spec = template.spec ?? { containers: [] }
  const { initContainers } = spec
  return {
    ...spec,
    hostname: spec.hostname ?? hostname,
    containers: spec.containers.map(withIndex),
    ...(initContainers === undefined ? {} : { initContainers: initContainers.map(withIndex) }),
  }
}

const VARIABLE = 'JOB_COMPLETION_INDEX'

const withIndex = (container: Container): Container =>
  container.env?.some(({ name }) => name === VARIABLE) === true
    ? container
    : {
        ...container,
        env: [
          ...(container.env ?? []),
          {
            name: VARIABLE,
            valueFrom: {
              fieldRef: { apiVersion: 'v1', fieldPath: `metadata.labels['${INDEX}']` },
            },
          },
        ],
      }

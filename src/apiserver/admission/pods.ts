/** Small plugins about pods: tolerations, priority, runtime class. */
import {
  priorityClasses,
  runtimeClasses,
  type Pod,
  type PriorityClass,
  type Toleration,
} from '#api'
import { compareQuantities, type ResourceList } from '#machinery'
import type { AdmissionPlugin, AdmissionRequest } from '../admission.ts'
import {
  NO_SOURCES,
  amounts,
  isAbout,
  objectOf,
  refuse,
  type AdmissionLookups,
  type Mutable,
} from './words.ts'

const DEFAULT_TOLERATION_SECONDS = 300
const NODE_TROUBLES: readonly string[] = [
  'node.kubernetes.io/not-ready',
  'node.kubernetes.io/unreachable',
]

/** Pods stay for five minutes on a node that is not ready or cannot be reached, unless they say otherwise. */
export const defaultTolerationSeconds: AdmissionPlugin = {
  name: 'DefaultTolerationSeconds',
  handles: (request) => isAbout(request, 'pods', ['CREATE', 'UPDATE']),
  sources: () => NO_SOURCES,
  mutate(request) {
    const { spec } = objectOf<Pod>(request)
    if (spec === undefined) return
    for (const key of NODE_TROUBLES) {
      if (spec.tolerations?.some((toleration) => tolerates(toleration, key))) continue
      spec.tolerations = [
        ...(spec.tolerations ?? []),
        {
          key,
          operator: 'Exists',
          effect: 'NoExecute',
          tolerationSeconds: DEFAULT_TOLERATION_SECONDS,
        },
      ]
    }
  },
}

const tolerates = ({ key, effect }: Toleration, trouble: string): boolean =>
  (!key || key === trouble) && (!effect || effect === 'NoExecute')

/** Classes that every cluster has, also in its first moments when their objects are not there yet. */
const SYSTEM_CLASSES: Readonly<Record<string, number>> = {
  'system-node-critical': 2_000_001_000,
  'system-cluster-critical': 2_000_000_000,
}

/** Turns the name of a priority class into the number that the scheduler sorts by. */
export const priority = (read: AdmissionLookups): AdmissionPlugin => ({
  name: 'Priority',
  handles: (request) =>
    isAbout(request, 'pods', ['CREATE', 'UPDATE']) ||
    isAbout(request, 'priorityclasses.scheduling.k8s.io', ['CREATE', 'UPDATE']),
  mutate(request) {
    if (request.definition.facts.resource !== 'pods') return
    const { spec } = objectOf<Pod>(request)
    if (spec === undefined) return
    if (request.operation === 'UPDATE') {
      const old = (request.old as Pod | undefined)?.spec
      if (spec.priority === undefined && old?.priority !== undefined) spec.priority = old.priority
      if (spec.preemptionPolicy === undefined && old?.preemptionPolicy !== undefined)
        spec.preemptionPolicy = old.preemptionPolicy
      return
    }
    const { name, value, preemptionPolicy } = classOf(read, request, spec.priorityClassName)
    if (name !== '') spec.priorityClassName = name
    if (spec.priority !== undefined && spec.priority !== value)
      throw refuse(
        request,
        `the integer value of priority (${spec.priority}) must not be provided in pod spec; priority admission controller computed ${value} from the given PriorityClass name`,
      )
    if (spec.preemptionPolicy !== undefined && spec.preemptionPolicy !== preemptionPolicy)
      throw refuse(
        request,
        `the string value of PreemptionPolicy (${spec.preemptionPolicy}) must not be provided in pod spec; priority admission controller computed ${preemptionPolicy} from the given PriorityClass name`,
      )
    spec.priority = value
    spec.preemptionPolicy = preemptionPolicy
  },
  sources: (request) =>
    isAbout(request, 'pods', ['CREATE'])
      ? [classFor(read, objectOf<Pod>(request).spec?.priorityClassName)]
      : undefined,
  validate(request) {
    if (request.definition.facts.resource !== 'priorityclasses') return
    const wanted = objectOf<PriorityClass>(request)
    if (!wanted.globalDefault) return
    const other = defaultClass(read)
    if (other !== undefined && other.metadata.name !== wanted.metadata.name)
      throw refuse(
        request,
        `PriorityClass ${other.metadata.name} is already marked as default. Only one default can exist`,
      )
  },
})

interface PodClass {
  readonly name: string
  readonly value: number
  readonly preemptionPolicy: 'Never' | 'PreemptLowerPriority'
}

/** The object of its class; undefined when it has none. */
const classFor = (read: AdmissionLookups, name: string | undefined): PriorityClass | undefined =>
  name ? read.get(priorityClasses, '', name) : defaultClass(read)

function classOf(
  read: AdmissionLookups,
  request: AdmissionRequest,
  name: string | undefined,
): PodClass {
  const found = classFor(read, name)
  if (found !== undefined)
    return {
      name: found.metadata.name,
      value: found.value ?? 0,
      preemptionPolicy: found.preemptionPolicy ?? 'PreemptLowerPriority',
    }
  if (!name) return { name: '', value: 0, preemptionPolicy: 'PreemptLowerPriority' }
  const value = SYSTEM_CLASSES[name]
  if (value === undefined) throw refuse(request, `no PriorityClass with name ${name} was found`)
  return { name, value, preemptionPolicy: 'PreemptLowerPriority' }
}

/** When several are marked, the lowest counts. */
function defaultClass(read: AdmissionLookups): PriorityClass | undefined {
  let lowest: PriorityClass | undefined
  for (const each of read.list(priorityClasses))
    if (each.globalDefault === true && (lowest === undefined || valueOf(each) < valueOf(lowest)))
      lowest = each
  return lowest
}
const valueOf = ({ value = 0 }: PriorityClass): number => value

/** A pod's overhead, node selector and tolerations come from its runtime class. */
export const runtimeClass = (read: AdmissionLookups): AdmissionPlugin => ({
  name: 'RuntimeClass',
  handles: (request) => isAbout(request, 'pods', ['CREATE']),
  sources(request) {
    const name = objectOf<Pod>(request).spec?.runtimeClassName
    return name ? undefined : NO_SOURCES
  },
  mutate(request) {
    const { spec } = objectOf<Pod>(request)
    const found = runtimeClassOf(read, request, spec)
    if (spec === undefined || found === undefined) return
    const { overhead, scheduling } = found
    if (overhead?.podFixed !== undefined && spec.overhead === undefined)
      spec.overhead = { ...overhead.podFixed }
    for (const [key, value] of Object.entries(scheduling?.nodeSelector ?? {})) {
      const own = spec.nodeSelector?.[key]
      if (own !== undefined && own !== value)
        throw refuse(
          request,
          `conflict: runtimeClass.scheduling.nodeSelector[${key}] = ${value}; pod.spec.nodeSelector[${key}] = ${own}`,
        )
      spec.nodeSelector = { ...spec.nodeSelector, [key]: value }
    }
    for (const toleration of scheduling?.tolerations ?? [])
      if (!spec.tolerations?.some((own) => sameToleration(own, toleration)))
        spec.tolerations = [...(spec.tolerations ?? []), { ...toleration }]
  },
  validate(request) {
    const { spec } = objectOf<Pod>(request)
    const fixed = runtimeClassOf(read, request, spec)?.overhead?.podFixed
    if (spec?.overhead === undefined || sameQuantities(amounts(spec.overhead), amounts(fixed)))
      return
    throw refuse(
      request,
      fixed === undefined
        ? 'pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead'
        : "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
    )
  },
})

function runtimeClassOf(
  read: AdmissionLookups,
  request: AdmissionRequest,
  spec: Mutable<Pod>['spec'],
) {
  const name = spec?.runtimeClassName
  if (!name) return undefined
  const found = read.get(runtimeClasses, '', name)
  if (found === undefined) throw refuse(request, `pod rejected: RuntimeClass "${name}" not found`)
  return found
}

const sameToleration = (a: Toleration, b: Toleration): boolean =>
  a.key === b.key &&
  (a.operator ?? 'Equal') === (b.operator ?? 'Equal') &&
  (a.value ?? '') === (b.value ?? '') &&
  (a.effect ?? '') === (b.effect ?? '') &&
  a.tolerationSeconds === b.tolerationSeconds

const sameQuantities = (a: ResourceList, b: ResourceList): boolean =>
  Object.keys({ ...a, ...b }).every((name) => {
    const [left, right] = [a[name], b[name]]
    return left !== undefined && right !== undefined && compareQuantities(left, right) === 0
  })

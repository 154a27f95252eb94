/** What of a pod may change once it exists. */
import {
  FieldPath,
  forbiddenField,
  invalidValue,
  required,
  type FieldError,
  type StrategyContext,
} from '#machinery'
import type { Container, ContainerStatus, Pod, PodSpec, Toleration } from '../../types.gen.ts'
import { equal } from '../../equal.ts'
import { formDiff } from '../../go-form.ts'
import { qosClassOf } from './strategy.ts'
import { validatePodAnnotations } from './validate-metadata.ts'

const UPDATABLE = [
  '`spec.containers[*].image`',
  '`spec.initContainers[*].image`',
  '`spec.activeDeadlineSeconds`',
  '`spec.tolerations` (only additions to existing tolerations)',
  '`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
].join(',')
const spec = FieldPath.of('spec')

export function validatePodUpdate(
  pod: Pod,
  old: Pod,
  { subresource }: Pick<StrategyContext, 'subresource'>,
): readonly FieldError[] {
  switch (subresource) {
    case 'status':
      return validateStatusUpdate(pod, old)
    case 'ephemeralcontainers':
      return validateEphemeralUpdate(pod, old)
    case 'resize':
      return validateResize(pod, old)
    default:
      return [...validatePodAnnotations(pod), ...validateSpecUpdate(pod, old)]
  }
}

function validateSpecUpdate(pod: Pod, old: Pod): readonly FieldError[] {
  const errors: FieldError[] = []
  for (const field of ['containers', 'initContainers'] as const) {
    const images = validateImages(pod.spec[field], old.spec[field], field)
    errors.push(...images.map(({ error }) => error))
    if (images.some(({ stop }) => stop)) return errors
  }
  errors.push(...validateDeadline(pod.spec, old.spec))
  errors.push(...onlyAddedTolerations(pod.spec.tolerations ?? [], old.spec.tolerations ?? []))
  errors.push(...onlyRemovedGates(pod.spec, old.spec))

  const allowed = withoutChangeable(pod.spec, old.spec)
  if (!equal(allowed, old.spec)) {
    const where = formDiff('core.v1.PodSpec', old.spec, allowed)
    errors.push(
      forbiddenField(spec, `pod updates may not change fields other than ${UPDATABLE}\n${where}`),
    )
  }
  return errors
}

interface Stopping {
  readonly error: FieldError
  readonly stop: boolean
}

function validateImages(
  now: readonly Container[] = [],
  before: readonly Container[] = [],
  field: string,
): readonly Stopping[] {
  const path = spec.child(field)
  if (now.length !== before.length) {
    return [
      {
        error: forbiddenField(path, 'pod updates may not add or remove containers'),
        stop: true,
      },
    ]
  }
  return now.flatMap(({ image = '' }, i) => {
    const at = path.index(i).child('image')
    if (image === '') return [{ error: required(at), stop: false }]
    if (image === image.trim()) return []
    const error = invalidValue(at, image, 'must not have leading or trailing whitespace')
    return [{ error, stop: false }]
  })
}

function validateDeadline(now: PodSpec, before: PodSpec): readonly FieldError[] {
  const path = spec.child('activeDeadlineSeconds')
  const value = now.activeDeadlineSeconds
  const old = before.activeDeadlineSeconds
  if (value === undefined) {
    return old === undefined
      ? []
      : [invalidValue(path, null, 'must not update from a positive integer to nil value')]
  }
  return old !== undefined && value > old
    ? [invalidValue(path, value, 'must be less than or equal to previous value')]
    : []
}

function onlyAddedTolerations(
  now: readonly Toleration[],
  before: readonly Toleration[],
): readonly FieldError[] {
  const path = spec.child('tolerations')
  const bare = (toleration: Toleration): unknown => {
    const { tolerationSeconds: _, ...rest } = toleration
    return rest
  }
  const kept = before.every((toleration) => now.some((each) => equal(bare(each), bare(toleration))))
  return kept
    ? []
    : [forbiddenField(path, 'existing toleration can not be modified except its tolerationSeconds')]
}

function onlyRemovedGates(now: PodSpec, before: PodSpec): readonly FieldError[] {
  const names = new Set((before.schedulingGates ?? []).map(({ name }) => name))
  return (now.schedulingGates ?? []).flatMap(({ name }, i) =>
    names.has(name)
      ? []
      : [
          forbiddenField(
            spec.child('schedulingGates').index(i).child('name'),
            `only deletion is allowed, but found new scheduling gate '${name}'`,
          ),
        ],
  )
}

/** The new spec with all that may change taken from the old one: what is left differs where it may not. */
function withoutChangeable(now: PodSpec, before: PodSpec): PodSpec {
  const images = (containers: readonly Container[] = [], old: readonly Container[] = []) =>
    containers.map((container, i) => {
      const { image: _, ...rest } = container
      const image = old[i]?.image
      return image === undefined ? rest : { ...rest, image }
    })
  const {
    activeDeadlineSeconds: _a,
    tolerations: _t,
    schedulingGates: _g,
    containers,
    initContainers,
    ...rest
  } = now
  const gated = (before.schedulingGates?.length ?? 0) > 0
  const grace =
    now.terminationGracePeriodSeconds === 1 && (before.terminationGracePeriodSeconds ?? 0) < 0
  return {
    ...rest,
    containers: images(containers, before.containers),
    ...(initContainers ? { initContainers: images(initContainers, before.initContainers) } : {}),
    ...pick(before, ['activeDeadlineSeconds', 'tolerations', 'schedulingGates']),
    ...(grace ? pick(before, ['terminationGracePeriodSeconds']) : {}),
    ...(gated ? narrowed(now, before) : {}),
  }
}

function pick(from: PodSpec, names: readonly (keyof PodSpec)[]): Partial<PodSpec> {
  return Object.fromEntries(
    names.filter((name) => from[name] !== undefined).map((name) => [name, from[name]]),
  )
}

/** While a pod is gated, where it may run can be made narrower, never wider. */
function narrowed(now: PodSpec, before: PodSpec): Partial<PodSpec> {
  const kept: Record<string, unknown> = {}
  const selector = before.nodeSelector ?? {}
  const wanted = now.nodeSelector ?? {}
  if (Object.entries(selector).every(([key, value]) => wanted[key] === value)) {
    kept['nodeSelector'] = before.nodeSelector
  }
  const field = 'requiredDuringSchedulingIgnoredDuringExecution'
  const oldTerms = before.affinity?.nodeAffinity?.[field]?.nodeSelectorTerms
  const terms = now.affinity?.nodeAffinity?.[field]?.nodeSelectorTerms
  const widened =
    oldTerms !== undefined &&
    (terms?.length !== oldTerms.length ||
      !oldTerms.every((term, i) =>
        [
          ...(term.matchExpressions ?? []).map(
            (each) => [each, terms[i]?.matchExpressions] as const,
          ),
          ...(term.matchFields ?? []).map((each) => [each, terms[i]?.matchFields] as const),
        ].every(([each, list]) => list?.some((other) => equal(other, each)) === true),
      ))
  const others = (affinity: PodSpec['affinity']): unknown => {
    const { nodeAffinity, ...rest } = affinity ?? {}
    return { ...rest, preferred: nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution }
  }
  if (!widened && equal(others(now.affinity), others(before.affinity))) {
    kept['affinity'] = before.affinity
  }
  return kept
}

/** Containers may be added to look inside a pod; those that are there stay as they are. */
function validateEphemeralUpdate(pod: Pod, old: Pod): readonly FieldError[] {
  const path = spec.child('ephemeralContainers')
  const now = pod.spec.ephemeralContainers ?? []
  if (old.metadata.annotations?.['kubernetes.io/config.mirror'] !== undefined) {
    return [forbiddenField(FieldPath.of(''), 'static pods do not support ephemeral containers')]
  }
  return (old.spec.ephemeralContainers ?? []).flatMap((before) => {
    const i = now.findIndex(({ name }) => name === before.name)
    if (i < 0) {
      return [
        forbiddenField(path, `existing ephemeral containers "${before.name}" may not be removed`),
      ]
    }
    return equal(now[i], before)
      ? []
      : [forbiddenField(path, `existing ephemeral containers "${before.name}" may not be changed`)]
  })
}

function validateResize(pod: Pod, old: Pod): readonly FieldError[] {
  const errors: FieldError[] = []
  if (old.metadata.annotations?.['kubernetes.io/config.mirror'] !== undefined) {
    errors.push(forbiddenField(FieldPath.of(''), 'static pods cannot be resized'))
  }
  if (qosClassOf(pod.spec) !== (old.status?.qosClass ?? qosClassOf(old.spec))) {
    errors.push(
      invalidValue(
        spec,
        old.status?.qosClass ?? '',
        'Pod QOS Class may not change as a result of resizing',
      ),
    )
  }
  for (const [i, container] of pod.spec.containers.entries()) {
    const before = old.spec.containers[i]
    for (const part of ['limits', 'requests'] as const) {
      const now = container.resources?.[part] ?? {}
      const was = before?.resources?.[part] ?? {}
      const at = spec.child('containers').index(i).child('resources', part)
      for (const name of new Set([...Object.keys(now), ...Object.keys(was)])) {
        if (now[name] === was[name]) continue
        if (name !== 'cpu' && name !== 'memory') {
          errors.push(forbiddenField(spec, 'only cpu and memory resources are mutable'))
        } else if (now[name] === undefined) {
          errors.push(forbiddenField(at, `resource ${part} cannot be removed`))
        }
      }
    }
  }
  return errors
}

function validateStatusUpdate(pod: Pod, old: Pod): readonly FieldError[] {
  const errors: FieldError[] = []
  const status = FieldPath.of('status')
  const was = old.status?.qosClass
  if (was !== undefined && pod.status?.qosClass !== was) {
    errors.push(
      invalidValue(status.child('qosClass'), pod.status?.qosClass ?? '', 'field is immutable'),
    )
  }
  if (pod.spec.nodeName !== old.spec.nodeName) {
    errors.push(invalidValue(spec.child('nodeName'), pod.spec.nodeName, 'field is immutable'))
  }
  if (old.spec.restartPolicy === 'Always') return errors
  const rules = new Set(
    old.spec.containers
      .filter((c) => c.restartPolicy !== undefined || (c.restartPolicyRules?.length ?? 0) > 0)
      .map(({ name }) => name),
  )
  const was0 = new Map((old.status?.containerStatuses ?? []).map((each) => [each.name, each]))
  for (const [i, container] of (pod.status?.containerStatuses ?? []).entries()) {
    const before = was0.get(container.name)
    if (before && !rules.has(container.name) && comesBack(container, before, old.spec)) {
      errors.push(
        forbiddenField(
          status.child('containerStatuses').index(i).child('state'),
          'may not be transitioned to non-terminated state',
        ),
      )
    }
  }
  return errors
}

/** A container that has ended for good does not run again. */
function comesBack(
  now: ContainerStatus,
  before: ContainerStatus,
  { restartPolicy }: PodSpec,
): boolean {
  const end = before.state?.terminated
  if (end === undefined || now.state?.terminated !== undefined) return false
  return restartPolicy === 'Never' || end.exitCode === 0
}

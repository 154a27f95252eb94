/** The group apps: workloads whose pods are replaced when they go. */
import {
  FieldPath,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
  type FieldError,
  type JsonObject,
} from '#machinery'
import { containerImages, containerNames, labelsText, NONE, selectorText } from './columns.ts'
import { defaultClaimSpec, defaultPodTemplate } from './core/pod/defaults.ts'
import {
  IN_POD_NAMES,
  claimWarnings,
  hostnameWarnings,
  isNewSpec,
  podTemplateWarnings,
} from './core/pod/warnings.ts'
import { defineResource } from './define.ts'
import { equal } from './equal.ts'
import type { Mutable } from './mutable.ts'
import {
  controllerRevisions as controllerRevisionsRef,
  daemonSets as daemonSetsRef,
  deployments as deploymentsRef,
  replicaSets as replicaSetsRef,
  statefulSets as statefulSetsRef,
} from './resources.gen.ts'
import { check, dnsSubdomain, immutable, nonNegative } from './rules.ts'
import type {
  DaemonSet,
  Deployment,
  DeploymentSpec,
  DaemonSetSpec,
  PodTemplateSpec,
  ReplicaSet,
  StatefulSet,
  StatefulSetSpec,
} from './types.gen.ts'
import { atMostAll, isNothing, validateIntOrPercent, validateWorkload } from './workload.ts'

const path = FieldPath.of('spec')
const selectorPath = path.child('selector')

const scale = {
  specReplicas: '.spec.replicas',
  statusReplicas: '.status.replicas',
  selector: '.spec.selector',
}

type WithTemplate = Deployment | ReplicaSet | DaemonSet | StatefulSet
const workloadCells = {
  Containers: ({ spec }: WithTemplate) => containerNames(spec.template?.spec),
  Images: ({ spec }: WithTemplate) => containerImages(spec.template?.spec),
}
const selectorCell = { Selector: ({ spec }: WithTemplate) => selectorText(spec.selector) }

function defaultDeployment({ spec }: Mutable<Deployment>): void {
  defaultPodTemplate(spec.template)
  spec.replicas ??= 1
  const strategy = (spec.strategy ??= {})
  strategy.type ??= 'RollingUpdate'
  if (strategy.type === 'RollingUpdate') {
    const rolling = (strategy.rollingUpdate ??= {})
    rolling.maxUnavailable ??= '25%'
    rolling.maxSurge ??= '25%'
  }
  spec.revisionHistoryLimit ??= 10
  spec.progressDeadlineSeconds ??= 600
}

function validateDeployment({ spec }: Deployment): readonly FieldError[] {
  const { minReadySeconds = 0, progressDeadlineSeconds } = spec
  return [
    ...nonNegative(spec.replicas, path.child('replicas')),
    ...validateWorkload(spec, path, { kind: 'ReplicaSet', emptySelector: 'deployment' }),
    ...validateStrategy(spec, path.child('strategy')),
    ...nonNegative(minReadySeconds, path.child('minReadySeconds')),
    ...nonNegative(spec.revisionHistoryLimit, path.child('revisionHistoryLimit')),
    ...nonNegative(progressDeadlineSeconds, path.child('progressDeadlineSeconds')),
    ...(progressDeadlineSeconds !== undefined && progressDeadlineSeconds <= minReadySeconds
      ? [
          invalidValue(
            path.child('progressDeadlineSeconds'),
            progressDeadlineSeconds,
            'must be greater than minReadySeconds',
          ),
        ]
      : []),
  ]
}

/** How a refused strategy is shown: in the words of the server's own form of it. */
const strategyText = (
  type = '',
  rolling: { readonly maxUnavailable?: unknown; readonly maxSurge?: unknown } | undefined,
): JsonObject => ({
  Type: type,
  RollingUpdate:
    rolling === undefined
      ? null
      : { MaxUnavailable: rolling.maxUnavailable ?? 0, MaxSurge: rolling.maxSurge ?? 0 },
})

function validateStrategy({ strategy }: DeploymentSpec, at: FieldPath): readonly FieldError[] {
  const { type, rollingUpdate } = strategy ?? {}
  const rolling = at.child('rollingUpdate')
  if (type === 'Recreate') {
    return rollingUpdate === undefined
      ? []
      : [forbiddenField(rolling, "may not be specified when strategy `type` is 'Recreate'")]
  }
  if (type !== 'RollingUpdate')
    return [notSupported(at, strategyText(type, rollingUpdate), ['Recreate', 'RollingUpdate'])]
  if (rollingUpdate === undefined)
    return [required(rolling, 'this should be defaulted and never be nil')]
  const { maxUnavailable, maxSurge } = rollingUpdate
  const errors = [
    ...validateIntOrPercent(maxUnavailable, rolling.child('maxUnavailable')),
    ...validateIntOrPercent(maxSurge, rolling.child('maxSurge')),
  ]
  if (isNothing(maxUnavailable) && isNothing(maxSurge)) {
    errors.push(
      invalidValue(
        rolling.child('maxUnavailable'),
        maxUnavailable,
        'may not be 0 when `maxSurge` is 0',
      ),
    )
  }
  return [...errors, ...atMostAll(maxUnavailable, rolling.child('maxUnavailable'))]
}

const deployments = defineResource(deploymentsRef, {
  defaults: defaultDeployment,
  validate: validateDeployment,
  validateUpdate: (now, old) => immutable(now.spec.selector, old.spec.selector, selectorPath),
  warnings: (now, old) =>
    isNewSpec(now, old)
      ? [
          ...hostnameWarnings(old === undefined ? now.metadata.name : undefined, IN_POD_NAMES),
          ...podTemplateWarnings(now.spec.template),
        ]
      : [],
  prepareForUpdate(now, old, { subresource }) {
    // The status endpoint leaves labels alone.
    if (subresource !== 'status') return
    if (old.metadata.labels) now.metadata.labels = { ...old.metadata.labels }
    else delete now.metadata.labels
  },
  scale,
  cells: {
    Ready: ({ spec, status }) => `${status?.readyReplicas ?? 0}/${spec.replicas ?? 0}`,
    'Up-to-date': ({ status }) => status?.updatedReplicas ?? 0,
    Available: ({ status }) => status?.availableReplicas ?? 0,
    ...workloadCells,
    ...selectorCell,
  },
})

const replicaSets = defineResource(replicaSetsRef, {
  defaults({ spec }) {
    defaultPodTemplate(spec.template)
    spec.replicas ??= 1
  },
  validate: ({ spec }) => [
    ...nonNegative(spec.replicas, path.child('replicas')),
    ...nonNegative(spec.minReadySeconds, path.child('minReadySeconds')),
    ...validateWorkload({ ...spec, template: spec.template ?? {} }, path, {
      kind: 'ReplicaSet',
      emptySelector: 'deployment',
    }),
  ],
  validateUpdate: (now, old) => immutable(now.spec.selector, old.spec.selector, selectorPath),
  warnings: (now, old) =>
    isNewSpec(now, old)
      ? [
          ...hostnameWarnings(old === undefined ? now.metadata.name : undefined, IN_POD_NAMES),
          ...podTemplateWarnings(now.spec.template),
        ]
      : [],
  scale,
  cells: {
    Desired: ({ spec }) => spec.replicas ?? 0,
    Current: ({ status }) => status?.replicas ?? 0,
    Ready: ({ status }) => status?.readyReplicas ?? 0,
    ...workloadCells,
    ...selectorCell,
  },
})

/** The template's own generation lives in an annotation since it left the spec. */
const TEMPLATE_GENERATION = 'deprecated.daemonset.template.generation'

function setTemplateGeneration(daemonSet: Mutable<DaemonSet>, generation: number): void {
  daemonSet.metadata.annotations = {
    ...daemonSet.metadata.annotations,
    [TEMPLATE_GENERATION]: String(generation),
  }
}
const templateGeneration = ({ metadata }: DaemonSet): number =>
  Number.parseInt(metadata.annotations?.[TEMPLATE_GENERATION] ?? '', 10) || 0

function validateDaemonStrategy(
  { updateStrategy }: DaemonSetSpec,
  at: FieldPath,
): readonly FieldError[] {
  const { type, rollingUpdate } = updateStrategy ?? {}
  if (type === 'OnDelete') return []
  if (type !== 'RollingUpdate')
    return [notSupported(at, strategyText(type, rollingUpdate), ['RollingUpdate', 'OnDelete'])]
  const rolling = at.child('rollingUpdate')
  if (rollingUpdate === undefined) return [required(rolling)]
  const { maxUnavailable, maxSurge } = rollingUpdate
  const errors = [
    ...validateIntOrPercent(maxUnavailable, rolling.child('maxUnavailable')),
    ...atMostAll(maxUnavailable, rolling.child('maxUnavailable')),
    ...validateIntOrPercent(maxSurge, rolling.child('maxSurge')),
    ...atMostAll(maxSurge, rolling.child('maxSurge')),
  ]
  if (isNothing(maxUnavailable) && isNothing(maxSurge)) {
    errors.push(
      invalidValue(
        rolling.child('maxUnavailable'),
        maxUnavailable,
        'cannot be 0 when maxSurge is 0',
      ),
    )
  }
  if (!isNothing(maxUnavailable) && !isNothing(maxSurge)) {
    errors.push(
      invalidValue(
        rolling.child('maxSurge'),
        maxSurge,
        'may not be set when maxUnavailable is non-zero',
      ),
    )
  }
  return errors
}

const daemonSets = defineResource(daemonSetsRef, {
  defaults(daemonSet) {
    const { metadata, spec } = daemonSet
    // Its writer comes to own it.
    if (metadata.annotations?.[TEMPLATE_GENERATION] === undefined)
      setTemplateGeneration(daemonSet, 0)
    defaultPodTemplate(spec.template)
    const strategy = (spec.updateStrategy ??= {})
    strategy.type ??= 'RollingUpdate'
    if (strategy.type === 'RollingUpdate') {
      const rolling = (strategy.rollingUpdate ??= {})
      rolling.maxUnavailable ??= 1
      rolling.maxSurge ??= 0
    }
    spec.revisionHistoryLimit ??= 10
  },
  validate: ({ spec }) => [
    ...validateWorkload(spec, path, { kind: 'DaemonSet', emptySelector: 'daemonset' }),
    ...nonNegative(spec.minReadySeconds, path.child('minReadySeconds')),
    ...validateDaemonStrategy(spec, path.child('updateStrategy')),
    ...nonNegative(spec.revisionHistoryLimit, path.child('revisionHistoryLimit')),
  ],
  validateUpdate: (now, old) => immutable(now.spec.selector, old.spec.selector, selectorPath),
  warnings: (now, old) => (isNewSpec(now, old) ? podTemplateWarnings(now.spec.template) : []),
  prepareForCreate(daemonSet) {
    setTemplateGeneration(daemonSet, Math.max(1, templateGeneration(daemonSet as DaemonSet)))
  },
  prepareForUpdate(daemonSet, old, { subresource }) {
    if (subresource !== '') return
    const changed = !equal(daemonSet.spec.template, old.spec.template)
    setTemplateGeneration(daemonSet, templateGeneration(old) + (changed ? 1 : 0))
  },
  cells: {
    Desired: ({ status }) => status?.desiredNumberScheduled ?? 0,
    Current: ({ status }) => status?.currentNumberScheduled ?? 0,
    Ready: ({ status }) => status?.numberReady ?? 0,
    'Up-to-date': ({ status }) => status?.updatedNumberScheduled ?? 0,
    Available: ({ status }) => status?.numberAvailable ?? 0,
    'Node Selector': ({ spec }) => labelsText(spec.template?.spec?.nodeSelector),
    ...workloadCells,
    ...selectorCell,
  },
})

function defaultStatefulSet({ spec }: Mutable<StatefulSet>): void {
  defaultPodTemplate(spec.template)
  spec.podManagementPolicy ??= 'OrderedReady'
  const strategy = (spec.updateStrategy ??= {})
  if (strategy.type === undefined) {
    strategy.type = 'RollingUpdate'
    strategy.rollingUpdate ??= {}
  }
  if (strategy.type === 'RollingUpdate' && strategy.rollingUpdate) {
    strategy.rollingUpdate.partition ??= 0
  }
  const retention = (spec.persistentVolumeClaimRetentionPolicy ??= {})
  retention.whenDeleted ??= 'Retain'
  retention.whenScaled ??= 'Retain'
  spec.replicas ??= 1
  spec.revisionHistoryLimit ??= 10
  for (const claim of spec.volumeClaimTemplates ?? []) {
    claim.apiVersion ??= 'v1'
    claim.kind ??= 'PersistentVolumeClaim'
    defaultClaimSpec(claim.spec)
    claim.status ??= {}
    claim.status.phase ??= 'Pending'
  }
}

const UPDATABLE = [
  'replicas',
  'ordinals',
  'template',
  'updateStrategy',
  'revisionHistoryLimit',
  'persistentVolumeClaimRetentionPolicy',
  'minReadySeconds',
] as const satisfies readonly (keyof StatefulSetSpec)[]

/** The template as its pods will be: containers may mount what the claims' templates give them. */
function withClaims({ template, volumeClaimTemplates = [] }: StatefulSetSpec): PodTemplateSpec {
  if (volumeClaimTemplates.length === 0 || template.spec === undefined) return template
  // Those without a name are refused for that.
  const named = new Set(volumeClaimTemplates.flatMap(({ metadata }) => metadata?.name ?? []))
  const claims = [...named].map((name) => ({ name, persistentVolumeClaim: { claimName: name } }))
  const own = (template.spec.volumes ?? []).filter(({ name }) => !named.has(name))
  return { ...template, spec: { ...template.spec, volumes: [...own, ...claims] } }
}

function validateStatefulSet({ spec }: StatefulSet): readonly FieldError[] {
  const { type, rollingUpdate } = spec.updateStrategy ?? {}
  const rolling = path.child('updateStrategy', 'rollingUpdate')
  const retention = spec.persistentVolumeClaimRetentionPolicy ?? {}
  const errors: FieldError[] = []
  const { serviceName = '' } = spec
  if (serviceName !== '')
    errors.push(...check(path.child('serviceName'), serviceName, dnsSubdomain))
  const { podManagementPolicy = '' } = spec
  if (podManagementPolicy !== 'OrderedReady' && podManagementPolicy !== 'Parallel') {
    const at = path.child('podManagementPolicy')
    errors.push(invalidValue(at, podManagementPolicy, "must be 'OrderedReady' or 'Parallel'"))
  }
  if (type !== 'OnDelete' && type !== 'RollingUpdate') {
    const rollingText = rollingUpdate && {
      Partition: rollingUpdate.partition ?? 0,
      MaxUnavailable: rollingUpdate.maxUnavailable ?? null,
    }
    errors.push(
      invalidValue(
        path.child('updateStrategy'),
        { Type: type ?? '', RollingUpdate: rollingText ?? null },
        "must be 'RollingUpdate' or 'OnDelete'",
      ),
    )
  }
  if (type === 'OnDelete' && rollingUpdate !== undefined) {
    errors.push(
      invalidValue(rolling, rollingUpdate, "only allowed for updateStrategy 'RollingUpdate'"),
    )
  }
  errors.push(...nonNegative(rollingUpdate?.partition, rolling.child('partition')))
  errors.push(
    ...validateIntOrPercent(rollingUpdate?.maxUnavailable, rolling.child('maxUnavailable')),
  )
  for (const name of ['whenDeleted', 'whenScaled'] as const) {
    const value = retention[name] ?? ''
    if (value !== 'Retain' && value !== 'Delete') {
      errors.push({
        type: 'FieldValueNotSupported',
        field: path.child('persistentVolumeClaimRetentionPolicy', name).toString(),
        detail: `Unsupported value: ${JSON.stringify(value)}: supported values: "Delete", "Retain"`,
      })
    }
  }
  return [
    ...errors,
    ...nonNegative(spec.replicas, path.child('replicas')),
    ...nonNegative(spec.minReadySeconds, path.child('minReadySeconds')),
    ...nonNegative(spec.ordinals?.start, path.child('ordinals', 'start')),
    ...nonNegative(spec.revisionHistoryLimit, path.child('revisionHistoryLimit')),
    ...validateWorkload({ ...spec, template: withClaims(spec) }, path, {
      kind: 'StatefulSet',
      emptySelector: 'statefulset',
    }),
  ]
}

function validateStatefulSetUpdate(now: StatefulSet, old: StatefulSet): readonly FieldError[] {
  const fixed = ({ spec }: StatefulSet): unknown => {
    const rest: Record<string, unknown> = { ...spec }
    for (const name of UPDATABLE) delete rest[name]
    return rest
  }
  if (equal(fixed(now), fixed(old))) return []
  const names = UPDATABLE.map((name) => `'${name}'`)
  const list = `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`
  return [
    forbiddenField(path, `updates to statefulset spec for fields other than ${list} are forbidden`),
  ]
}

const statefulSets = defineResource(statefulSetsRef, {
  defaults: defaultStatefulSet,
  validate: validateStatefulSet,
  validateUpdate: (now, old, { subresource }) =>
    subresource === '' ? validateStatefulSetUpdate(now, old) : [],
  warnings: (now, old) =>
    isNewSpec(now, old)
      ? [
          ...podTemplateWarnings(now.spec.template),
          ...(now.spec.volumeClaimTemplates ?? []).flatMap(({ spec }, i) =>
            claimWarnings(spec, `spec.volumeClaimTemplates[${i}].spec`),
          ),
        ]
      : [],
  scale,
  cells: {
    Ready: ({ spec, status }) => `${status?.readyReplicas ?? 0}/${spec.replicas ?? 0}`,
    ...workloadCells,
  },
})

const controllerRevisions = defineResource(controllerRevisionsRef, {
  validate: ({ revision, data }) => [
    ...nonNegative(revision, FieldPath.of('revision')),
    ...(data === undefined ? [required(FieldPath.of('data'), 'data is mandatory')] : []),
  ],
  validateUpdate: (now, old) => immutable(now.data, old.data, FieldPath.of('data')),
  cells: {
    Controller: ({ metadata }) => {
      const owner = metadata.ownerReferences?.find(({ controller }) => controller === true)
      if (owner === undefined) return NONE
      const slash = owner.apiVersion.indexOf('/')
      const group = slash < 0 ? '' : `.${owner.apiVersion.slice(0, slash)}`
      return `${owner.kind}${group}`.toLowerCase().concat(`/${owner.name}`)
    },
    Revision: ({ revision }) => revision,
  },
})

export const apps = [controllerRevisions, daemonSets, deployments, replicaSets, statefulSets]

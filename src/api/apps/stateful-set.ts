/** Stateful sets: pods with names and claims that stay. */
import { forbiddenField, invalidValue, type FieldError } from '#machinery'
import { defaultClaimSpec, defaultPodTemplate } from '../core/pod/defaults.ts'
import { claimWarnings, isNewSpec, podTemplateWarnings } from '../core/pod/warnings.ts'
import { defineResource } from '../define.ts'
import { equal } from '../equal.ts'
import type { Mutable } from '../mutable.ts'
import { statefulSets as statefulSetsRef } from '../resources.gen.ts'
import { check, dnsSubdomain, nonNegative } from '../rules.ts'
import type { PodTemplateSpec, StatefulSet, StatefulSetSpec } from '../types.gen.ts'
import { validateIntOrPercent, validateWorkload } from '../workload.ts'
import { path, scale, workloadCells } from './parts.ts'

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

export const statefulSets = defineResource(statefulSetsRef, {
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

/** Stateful sets: pods with names and claims that stay. */
import {
  forbiddenField,
  invalidValue,
  notSupported,
  required,
  type FieldError,
  type FieldPath,
} from '#machinery'
import { defaultClaimSpec, defaultPodTemplate } from '../core/pod/defaults.ts'
import { validateClaimSpec } from '../core/volumes/claim.ts'
import { claimWarnings, isNewSpec, podTemplateWarnings } from '../core/pod/warnings.ts'
import { defineResource } from '../define.ts'
import { equal } from '../equal.ts'
import type { Mutable } from '../mutable.ts'
import { statefulSets as statefulSetsRef } from '../resources.gen.ts'
import { check, dnsLabel, nonNegative } from '../rules.ts'
import type { PodTemplateSpec, StatefulSet, StatefulSetSpec } from '../types.gen.ts'
import { atMostAll, isNothing, validateIntOrPercent, validateWorkload } from '../workload.ts'
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
  if (template.spec === undefined) return template
  // Names and the domain of its pods are the set's to give.
  const { hostname: _hostname, subdomain: _subdomain, ...rest } = template.spec
  if (volumeClaimTemplates.length === 0) return { ...template, spec: rest }
  // Those without a name are refused for that.
  const named = new Set(volumeClaimTemplates.flatMap(({ metadata }) => metadata?.name ?? []))
  const claims = [...named].map((name) => ({ name, persistentVolumeClaim: { claimName: name } }))
  const own = (rest.volumes ?? []).filter(({ name }) => !named.has(name))
  return { ...template, spec: { ...rest, volumes: [...claims, ...own] } }
}

const RETENTION: readonly string[] = ['Retain', 'Delete']

/** How pods are replaced: in turn, or when somebody deletes them. */
function validateStrategy(
  strategy: StatefulSetSpec['updateStrategy'],
  at: FieldPath,
): readonly FieldError[] {
  const { type = '', rollingUpdate } = strategy ?? {}
  const rolling = at.child('rollingUpdate')
  const shownAs = rollingUpdate && {
    Partition: rollingUpdate.partition ?? 0,
    MaxUnavailable: rollingUpdate.maxUnavailable ?? null,
  }
  switch (type) {
    case '':
      return [required(at)]
    case 'OnDelete':
      return rollingUpdate === undefined
        ? []
        : [invalidValue(rolling, shownAs, "only allowed for updateStrategy 'RollingUpdate'")]
    case 'RollingUpdate': {
      const most = rollingUpdate?.maxUnavailable
      const where = rolling.child('maxUnavailable')
      return [
        ...nonNegative(rollingUpdate?.partition, rolling.child('partition')),
        ...validateIntOrPercent(most, where),
        ...(most !== undefined && isNothing(most)
          ? [invalidValue(where, most, 'cannot be 0')]
          : []),
        ...atMostAll(most, where),
      ]
    }
    default:
      return [
        invalidValue(
          at,
          { Type: type, RollingUpdate: shownAs ?? null },
          "must be 'RollingUpdate' or 'OnDelete'",
        ),
      ]
  }
}

/** Older sets have claims and names that were not looked at. */
function validateNew({ spec }: StatefulSet): readonly FieldError[] {
  const { serviceName = '', volumeClaimTemplates = [] } = spec
  return [
    ...volumeClaimTemplates.flatMap((claim, i) =>
      validateClaimSpec(claim.spec, path.child('volumeClaimTemplates').index(i).child('spec')),
    ),
    ...(serviceName === '' ? [] : check(path.child('serviceName'), serviceName, dnsLabel)),
  ]
}

function validateStatefulSet({ spec }: StatefulSet): readonly FieldError[] {
  const retention = spec.persistentVolumeClaimRetentionPolicy ?? {}
  const errors: FieldError[] = []
  const { podManagementPolicy = '', ordinals } = spec
  if (podManagementPolicy === '') errors.push(required(path.child('podManagementPolicy')))
  else if (podManagementPolicy !== 'OrderedReady' && podManagementPolicy !== 'Parallel') {
    const at = path.child('podManagementPolicy')
    errors.push(invalidValue(at, podManagementPolicy, "must be 'OrderedReady' or 'Parallel'"))
  }
  errors.push(...validateStrategy(spec.updateStrategy, path.child('updateStrategy')))
  for (const name of ['whenDeleted', 'whenScaled'] as const) {
    const value = retention[name] ?? ''
    if (!RETENTION.includes(value)) {
      const at = path.child('persistentVolumeClaimRetentionPolicy', name)
      errors.push(notSupported(at, value, RETENTION))
    }
  }
  return [
    ...errors,
    ...nonNegative(spec.replicas, path.child('replicas')),
    ...nonNegative(spec.minReadySeconds, path.child('minReadySeconds')),
    ...nonNegative(ordinals?.start, path.child('ordinals', 'start')),
    ...nonNegative(spec.revisionHistoryLimit, path.child('revisionHistoryLimit')),
    ...validateWorkload({ ...spec, template: withClaims(spec) }, path, {
      kind: 'StatefulSet',
      emptySelector: 'statefulset',
      badSelector: '',
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
  validateNew,
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

/** Nodes. A node may bring its status along when it registers. */
import {
  FieldPath,
  duplicate,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
  shown,
  type FieldError,
} from '#machinery'
import { isRange } from '../addresses.ts'
import { NONE } from '../columns.ts'
import { defineResource } from '../define.ts'
import { goForm } from '../go-form.ts'
import { equal } from '../equal.ts'
import type { Mutable } from '../mutable.ts'
import { nodes as nodesRef } from '../resources.gen.ts'
import { check, labelValue, looseCIDR, qualifiedName } from '../rules.ts'
import type { Node, Taint } from '../types.gen.ts'

const ROLE = 'node-role.kubernetes.io/'
const spec = FieldPath.of('spec')

/** They are told of as if they were metadata, as Kubernetes does. */
function validateTaints(taints: readonly Taint[], path: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  const seen = new Set<string>()
  const effects = ['NoSchedule', 'PreferNoSchedule', 'NoExecute']
  for (const [i, { key, value = '', effect }] of taints.entries()) {
    const at = path.index(i)
    errors.push(...check(at.child('key'), key, qualifiedName))
    const wrong = labelValue(value)
    if (wrong.length > 0) errors.push(invalidValue(at.child('value'), value, wrong.join(';')))
    const given: string = effect
    if (given === '') errors.push(required(at.child('effect')))
    else if (!effects.includes(given)) errors.push(notSupported(at.child('effect'), given, effects))
    const id = `${key}:${effect}`
    if (seen.has(id)) {
      errors.push({
        ...duplicate(at, undefined),
        detail: `Duplicate value: ${shown(goForm('core.v1.Taint', taints[i]))}: taints must be unique by key and effect pair`,
      })
    }
    seen.add(id)
  }
  return errors
}

function validateNode(node: Node): readonly FieldError[] {
  const errors = [...validateTaints(node.spec?.taints ?? [], FieldPath.of('metadata', 'taints'))]
  for (const [i, range] of (node.spec?.podCIDRs ?? []).entries()) {
    errors.push(...check(spec.child('podCIDRs').index(i), range, looseCIDR))
  }
  const ranges = node.spec?.podCIDRs ?? []
  const families = new Set(ranges.map(isRange))
  const bad = ranges.findIndex((range) => isRange(range) === 0)
  if (ranges.length > 1 && bad >= 0) {
    errors.push({
      type: 'InternalError',
      field: spec.child('podCIDRs').text,
      detail: `Internal error: invalid PodCIDRs. failed to check with dual stack with error:invalid CIDR[${bad}]: <nil> (invalid CIDR address: ${ranges[bad]})`,
    })
  }
  if (ranges.length > 1 && (bad >= 0 || families.size !== 2 || ranges.length > 2)) {
    errors.push(
      invalidValue(
        spec.child('podCIDRs'),
        node.spec.podCIDRs,
        'may specify no more than one CIDR for each IP family',
      ),
    )
  }
  return errors
}

function validateUpdate(now: Node, old: Node): readonly FieldError[] {
  const errors: FieldError[] = []
  const before = old.spec ?? {}
  const after = now.spec ?? {}
  if ((before.podCIDRs?.length ?? 0) > 0 && !equal(after.podCIDRs, before.podCIDRs)) {
    errors.push(
      forbiddenField(
        spec.child('podCIDRs'),
        'node updates may not change podCIDR except from "" to valid',
      ),
    )
  }
  if ((before.providerID ?? '') !== '' && after.providerID !== before.providerID) {
    errors.push(
      forbiddenField(
        spec.child('providerID'),
        'node updates may not change providerID except from "" to valid',
      ),
    )
  }
  return errors
}

/** podCIDR is the old name of the first of podCIDRs. */
function mirrorRanges(node: Mutable<Node>): void {
  const ranges = node.spec?.podCIDRs
  const single = node.spec?.podCIDR
  if (single === undefined || single === '') {
    if (ranges?.[0] !== undefined) node.spec.podCIDR = ranges[0]
  } else if (ranges?.[0] !== single) node.spec.podCIDRs = [single]
}

export const nodes = defineResource(nodesRef, {
  defaults(node) {
    mirrorRanges(node)
    const { status } = node
    if (status?.capacity && status.allocatable === undefined) {
      status.allocatable = { ...status.capacity }
    }
  },
  keepsStatusOnCreate: true,
  validate: validateNode,
  validateUpdate,
  warnings: ({ spec: { configSource, externalID } }) => [
    ...(configSource === undefined
      ? []
      : ['spec.configSource: deprecated in v1.22, support removal is planned in v1.26']),
    ...((externalID ?? '') === ''
      ? []
      : ['spec.externalID: this field is deprecated, and is unused by Kubernetes']),
  ],
  cells: {
    Status: ({ spec: { unschedulable }, status }) => {
      const ready = status?.conditions?.find(({ type }) => type === 'Ready')
      const words = [
        ready === undefined ? 'Unknown' : ready.status === 'True' ? 'Ready' : 'NotReady',
      ]
      if (unschedulable === true) words.push('SchedulingDisabled')
      return words.join(',')
    },
    Roles: ({ metadata: { labels = {} } }) => {
      const roles = Object.entries(labels).flatMap(([key, value]) => {
        if (key.startsWith(ROLE)) return key === ROLE ? [] : [key.slice(ROLE.length)]
        return key === 'kubernetes.io/role' && value !== '' ? [value] : []
      })
      return roles.length === 0 ? NONE : [...new Set(roles)].toSorted().join(',')
    },
    Version: ({ status }) => status?.nodeInfo?.kubeletVersion ?? '',
    'Internal-IP': (node) => addressOf(node, 'InternalIP'),
    'External-IP': (node) => addressOf(node, 'ExternalIP'),
    'OS-Image': ({ status }) => orUnknown(status?.nodeInfo?.osImage),
    'Kernel-Version': ({ status }) => orUnknown(status?.nodeInfo?.kernelVersion),
    'Container-Runtime': ({ status }) => orUnknown(status?.nodeInfo?.containerRuntimeVersion),
  },
})

const addressOf = ({ status }: Node, type: string): string =>
  status?.addresses?.find((address) => address.type === type)?.address ?? NONE
const orUnknown = (text: string | undefined): string =>
  text === undefined || text === '' ? '<unknown>' : text

/** The group storage.k8s.io: classes of volumes, drivers and attachments. */
import {
  FieldPath,
  duplicate,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
  type FieldError,
} from '#machinery'
import { UNSET } from './columns.ts'
import { nodeLabelWarnings } from './core/node-labels.ts'
import { defineResource } from './define.ts'
import { equal } from './equal.ts'
import {
  csiDrivers as csiDriversRef,
  csiNodes as csiNodesRef,
  csiStorageCapacities as csiStorageCapacitiesRef,
  storageClasses as storageClassesRef,
  volumeAttachments as volumeAttachmentsRef,
  volumeAttributesClasses as volumeAttributesClassesRef,
} from './resources.gen.ts'
import { check, dnsSubdomain, immutable, qualifiedName, validateLabelSelector } from './rules.ts'
import { isNegative } from './quantities.ts'
import type { CSIDriver, CSINode, StorageClass } from './types.gen.ts'

const MAX_PARAMETERS = 512
const DEFAULT_CLASS = [
  'storageclass.kubernetes.io/is-default-class',
  'storageclass.beta.kubernetes.io/is-default-class',
]

function validateParameters(
  parameters: Readonly<Record<string, string>> | undefined,
  path: FieldPath,
): readonly FieldError[] {
  const names = Object.keys(parameters ?? {})
  const errors: FieldError[] = []
  if (names.includes('')) {
    errors.push(invalidValue(path, '', 'field can not be empty.'))
  }
  if (names.length > MAX_PARAMETERS) {
    errors.push({
      type: 'FieldValueTooLong',
      field: path.toString(),
      detail: `Too long: may not be more than ${MAX_PARAMETERS} bytes`,
    })
  }
  return errors
}

const updatesForbidden = (now: unknown, old: unknown, field: string): readonly FieldError[] =>
  equal(now, old) || (isEmpty(now) && isEmpty(old))
    ? []
    : [forbiddenField(FieldPath.of(field), `updates to ${field} are forbidden.`)]
const isEmpty = (value: unknown): boolean =>
  value === undefined ||
  (typeof value === 'object' && value !== null && Object.keys(value).length === 0)

/** A class makes volumes, and does not clean old ones. */
const RECLAIM_POLICIES = ['Delete', 'Retain']

function validateClass({
  provisioner,
  parameters,
  reclaimPolicy,
  allowedTopologies = [],
}: StorageClass): readonly FieldError[] {
  const path = FieldPath.of('provisioner')
  const errors: FieldError[] = []
  if (provisioner === '') errors.push(required(path))
  else errors.push(...check(path, provisioner.toLowerCase(), qualifiedName))
  errors.push(...validateParameters(parameters, FieldPath.of('parameters')))
  if (reclaimPolicy !== undefined && !RECLAIM_POLICIES.includes(reclaimPolicy)) {
    errors.push(notSupported(FieldPath.of('reclaimPolicy'), reclaimPolicy, RECLAIM_POLICIES))
  }
  for (const [i, { matchLabelExpressions = [] }] of allowedTopologies.entries()) {
    for (const [j, { key, values }] of matchLabelExpressions.entries()) {
      const at = FieldPath.of('allowedTopologies').index(i).child('matchLabelExpressions').index(j)
      errors.push(...check(at.child('key'), key, qualifiedName))
      for (const [k, value] of values.entries()) {
        if (values.indexOf(value) < k) errors.push(duplicate(at.child('values').index(k), value))
      }
    }
  }
  return errors
}

const storageClasses = defineResource(storageClassesRef, {
  defaults(storageClass) {
    storageClass.reclaimPolicy ??= 'Delete'
    storageClass.volumeBindingMode ??= 'Immediate'
  },
  validate: validateClass,
  validateUpdate: (now, old) => [
    ...updatesForbidden(now.parameters, old.parameters, 'parameters'),
    ...updatesForbidden(now.provisioner, old.provisioner, 'provisioner'),
    ...updatesForbidden(now.reclaimPolicy, old.reclaimPolicy, 'reclaimPolicy'),
    ...immutable(now.volumeBindingMode, old.volumeBindingMode, FieldPath.of('volumeBindingMode')),
  ],
  warnings: ({ allowedTopologies = [] }) =>
    allowedTopologies.flatMap(({ matchLabelExpressions = [] }, i) =>
      matchLabelExpressions.flatMap(({ key }, j) =>
        nodeLabelWarnings(key, `allowedTopologies[${i}].matchLabelExpressions[${j}].key`),
      ),
    ),
  cells: {
    Name: ({ metadata }) =>
      DEFAULT_CLASS.some((key) => metadata.annotations?.[key] === 'true')
        ? `${metadata.name} (default)`
        : metadata.name,
    Provisioner: ({ provisioner }) => provisioner,
    ReclaimPolicy: ({ reclaimPolicy }) => reclaimPolicy ?? 'Delete',
    VolumeBindingMode: ({ volumeBindingMode }) => volumeBindingMode ?? UNSET,
    AllowVolumeExpansion: ({ allowVolumeExpansion }) => allowVolumeExpansion ?? false,
  },
})

const MODES = ['Ephemeral', 'Persistent']
const GROUP_POLICIES = ['File', 'None', 'ReadWriteOnceWithFSType']

function validateDriver({ spec }: CSIDriver): readonly FieldError[] {
  const path = FieldPath.of('spec')
  const errors: FieldError[] = []
  for (const [i, mode] of (spec.volumeLifecycleModes ?? []).entries()) {
    if (!MODES.includes(mode)) {
      errors.push(notSupported(path.child('volumeLifecycleModes').index(i), mode, MODES))
    }
  }
  if (spec.fsGroupPolicy !== undefined && !GROUP_POLICIES.includes(spec.fsGroupPolicy)) {
    errors.push(notSupported(path.child('fsGroupPolicy'), spec.fsGroupPolicy, GROUP_POLICIES))
  }
  const audiences = (spec.tokenRequests ?? []).map(({ audience }) => audience)
  for (const [i, { audience, expirationSeconds }] of (spec.tokenRequests ?? []).entries()) {
    const at = path.child('tokenRequests').index(i)
    if (audiences.indexOf(audience) < i) errors.push(duplicate(at.child('audience'), audience))
    if (expirationSeconds !== undefined && expirationSeconds < 600) {
      errors.push(
        invalidValue(
          at.child('expirationSeconds'),
          expirationSeconds,
          'may not specify a duration less than 10 minutes',
        ),
      )
    }
  }
  return errors
}

const csiDrivers = defineResource(csiDriversRef, {
  defaults({ spec }) {
    spec.attachRequired ??= true
    spec.podInfoOnMount ??= false
    spec.storageCapacity ??= false
    spec.fsGroupPolicy ??= 'ReadWriteOnceWithFSType'
    if ((spec.volumeLifecycleModes ?? []).length === 0) spec.volumeLifecycleModes = ['Persistent']
    spec.requiresRepublish ??= false
    spec.seLinuxMount ??= false
  },
  validate: validateDriver,
  validateUpdate: (now, old) => [
    ...immutable(
      now.spec.attachRequired,
      old.spec.attachRequired,
      FieldPath.of('spec', 'attachedRequired'),
    ),
    ...immutable(
      now.spec.volumeLifecycleModes,
      old.spec.volumeLifecycleModes,
      FieldPath.of('spec', 'volumeLifecycleModes'),
    ),
  ],
  cells: {
    AttachRequired: ({ spec }) => spec.attachRequired ?? true,
    PodInfoOnMount: ({ spec }) => spec.podInfoOnMount ?? false,
    StorageCapacity: ({ spec }) => spec.storageCapacity ?? false,
    TokenRequests: ({ spec }) =>
      spec.tokenRequests === undefined
        ? UNSET
        : spec.tokenRequests.map(({ audience }) => audience).join(','),
    RequiresRepublish: ({ spec }) => spec.requiresRepublish ?? false,
    Modes: ({ spec }) => (spec.volumeLifecycleModes ?? []).join(',') || '<none>',
  },
})

const MAX_NODE_ID = 256

function validateCsiNode({ spec }: CSINode): readonly FieldError[] {
  const path = FieldPath.of('spec', 'drivers')
  const errors: FieldError[] = []
  for (const [i, driver] of spec.drivers.entries()) {
    const at = path.index(i)
    if (driver.name !== '') {
      errors.push(...check(at.child('name'), driver.name.toLowerCase(), dnsSubdomain))
    }
    if (spec.drivers.findIndex(({ name }) => name === driver.name) < i) {
      errors.push(duplicate(at.child('name'), driver.name))
    }
    if ((driver.nodeID ?? '').length > MAX_NODE_ID) {
      errors.push(
        invalidValue(
          at.child('nodeID'),
          driver.nodeID,
          `must be ${MAX_NODE_ID} characters or less`,
        ),
      )
    }
    const count = driver.allocatable?.count
    if (count !== undefined && count < 0) {
      errors.push(
        invalidValue(at.child('allocatable', 'count'), count, 'must be greater than or equal to 0'),
      )
    }
    const keys = driver.topologyKeys ?? []
    for (const [j, key] of keys.entries()) {
      errors.push(...check(at.child('topologyKeys'), key, qualifiedName))
      if (keys.indexOf(key) < j) errors.push(duplicate(at.child('topologyKeys'), key))
    }
  }
  return errors
}

const csiNodes = defineResource(csiNodesRef, {
  validate: validateCsiNode,
  validateUpdate: (now, old) => {
    const before = new Map(old.spec.drivers.map((driver) => [driver.name, driver]))
    return now.spec.drivers.flatMap((driver, i) => {
      const was = before.get(driver.name)
      if (was === undefined) return []
      const at = FieldPath.of('spec', 'drivers').index(i)
      return [
        ...immutable(driver.nodeID, was.nodeID, at.child('nodeID')),
        ...immutable(driver.topologyKeys, was.topologyKeys, at.child('topologyKeys')),
      ]
    })
  },
  cells: { Drivers: ({ spec }) => spec.drivers?.length ?? 0 },
})

const csiStorageCapacities = defineResource(csiStorageCapacitiesRef, {
  validate: ({ storageClassName, capacity, maximumVolumeSize, nodeTopology }) => [
    ...(storageClassName === ''
      ? []
      : check(FieldPath.of('storageClassName'), storageClassName, dnsSubdomain)),
    ...Object.entries({ capacity, maximumVolumeSize }).flatMap(([name, quantity]) =>
      quantity !== undefined && isNegative(quantity)
        ? [invalidValue(FieldPath.of(name), quantity, 'must be greater than or equal to 0')]
        : [],
    ),
    ...validateLabelSelector(nodeTopology, FieldPath.of('nodeTopology')),
  ],
  validateUpdate: (now, old) => [
    ...immutable(now.nodeTopology, old.nodeTopology, FieldPath.of('nodeTopology')),
    ...immutable(now.storageClassName, old.storageClassName, FieldPath.of('storageClassName')),
  ],
  cells: {
    StorageClassName: ({ storageClassName }) => storageClassName,
    Capacity: ({ capacity }) => capacity ?? UNSET,
  },
})

const volumeAttachments = defineResource(volumeAttachmentsRef, {
  statusKeepsMetadata: true,
  validate: ({ spec }) => {
    const { inlineVolumeSpec, persistentVolumeName = '' } = spec.source
    const path = FieldPath.of('spec', 'source')
    const { attacher, nodeName } = spec
    const errors: FieldError[] = []
    if (attacher)
      errors.push(...check(FieldPath.of('spec', 'attacher'), attacher.toLowerCase(), dnsSubdomain))
    if (nodeName) errors.push(...check(FieldPath.of('spec', 'nodeName'), nodeName, dnsSubdomain))
    const one = 'must specify exactly one of inlineVolumeSpec and persistentVolumeName'
    if (inlineVolumeSpec === undefined && persistentVolumeName === '')
      errors.push(required(path, one))
    else if (inlineVolumeSpec !== undefined && persistentVolumeName !== '')
      errors.push(forbiddenField(path, one))
    return errors
  },
  validateUpdate: (now, old) =>
    equal(now.spec, old.spec)
      ? []
      : [invalidValue(FieldPath.of('spec'), now.spec, 'field is immutable')],
  cells: {
    Attacher: ({ spec }) => spec.attacher,
    PV: ({ spec }) => spec.source.persistentVolumeName ?? '',
    Node: ({ spec }) => spec.nodeName,
    Attached: ({ status }) => status?.attached ?? false,
  },
})

const volumeAttributesClasses = defineResource(volumeAttributesClassesRef, {
  validate: ({ driverName, parameters }) => [
    ...(driverName === ''
      ? [required(FieldPath.of('driverName'))]
      : check(FieldPath.of('driverName'), driverName.toLowerCase(), qualifiedName)),
    ...(Object.keys(parameters ?? {}).length === 0
      ? [required(FieldPath.of('parameters'), 'must contain at least one key/value pair')]
      : validateParameters(parameters, FieldPath.of('parameters'))),
  ],
  validateUpdate: (now, old) => [
    ...immutable(now.driverName, old.driverName, FieldPath.of('driverName')),
    ...immutable(now.parameters, old.parameters, FieldPath.of('parameters')),
  ],
  cells: { DriverName: ({ driverName }) => driverName },
})

export const storage = [
  csiDrivers,
  csiNodes,
  csiStorageCapacities,
  storageClasses,
  volumeAttachments,
  volumeAttributesClasses,
]

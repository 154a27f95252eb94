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
import { validateCsiNode, validateDriver, validateDriverName } from './csi-rules.ts'
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
import type { CSINodeDriver, StorageClass, TopologySelectorTerm } from './types.gen.ts'

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
  for (const [i, term] of allowedTopologies.entries()) {
    errors.push(...validateTopology(term, FieldPath.of('allowedTopologies').index(i)))
    const same = allowedTopologies.slice(0, i).filter((each) => equal(asSets(each), asSets(term)))
    for (const _ of same)
      errors.push(
        duplicate(FieldPath.of('allowedTopologies').index(i).child('matchLabelExpressions'), ''),
      )
  }
  return errors
}

const asSets = ({ matchLabelExpressions = [] }: TopologySelectorTerm): unknown =>
  Object.fromEntries(
    matchLabelExpressions
      .map(({ key, values }) => [key, [...new Set(values)].toSorted()] as const)
      .toSorted(([a], [b]) => (a < b ? -1 : 1)),
  )

function validateTopology(
  { matchLabelExpressions = [] }: TopologySelectorTerm,
  path: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  for (const [i, { key, values = [] }] of matchLabelExpressions.entries()) {
    const at = path.child('matchLabelExpressions').index(i)
    if (values.length === 0) errors.push(required(at.child('values')))
    for (const [j, value] of values.entries())
      if (values.indexOf(value) < j) errors.push(duplicate(at.child('values').index(j), value))
    errors.push(...check(at.child('key'), key, qualifiedName))
    if (matchLabelExpressions.findIndex((each) => each.key === key) < i)
      errors.push(duplicate(at.child('key'), key))
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
    ...immutable(now.parameters, old.parameters, FieldPath.of('parameters')),
    ...immutable(now.provisioner, old.provisioner, FieldPath.of('provisioner')),
    ...immutable(now.reclaimPolicy, old.reclaimPolicy, FieldPath.of('reclaimPolicy')),
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
  warnings: ({ spec }, old) =>
    (spec.tokenRequests?.length ?? 0) > 0 &&
    spec.serviceAccountTokenInSecrets === undefined &&
    (old === undefined || !equal(old.spec.tokenRequests, spec.tokenRequests))
      ? [
          'spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible logging of tokens in volume attributes',
        ]
      : [],
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

const csiNodes = defineResource(csiNodesRef, {
  validate: validateCsiNode,
  validateUpdate: (now, old) => {
    // What a node can take of a driver's volumes may change; nothing else of the driver.
    const fixed = (driver: CSINodeDriver): object => ({ ...driver, allocatable: undefined })
    return old.spec.drivers.flatMap((was) =>
      now.spec.drivers
        .filter(({ name }) => name === was.name)
        .flatMap((driver) =>
          immutable(
            fixed(driver),
            fixed(was),
            FieldPath.of('spec', 'drivers'),
            'storage.v1.CSINodeDriver',
          ),
        ),
    )
  },
  cells: { Drivers: ({ spec }) => spec.drivers?.length ?? 0 },
})

const csiStorageCapacities = defineResource(csiStorageCapacitiesRef, {
  validate: ({ storageClassName, capacity, nodeTopology }) => [
    ...validateLabelSelector(nodeTopology, FieldPath.of('nodeTopology')),
    ...check(FieldPath.of('storageClassName'), storageClassName, dnsSubdomain),
    ...(capacity !== undefined && isNegative(capacity)
      ? [invalidValue(FieldPath.of('capacity'), capacity, 'must be greater than or equal to 0')]
      : []),
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
    const { inlineVolumeSpec, persistentVolumeName: name } = spec.source
    const path = FieldPath.of('spec', 'source')
    const errors: FieldError[] = [
      ...validateDriverName(spec.attacher, FieldPath.of('spec', 'attacher')),
      ...check(FieldPath.of('spec', 'nodeName'), spec.nodeName, dnsSubdomain),
    ]
    const one = 'must specify exactly one of inlineVolumeSpec and persistentVolumeName'
    const at = path.child('persistentVolumeName')
    if (inlineVolumeSpec === undefined && name === undefined) errors.push(required(path, one))
    else if (inlineVolumeSpec !== undefined && name !== undefined)
      errors.push(forbiddenField(path, one))
    else if (name === '') errors.push(required(at, 'must specify non empty persistentVolumeName'))
    if (name !== undefined) errors.push(...check(at, name, dnsSubdomain))
    return errors
  },
  validateUpdate: (now, old) =>
    immutable(now.spec, old.spec, FieldPath.of('spec'), 'storage.v1.VolumeAttachmentSpec'),
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
    ...updatesForbidden(now.driverName, old.driverName, 'driverName'),
    ...updatesForbidden(now.parameters, old.parameters, 'parameters'),
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

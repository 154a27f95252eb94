/** The rules of metadata, which are the same for every kind but for what a name may be. */
import { definitions } from '#api'
import {
  asPrefix,
  dnsLabel,
  dnsSubdomain,
  FieldPath,
  forbiddenField,
  invalidValue,
  ipAddress,
  labelValue,
  pathSegment,
  pathSegmentPrefix,
  qualifiedName,
  required,
  type FieldError,
  type JsonObject,
  type NameRule,
  type ObjectMeta,
  type ResourceFact,
} from '#machinery'

/** A signer's bundles are called after it, `example.com:signer:name`. */
const bundle: NameRule = (name) =>
  name.includes(':') ? pathSegment(name.replaceAll('/', ':')) : dnsSubdomain(name)

const NAME_RULES: Readonly<Record<string, NameRule>> = {
  // `v1.` is that of the core group.
  'apiservices.apiregistration.k8s.io': pathSegment,
  namespaces: dnsLabel,
  // Their pods carry the name as their host's.
  'statefulsets.apps': dnsLabel,
  services: dnsLabel,
  events: pathSegment,
  'poddisruptionbudgets.policy': pathSegment,
  'roles.rbac.authorization.k8s.io': pathSegment,
  'clusterroles.rbac.authorization.k8s.io': pathSegment,
  'rolebindings.rbac.authorization.k8s.io': pathSegment,
  'clusterrolebindings.rbac.authorization.k8s.io': pathSegment,
  'clustertrustbundles.certificates.k8s.io': bundle,
  'ipaddresses.networking.k8s.io': ipAddress,
}

const ruleFor = ({ group, resource }: ResourceFact): NameRule =>
  NAME_RULES[group === '' ? resource : `${resource}.${group}`] ?? dnsSubdomain

/** What the rule asks of a generateName, whose end is still to come. */
const prefixRule = (rule: NameRule): NameRule =>
  rule === pathSegment ? pathSegmentPrefix : asPrefix(rule)

const META = FieldPath.of('metadata')
const isText = (value: unknown): value is string => typeof value === 'string'

/** Kinds whose metadata is looked at only when all else is well. */
const LATE = new Set(['events', 'poddisruptionbudgets.policy'])
export const isMetadataLate = ({ group, resource }: ResourceFact): boolean =>
  LATE.has(group === '' ? resource : `${resource}.${group}`)

/** Problems of a new object's metadata. */
export function validateMetadata(
  metadata: JsonObject,
  facts: ResourceFact,
  namespace: string,
  rule = ruleFor(facts),
): readonly FieldError[] {
  const errors: FieldError[] = []
  const { name, generateName } = metadata
  if (isText(generateName) && generateName !== '')
    for (const why of prefixRule(rule)(generateName))
      errors.push(invalidValue(META.child('generateName'), generateName, why))
  if (!isText(name) || name === '')
    errors.push(required(META.child('name'), 'name or generateName is required'))
  else for (const why of rule(name)) errors.push(invalidValue(META.child('name'), name, why))
  if (facts.namespaced) {
    if (namespace === '') errors.push(required(META.child('namespace')))
    else
      for (const why of dnsLabel(namespace))
        errors.push(invalidValue(META.child('namespace'), namespace, why))
  } else if (isText(metadata['namespace']) && metadata['namespace'] !== '')
    errors.push(forbiddenField(META.child('namespace'), 'not allowed on this type'))
  errors.push(...commonProblems(metadata, facts))
  return errors
}

/** Problems of an update's metadata, after `keepServerMetadata`. */
export function validateMetadataUpdate(
  metadata: JsonObject,
  old: ObjectMeta,
  facts: Pick<ResourceFact, 'group'>,
): readonly FieldError[] {
  const errors: FieldError[] = []
  const before = old as unknown as JsonObject
  for (const field of IMMUTABLE)
    if ((metadata[field] ?? '') !== (before[field] ?? ''))
      errors.push(invalidValue(META.child(field), metadata[field], 'field is immutable'))
  if (old.deletionTimestamp !== undefined) {
    const known = new Set(old.finalizers ?? [])
    const added = ((metadata['finalizers'] ?? []) as string[]).filter((each) => !known.has(each))
    if (added.length > 0)
      errors.push(
        forbiddenField(
          META.child('finalizers'),
          `no new finalizers can be added if the object is being deleted, found new finalizers []string{${added.map((each) => JSON.stringify(each)).join(', ')}}`,
        ),
      )
  }
  errors.push(...commonProblems(metadata, facts))
  return errors
}

const IMMUTABLE = [
  'name',
  'namespace',
  'uid',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
]

/** What only the server writes stays; what a client left out of that is filled in again. */
export function keepServerMetadata(metadata: JsonObject, old: ObjectMeta): void {
  const { uid, creationTimestamp, deletionTimestamp, deletionGracePeriodSeconds, generation } = old
  if (!metadata['uid']) metadata['uid'] = uid
  if (!metadata['creationTimestamp']) metadata['creationTimestamp'] = creationTimestamp
  if (deletionTimestamp === undefined) delete metadata['deletionTimestamp']
  else metadata['deletionTimestamp'] = deletionTimestamp
  if (deletionGracePeriodSeconds === undefined) delete metadata['deletionGracePeriodSeconds']
  else metadata['deletionGracePeriodSeconds'] ??= deletionGracePeriodSeconds
  if (generation === undefined) delete metadata['generation']
  else metadata['generation'] = generation
  delete metadata['selfLink']
}

const LARGEST_ANNOTATIONS = 256 * 1024

function commonProblems(
  metadata: JsonObject,
  { group }: Pick<ResourceFact, 'group'>,
): readonly FieldError[] {
  const errors: FieldError[] = []
  const { labels, annotations, ownerReferences, finalizers } = metadata as {
    labels?: Record<string, string>
    annotations?: Record<string, string>
    ownerReferences?: JsonObject[]
    finalizers?: string[]
  }
  if (labels !== undefined) errors.push(...validateLabels(labels, META.child('labels')))
  if (annotations !== undefined) {
    const path = META.child('annotations')
    let size = 0
    for (const key in annotations) {
      size += Buffer.byteLength(key) + Buffer.byteLength(String(annotations[key] ?? ''))
      for (const why of qualifiedName(key.toLowerCase())) errors.push(invalidValue(path, key, why))
    }
    if (size > LARGEST_ANNOTATIONS)
      errors.push({
        type: 'FieldValueTooLong',
        field: path.text,
        detail: `Too long: may not be more than ${LARGEST_ANNOTATIONS} bytes`,
      })
  }
  if (ownerReferences !== undefined) errors.push(...ownerProblems(ownerReferences))
  if (finalizers !== undefined) {
    errors.push(...finalizerProblems(finalizers))
    if (STRICT_GROUPS.has(group))
      for (const [i, finalizer] of finalizers.entries())
        if (!finalizer.includes('/') && !STANDARD_FINALIZERS.has(finalizer))
          errors.push(
            invalidValue(META.child('finalizers').index(i), finalizer, UNQUALIFIED_FINALIZER),
          )
  }
  return errors
}

/** Most labels of a cluster are the same few. */
const goodKeys = new Set<string>()
const goodValues = new Set<string>()
const remember = (set: Set<string>, text: string): void => {
  if (set.size >= 4096) set.clear()
  set.add(text)
}

/** Keys and values of labels. */
export function validateLabels(
  labels: Readonly<Record<string, string>>,
  path: FieldPath,
): readonly FieldError[] {
  let errors: FieldError[] | undefined
  for (const key in labels) {
    const value = labels[key]!
    if (!goodKeys.has(key)) {
      const problems = qualifiedName(key)
      if (problems.length === 0) remember(goodKeys, key)
      for (const why of problems) (errors ??= []).push(invalidValue(path, key, why))
    }
    if (!goodValues.has(value)) {
      const problems = labelValue(value)
      if (problems.length === 0) remember(goodValues, value)
      for (const why of problems) (errors ??= []).push(invalidValue(path, value, why))
    }
  }
  return errors ?? NONE
}
const NONE: readonly FieldError[] = []

function ownerProblems(owners: readonly JsonObject[]): readonly FieldError[] {
  const errors: FieldError[] = []
  const path = META.child('ownerReferences')
  let controller: JsonObject | undefined
  for (const owner of owners) {
    const { apiVersion, kind, name, uid } = owner
    if (!isText(apiVersion) || apiVersion === '' || apiVersion.split('/').length > 2)
      errors.push(
        invalidValue(path.child('apiVersion'), apiVersion ?? '', 'version must not be empty'),
      )
    if (!kind) errors.push(invalidValue(path.child('kind'), kind ?? '', 'must not be empty'))
    if (!name) errors.push(invalidValue(path.child('name'), name ?? '', 'must not be empty'))
    if (!uid) errors.push(invalidValue(path.child('uid'), uid ?? '', 'must not be empty'))
    if (kind === 'Event' && (apiVersion === 'v1' || apiVersion === 'events.k8s.io/v1'))
      errors.push(invalidValue(path, owner, `${String(kind)} is disallowed from being an owner`))
    if (owner['controller'] === true) {
      if (controller === undefined) controller = owner
      else
        errors.push(
          invalidValue(
            path,
            owners,
            `Only one reference can have Controller set to true. Found "true" in references for ${String(controller['kind'])}/${String(controller['name'])} and ${String(kind)}/${String(name)}`,
          ),
        )
    }
  }
  return errors
}

function finalizerProblems(finalizers: readonly string[]): readonly FieldError[] {
  const errors: FieldError[] = []
  const path = META.child('finalizers')
  for (const finalizer of finalizers)
    for (const why of qualifiedName(finalizer)) errors.push(invalidValue(path, finalizer, why))
  if (finalizers.includes('orphan') && finalizers.includes('foregroundDeletion'))
    errors.push(
      invalidValue(
        path,
        finalizers,
        'finalizers "orphan" and "foregroundDeletion" cannot be both set',
      ),
    )
  return errors
}

const STANDARD_FINALIZERS = new Set(['kubernetes', 'orphan', 'foregroundDeletion'])
const UNQUALIFIED_FINALIZER = 'name is neither a standard finalizer name nor is it fully qualified'
/** Groups whose own servers, or whose authors, never asked for a qualified finalizer. */
const LENIENT_GROUPS = new Set([
  'policy',
  'admissionregistration.k8s.io',
  'apiextensions.k8s.io',
  'apiregistration.k8s.io',
  'coordination.k8s.io',
])
const STRICT_GROUPS = new Set(
  definitions.map(({ facts }) => facts.group).filter((group) => !LENIENT_GROUPS.has(group)),
)

const SUFFIX = 'bcdfghjklmnpqrstvwxz2456789'
/** 63 characters less the five that are added: a generated name stays usable as a label. */
const LONGEST_BASE = 58

/** A name from a generateName: no vowels, so that no words come of it. */
export function generatedName(base: string, random: () => number): string {
  let suffix = ''
  for (let i = 0; i < 5; i++) suffix += SUFFIX[Math.floor(random() * SUFFIX.length)]
  return base.slice(0, LONGEST_BASE) + suffix
}

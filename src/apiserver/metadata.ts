/** The rules of metadata, which are the same for every kind but for what a name may be. */
import {
  FieldPath,
  forbiddenField,
  invalidValue,
  required,
  type FieldError,
  type JsonObject,
  type ObjectMeta,
  type ResourceFact,
} from '#machinery'
import { pathSegmentProblems } from './keys.ts'

/** What is wrong with a name; `isPrefix` for a generateName, whose end is still to come. */
type NameRule = (name: string, isPrefix: boolean) => readonly string[]

const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/
const LABEL_1035 = /^[a-z]([-a-z0-9]*[a-z0-9])?$/
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
const QUALIFIED = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/
const LABEL_VALUE = /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/

/** A prefix may end with a dash: what is generated follows. */
const whole = (name: string, isPrefix: boolean): string =>
  isPrefix && name.endsWith('-') ? `${name.slice(0, -1)}a` : name

const atMost = (name: string, max: number): string[] =>
  name.length > max ? [`must be no more than ${max} characters`] : []

const dnsSubdomain: NameRule = (name, isPrefix) => [
  ...atMost(name, 253),
  ...(SUBDOMAIN.test(whole(name, isPrefix))
    ? []
    : [
        `a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`,
      ]),
]

const dnsLabel: NameRule = (name, isPrefix) => [
  ...atMost(name, 63),
  ...(LABEL.test(whole(name, isPrefix))
    ? []
    : [
        `a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`,
      ]),
]

const dns1035Label: NameRule = (name, isPrefix) => [
  ...atMost(name, 63),
  ...(LABEL_1035.test(whole(name, isPrefix))
    ? []
    : [
        `a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')`,
      ]),
]

const anySegment: NameRule = (name) => pathSegmentProblems(name)

/** A signer's bundles are called after it, `example.com:signer:name`. */
const bundle: NameRule = (name, isPrefix) =>
  name.includes(':')
    ? anySegment(name.replaceAll('/', ':'), isPrefix)
    : dnsSubdomain(name, isPrefix)

/** Address objects are called by their address: the definition looks at the rest. */
const address: NameRule = (name) =>
  /^[0-9a-fA-F.:]+$/.test(name) ? [] : ['must be a valid IP address']

const NAME_RULES: Readonly<Record<string, NameRule>> = {
  // `v1.` is that of the core group.
  'apiservices.apiregistration.k8s.io': anySegment,
  namespaces: dnsLabel,
  services: dns1035Label,
  'roles.rbac.authorization.k8s.io': anySegment,
  'clusterroles.rbac.authorization.k8s.io': anySegment,
  'rolebindings.rbac.authorization.k8s.io': anySegment,
  'clusterrolebindings.rbac.authorization.k8s.io': anySegment,
  'clustertrustbundles.certificates.k8s.io': bundle,
  'ipaddresses.networking.k8s.io': address,
}

const ruleFor = ({ group, resource }: ResourceFact): NameRule =>
  NAME_RULES[group === '' ? resource : `${resource}.${group}`] ?? dnsSubdomain

const META = FieldPath.of('metadata')
const isText = (value: unknown): value is string => typeof value === 'string'

/** Problems of a new object's metadata. */
export function validateMetadata(
  metadata: JsonObject,
  facts: ResourceFact,
  namespace: string,
): readonly FieldError[] {
  const errors: FieldError[] = []
  const rule = ruleFor(facts)
  const { name, generateName } = metadata
  if (isText(generateName) && generateName !== '')
    for (const why of rule(generateName, true))
      errors.push(invalidValue(META.child('generateName'), generateName, why))
  if (!isText(name) || name === '')
    errors.push(required(META.child('name'), 'name or generateName is required'))
  else for (const why of rule(name, false)) errors.push(invalidValue(META.child('name'), name, why))
  if (facts.namespaced) {
    if (namespace === '') errors.push(required(META.child('namespace')))
    else
      for (const why of dnsLabel(namespace, false))
        errors.push(invalidValue(META.child('namespace'), namespace, why))
  } else if (isText(metadata['namespace']) && metadata['namespace'] !== '')
    errors.push(forbiddenField(META.child('namespace'), 'not allowed on this type'))
  errors.push(...commonProblems(metadata))
  return errors
}

/** Problems of an update's metadata, after `keepServerMetadata`. */
export function validateMetadataUpdate(
  metadata: JsonObject,
  old: ObjectMeta,
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
  errors.push(...commonProblems(metadata))
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

function commonProblems(metadata: JsonObject): readonly FieldError[] {
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
      for (const why of keyProblems(key.toLowerCase())) errors.push(invalidValue(path, key, why))
    }
    if (size > LARGEST_ANNOTATIONS)
      errors.push({
        type: 'FieldValueTooLong',
        field: path.text,
        detail: `Too long: may not be more than ${LARGEST_ANNOTATIONS} bytes`,
      })
  }
  if (ownerReferences !== undefined) errors.push(...ownerProblems(ownerReferences))
  if (finalizers !== undefined) errors.push(...finalizerProblems(finalizers))
  return errors
}

/** Most labels of a cluster are the same few. */
const goodKeys = new Set<string>()
const goodValues = new Set<string>()
const remember = (set: Set<string>, text: string): void => {
  if (set.size >= 4096) set.clear()
  set.add(text)
}

function validateLabels(
  labels: Readonly<Record<string, string>>,
  path: FieldPath,
): readonly FieldError[] {
  let errors: FieldError[] | undefined
  for (const key in labels) {
    const value = labels[key]!
    if (!goodKeys.has(key)) {
      const problems = keyProblems(key)
      if (problems.length === 0) remember(goodKeys, key)
      for (const why of problems) (errors ??= []).push(invalidValue(path, key, why))
    }
    if (!goodValues.has(value)) {
      const problems = labelValueProblems(value)
      if (problems.length === 0) remember(goodValues, value)
      for (const why of problems) (errors ??= []).push(invalidValue(path, value, why))
    }
  }
  return errors ?? NONE
}
const NONE: readonly FieldError[] = []

/** `[prefix/]name`, the prefix a DNS subdomain. */
function keyProblems(key: string): readonly string[] {
  const problems: string[] = []
  const parts = key.split('/')
  if (parts.length > 2)
    return [
      `a qualified name ${NAME_TEXT} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ]
  const name = parts.at(-1)!
  if (parts.length === 2) {
    const prefix = parts[0]!
    if (prefix === '') problems.push('prefix part must be non-empty')
    else problems.push(...dnsSubdomain(prefix, false).map((why) => `prefix part ${why}`))
  }
  if (name === '') problems.push('name part must be non-empty')
  else if (name.length > 63) problems.push('name part must be no more than 63 characters')
  if (!QUALIFIED.test(name)) problems.push(`name part ${NAME_TEXT}`)
  return problems
}
const NAME_TEXT =
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"

function labelValueProblems(value: string): readonly string[] {
  return [
    ...atMost(value, 63),
    ...(LABEL_VALUE.test(value)
      ? []
      : [
          "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
        ]),
  ]
}

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
    for (const why of keyProblems(finalizer)) errors.push(invalidValue(path, finalizer, why))
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

const SUFFIX = 'bcdfghjklmnpqrstvwxz2456789'
/** 63 characters less the five that are added: a generated name stays usable as a label. */
const LONGEST_BASE = 58

/** A name from a generateName: no vowels, so that no words come of it. */
export function generatedName(base: string, random: () => number): string {
  let suffix = ''
  for (let i = 0; i < 5; i++) suffix += SUFFIX[Math.floor(random() * SUFFIX.length)]
  return base.slice(0, LONGEST_BASE) + suffix
}

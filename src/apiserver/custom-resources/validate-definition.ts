/** Which CustomResourceDefinitions are good, in the words of apiextensions.k8s.io/v1. */
import type { CustomResourceDefinition } from '#api'
import {
  FieldPath,
  dns1035Label,
  dnsSubdomain,
  invalidValue,
  required,
  type FieldError,
} from '#machinery'
import { sameJson } from '../json.ts'
import { APPROVED, approvalOf, isProtected } from './approval.ts'
import { selectableProblems } from './field-paths.ts'
import { isFormatOf } from './formats.ts'
import { isTrue } from './names.ts'
import { hasDefaults, schemaOf, someSchema, type Schema } from './schema.ts'
import { acceptedWord, conversionProblems } from './conversion-rules.ts'
import { validateSchema } from './validate-schema.ts'

type Spec = CustomResourceDefinition['spec']
type Version = Spec['versions'][number]

const SPEC = FieldPath.of('spec')
const STORED = FieldPath.of('status', 'storedVersions')

/** A new definition. */
export function validateDefinition(crd: CustomResourceDefinition): readonly FieldError[] {
  return [
    ...nameProblems(crd),
    ...specProblems(crd.spec, { unchanged: new Set(), trustsBundle: true }),
    ...storedProblems(crd),
    ...approvalProblems(crd, undefined),
    ...(crd.spec.preserveUnknownFields === true ? [PRESERVES] : []),
  ]
}

const NEEDS_PRUNING = invalidValue(
  FieldPath.of('spec', 'preserveUnknownFields'),
  true,
  'must be false in order to use defaults in the schema',
)

/** A changed one: what was accepted before does not become wrong by itself. */
export function validateDefinitionUpdate(
  crd: CustomResourceDefinition,
  old: CustomResourceDefinition,
): readonly FieldError[] {
  const before = new Map(old.spec.versions.map((version) => [version.name, version]))
  const unchanged = new Set(
    crd.spec.versions
      .filter((version) => {
        const earlier = before.get(version.name)
        return (
          earlier !== undefined &&
          sameJson(schemaOf(version), schemaOf(earlier)) &&
          sameJson(version.subresources, earlier.subresources)
        )
      })
      .map(({ name }) => name),
  )
  const errors: FieldError[] = [
    ...specProblems(crd.spec, { unchanged, trustsBundle: !isTrue(old, 'Established') }),
  ]
  const immutable = (now: unknown, then: unknown, path: FieldPath): void => {
    if (now !== then) errors.push(invalidValue(path, now, 'field is immutable'))
  }
  if (isTrue(old, 'Established')) {
    immutable(crd.spec.scope, old.spec.scope, SPEC.child('scope'))
    immutable(crd.spec.names.kind, old.spec.names.kind, SPEC.child('names', 'kind'))
  }
  immutable(crd.spec.group, old.spec.group, SPEC.child('group'))
  immutable(crd.spec.names.plural, old.spec.names.plural, SPEC.child('names', 'plural'))
  errors.push(...storedProblems(crd), ...approvalProblems(crd, old))
  if (crd.spec.preserveUnknownFields === true && old.spec.preserveUnknownFields !== true)
    errors.push(PRESERVES)
  return errors
}

/** Formats that mean nothing are kept, and told of. */
export function warningsOf({ spec }: CustomResourceDefinition): readonly string[] {
  const formats = new Set<string>()
  for (const version of spec.versions) {
    const schema = schemaOf(version)
    if (schema === undefined) continue
    someSchema(schema, ({ type, format = '' }) => {
      if (format !== '' && !isFormatOf(type, format)) formats.add(format)
      return false
    })
  }
  return [...formats].map((format) => `unrecognized format ${JSON.stringify(format)}`)
}

const PRESERVES = invalidValue(
  SPEC.child('preserveUnknownFields'),
  true,
  'cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead',
)

const check = (
  path: FieldPath,
  value: string,
  rule: (value: string) => readonly string[],
  before = '',
  judged = value,
): readonly FieldError[] => {
  const problems = rule(judged)
  return problems.length === 0 ? [] : [invalidValue(path, value, before + problems.join(','))]
}

function nameProblems({ metadata, spec }: CustomResourceDefinition): readonly FieldError[] {
  return metadata.name === `${spec.names.plural}.${spec.group}`
    ? []
    : [
        invalidValue(
          FieldPath.of('metadata', 'name'),
          metadata.name,
          'must be spec.names.plural+"."+spec.group',
        ),
      ]
}

interface SpecOptions {
  /** Versions whose schemas were judged before. */
  readonly unchanged: ReadonlySet<string>
  /** A bundle that is no bundle yet may still become one. */
  readonly trustsBundle: boolean
}

function specProblems(spec: Spec, options: SpecOptions): readonly FieldError[] {
  const errors: FieldError[] = []
  const { group, scope, versions } = spec
  const at = SPEC.child('group')
  if (group === '') errors.push(required(at))
  else {
    const problems = check(at, group, dnsSubdomain)
    errors.push(...problems)
    if (problems.length === 0 && !group.includes('.'))
      errors.push(invalidValue(at, group, 'should be a domain with at least one dot'))
  }
  errors.push(...acceptedWord(SPEC.child('scope'), scope, ['Cluster', 'Namespaced']))
  const usesDefaults = versions.some((version) => {
    const schema = schemaOf(version)
    return schema !== undefined && hasDefaults(schema)
  })
  if (spec.preserveUnknownFields === true && usesDefaults) errors.push(NEEDS_PRUNING)
  const where = SPEC.child('versions')
  for (const [i, version] of versions.entries())
    if (schemaOf(version) === undefined)
      errors.push(required(where.index(i).child('schema', 'openAPIV3Schema')))
  const isShared = sharedParts(versions)
  for (const [i, version] of versions.entries())
    errors.push(...versionProblems(version, where.index(i), options, isShared))
  if (new Set(versions.map(({ name }) => name)).size < versions.length)
    errors.push(invalidValue(where, versions, 'must contain unique version names'))
  if (versions.filter(({ storage }) => storage).length !== 1)
    errors.push(
      invalidValue(where, versions, 'must have exactly one version marked as storage version'),
    )
  // The old name of the first one.
  const [first] = versions
  if (first !== undefined) errors.push(...check(SPEC.child('version'), first.name, dns1035Label))
  errors.push(
    ...nameWordProblems(spec),
    ...sharedProblems(spec, options, isShared),
    ...conversionProblems(spec, options),
  )
  return errors
}

const PARTS = ['schema', 'subresources', 'additionalPrinterColumns', 'selectableFields'] as const
type Part = (typeof PARTS)[number]

/** What all versions have alike is the definition's own: it is judged once, and told of as that. */
const sharedParts = (versions: readonly Version[]): ReadonlySet<Part> =>
  new Set(
    PARTS.filter((part) =>
      versions.every((version) => sameJson(version[part] ?? null, versions[0]?.[part] ?? null)),
    ),
  )

function sharedProblems(
  { versions }: Spec,
  { unchanged }: SpecOptions,
  isShared: ReadonlySet<Part>,
): readonly FieldError[] {
  const [first] = versions
  if (first === undefined) return []
  const schema = schemaOf(first)
  const hasStatus = versions.some(({ subresources }) => subresources?.status !== undefined)
  const isJudged = versions.every(({ name }) => unchanged.has(name))
  return [
    ...(isShared.has('schema') && schema !== undefined && !isJudged
      ? validateSchema(schema, SPEC.child('validation', 'openAPIV3Schema'), { hasStatus })
      : []),
    ...partProblems(first, SPEC, (part) => isShared.has(part)),
  ]
}

/** Those parts of a version that are wanted, but for its schema. */
function partProblems(
  version: Version,
  path: FieldPath,
  isWanted: (part: Part) => boolean,
): readonly FieldError[] {
  return [
    ...(isWanted('subresources') ? scaleProblems(version, path.child('subresources')) : []),
    ...(isWanted('additionalPrinterColumns')
      ? columnProblems(version, path.child('additionalPrinterColumns'))
      : []),
    ...(isWanted('selectableFields')
      ? selectableProblems(
          version.selectableFields ?? [],
          schemaOf(version),
          path.child('selectableFields'),
          path === SPEC,
        )
      : []),
  ]
}

function nameWordProblems({ names }: Spec): readonly FieldError[] {
  const errors: FieldError[] = []
  const at = SPEC.child('names')
  const { plural, singular = '', kind, listKind = '', shortNames = [], categories = [] } = names
  const words = { plural, singular, kind, listKind }
  for (const [name, word] of Object.entries(words))
    if (word === '') errors.push(required(at.child(name)))
  const mixed = 'may have mixed case, but should otherwise match: '
  for (const name of ['plural', 'singular'] as const)
    if (words[name] !== '') errors.push(...check(at.child(name), words[name], dns1035Label))
  for (const name of ['kind', 'listKind'] as const)
    if (words[name] !== '')
      errors.push(
        ...check(at.child(name), words[name], dns1035Label, mixed, words[name].toLowerCase()),
      )
  for (const [i, name] of shortNames.entries())
    errors.push(...check(at.child('shortNames').index(i), name, dns1035Label))
  if (kind !== '' && kind === listKind)
    errors.push(
      invalidValue(at.child('listKind'), listKind, 'kind and listKind may not be the same'),
    )
  for (const [i, name] of categories.entries())
    errors.push(...check(at.child('categories').index(i), name, dns1035Label))
  return errors
}

function versionProblems(
  version: Version,
  path: FieldPath,
  { unchanged }: SpecOptions,
  isShared: ReadonlySet<Part>,
): readonly FieldError[] {
  const schema = schemaOf(version)
  return [
    ...check(path.child('name'), version.name, dns1035Label),
    ...deprecationProblems(version, path.child('deprecationWarning')),
    ...(schema === undefined || unchanged.has(version.name) || isShared.has('schema')
      ? []
      : schemaProblems(schema, version, path.child('schema', 'openAPIV3Schema'))),
    ...partProblems(version, path, (part) => !isShared.has(part)),
  ]
}

const schemaProblems = (
  schema: Schema,
  { subresources }: Version,
  path: FieldPath,
): readonly FieldError[] =>
  validateSchema(schema, path, { hasStatus: subresources?.status !== undefined })

const MAX_WARNING = 256

function deprecationProblems(
  { deprecated = false, deprecationWarning: text }: Version,
  path: FieldPath,
): readonly FieldError[] {
  if (text === undefined) return []
  const wrong = (why: string): readonly FieldError[] => [invalidValue(path, text, why)]
  if (!deprecated) return wrong('can only be set for deprecated versions')
  const errors: FieldError[] = []
  if (Buffer.byteLength(text) > MAX_WARNING)
    errors.push(...wrong(`must be <= ${MAX_WARNING} characters long`))
  if (text === '') errors.push(...wrong('must not be an empty string'))
  const at = text.search(/[\p{C}\p{Zl}\p{Zp}]/u)
  if (at >= 0)
    errors.push(
      ...wrong(
        `must only contain printable UTF-8 characters; non-printable character found at index ${at}`,
      ),
    )
  return errors
}

function scaleProblems({ subresources }: Version, path: FieldPath): readonly FieldError[] {
  const { scale } = subresources ?? {}
  if (scale === undefined) return []
  const errors: FieldError[] = []
  const below = (name: string, text: string, places: readonly string[], why: string): void => {
    const at = path.child('scale', name)
    if (!text.startsWith('.'))
      errors.push(invalidValue(at, text, 'must be a simple json path starting with .'))
    else if (!places.some((place) => text.startsWith(`${place}.`)))
      errors.push(invalidValue(at, text, `should be a json path under ${why}`))
  }
  const { specReplicasPath, statusReplicasPath, labelSelectorPath = '' } = scale
  if (specReplicasPath === '') errors.push(required(path.child('scale', 'specReplicasPath')))
  else below('specReplicasPath', specReplicasPath, ['.spec'], '.spec')
  if (statusReplicasPath === '') errors.push(required(path.child('scale', 'statusReplicasPath')))
  else below('statusReplicasPath', statusReplicasPath, ['.status'], '.status')
  if (labelSelectorPath !== '')
    below('labelSelectorPath', labelSelectorPath, ['.spec', '.status'], 'either .spec or .status')
  return errors
}

const COLUMN_TYPES = ['boolean', 'date', 'integer', 'number', 'string']
const COLUMN_FORMATS = [
  'byte',
  'date',
  'date-time',
  'double',
  'float',
  'int32',
  'int64',
  'password',
]

function columnProblems(
  { additionalPrinterColumns = [] }: Version,
  path: FieldPath,
): readonly FieldError[] {
  return additionalPrinterColumns.flatMap(({ name, type, format = '', jsonPath }, i) => {
    const at = path.index(i)
    const errors: FieldError[] = []
    const types = `must be one of ${COLUMN_TYPES.join(',')}`
    if (name === '') errors.push(required(at.child('name')))
    if (type === '') errors.push(required(at.child('type'), types))
    else if (!COLUMN_TYPES.includes(type)) errors.push(invalidValue(at.child('type'), type, types))
    if (format !== '' && !COLUMN_FORMATS.includes(format))
      errors.push(
        invalidValue(at.child('format'), format, `must be one of ${COLUMN_FORMATS.join(',')}`),
      )
    if (jsonPath === '') errors.push(required(at.child('JSONPath')))
    else if (!jsonPath.startsWith('.'))
      errors.push(
        invalidValue(at.child('JSONPath'), jsonPath, 'must be a simple json path starting with .'),
      )
    return errors
  })
}

function storedProblems({ spec, status }: CustomResourceDefinition): readonly FieldError[] {
  const stored = status?.storedVersions ?? []
  if (stored.length === 0)
    return [invalidValue(STORED, stored, 'must have at least one stored version')]
  const errors: FieldError[] = []
  for (const { name, storage } of spec.versions)
    if (storage && !stored.includes(name))
      errors.push(invalidValue(STORED, stored, `must have the storage version ${name}`))
  for (const [i, name] of stored.entries())
    if (!spec.versions.some((version) => version.name === name))
      errors.push(
        invalidValue(
          STORED.index(i),
          name,
          `missing from spec.versions; ${name} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in ${name} and removes ${name} from status.storedVersions`,
        ),
      )
  return errors
}

function approvalProblems(
  crd: CustomResourceDefinition,
  old: CustomResourceDefinition | undefined,
): readonly FieldError[] {
  if (!isProtected(crd.spec.group)) return []
  const { state, text } = approvalOf(crd)
  if (old !== undefined && approvalOf(old).state === state) return []
  const path = FieldPath.of('metadata', 'annotations').key(APPROVED)
  if (state === 'missing') return [required(path, text)]
  return state === 'invalid' ? [invalidValue(path, crd.metadata.annotations?.[APPROVED], text)] : []
}

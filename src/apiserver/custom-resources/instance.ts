/** What the server knows of a custom resource: made from a definition, one for each version that it serves. */
import type { CustomResourceDefinition } from '#api'
import {
  customDefinitionName,
  customSchemas,
  type JsonObject,
  type KubeObject,
  type ResourceDefinition,
  type SubresourceFact,
} from '#machinery'
import { copyJson, textOf } from '../json.ts'
import type { OwnSchemas } from '../own-schemas.ts'
import { columnsOf } from './columns.ts'
import { conversionFor, type Convert } from './convert.ts'
import { deprecationOf } from './deprecation.ts'
import { parseJsonPath } from './json-path.ts'
import { fillDefaults, pruneObject, type PruneOptions } from './prune.ts'
import { schemaOf, type Schema } from './schema.ts'
import { mismatchesOf } from './mismatches.ts'
import { shapeOfObject } from './shape.ts'
import { validatorOf } from './validate-object.ts'

type Version = CustomResourceDefinition['spec']['versions'][number]

export interface ServedVersion {
  readonly definition: ResourceDefinition
  readonly schemas: OwnSchemas
}

const VERBS = ['delete', 'deletecollection', 'get', 'list', 'patch', 'create', 'update', 'watch']
const STATUS_VERBS = ['get', 'patch', 'update']

/** Where a version has no schema anything goes. */
const OPEN: Schema = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true }

export interface ServedVersions {
  readonly served: readonly ServedVersion[]
  /** In which its objects are stored, whether it is served or not. */
  readonly stored: ResourceDefinition
}

export function servedVersions(crd: CustomResourceDefinition, convert: Convert): ServedVersions {
  const { versions } = crd.spec
  const stored = versions.find(({ storage }) => storage) ?? versions[0]
  if (stored === undefined) throw new Error(`Cannot serve ${crd.metadata.name}: it has no versions`)
  const forms = formsOf(crd)
  const fields = selectableFields(crd, forms)
  const make = (version: Version) =>
    servedVersion(crd, version, stored.name, { forms, fields, convert })
  const served = versions.filter((each) => each.served).map(make)
  const own = served.find(({ definition }) => definition.facts.version === stored.name)
  return { served, stored: (own ?? make(stored)).definition }
}

/** How objects of each version look, also of those that are not served and may still be stored. */
type Forms = ReadonlyMap<string, Schema>

function formsOf({ spec }: CustomResourceDefinition): Forms {
  return new Map(
    spec.versions.map((version) => [
      version.name,
      spec.preserveUnknownFields === true
        ? { ...schemaOf(version), ...OPEN }
        : (schemaOf(version) ?? OPEN),
    ]),
  )
}

interface Shared {
  readonly forms: Forms
  readonly fields: ResourceDefinition['fields']
  readonly convert: Convert
}

function servedVersion(
  crd: CustomResourceDefinition,
  version: Version,
  stored: string,
  { forms, fields, convert }: Shared,
): ServedVersion {
  const { spec, status, metadata } = crd
  const { group } = spec
  const names = { ...spec.names, ...status?.acceptedNames }
  const { kind, listKind = `${kind}List`, plural } = names
  const schema = forms.get(version.name) ?? OPEN
  const subresources = subresourcesOf(version, kind)
  const hasStatus = version.subresources?.status !== undefined
  const { scale } = version.subresources ?? {}
  const isEnding = metadata.deletionTimestamp !== undefined
  const type = customDefinitionName(group, version.name, kind)
  const selectable = (version.selectableFields ?? []).map(({ jsonPath }) => jsonPath)
  const validator = validatorOf(schema, version)
  const form = (object: JsonObject, options: PruneOptions): JsonObject => {
    pruneObject(object, schema, options)
    return object
  }
  const definition: ResourceDefinition = {
    isCustom: true,
    ...(isEnding ? { isEnding } : {}),
    facts: {
      group,
      version: version.name,
      resource: plural,
      kind,
      singular: names.singular ?? kind.toLowerCase(),
      namespaced: spec.scope === 'Namespaced',
      ...(names.shortNames === undefined ? {} : { shortNames: names.shortNames }),
      ...(names.categories === undefined ? {} : { categories: names.categories }),
      verbs: VERBS,
      type,
      listType: customDefinitionName(group, version.name, listKind),
      stage: 'ga',
      deleteReturns: 'Status',
      persisted: true,
      fieldSelectors: [
        'metadata.name',
        ...(spec.scope === 'Namespaced' ? ['metadata.namespace'] : []),
        ...selectable.map((path) => path.replace(/^\./, '')),
      ],
      subresources,
    },
    defaults(object) {
      form(object, { keepsNulls: true })
      fillDefaults(object, schema)
    },
    validate: (object) => validator.create(object),
    validateUpdate: (object, old, { subresource }) =>
      validator.update(object, old, subresource === 'status' ? 'status' : undefined),
    validatesUpdateAlone: true,
    prepareForCreate(object) {
      if (hasStatus) delete object['status']
    },
    prepareForUpdate(object, old, { subresource }) {
      if (subresource === 'status') keepAllButStatus(object, old)
      else if (hasStatus) keepStatus(object, old)
    },
    warnings: (object, old) => validator.warnings(object, old),
    hasGeneration: true,
    graceSeconds: () => undefined,
    createOnUpdate: false,
    unconditionalUpdate: false,
    defaultPropagation: 'Background',
    columns: columnsOf(version.additionalPrinterColumns),
    fields,
    ...(scale === undefined
      ? {}
      : {
          scale: {
            specReplicas: scale.specReplicasPath,
            statusReplicas: scale.statusReplicasPath,
            ...(scale.labelSelectorPath === undefined || scale.labelSelectorPath === ''
              ? {}
              : { selector: scale.labelSelectorPath }),
          },
        }),
    ...deprecationOf(crd, version),
    storagePrefix: `/registry/${group}/${plural}/`,
    convert: conversionFor(
      { crd, version: version.name, stored, convert },
      {
        finish(object) {
          const given = forms.get(versionOf(object)) ?? OPEN
          pruneObject(object, given, { lenient: true })
          fillDefaults(object, given)
          const { metadata } = object as unknown as KubeObject
          // Very old objects have none.
          if ((metadata.generation ?? 0) === 0) (metadata as { generation?: number }).generation = 1
        },
        trim(object) {
          pruneObject(object, schema, { lenient: true })
        },
      },
    ),
  }
  return {
    definition,
    schemas: {
      form: (value, formOptions = {}) => form(copyJson(value), formOptions),
      shape: shapeOfObject(schema),
      mismatches: (value) => mismatchesOf(schema, value),
      fields: Object.keys(schema.properties ?? {}),
      published: customSchemas({
        group,
        version: version.name,
        kind,
        listKind,
        ...(schemaOf(version) === undefined
          ? {}
          : { schema: schemaOf(version) as unknown as JsonObject }),
        ...(spec.preserveUnknownFields === true ? { preserveUnknownFields: true } : {}),
        selectableFields: selectable,
      }),
    },
  }
}

const versionOf = ({ apiVersion }: JsonObject): string =>
  typeof apiVersion === 'string' ? apiVersion.slice(apiVersion.indexOf('/') + 1) : ''

function subresourcesOf({ subresources }: Version, kind: string): readonly SubresourceFact[] {
  return [
    ...(subresources?.status === undefined ? [] : [{ name: 'status', kind, verbs: STATUS_VERBS }]),
    ...(subresources?.scale === undefined
      ? []
      : [
          {
            name: 'scale',
            group: 'autoscaling',
            version: 'v1',
            kind: 'Scale',
            verbs: STATUS_VERBS,
          },
        ]),
  ]
}

function keepStatus(object: JsonObject, old: KubeObject): void {
  const { status } = old as unknown as JsonObject
  if (status === undefined) delete object['status']
  else object['status'] = status
}

/** The endpoint of the status changes nothing else: not even labels. */
function keepAllButStatus(object: JsonObject, old: KubeObject): void {
  const { status, metadata } = object as { status: unknown; metadata: JsonObject }
  const before = old as unknown as JsonObject
  for (const key of Object.keys(object)) if (key !== 'metadata') delete object[key]
  for (const key of Object.keys(before)) if (key !== 'metadata') object[key] = before[key]
  if (status === undefined) delete object['status']
  else object['status'] = status
  const { managedFields, resourceVersion } = metadata
  for (const key of Object.keys(metadata)) delete metadata[key]
  Object.assign(metadata, before['metadata'])
  if (managedFields === undefined) delete metadata['managedFields']
  else metadata['managedFields'] = managedFields
  metadata['resourceVersion'] = resourceVersion
}

/** What field selectors of any version look at, in the object as it is stored. */
function selectableFields(
  { spec }: CustomResourceDefinition,
  forms: Forms,
): ResourceDefinition['fields'] {
  const paths = new Map(
    spec.versions.flatMap(({ selectableFields = [] }) =>
      selectableFields.map(({ jsonPath }) => [
        jsonPath.replace(/^\./, ''),
        parseJsonPath(jsonPath),
      ]),
    ),
  )
  if (paths.size === 0) return () => ({})
  return (stored) => {
    const object = copyJson(stored) as unknown as JsonObject
    fillDefaults(object, forms.get(versionOf(object)))
    const found: Record<string, string> = {}
    for (const [name, path] of paths) {
      const [value] = path?.(object) ?? []
      if (value !== undefined && value !== null) found[name] = textOf(value)
    }
    return found
  }
}

/** How the API grows: custom resources, and API servers behind this one. */
import {
  FieldPath,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
  type FieldError,
} from '#machinery'
import { defineResource } from './define.ts'
import type { Mutable } from './mutable.ts'
import {
  apiServices as apiServicesRef,
  customResourceDefinitions as definitionsRef,
} from './resources.gen.ts'
import { check, dns1035Label, dnsSubdomain, immutable } from './rules.ts'
import type {
  APIService,
  CustomResourceDefinition,
  CustomResourceDefinitionVersion,
} from './types.gen.ts'

const path = FieldPath.of('spec')

function defaultDefinition({ spec, status }: Mutable<CustomResourceDefinition>): void {
  const { names } = spec
  if (names && (names.kind ?? '') !== '') {
    if ((names.singular ?? '') === '') names.singular = names.kind.toLowerCase()
    if ((names.listKind ?? '') === '') names.listKind = `${names.kind}List`
  }
  spec.conversion ??= { strategy: 'None' }
  const service = spec.conversion.webhook?.clientConfig?.service
  if (service) service.port ??= 443
  const stored = spec.versions.find(({ storage }) => storage)?.name
  if (status && (status.storedVersions ?? []).length === 0 && stored !== undefined) {
    status.storedVersions = [stored]
  }
}

function validateDefinition(definition: CustomResourceDefinition): readonly FieldError[] {
  const { spec, metadata } = definition
  const errors: FieldError[] = []
  const { group, names, scope, versions } = spec
  const expected = `${names.plural}.${group}`
  if (metadata.name !== expected) {
    errors.push(
      invalidValue(
        FieldPath.of('metadata', 'name'),
        metadata.name,
        'must be spec.names.plural+"."+spec.group',
      ),
    )
  }
  if (group === '') errors.push(required(path.child('group')))
  else {
    errors.push(...check(path.child('group'), group, dnsSubdomain))
    if (!group.includes('.')) {
      errors.push(
        invalidValue(path.child('group'), group, 'should be a domain with at least one dot'),
      )
    }
  }
  if (scope !== 'Cluster' && scope !== 'Namespaced') {
    errors.push(notSupported(path.child('scope'), scope, ['Cluster', 'Namespaced']))
  }
  errors.push(...validateVersions(versions))
  errors.push(...validateNames(definition))
  const conversion = spec.conversion
  const at = path.child('conversion')
  if (conversion && conversion.strategy !== 'None' && conversion.strategy !== 'Webhook') {
    errors.push(notSupported(at.child('strategy'), conversion.strategy, ['None', 'Webhook']))
  }
  if (conversion?.strategy === 'Webhook') {
    const client = conversion.webhook?.clientConfig
    if (client === undefined) {
      errors.push(
        required(at.child('webhook', 'clientConfig'), 'required when strategy is set to Webhook'),
      )
    } else if ((client.url === undefined) === (client.service === undefined)) {
      errors.push(
        required(at.child('webhook', 'clientConfig'), 'exactly one of url or service is required'),
      )
    }
  } else if (conversion?.webhook) {
    errors.push(
      forbiddenField(at.child('webhook'), 'should not be set when strategy is not set to Webhook'),
    )
  }
  return errors
}

function validateVersions(
  versions: readonly CustomResourceDefinitionVersion[],
): readonly FieldError[] {
  const at = path.child('versions')
  if (versions.length === 0) {
    return [invalidValue(at, versions, 'must have exactly one version marked as storage version')]
  }
  const errors: FieldError[] = []
  const stored = versions.filter(({ storage }) => storage)
  if (stored.length !== 1) {
    errors.push(
      invalidValue(at, versions, 'must have exactly one version marked as storage version'),
    )
  }
  for (const [i, version] of versions.entries()) {
    const each = at.index(i)
    errors.push(...check(each.child('name'), version.name, dns1035Label))
    if (versions.findIndex(({ name }) => name === version.name) < i) {
      errors.push(invalidValue(at, versions, 'must contain unique version names'))
    }
    errors.push(...validateSchema(version, each.child('schema', 'openAPIV3Schema')))
    const columns = version.additionalPrinterColumns ?? []
    for (const [j, { name, type, jsonPath }] of columns.entries()) {
      const column = each.child('additionalPrinterColumns').index(j)
      if (name === '') errors.push(required(column.child('name')))
      if (type === '') {
        errors.push(
          required(column.child('type'), 'must be one of boolean,date,integer,number,string'),
        )
      } else if (!['boolean', 'date', 'integer', 'number', 'string'].includes(type)) {
        errors.push(
          invalidValue(
            column.child('type'),
            type,
            'must be one of boolean,date,integer,number,string',
          ),
        )
      }
      if (jsonPath === '') errors.push(required(column.child('jsonPath')))
    }
    const scale = version.subresources?.scale
    const where = each.child('subresources', 'scale')
    for (const name of ['specReplicasPath', 'statusReplicasPath'] as const) {
      const value = scale?.[name]
      if (scale === undefined || value === undefined) continue
      const prefix = name === 'specReplicasPath' ? '.spec.' : '.status.'
      if (value === '') errors.push(required(where.child(name)))
      else if (!value.startsWith(prefix)) {
        errors.push(
          invalidValue(
            where.child(name),
            value,
            `should be a json path under ${prefix.slice(0, -1)}`,
          ),
        )
      }
    }
  }
  return errors
}

function validateSchema(
  version: CustomResourceDefinitionVersion,
  at: FieldPath,
): readonly FieldError[] {
  const schema = version.schema?.openAPIV3Schema
  if (schema === undefined) return [required(at, 'schemas are required')]
  if ((schema.type ?? '') === '')
    return [required(at.child('type'), 'must not be empty at the root')]
  return schema.type === 'object'
    ? []
    : [invalidValue(at.child('type'), schema.type, 'must be object at the root')]
}

function validateNames({ spec }: CustomResourceDefinition): readonly FieldError[] {
  const errors: FieldError[] = []
  const at = path.child('names')
  const {
    plural,
    singular = '',
    kind,
    listKind = '',
    shortNames = [],
    categories = [],
  } = spec.names
  const word = (name: string, value: string, lower = value): void => {
    if (value === '') errors.push(required(at.child(name)))
    else errors.push(...dns1035Label(lower).map((why) => invalidValue(at.child(name), value, why)))
  }
  word('plural', plural)
  if (singular !== '') word('singular', singular)
  word('kind', kind, kind.toLowerCase())
  if (listKind !== '') word('listKind', listKind, listKind.toLowerCase())
  for (const [i, name] of shortNames.entries()) {
    errors.push(...check(at.child('shortNames').index(i), name, dns1035Label))
  }
  for (const [i, name] of categories.entries()) {
    errors.push(...check(at.child('categories').index(i), name, dns1035Label))
  }
  if (listKind !== '' && listKind === kind) {
    errors.push(
      invalidValue(at.child('listKind'), listKind, 'kind and listKind may not be the same'),
    )
  }
  return errors
}

function validateDefinitionUpdate(
  now: CustomResourceDefinition,
  old: CustomResourceDefinition,
): readonly FieldError[] {
  const established = old.status?.conditions?.some(
    ({ type, status }) => type === 'Established' && status === 'True',
  )
  const errors: FieldError[] = []
  if (established === true) {
    errors.push(...immutable(now.spec.scope, old.spec.scope, path.child('scope')))
    errors.push(...immutable(now.spec.names.kind, old.spec.names.kind, path.child('names', 'kind')))
  }
  errors.push(...immutable(now.spec.group, old.spec.group, path.child('group')))
  errors.push(
    ...immutable(now.spec.names.plural, old.spec.names.plural, path.child('names', 'plural')),
  )
  const names = new Set(now.spec.versions.map(({ name }) => name))
  for (const [i, stored] of (old.status?.storedVersions ?? []).entries()) {
    if (!names.has(stored)) {
      errors.push(
        invalidValue(
          FieldPath.of('status', 'storedVersions').index(i),
          stored,
          `missing from spec.versions; ${stored} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in ${stored} and removes ${stored} from status.storedVersions`,
        ),
      )
    }
  }
  return errors
}

// What removes the objects of a kind ends by taking its finalizer away through the status endpoint.
const customResourceDefinitions = defineResource(definitionsRef, {
  defaults: defaultDefinition,
  validate: validateDefinition,
  validateUpdate: (now, old, { subresource }) =>
    subresource === '' ? validateDefinitionUpdate(now, old) : [],
  prepareForCreate(definition) {
    const stored = definition.spec.versions.find(({ storage }) => storage)?.name
    definition.status = stored === undefined ? {} : { storedVersions: [stored] }
  },
  prepareForUpdate(definition, old, { subresource }) {
    if (subresource !== '') return
    // A version that becomes the stored one is remembered until its objects are migrated.
    const stored = definition.spec.versions.find(({ storage }) => storage)?.name
    const known = old.status?.storedVersions ?? []
    if (stored !== undefined && !known.includes(stored)) {
      definition.status = { ...definition.status, storedVersions: [...known, stored] }
    }
  },
  cells: {},
})

const MAX_GROUP_PRIORITY = 20_000
const MAX_VERSION_PRIORITY = 1000

function validateApiService({ metadata, spec }: APIService): readonly FieldError[] {
  const errors: FieldError[] = []
  const { group = '', version = '', service } = spec
  const expected = `${version}.${group}`
  if (metadata.name !== expected) {
    errors.push(
      invalidValue(
        FieldPath.of('metadata', 'name'),
        metadata.name,
        `must be \`spec.version+"."+spec.group\`: ${JSON.stringify(expected)}`,
      ),
    )
  }
  if (group === '') {
    if (version !== 'v1') {
      errors.push(
        required(
          path.child('group'),
          'only v1 may have an empty group and it better be legacy kube',
        ),
      )
    }
  } else errors.push(...check(path.child('group'), group, dnsSubdomain))
  errors.push(...check(path.child('version'), version, dns1035Label))
  const priority = (name: 'groupPriorityMinimum' | 'versionPriority', max: number): void => {
    const value = spec[name]
    if (value <= 0 || value > max) {
      errors.push(invalidValue(path.child(name), value, `must be positive and less than ${max}`))
    }
  }
  priority('groupPriorityMinimum', MAX_GROUP_PRIORITY)
  priority('versionPriority', MAX_VERSION_PRIORITY)
  if (service === undefined) {
    if ((spec.caBundle ?? '') !== '') {
      errors.push(
        invalidValue(
          path.child('caBundle'),
          '<bytes>',
          'local APIServices may not have a caBundle',
        ),
      )
    }
    if (spec.insecureSkipTLSVerify === true) {
      errors.push(
        invalidValue(
          path.child('insecureSkipTLSVerify'),
          true,
          'local APIServices may not have insecureSkipTLSVerify',
        ),
      )
    }
    return errors
  }
  const at = path.child('service')
  if ((service.namespace ?? '') === '') errors.push(required(at.child('namespace')))
  if ((service.name ?? '') === '') errors.push(required(at.child('name')))
  if (service.port !== undefined && (service.port < 1 || service.port > 65_535)) {
    errors.push(
      invalidValue(
        at.child('port'),
        service.port,
        'port is not valid: must be between 1 and 65535, inclusive',
      ),
    )
  }
  if (spec.insecureSkipTLSVerify === true && (spec.caBundle ?? '') !== '') {
    errors.push(
      invalidValue(
        path.child('insecureSkipTLSVerify'),
        true,
        'may not be true if caBundle is present',
      ),
    )
  }
  return errors
}

const apiServices = defineResource(apiServicesRef, {
  defaults({ spec }) {
    if (spec.service) spec.service.port ??= 443
  },
  validate: validateApiService,
  prepareForCreate(service) {
    // What this server serves by itself needs no proof.
    service.status =
      service.spec.service === undefined
        ? {
            conditions: [
              {
                type: 'Available',
                status: 'True',
                reason: 'Local',
                message: 'Local APIServices are always available',
              },
            ],
          }
        : {}
  },
  cells: {
    Service: ({ spec: { service } }) =>
      service === undefined ? 'Local' : `${service.namespace ?? ''}/${service.name ?? ''}`,
    Available: ({ status }) => {
      const available = status?.conditions?.find(({ type }) => type === 'Available')
      if (available === undefined) return 'Unknown'
      return available.status === 'True'
        ? 'True'
        : `${available.status} (${available.reason ?? ''})`
    },
  },
})

export const extensions = [apiServices, customResourceDefinitions]

/** How the API grows: custom resources, and API servers behind this one. */
import { FieldPath, invalidValue, required, type FieldError } from '#machinery'
import { defineResource } from './define.ts'
import type { Mutable } from './mutable.ts'
import {
  apiServices as apiServicesRef,
  customResourceDefinitions as definitionsRef,
} from './resources.gen.ts'
import { check, dns1035Label, dnsSubdomain } from './rules.ts'
import type { APIService, CustomResourceDefinition } from './types.gen.ts'

const path = FieldPath.of('spec')

function defaultDefinition({ spec, status }: Mutable<CustomResourceDefinition>): void {
  const { names } = spec
  if (names && (names.kind ?? '') !== '') {
    if ((names.singular ?? '') === '') names.singular = names.kind.toLowerCase()
    if ((names.listKind ?? '') === '') names.listKind = `${names.kind}List`
  }
  for (const { schema } of spec.versions) dropNulls(schema?.openAPIV3Schema)
  spec.conversion ??= { strategy: 'None' }
  const service = spec.conversion.webhook?.clientConfig?.service
  if (service) service.port ??= 443
  const stored = spec.versions.find(({ storage }) => storage)?.name
  if (status && (status.storedVersions ?? []).length === 0 && stored !== undefined) {
    status.storedVersions = [stored]
  }
}

/** Values of their own, in which a null means something. */
const VALUES: ReadonlySet<string> = new Set(['default', 'example', 'enum'])

/** A member of a schema that is null is absent: `default: null` above all. Types end at `items`, below which anything may stand. */
function dropNulls(schema: unknown): void {
  if (typeof schema !== 'object' || schema === null) return
  const members = schema as Record<string, unknown>
  for (const name of Object.keys(members)) {
    const value = members[name]
    if (value === null) delete members[name]
    else if (name === 'properties')
      for (const each of Object.values(value as object)) dropNulls(each)
    else if (!VALUES.has(name))
      for (const each of Array.isArray(value) ? value : [value]) dropNulls(each)
  }
}

// What removes the objects of a kind ends by taking its finalizer away through the status endpoint.
const customResourceDefinitions = defineResource(definitionsRef, {
  defaults: defaultDefinition,
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
  prepareForCreate(service, { now }) {
    // What this server serves by itself needs no proof.
    service.status =
      service.spec.service === undefined
        ? {
            conditions: [
              {
                type: 'Available',
                status: 'True',
                lastTransitionTime: `${now.toISOString().slice(0, 19)}Z`,
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

/** One kind in several versions: all are stored in the form of one, and behave as it does. */
import {
  apiVersionOf,
  type Conversion,
  type JsonObject,
  type KubeObject,
  type ResourceDefinition,
  type ResourceFact,
} from '#machinery'
import { canonicalize } from './canonical.ts'
import { resourceFacts } from './facts.ts'

/** How an object's fields differ between two versions; apiVersion and kind are taken care of. */
interface Shape {
  readonly toStorage: (object: JsonObject) => JsonObject
  readonly fromStorage: (object: JsonObject) => JsonObject
}

const STAGES = ['ga', 'beta', 'alpha'] as const
const isSameKind = (a: ResourceFact, b: ResourceFact): boolean =>
  a.group === b.group && a.resource === b.resource && a.persisted && b.persisted

/** The version in which a resource is stored: the most stable one, and of those the newest. */
export function storedVersion(fact: ResourceFact): ResourceFact {
  const all = resourceFacts.filter((each) => isSameKind(each, fact))
  for (const stage of STAGES) {
    // The newest version stands first in the facts.
    const found = all.find((each) => each.stage === stage)
    if (found) return found
  }
  return fact
}

/** A version of a resource that is stored as another: `stored` says how it behaves. */
export function defineVersion(facts: ResourceFact, stored: ResourceDefinition): ResourceDefinition {
  const convert = conversion(facts, stored.facts)
  const canonical = canonicalize(facts.type)
  const asStored = (object: JsonObject): JsonObject => convert.toStorage(structuredClone(object))
  const oldAsStored = (old: KubeObject): KubeObject =>
    asStored(old as unknown as JsonObject) as unknown as KubeObject

  /** Lets the stored form be changed, and brings the changes back. */
  const through = (object: JsonObject, change: (form: JsonObject) => void): void => {
    const form = asStored(object)
    change(form)
    const back = convert.fromStorage(form as unknown as KubeObject)
    const { metadata } = object
    replaceFields(object, back)
    // Who writes the object holds its metadata, and goes on to write into it.
    if (!isRecord(metadata) || !isRecord(back['metadata'])) return
    replaceFields(metadata, back['metadata'])
    object['metadata'] = metadata
  }

  return {
    ...stored,
    facts,
    convert,
    defaults: (object) => {
      canonical(object)
      through(object, stored.defaults)
    },
    validate: (object) => stored.validate(asStored(object)),
    validateUpdate: (object, old, context) =>
      stored.validateUpdate(asStored(object), oldAsStored(old), context),
    prepareForCreate: (object, context) =>
      through(object, (form) => stored.prepareForCreate(form, context)),
    prepareForUpdate: (object, old, context) =>
      through(object, (form) => stored.prepareForUpdate(form, oldAsStored(old), context)),
    warnings: (object, old) => stored.warnings(asStored(object), old && oldAsStored(old)),
    fields: (object) => stored.fields(oldAsStored(object)),
    columns: stored.columns.map((column) => ({
      ...column,
      value: (object: KubeObject, now: Date) => column.value(oldAsStored(object) as never, now),
    })),
  }
}

const isRecord = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null

/** The object takes the fields of another, and stays the same JavaScript object. */
function replaceFields(object: JsonObject, next: JsonObject): void {
  for (const key of Object.keys(object)) if (!(key in next)) delete object[key]
  Object.assign(object, next)
}

function conversion(facts: ResourceFact, stored: ResourceFact): Conversion {
  const shape = SHAPES[`${apiVersionOf(facts)}/${facts.kind}`] ?? SAME
  return {
    stored: { group: stored.group, version: stored.version },
    toStorage: (object) => ({
      ...shape.toStorage(object),
      ...('apiVersion' in object ? { apiVersion: apiVersionOf(stored) } : {}),
    }),
    fromStorage: (object) => {
      const form = object as unknown as JsonObject
      return {
        ...shape.fromStorage(form),
        ...('apiVersion' in form ? { apiVersion: apiVersionOf(facts) } : {}),
      }
    },
  }
}

const SAME: Shape = { toStorage: (object) => object, fromStorage: (object) => object }

type Loose = Readonly<Record<string, unknown>>
const list = (value: unknown): readonly Loose[] => (Array.isArray(value) ? (value as Loose[]) : [])
const record = (value: unknown): Loose =>
  typeof value === 'object' && value !== null ? (value as Loose) : {}

/** v1beta1 wrote a request for one class flat; since v1beta2 it lies in `exactly`. */
const claimSpecToV1 = (spec: Loose): Loose =>
  withRequests(spec, (request) => {
    const { name, firstAvailable, ...exactly } = request
    if (Object.keys(exactly).length === 0) return request
    return { name, exactly, ...(firstAvailable === undefined ? {} : { firstAvailable }) }
  })
const claimSpecFromV1 = (spec: Loose): Loose =>
  withRequests(spec, ({ exactly, ...rest }) => ({ ...rest, ...record(exactly) }))

function withRequests(spec: Loose, change: (request: Loose) => Loose): Loose {
  const devices = record(spec['devices'])
  if (!Array.isArray(devices['requests'])) return spec
  return { ...spec, devices: { ...devices, requests: list(devices['requests']).map(change) } }
}

const sliceSpecToV1 = (spec: Loose): Loose =>
  withDevices(spec, ({ basic, ...rest }) => ({ ...rest, ...record(basic) }))
const sliceSpecFromV1 = (spec: Loose): Loose =>
  withDevices(spec, ({ name, ...basic }) => ({ name, basic }))
const withDevices = (spec: Loose, change: (device: Loose) => Loose): Loose =>
  Array.isArray(spec['devices']) ? { ...spec, devices: list(spec['devices']).map(change) } : spec

const inSpec =
  (change: (spec: Loose) => Loose) =>
  (object: JsonObject): JsonObject =>
    object['spec'] === undefined ? object : { ...object, spec: change(record(object['spec'])) }
const inTemplate = (change: (spec: Loose) => Loose) =>
  inSpec((spec) =>
    spec['spec'] === undefined ? spec : { ...spec, spec: change(record(spec['spec'])) },
  )

const SHAPES: Readonly<Record<string, Shape>> = {
  'resource.k8s.io/v1beta1/ResourceClaim': {
    toStorage: inSpec(claimSpecToV1),
    fromStorage: inSpec(claimSpecFromV1),
  },
  'resource.k8s.io/v1beta1/ResourceClaimTemplate': {
    toStorage: inTemplate(claimSpecToV1),
    fromStorage: inTemplate(claimSpecFromV1),
  },
  'resource.k8s.io/v1beta1/ResourceSlice': {
    toStorage: inSpec(sliceSpecToV1),
    fromStorage: inSpec(sliceSpecFromV1),
  },
}

/**
 * Makes a resource's definition from its facts and what is particular to it. Names, the split of
 * status and spec, generation, columns and field selectors follow from the facts: an override is
 * written only to differ.
 */
import {
  apiVersionOf,
  type Column,
  type Conversion,
  type FieldError,
  type JsonObject,
  type KubeObject,
  type ResourceDefinition,
  type ResourceFact,
  type ResourceRef,
  type StrategyContext,
} from '#machinery'
import { canonicalize, emptyOf } from './canonical.ts'
import { columnText } from './column-texts.ts'
import { commonCell } from './columns.ts'
import { printerColumns, resourceFact, typeTable } from './facts.ts'
import { factRules } from './fact-rules.ts'
import { fieldReader } from './field-selectors.ts'
import type { Mutable } from './mutable.ts'

type Cells<T> = Readonly<Record<string, (object: T, now: Date) => unknown>>

/** What a kind does beyond what its facts say. */
export interface Overrides<T extends KubeObject> {
  /** Runs after the canonical form and the declared defaults. */
  readonly defaults?: (object: Mutable<T>) => void
  /** Runs after the rules of the facts: required fields and closed sets of values. */
  readonly validate?: (object: T) => readonly FieldError[]
  /** What is asked of a new object alone; runs after the other. */
  readonly validateNew?: (object: T) => readonly FieldError[]
  readonly validateUpdate?: (object: T, old: T, context: StrategyContext) => readonly FieldError[]
  /** Defaults and validation look at nothing but the spec. */
  readonly concernsSpecAlone?: boolean
  /** Runs after status was cleared. */
  readonly prepareForCreate?: (object: Mutable<T>, context: StrategyContext) => void
  /** Runs after this endpoint's half was kept and the other put back. */
  readonly prepareForUpdate?: (object: Mutable<T>, old: T, context: StrategyContext) => void
  readonly warnings?: (object: T, old: T | undefined) => readonly string[]
  readonly hasGeneration?: boolean
  readonly graceSeconds?: (object: T, requested: number | undefined) => number | undefined
  readonly createOnUpdate?: boolean
  readonly unconditionalUpdate?: boolean
  readonly defaultPropagation?: 'Background' | 'Orphan'
  /** Cells by the column's name in the facts; Name, Age and Created At are there already. */
  readonly cells?: Cells<T>
  /** The whole table, where the facts leave it open. */
  readonly columns?: readonly Column[]
  readonly fields?: (object: T) => Readonly<Record<string, string>>
  readonly scale?: ResourceDefinition['scale']
  readonly storagePrefix?: string
  /** Whether the status endpoint may change labels, annotations, finalizers and owners. Default: it may. */
  readonly statusKeepsMetadata?: boolean
  /** Whether a new object may bring its status along. */
  readonly keepsStatusOnCreate?: boolean
  readonly convert?: Conversion
}

/** Resources whose objects count their changes of spec. */
const WITH_GENERATION = new Set([
  'pods',
  'podtemplates',
  'replicationcontrollers',
  'daemonsets.apps',
  'deployments.apps',
  'replicasets.apps',
  'statefulsets.apps',
  'cronjobs.batch',
  'jobs.batch',
  'horizontalpodautoscalers.autoscaling',
  'poddisruptionbudgets.policy',
  'ingresses.networking.k8s.io',
  'ingressclasses.networking.k8s.io',
  'networkpolicies.networking.k8s.io',
  'endpointslices.discovery.k8s.io',
  'priorityclasses.scheduling.k8s.io',
  'customresourcedefinitions.apiextensions.k8s.io',
  'flowschemas.flowcontrol.apiserver.k8s.io',
  'prioritylevelconfigurations.flowcontrol.apiserver.k8s.io',
  'mutatingwebhookconfigurations.admissionregistration.k8s.io',
  'validatingwebhookconfigurations.admissionregistration.k8s.io',
  'mutatingadmissionpolicies.admissionregistration.k8s.io',
  'mutatingadmissionpolicybindings.admissionregistration.k8s.io',
  'validatingadmissionpolicies.admissionregistration.k8s.io',
  'validatingadmissionpolicybindings.admissionregistration.k8s.io',
  'deviceclasses.resource.k8s.io',
  'devicetaintrules.resource.k8s.io',
  'resourceslices.resource.k8s.io',
])

/** Where etcd keeps a resource, when not under its own name. */
const STORAGE_NAMES: Readonly<Record<string, string>> = {
  replicationcontrollers: 'controllers',
  endpoints: 'services/endpoints',
  nodes: 'minions',
  services: 'services/specs',
  'ingresses.networking.k8s.io': 'ingress',
  'apiservices.apiregistration.k8s.io': 'apiregistration.k8s.io/apiservices',
  'customresourcedefinitions.apiextensions.k8s.io':
    'apiextensions.k8s.io/customresourcedefinitions',
}

/** Resources that a PUT of an absent name creates. */
const CREATED_ON_UPDATE = new Set([
  'endpoints',
  'events',
  'events.events.k8s.io',
  'limitranges',
  'podtemplates',
  'services',
  'leases.coordination.k8s.io',
  'leasecandidates.coordination.k8s.io',
  'clusterrolebindings.rbac.authorization.k8s.io',
  'clusterroles.rbac.authorization.k8s.io',
  'rolebindings.rbac.authorization.k8s.io',
  'roles.rbac.authorization.k8s.io',
])

/** Resources whose update must name the version it replaces. */
const CONDITIONAL_UPDATE = new Set([
  'leases.coordination.k8s.io',
  'leasecandidates.coordination.k8s.io',
  'apiservices.apiregistration.k8s.io',
  'customresourcedefinitions.apiextensions.k8s.io',
  'poddisruptionbudgets.policy',
  'csidrivers.storage.k8s.io',
  'csinodes.storage.k8s.io',
  'csistoragecapacities.storage.k8s.io',
  'volumeattachments.storage.k8s.io',
  'runtimeclasses.node.k8s.io',
  'mutatingwebhookconfigurations.admissionregistration.k8s.io',
  'validatingwebhookconfigurations.admissionregistration.k8s.io',
  'mutatingadmissionpolicies.admissionregistration.k8s.io',
  'mutatingadmissionpolicybindings.admissionregistration.k8s.io',
  'validatingadmissionpolicies.admissionregistration.k8s.io',
  'validatingadmissionpolicybindings.admissionregistration.k8s.io',
  'storageversions.internal.apiserver.k8s.io',
])

const none: readonly never[] = []

/** The definition of one of the built-in resources. */
export function defineResource<T extends KubeObject>(
  ref: ResourceRef<T>,
  overrides: Overrides<T> = {},
): ResourceDefinition {
  const facts = resourceFact(ref.group, ref.version, ref.resource)
  if (facts === undefined) {
    throw new Error(`No facts about ${ref.resource} of ${apiVersionOf(ref)}`)
  }
  return defineFromFacts<T>(facts, overrides)
}

/** What code says better: that a field is required, and what for. */
const notIn =
  (more: readonly FieldError[]) =>
  ({ type, field }: FieldError): boolean =>
    type !== 'FieldValueRequired' ||
    !more.some((each) => each.type === type && each.field === field)

/** The same for a resource that has no generated name: betas and alphas. */
export function defineFromFacts<T extends KubeObject>(
  facts: ResourceFact,
  overrides: Overrides<T> = {},
): ResourceDefinition {
  const id = facts.group === '' ? facts.resource : `${facts.resource}.${facts.group}`
  const canonical = canonicalize(facts.type)
  const rules = factRules(facts.type)
  const status = statusStrategy(facts, overrides.statusKeepsMetadata === true)
  const { defaults, validate, validateUpdate, prepareForCreate, prepareForUpdate } = overrides
  const { warnings, graceSeconds, concernsSpecAlone = false } = overrides
  const check = (object: JsonObject): readonly FieldError[] => {
    const known = rules(object)
    const more = validate?.(object as unknown as T) ?? none
    return known.length === 0 ? more : [...known.filter(notIn(more)), ...more]
  }

  return {
    facts,
    defaults: defaults
      ? (object) => {
          canonical(object)
          defaults(object as Mutable<T>)
        }
      : canonical,
    ...(concernsSpecAlone ? { defaultsOfMetadata: canonicalize(METADATA) } : {}),
    validate: concernsSpecAlone ? onceForFrozen(check) : check,
    ...(overrides.validateNew
      ? {
          validateNew: (object: JsonObject) =>
            overrides.validateNew?.(object as unknown as T) ?? none,
        }
      : {}),
    validateUpdate: validateUpdate
      ? (object, old, context) => validateUpdate(object as unknown as T, old as T, context)
      : () => none,
    prepareForCreate: (object, context) => {
      if (overrides.keepsStatusOnCreate !== true) status.create(object)
      prepareForCreate?.(object as Mutable<T>, context)
    },
    prepareForUpdate: (object, old, context) => {
      status.update(object, old, context)
      prepareForUpdate?.(object as Mutable<T>, old as T, context)
    },
    warnings: warnings
      ? (object, old) => warnings(object as unknown as T, old as T | undefined)
      : () => none,
    hasGeneration: overrides.hasGeneration ?? WITH_GENERATION.has(id),
    graceSeconds: graceSeconds
      ? (object, requested) => graceSeconds(object as T, requested)
      : () => undefined,
    createOnUpdate: overrides.createOnUpdate ?? CREATED_ON_UPDATE.has(id),
    unconditionalUpdate: overrides.unconditionalUpdate ?? !CONDITIONAL_UPDATE.has(id),
    defaultPropagation: overrides.defaultPropagation ?? 'Background',
    columns: overrides.columns ?? columnsOf<T>(facts, overrides.cells ?? {}),
    fields: overrides.fields
      ? (overrides.fields as (object: KubeObject) => Readonly<Record<string, string>>)
      : fieldReader(facts),
    ...(overrides.scale ? { scale: overrides.scale } : {}),
    ...(overrides.convert ? { convert: overrides.convert } : {}),
    storagePrefix: overrides.storagePrefix ?? `/registry/${STORAGE_NAMES[id] ?? facts.resource}/`,
  }
}

const METADATA = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta'

/** A frozen spec in which nothing was wrong stays so. */
function onceForFrozen(check: (object: JsonObject) => readonly FieldError[]): typeof check {
  const passed = new WeakSet<object>()
  return (object) => {
    const spec = object['spec'] as object | undefined
    if (spec !== undefined && passed.has(spec)) return none
    const errors = check(object)
    if (errors.length === 0 && spec !== undefined && Object.isFrozen(spec)) passed.add(spec)
    return errors
  }
}

const DEFAULT_COLUMNS = [
  { name: 'Name', type: 'string', format: 'name', priority: 0 },
  { name: 'Created At', type: 'date', format: '', priority: 0 },
] as const

function columnsOf<T>(facts: ResourceFact, cells: Cells<T>): readonly Column[] {
  const columns = printerColumns(facts.group, facts.resource) ?? DEFAULT_COLUMNS
  return columns.map((column) => {
    const value = cells[column.name] ?? commonCell(column.name)
    if (value === undefined && cells !== undefined && Object.keys(cells).length > 0) {
      throw new Error(`No cell for column ${column.name} of ${facts.resource}.${facts.group}`)
    }
    // The default table shows the time itself, where a column of dates would show an age.
    const type = column.name === 'Created At' ? 'string' : column.type
    return {
      ...column,
      type,
      description: columnText(column.name),
      value: (value ?? (() => '')) as Column['value'],
    }
  })
}

interface StatusStrategy {
  readonly create: (object: JsonObject) => void
  readonly update: (object: JsonObject, old: KubeObject, context: StrategyContext) => void
}

/** A client of the resource does not write its status, and a client of the status nothing else. */
function statusStrategy(facts: ResourceFact, keepsMetadata: boolean): StatusStrategy {
  const hasStatus = facts.subresources?.some(({ name }) => name === 'status') === true
  if (!hasStatus) return { create: () => undefined, update: () => undefined }
  const field = typeTable[facts.type]?.fields?.find(({ name }) => name === 'status')
  const reset = (object: JsonObject): void => {
    if (field?.ref !== undefined && field.ptr !== true) object['status'] = emptyOf(field.ref)
    else delete object['status']
  }
  return {
    create: reset,
    update(object, old, { subresource }) {
      const before = old as unknown as JsonObject
      // Approving a certificate request is writing a part of its status too.
      if (subresource === 'status' || subresource === 'approval') {
        keepAllBut(object, before, keepsMetadata)
      } else if (before['status'] === undefined) {
        delete object['status']
      } else {
        object['status'] = before['status']
      }
    },
  }
}

const FREE = new Set(['apiVersion', 'kind', 'metadata', 'status'])
const METADATA_OF_CLIENTS = ['labels', 'annotations', 'finalizers', 'ownerReferences'] as const

function keepAllBut(object: JsonObject, old: JsonObject, keepsMetadata: boolean): void {
  for (const key of Object.keys(object)) {
    if (!FREE.has(key) && old[key] === undefined) delete object[key]
  }
  for (const key of Object.keys(old)) if (!FREE.has(key)) object[key] = old[key]
  if (keepsMetadata) keepMetadata(object, old)
}

/** Puts back the metadata that clients write. */
export function keepMetadata(object: JsonObject, old: JsonObject): void {
  const metadata = object['metadata'] as JsonObject
  const before = old['metadata'] as JsonObject
  for (const key of METADATA_OF_CLIENTS) {
    if (before[key] === undefined) delete metadata[key]
    else metadata[key] = before[key]
  }
}

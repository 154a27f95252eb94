/** The scale subresource: how many, whatever the kind calls it (autoscaling/v1 Scale). */
import {
  FieldPath,
  ageOf,
  apiVersionOf,
  formatLabelSelector,
  internalError,
  invalid,
  invalidValue,
  selectorRequirements,
  type Column,
  type JsonObject,
  type KubeObject,
  type LabelSelector,
  type ResourceDefinition,
} from '#machinery'
import type { ExpectedKind } from './expected-kind.ts'
import { copyJson, isObject, setAt, valueAt } from './json.ts'

export const SCALE: ExpectedKind = {
  group: 'autoscaling',
  version: 'v1',
  kind: 'Scale',
  type: 'io.k8s.api.autoscaling.v1.Scale',
}

/** What `kubectl get --subresource=scale` prints. */
export const SCALE_COLUMNS: readonly Column[] = [
  { name: 'Name', type: 'string', format: '', priority: 0, value: shown(['metadata', 'name']) },
  {
    name: 'Desired',
    type: 'integer',
    format: '',
    priority: 0,
    value: shown(['spec', 'replicas']),
  },
  {
    name: 'Available',
    type: 'integer',
    format: '',
    priority: 0,
    value: shown(['status', 'replicas']),
  },
  {
    name: 'Age',
    type: 'string',
    format: '',
    priority: 0,
    value: ({ metadata }: KubeObject, now: Date) => ageOf(metadata.creationTimestamp, now),
  },
]

function shown(path: readonly string[]) {
  return (object: KubeObject) => valueAt(object, path)
}

/** `.spec.replicas` */
const pathOf = (text: string): readonly string[] => text.split('.').filter((part) => part !== '')

const DEFAULT_PATHS = {
  specReplicas: '.spec.replicas',
  statusReplicas: '.status.replicas',
  selector: '.spec.selector',
}

const pathsOf = (definition: ResourceDefinition) => definition.scale ?? DEFAULT_PATHS

const count = (object: KubeObject, path: string): number => {
  const value = valueAt(object, pathOf(path))
  return typeof value === 'number' ? value : 0
}

export function scaleOf(definition: ResourceDefinition, object: KubeObject): KubeObject {
  const { specReplicas, statusReplicas, selector } = pathsOf(definition)
  if (definition.isCustom === true && valueAt(object, pathOf(specReplicas)) === undefined)
    throw internalError(`the spec replicas field ${JSON.stringify(specReplicas)} does not exist`)
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata
  const text = selector === undefined ? '' : selectorText(valueAt(object, pathOf(selector)))
  const scale = {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: { replicas: count(object, specReplicas) },
    status: {
      replicas: count(object, statusReplicas),
      ...(text === '' ? {} : { selector: text }),
    },
  }
  return scale as unknown as KubeObject
}

/** Selectors are label selectors, plain maps (replication controllers) or text (custom resources). */
function selectorText(selector: unknown): string {
  if (typeof selector === 'string') return selector
  if (!isObject(selector)) return ''
  const isPlain = !('matchLabels' in selector) && !('matchExpressions' in selector)
  const full = (isPlain ? { matchLabels: selector } : selector) as LabelSelector
  return formatLabelSelector(selectorRequirements(full) ?? [])
}

function replicasOf(scale: JsonObject, name: string): number {
  const replicas = valueAt(scale, ['spec', 'replicas']) ?? 0
  if (typeof replicas === 'number' && replicas >= 0) return replicas
  throw invalid(SCALE, name, [
    invalidValue(FieldPath.of('spec', 'replicas'), replicas, 'must be greater than or equal to 0'),
  ])
}

/** What applying a scale means for the object that has it: the manager wants this number, or none. */
export function appliedToScaled(
  { facts, ...definition }: ResourceDefinition,
  name: string,
  namespace: string,
  scale: JsonObject,
): JsonObject {
  const { resourceVersion } = (scale['metadata'] ?? {}) as JsonObject
  const configuration: JsonObject = {
    apiVersion: apiVersionOf(facts),
    kind: facts.kind,
    metadata: {
      name,
      ...(namespace === '' ? {} : { namespace }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
    },
  }
  if (valueAt(scale, ['spec', 'replicas']) !== undefined)
    setAt(
      configuration,
      pathOf((definition.scale ?? DEFAULT_PATHS).specReplicas),
      replicasOf(scale, name),
    )
  return configuration
}

/** The object with the number that the scale says. */
export function scaled(
  definition: ResourceDefinition,
  old: KubeObject,
  scale: JsonObject,
): JsonObject {
  const replicas = replicasOf(scale, old.metadata.name)
  const object = copyJson(old) as unknown as JsonObject
  const given = scale['metadata'] as JsonObject
  const metadata = object['metadata'] as JsonObject
  // Without a version it replaces whatever is there.
  metadata['resourceVersion'] = given['resourceVersion'] ?? old.metadata.resourceVersion
  if (typeof given['uid'] === 'string' && given['uid'] !== '') metadata['uid'] = given['uid']
  setAt(object, pathOf(pathsOf(definition).specReplicas), replicas)
  return object
}

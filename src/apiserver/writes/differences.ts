/** What an update changes: nothing, the metadata, or what its controller has to act on. */
import type { JsonObject, KubeObject, ResourceDefinition } from '#machinery'
import { sameFields, sameJson } from '../json.ts'
import { idOf, metadataOf } from './target.ts'

const OUTSIDE_SPEC: ReadonlySet<string> = new Set(['metadata', 'status', 'kind', 'apiVersion'])
/** Without a status endpoint a custom resource's status is a part like any other. */
const OUTSIDE_ALL: ReadonlySet<string> = new Set(['metadata', 'kind', 'apiVersion'])

/** Whether what a controller acts on has changed, so that `generation` goes up. */
export function specChanged(
  definition: ResourceDefinition,
  object: JsonObject,
  old: KubeObject,
  subresource: string,
): boolean {
  const hasStatus = definition.facts.subresources?.some(({ name }) => name === 'status') === true
  const outside = definition.isCustom === true && !hasStatus ? OUTSIDE_ALL : OUTSIDE_SPEC
  if (!sameFields(object, old as unknown as JsonObject, outside)) return true
  // A deployment's annotations go to its replica sets: its controller has something to do.
  return (
    idOf(definition) === 'deployments.apps' &&
    subresource === '' &&
    !sameJson(metadataOf(object)['annotations'] ?? {}, old.metadata.annotations ?? {})
  )
}

const METADATA: ReadonlySet<string> = new Set(['metadata'])
const NOT_COMPARED: ReadonlySet<string> = new Set(['resourceVersion', 'managedFields'])

/** Whether writing would change nothing but the times in managedFields. */
export function saysTheSame(stored: JsonObject, old: KubeObject): boolean {
  const before = old as unknown as JsonObject
  const metadata = metadataOf(stored)
  const metadataBefore = metadataOf(before)
  return (
    sameFields(metadata, metadataBefore, NOT_COMPARED) &&
    sameFields(stored, before, METADATA) &&
    sameManagers(metadata['managedFields'], metadataBefore['managedFields'])
  )
}

const TIME: ReadonlySet<string> = new Set(['time'])

function sameManagers(a: unknown, b: unknown): boolean {
  const now = (a ?? []) as readonly JsonObject[]
  const before = (b ?? []) as readonly JsonObject[]
  return (
    now.length === before.length &&
    now.every((each, i) => sameFields(each, before[i] as JsonObject, TIME))
  )
}

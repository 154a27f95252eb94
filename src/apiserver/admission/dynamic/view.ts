/** A request as webhooks and policies see it: under the version and the kind that they asked for. */
import type { JsonObject, KubeObject, ResourceDefinition } from '#machinery'
import type { AdmissionRequest } from '../../admission.ts'
import { storedForm } from '../../collection.ts'
import { copyJson } from '../../json.ts'
import { scaleOf, scaled } from '../../scale.ts'
import type { RuleSubject } from './rules.ts'

export interface GroupVersionKind {
  readonly group: string
  readonly version: string
  readonly kind: string
}
export interface GroupVersionResource {
  readonly group: string
  readonly version: string
  readonly resource: string
}

export interface View {
  readonly kind: GroupVersionKind
  readonly resource: GroupVersionResource
  /** Of the request: read only. */
  readonly object: JsonObject | undefined
  readonly old: JsonObject | undefined
}

export const namespaceOf = ({ definition, namespace, name }: AdmissionRequest): string =>
  definition.facts.resource === 'namespaces' && definition.facts.group === '' ? name : namespace

export const subjectOf = (
  request: AdmissionRequest,
  { facts }: ResourceDefinition = request.definition,
): RuleSubject => ({
  operation: request.operation,
  group: facts.group,
  version: facts.version,
  resource: facts.resource,
  subresource: request.subresource,
  namespace: namespaceOf(request),
  name: request.name,
})

export function resourceOf({ facts }: ResourceDefinition): GroupVersionResource {
  const { group, version, resource } = facts
  return { group, version, resource }
}

/** The kind of what is written: that of the resource, or the subresource's own. */
export function kindOf({ subresource }: AdmissionRequest, { facts }: ResourceDefinition) {
  const { group, version, kind } = facts
  const fact = facts.subresources?.find(({ name }) => name === subresource)
  if (subresource === '' || fact === undefined) return { group, version, kind }
  return { group: fact.group ?? group, version: fact.version ?? version, kind: fact.kind }
}

const hasOwnKind = (request: AdmissionRequest): boolean =>
  kindOf(request, request.definition).kind !== request.definition.facts.kind

export async function viewOf(
  request: AdmissionRequest,
  definition: ResourceDefinition,
): Promise<View> {
  const { object, old } = request
  return {
    kind: kindOf(request, definition),
    resource: resourceOf(definition),
    object: object && (await shownIn(request, definition, object)),
    old: old && (await shownIn(request, definition, old as unknown as JsonObject)),
  }
}

async function shownIn(
  request: AdmissionRequest,
  definition: ResourceDefinition,
  object: JsonObject,
): Promise<JsonObject> {
  if (request.subresource === 'scale' && object['kind'] !== 'Scale')
    return scaleOf(request.definition, object as unknown as KubeObject) as unknown as JsonObject
  if (hasOwnKind(request)) return object
  return converted(object, request.definition, definition)
}

/** The request's object becomes what was made of its view. Throws what a decoder throws. */
export async function accept(
  request: AdmissionRequest,
  definition: ResourceDefinition,
  next: JsonObject,
): Promise<void> {
  const { object } = request
  if (object === undefined) return
  if (request.subresource === 'scale' && object['kind'] !== 'Scale')
    request.replace(scaled(request.definition, object as unknown as KubeObject, next))
  else if (hasOwnKind(request)) request.replace(next)
  else request.replace(await converted(next, definition, request.definition))
}

async function converted(
  object: JsonObject,
  from: ResourceDefinition,
  to: ResourceDefinition,
): Promise<JsonObject> {
  if (from === to) return object
  const stored = from.convert === undefined ? object : await storedForm(from, copyJson(object))
  if (to.convert === undefined) return stored
  const { ahead } = to.convert
  const before = stored as unknown as KubeObject
  const [ready = before] = (await ahead?.fromStorage([before])) ?? []
  return to.convert.fromStorage(ready)
}

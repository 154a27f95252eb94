/** Bodies as Go's typed clients send and take them, which is what the official suite does unless it is told otherwise. */
import { resourceFacts, typeTable } from '#api'
import { decodeProtobuf, decodeTyped, encodeProtobuf, readEnvelope } from '#machinery'
import type { Json } from './api.ts'

export const PROTOBUF = 'application/vnd.kubernetes.protobuf'

const META = 'io.k8s.apimachinery.pkg.apis.meta.v1'
const definitions = new Map<string, string>()
for (const [definition, { gvk }] of Object.entries(typeTable))
  for (const [group, version, kind] of gvk ?? [])
    definitions.set(`${group === '' ? '' : `${group}/`}${version} ${kind}`, definition)

/** Some kinds are the same in every group. */
const definitionOf = (apiVersion: string, kind: string): string | undefined =>
  kind === 'Status' || kind === 'DeleteOptions'
    ? `${META}.${kind}`
    : definitions.get(`${apiVersion} ${kind}`)

/** What is at a path: `/apis/GROUP/VERSION[/namespaces/NAME]/RESOURCE[/NAME[/SUBRESOURCE]]`. */
function kindAt(path: string): { readonly apiVersion: string; readonly kind: string } | undefined {
  const parts = path.slice(1).split('/')
  const group = parts[0] === 'api' ? '' : (parts[1] ?? '')
  const [version = '', ...rest] = parts.slice(parts[0] === 'api' ? 1 : 2)
  const inside = rest[0] === 'namespaces' && rest.length > 2 && rest[2] !== 'status'
  const [resource, , sub = ''] = inside && rest[2] !== 'finalize' ? rest.slice(2) : rest
  const fact = resourceFacts.find(
    (each) => each.group === group && each.version === version && each.resource === resource,
  )
  if (fact === undefined || !['', 'status', 'finalize', 'resize', 'approval'].includes(sub))
    return undefined
  return { apiVersion: group === '' ? version : `${group}/${version}`, kind: fact.kind }
}

/** The body in this form; undefined when a typed client has none for it. */
export function typedBody(method: string, path: string, body: Json): Buffer | undefined {
  const at = kindAt(path)
  const apiVersion = body['apiVersion'] ?? at?.apiVersion
  const kind = body['kind'] ?? (method === 'DELETE' ? 'DeleteOptions' : at?.kind)
  const definition =
    apiVersion === undefined || kind === undefined ? undefined : definitionOf(apiVersion, kind)
  if (definition === undefined) return undefined
  // A field that no Go struct has cannot be sent in this form, nor one of another type.
  const { object, unknownFields } = decodeTyped(typeTable, definition, body, { unknown: 'collect' })
  if (unknownFields.length > 0) return undefined
  return Buffer.from(encodeProtobuf(typeTable, definition, { ...object, apiVersion, kind }))
}

export function jsonOf(bytes: Uint8Array): string {
  const envelope = readEnvelope(bytes)
  const definition = definitionOf(envelope.apiVersion, envelope.kind)
  if (definition === undefined)
    throw new Error(`Nobody knows ${envelope.apiVersion} ${envelope.kind}`)
  const found = decodeProtobuf(typeTable, definition, envelope)
  const { object } = decodeTyped(typeTable, definition, found)
  // An empty list is none in this form.
  return JSON.stringify('items' in object ? { ...object, items: object['items'] ?? [] } : object)
}

/** Schemas of built-in types as expressions are checked against them: whole, without references. */
import { typeTable } from '#api'
import type { FieldFact, JsonObject, SchemaFact } from '#machinery'

const ANYTHING: JsonObject = {}
const known = new Map<string, JsonObject>()

/** Of a definition, for example `io.k8s.api.apps.v1.Deployment`. */
export function typeSchema(name: string): JsonObject {
  let schema = known.get(name)
  if (schema === undefined) known.set(name, (schema = ofDefinition(name, [])))
  return schema
}

function ofDefinition(name: string, within: readonly string[]): JsonObject {
  const fact = typeTable[name]
  // What contains itself is anything from there on.
  if (fact === undefined || within.includes(name)) return ANYTHING
  if (fact.alias !== undefined) return ofSchema(fact.alias, within)
  if (fact.scalar !== undefined) {
    const { type, format } = fact.scalar
    if (type !== 'string') return ANYTHING
    if (format === 'int-or-string') return { 'x-kubernetes-int-or-string': true }
    return { type, ...(format === undefined ? {} : { format }) }
  }
  const inside = [...within, name]
  const fields = fact.fields ?? []
  return {
    type: 'object',
    properties: Object.fromEntries(fields.map((field) => [field.name, ofSchema(field, inside)])),
  }
}

function ofSchema(
  { ref, type, format, items, values, ...more }: SchemaFact & Partial<FieldFact>,
  within: readonly string[],
): JsonObject {
  if (ref !== undefined) return ofDefinition(ref, within)
  switch (type) {
    case 'array':
      return {
        type,
        items: items === undefined ? ANYTHING : ofSchema(items, within),
        ...(more.listType === undefined ? {} : { 'x-kubernetes-list-type': more.listType }),
        ...(more.listMapKeys === undefined
          ? {}
          : { 'x-kubernetes-list-map-keys': more.listMapKeys }),
      }
    case 'object':
      return {
        type,
        additionalProperties: values === undefined ? true : ofSchema(values, within),
      }
    case undefined:
      return ANYTHING
    default:
      return { type, ...(format === undefined ? {} : { format }) }
  }
}

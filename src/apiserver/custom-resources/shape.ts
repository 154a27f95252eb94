/** How a custom resource is taken apart for ownership (KEP-555): what its schema says of lists and maps. */
import { typeTable } from '#api'
import { LEAF, UNDECLARED, UNTYPED, shapeOf, type Shape } from '#machinery'
import {
  OBJECT_FIELDS,
  isEmbedded,
  isIntOrString,
  itemsOf,
  keepsUnknown,
  own,
  valuesOf,
  type Schema,
} from './schema.ts'

const metadata = (): Shape => shapeOf(typeTable, 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta')

/** Of whole objects. */
export function shapeOfObject(schema: Schema): Shape {
  return structOf(schema, true)
}

function structOf(schema: Schema, isResource: boolean): Shape {
  const shapes = new Map<string, Shape>()
  const make = (name: string): Shape | undefined => {
    if (isResource && OBJECT_FIELDS.has(name)) return name === 'metadata' ? metadata() : LEAF
    const known = own(schema.properties, name)
    if (known !== undefined) return shapeOfSchema(known)
    return keepsUnknown(schema) ? UNDECLARED : undefined
  }
  return {
    type: 'struct',
    field(name) {
      let shape = shapes.get(name)
      if (shape === undefined) {
        shape = make(name)
        if (shape !== undefined && own(schema.properties, name) !== undefined)
          shapes.set(name, shape)
      }
      return shape
    },
  }
}

function shapeOfSchema(schema: Schema): Shape {
  if (isIntOrString(schema) || schema['x-kubernetes-map-type'] === 'atomic') return LEAF
  if (schema.type === 'array') return listOf(schema)
  const isUnsaid = (schema.type ?? '') === ''
  if (schema.type !== 'object' && !isUnsaid) return LEAF
  const values = valuesOf(schema)
  if (values !== undefined) {
    return {
      type: 'map',
      get value() {
        return shapeOfSchema(values)
      },
    }
  }
  if (schema.additionalProperties === true) return UNTYPED
  if (schema.properties === undefined && !isEmbedded(schema))
    return keepsUnknown(schema) ? UNTYPED : isUnsaid ? LEAF : structOf(schema, false)
  return structOf(schema, isEmbedded(schema))
}

function listOf(schema: Schema): Shape {
  const items = itemsOf(schema)
  const type = schema['x-kubernetes-list-type']
  if (type === 'set') return { type: 'listSet' }
  if (type !== 'map' || items === undefined) return LEAF
  const keys = (schema['x-kubernetes-list-map-keys'] ?? []).map((name) => {
    const standard = own(items.properties, name)?.default
    return standard === undefined ? { name } : { name, default: standard }
  })
  return {
    type: 'listMap',
    keys,
    get item() {
      return shapeOfSchema(items)
    },
  }
}

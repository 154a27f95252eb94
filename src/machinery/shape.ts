/** How a value may be taken apart for ownership and merging: which lists are maps or sets, what is a whole (KEP-555). */
import type { FieldFact, SchemaFact, TypeFact, TypeTable } from './facts.ts'

/** How ownership and merging go through a value: what is one thing, and what has parts. */
export type Shape =
  /** A scalar, or a list or map that is owned as a whole. */
  | { readonly type: 'leaf' }
  /** Named fields; `field` of an unknown name is undefined. */
  | { readonly type: 'struct'; field(name: string): Shape | undefined }
  /** `isUndeclared`: no schema speaks of the field, so that whoever writes within it owns it too. */
  | { readonly type: 'map'; readonly value: Shape; readonly isUndeclared?: true }
  | {
      readonly type: 'listMap'
      readonly keys: readonly { readonly name: string; readonly default?: unknown }[]
      readonly item: Shape
    }
  | { readonly type: 'listSet' }

/** One whole: owned and replaced at once. */
export const LEAF: Shape = { type: 'leaf' }
/** For what has no schema: maps are taken apart, lists are wholes. */
export const UNTYPED: Shape = {
  type: 'map',
  get value() {
    return UNTYPED
  },
}

/** For fields that a struct keeps without knowing them. */
export const UNDECLARED: Shape = { type: 'map', value: UNTYPED, isUndeclared: true }

const known = new WeakMap<TypeTable, Map<string, Shape>>()

/** How values of a type are taken apart; made once for each type. */
export function shapeOf(types: TypeTable, definition: string): Shape {
  let shapes = known.get(types)
  if (shapes === undefined) known.set(types, (shapes = new Map()))
  let shape = shapes.get(definition)
  if (shape === undefined) {
    shape = makeShape(types, definition)
    shapes.set(definition, shape)
  }
  return shape
}

function makeShape(types: TypeTable, definition: string): Shape {
  const fact = types[definition]
  if (fact === undefined) return UNTYPED
  if (fact.alias !== undefined) return schemaShape(types, fact.alias)
  if (fact.scalar !== undefined) return LEAF
  if (fact.mapType === 'atomic' || fact.structType === 'atomic') return LEAF
  return structShape(types, fact)
}

function structShape(types: TypeTable, fact: TypeFact): Shape {
  const fields = new Map<string, FieldFact>((fact.fields ?? []).map((field) => [field.name, field]))
  const shapes = new Map<string, Shape>()
  return {
    type: 'struct',
    field(name) {
      const made = shapes.get(name)
      if (made !== undefined) return made
      const field = fields.get(name)
      if (field === undefined) return undefined
      const shape = schemaShape(types, field)
      shapes.set(name, shape)
      return shape
    },
  }
}

function schemaShape(types: TypeTable, schema: SchemaFact & Partial<FieldFact>): Shape {
  if (schema.mapType === 'atomic') return LEAF
  if (schema.ref !== undefined) {
    const fact = types[schema.ref]
    // A field may take apart what its type calls a whole: a volume's claimRef.
    return schema.mapType === 'granular' && fact?.fields !== undefined
      ? structShape(types, fact)
      : shapeOf(types, schema.ref)
  }
  if (schema.type === 'object') {
    const { values } = schema
    return {
      type: 'map',
      get value() {
        return values === undefined ? UNTYPED : schemaShape(types, values)
      },
    }
  }
  if (schema.type === 'array') {
    if (schema.listType === 'set') return { type: 'listSet' }
    if (schema.listType === 'map' && schema.items?.ref !== undefined) {
      const { ref } = schema.items
      const itemFields = types[ref]?.fields ?? []
      const keys = (schema.listMapKeys ?? []).map((name) => {
        const standard = itemFields.find((field) => field.name === name)?.default
        return standard === undefined ? { name } : { name, default: standard }
      })
      return { type: 'listMap', keys, item: shapeOf(types, ref) }
    }
  }
  return LEAF
}

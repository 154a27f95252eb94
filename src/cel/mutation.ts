/** What mutating policies build: `Object`, its parts by their path (`Object.spec`), and operations of a JSON patch (KEP-3962). */
import {
  DYN,
  STRING,
  unescapeProperty,
  type CelType,
  type Field,
  type ObjectType,
} from './types.ts'

const field = (property: string, type: CelType): readonly [string, Field] => [
  property,
  { type, required: false, property },
]

const JSON_PATCH: ObjectType = {
  kind: 'object',
  name: 'JSONPatch',
  fields: new Map([
    field('op', STRING),
    field('path', STRING),
    field('from', STRING),
    field('value', DYN),
  ]),
}

/** A part has whatever fields are written: they are judged when it is laid over the object. */
class OpenFields extends Map<string, Field> {
  override get(name: string): Field {
    return { type: DYN, required: false, property: unescapeProperty(name) }
  }
  override has(): boolean {
    return true
  }
}
const OPEN = new OpenFields()

const isPart = (name: string): boolean => name === 'Object' || name.startsWith('Object.')

class MutationTypes extends Map<string, ObjectType> {
  override get(name: string): ObjectType | undefined {
    if (name === JSON_PATCH.name) return JSON_PATCH
    return isPart(name) ? { kind: 'object', name, fields: OPEN } : undefined
  }
  override has(name: string): boolean {
    return name === JSON_PATCH.name || isPart(name)
  }
}

export const mutationTypes: ReadonlyMap<string, ObjectType> = new MutationTypes()

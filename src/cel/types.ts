/** The types of CEL, with what a schema says of them. */

export type SimpleKind =
  | 'bool'
  | 'int'
  | 'uint'
  | 'double'
  | 'string'
  | 'bytes'
  | 'null'
  | 'timestamp'
  | 'duration'
  | 'dyn'
  | 'error'

export interface SimpleType {
  readonly kind: SimpleKind
  readonly schema?: SchemaNote
}
export interface ListType {
  readonly kind: 'list'
  readonly element: CelType
  readonly schema?: SchemaNote
}
export interface MapType {
  readonly kind: 'map'
  readonly key: CelType
  readonly value: CelType
  readonly schema?: SchemaNote
}
export interface ObjectType {
  readonly kind: 'object'
  readonly name: string
  /** By the name that an expression uses. */
  field(name: string): ObjectField | undefined
  readonly schema?: SchemaNote
}
export interface ObjectField {
  /** As it is in the value. */
  readonly key: string
  readonly type: CelType
}
/** `optional_type(x)`, `kubernetes.Quantity`, … */
export interface OpaqueType {
  readonly kind: 'opaque'
  readonly name: string
  readonly parameters: readonly CelType[]
  readonly schema?: SchemaNote
}
export interface TypeType {
  readonly kind: 'type'
  readonly of: CelType
  readonly schema?: SchemaNote
}
/** A type variable; one of a call has a number. */
export interface Parameter {
  readonly kind: 'parameter'
  readonly name: string
  readonly schema?: SchemaNote
}

/** A type of the language, as the checker has it. */
export type CelType =
  | SimpleType
  | ListType
  | MapType
  | ObjectType
  | OpaqueType
  | TypeType
  | Parameter

/** What the schema behind a type adds. */
export interface SchemaNote {
  /** The most elements, properties or bytes a value can have. */
  readonly maxElements: number
  /** From JSON to a value of CEL; absent when nothing is to be done. */
  readonly convert?: (value: unknown) => unknown
  /** A list that is compared as a set, or as a map by these keys. */
  readonly listType?: 'set' | readonly string[]
  /** It, or something in it, is such a list. */
  readonly hasListTypes?: boolean
  /** Bytes of the smallest value in JSON. */
  readonly minBytes: number
}

const simple = (kind: SimpleKind): SimpleType => ({ kind })
export const BOOL = simple('bool')
export const INT = simple('int')
export const UINT = simple('uint')
export const DOUBLE = simple('double')
export const STRING = simple('string')
export const BYTES = simple('bytes')
export const NULL = simple('null')
export const TIMESTAMP = simple('timestamp')
export const DURATION = simple('duration')
export const DYN = simple('dyn')
export const ERROR = simple('error')

export const listOf = (element: CelType): ListType => ({ kind: 'list', element })
export const mapOf = (key: CelType, value: CelType): MapType => ({ kind: 'map', key, value })
export const opaque = (name: string, ...parameters: readonly CelType[]): OpaqueType => ({
  kind: 'opaque',
  name,
  parameters,
})
export const optionalOf = (type: CelType): OpaqueType => opaque('optional_type', type)
export const typeOf = (of: CelType): TypeType => ({ kind: 'type', of })

const SIMPLE_NAMES: Readonly<Record<string, CelType>> = {
  bool: BOOL,
  int: INT,
  uint: UINT,
  double: DOUBLE,
  string: STRING,
  bytes: BYTES,
  null_type: NULL,
  null: NULL,
  dyn: DYN,
  any: DYN,
  type: typeOf(DYN),
  timestamp: TIMESTAMP,
  duration: DURATION,
  'google.protobuf.Timestamp': TIMESTAMP,
  'google.protobuf.Duration': DURATION,
}

/** Reads `list<string>`, `map<string, A>`, `optional_type<A>`, `kubernetes.Quantity`; a capital letter alone is a type variable. */
export function parseType(text: string): CelType {
  const bracket = /[<(]/.exec(text)?.index ?? -1
  if (bracket < 0) {
    const known = SIMPLE_NAMES[text]
    if (known !== undefined) return known
    return /^[A-Z]$/.test(text) ? { kind: 'parameter', name: text } : opaque(text)
  }
  const name = text.slice(0, bracket)
  const inner = splitTypes(text.slice(bracket + 1, -1)).map(parseType)
  const [first = DYN, second = DYN] = inner
  if (name === 'list') return listOf(first)
  if (name === 'map') return mapOf(first, second)
  if (name === 'type') return typeOf(first)
  return opaque(name, ...inner)
}

/** At the commas that are not inside brackets. */
export function splitTypes(text: string): readonly string[] {
  const parts: string[] = []
  let depth = 0
  let from = 0
  for (let i = 0; i <= text.length; i++) {
    const character = text[i]
    if (character === '<' || character === '(') depth++
    else if (character === '>' || character === ')') depth--
    else if (character === undefined || (character === ',' && depth === 0)) {
      const part = text.slice(from, i).trim()
      if (part !== '') parts.push(part)
      from = i + 1
    }
  }
  return parts
}

/** As errors name it. */
export function typeName(type: CelType): string {
  switch (type.kind) {
    case 'list':
      return `list(${typeName(type.element)})`
    case 'map':
      return `map(${typeName(type.key)}, ${typeName(type.value)})`
    case 'type':
      return `type(${typeName(type.of)})`
    case 'object':
      return type.name
    case 'opaque':
      return type.parameters.length === 0
        ? type.name
        : `${type.name}(${type.parameters.map(typeName).join(', ')})`
    case 'parameter':
      return type.name
    case 'null':
      return 'null'
    case 'error':
      return '!error!'
    case 'timestamp':
      return 'timestamp'
    case 'duration':
      return 'duration'
    case 'bool':
    case 'int':
    case 'uint':
    case 'double':
    case 'string':
    case 'bytes':
    case 'dyn':
      return type.kind
  }
}

/** As the type itself is called, where it is asked for: `google.protobuf.Timestamp`. */
export function typeText(type: CelType): string {
  switch (type.kind) {
    case 'timestamp':
      return 'google.protobuf.Timestamp'
    case 'duration':
      return 'google.protobuf.Duration'
    case 'null':
      return 'null_type'
    case 'list':
      return `list(${typeText(type.element)})`
    case 'map':
      return `map(${typeText(type.key)}, ${typeText(type.value)})`
    case 'opaque':
      return type.parameters.length === 0
        ? type.name
        : `${type.name}(${type.parameters.map(typeText).join(', ')})`
    default:
      return typeName(type)
  }
}

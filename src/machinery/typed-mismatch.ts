/** Values that a type cannot hold, told as Go's decoder tells it: clients and their tests compare the words. */
import type { FieldFact, SchemaFact, TypeFact, TypeTable } from './facts.ts'

/** A value that the type cannot hold. The message is the one that Go's decoder gives. */
export class TypeMismatchError extends Error {
  /** `spec.containers[0].image` */
  readonly path: string
  /** The same in the words of the converter that strategic merge patches go through. */
  readonly conversion: string
  /** The type in Go's words; '' for values of the right type and a wrong form. */
  readonly expected: string
  constructor(
    path: string,
    message: string,
    { conversion = message, expected = '' }: { conversion?: string; expected?: string } = {},
  ) {
    super(message)
    this.name = 'TypeMismatchError'
    this.path = path
    this.conversion = conversion
    this.expected = expected
  }
}

/** Thrown where the value is read; what it is told as depends on the types above it. */
export class Mismatch extends Error {
  readonly path: string
  readonly found: string
  readonly expected: string
  /** The whole message, for values that are of the right type and of a wrong form. */
  readonly text: string | undefined
  constructor(path: string, found: string, expected: string, text?: string) {
    super('mismatch')
    this.path = path
    this.found = found
    this.expected = expected
    this.text = text
  }
}

/** The message for a client. */
export function explainMismatch(
  types: TypeTable,
  definition: string,
  value: unknown,
  { path, found, expected, text }: Mismatch,
): string {
  if (text !== undefined) return text
  const { struct, fields } = goFieldAt(types, definition, value, path)
  const into = fields.length === 0 ? 'value' : `struct field ${struct}.${fields.join('.')}`
  return `json: cannot unmarshal ${found} into Go ${into} of type ${expected}`
}

const INTEGER = /^u?int\d*$/

/** As a value is told that was converted and not decoded. */
export function explainConversion({ found, expected, text }: Mismatch): string {
  if (text !== undefined) return text
  const number = /^number (.*)$/.exec(found)?.[1]
  const isNumber = number !== undefined || found === 'number'
  const source = isNumber
    ? number !== undefined && !Number.isInteger(Number(number))
      ? 'float64'
      : 'int64'
    : found
  if (expected.startsWith('[]')) return `cannot restore slice from ${source}`
  if (expected.startsWith('map[')) return `cannot restore map from ${source}`
  if (expected.includes('.')) return `cannot restore struct from: ${source}`
  if (isNumber && (expected === 'string' || INTEGER.test(expected)))
    return `cannot convert ${source} to ${expected}`
  return `unrecognized type: ${expected}`
}

/** A field as Go's decoder names it: the struct that has it, and the fields from the root, without indices and keys. */
function goFieldAt(
  types: TypeTable,
  definition: string,
  root: unknown,
  path: string,
): { readonly struct: string; readonly fields: readonly string[] } {
  const fields: string[] = []
  let struct = ''
  let schema: SchemaFact | undefined = { ref: definition }
  let value = root
  let rest = path
  while (rest !== '' && schema !== undefined) {
    const fact: TypeFact | undefined = schema.ref === undefined ? undefined : types[schema.ref]
    const held: SchemaFact = fact?.alias ?? schema
    const step = rest.startsWith('.') ? rest.slice(1) : rest
    if (held.type === 'array') {
      const [index = ''] = /^\[\d+\]/.exec(step) ?? []
      schema = held.items
      value = (value as readonly unknown[])[Number(index.slice(1, -1))]
      rest = step.slice(index.length)
    } else {
      const names: readonly string[] =
        fact?.fields?.map(({ name }) => name) ?? (isRecord(value) ? Object.keys(value) : [])
      const name: string | undefined = names.find(
        (each) => step.startsWith(each) && /^($|[.[])/.test(step.slice(each.length)),
      )
      if (name === undefined) break
      if (fact?.fields !== undefined) {
        struct = lastName(fact.go)
        fields.push(...embedders(fact.fields.find((each) => each.name === name)), name)
      }
      schema = fact?.fields?.find((each) => each.name === name) ?? held.values
      value = isRecord(value) ? value[name] : undefined
      rest = step.slice(name.length)
    }
  }
  return { struct, fields }
}

/** Go names the structs that a field is embedded through: `volumes.VolumeSource.secret`. */
const embedders = (field: FieldFact | undefined): readonly string[] =>
  field?.via === undefined || field.via === 'TypeMeta'
    ? []
    : field.via.map(([, , message]) => lastName(message))

const lastName = (dotted: string): string => dotted.slice(dotted.lastIndexOf('.') + 1)

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** What Go calls a value of JSON. */
export const nameOf = (value: unknown): string =>
  Array.isArray(value)
    ? 'array'
    : value === null
      ? 'null'
      : typeof value === 'boolean'
        ? 'bool'
        : typeof value === 'bigint'
          ? 'number'
          : typeof value

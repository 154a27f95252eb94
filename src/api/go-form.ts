/**
 * Values as Kubernetes prints them in its messages: it validates internal types, which have no JSON
 * names, so that a struct is shown with the names of its Go fields and with all of them.
 */
import type { FieldFact, SchemaFact } from '#machinery'
import { typeTable } from './facts.ts'

/** Types that are one text, and not fields. */
const PLAIN = /\.(?:Quantity|IntOrString|Time|MicroTime|RawExtension|JSON)$/
const META = 'io.k8s.apimachinery.pkg.apis.meta.v1.'

/** An object of the type `core.v1.Taint` in the form of Go. */
export const goForm = (type: string, value: unknown): unknown =>
  formOf({ ref: `io.k8s.api.${type}` }, value)

function formOf(schema: SchemaFact, value: unknown): unknown {
  const { ref, items, values } = schema
  if (ref !== undefined) {
    const fields = typeTable[ref]?.fields
    if (fields === undefined || PLAIN.test(ref) || ref.startsWith(META)) return value
    const object = (value ?? {}) as Readonly<Record<string, unknown>>
    return Object.fromEntries(
      fields.map((field) => {
        const given = object[field.name]
        return [field.go, given === undefined ? zeroOf(field) : formOf(field, given)]
      }),
    )
  }
  if (items !== undefined && Array.isArray(value)) return value.map((each) => formOf(items, each))
  if (values !== undefined && typeof value === 'object' && value !== null)
    return Object.fromEntries(
      Object.entries(value)
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, each]) => [key, formOf(values, each)]),
    )
  return value
}

function zeroOf(field: FieldFact): unknown {
  if (field.ptr === true || field.type === 'array' || field.type === 'object') return null
  if (field.ref === undefined) return scalarZero(field.type)
  if (/\.(?:Time|MicroTime|RawExtension|JSON)$/.test(field.ref)) return null
  if (field.ref.endsWith('.Quantity')) return '0'
  if (field.ref.endsWith('.IntOrString')) return 0
  const { fields, scalar } = typeTable[field.ref] ?? {}
  if (fields !== undefined) return formOf({ ref: field.ref }, {})
  return scalar === undefined ? null : scalarZero(scalar.type)
}

const scalarZero = (type: string | undefined): unknown =>
  type === 'string' ? '' : type === 'boolean' ? false : 0

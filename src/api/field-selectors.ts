/** Values of the fields that `--field-selector` may name, read by their paths. */
import type { FieldFact, KubeObject, ResourceFact } from '#machinery'
import { typeTable } from './facts.ts'

/** Names whose value does not lie at the path they spell. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  'status.successful': 'status.succeeded',
  'spec.host': 'spec.nodeName',
}

interface Reader {
  readonly name: string
  readonly path: readonly string[]
  /** What an absent field counts as. */
  readonly zero: string
}

/** Reads every selectable field of a resource besides name and namespace. */
export function fieldReader(facts: ResourceFact): (object: KubeObject) => Record<string, string> {
  const names = [
    ...(facts.fieldSelectors ?? []),
    ...Object.keys(facts.fieldSelectorAliases ?? {}),
  ].filter((name) => !name.startsWith('metadata.'))
  const readers: Reader[] = [...new Set(names)].map((name) => {
    const path = (ELSEWHERE[name] ?? name).split('.')
    return { name, path, zero: zeroAt(facts.type, path) }
  })
  return (object) => {
    const values: Record<string, string> = {}
    for (const { name, path, zero } of readers) values[name] = read(object, path) ?? zero
    return values
  }
}

function read(object: unknown, path: readonly string[]): string | undefined {
  let value = object
  for (const name of path) {
    if (typeof value !== 'object' || value === null) return undefined
    value = (value as Readonly<Record<string, unknown>>)[name]
  }
  switch (typeof value) {
    case 'string':
      return value
    case 'number':
    case 'boolean':
      return String(value)
    default:
      return undefined
  }
}

function zeroAt(type: string, path: readonly string[]): string {
  let current: string | undefined = type
  for (const name of path) {
    const field: FieldFact | undefined = typeTable[current ?? '']?.fields?.find(
      (each) => each.name === name,
    )
    if (field?.type === 'boolean') return 'false'
    if (field?.type === 'integer') return '0'
    current = field?.ref
  }
  return ''
}

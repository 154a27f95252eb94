/** What `kubectl get` shows of custom resources: their own columns, or their age. */
import { AGE_TEXT, NAME_TEXT, type CustomResourceDefinition } from '#api'
import type { Column } from '#machinery'
import { parseJsonPath } from './json-path.ts'

type ColumnSource = NonNullable<
  CustomResourceDefinition['spec']['versions'][number]['additionalPrinterColumns']
>[number]

const nameColumn: Column = {
  name: 'Name',
  type: 'string',
  format: 'name',
  priority: 0,
  description: NAME_TEXT,
  value: ({ metadata }: { metadata: { name: string } }) => metadata.name,
}

const AGE: ColumnSource = {
  name: 'Age',
  type: 'date',
  jsonPath: '.metadata.creationTimestamp',
  description: AGE_TEXT,
}

export function columnsOf(own: readonly ColumnSource[] = []): readonly Column[] {
  return [nameColumn, ...(own.length === 0 ? [AGE] : own).map(columnOf)]
}

function columnOf({
  name,
  type,
  format = '',
  priority = 0,
  description,
  jsonPath,
}: ColumnSource): Column {
  const path = parseJsonPath(jsonPath)
  return {
    name,
    type,
    format,
    priority,
    description:
      description === undefined || description === ''
        ? `Custom resource definition column (in JSONPath format): ${jsonPath}`
        : description,
    value: (object: unknown) => {
      const [value] = path?.(object) ?? []
      return cellOf(type, value)
    },
  }
}

/** A value of another type than the column's is not shown; null is an empty cell. */
function cellOf(type: string, value: unknown): unknown {
  if (value === undefined || value === null) return null
  switch (type) {
    case 'integer':
      if (typeof value === 'bigint') return value
      return typeof value === 'number' ? Math.trunc(value) : null
    case 'number':
      if (typeof value === 'bigint') return Number(value)
      return typeof value === 'number' ? value : null
    case 'boolean':
      return typeof value === 'boolean' ? value : null
    case 'string':
      return typeof value === 'object' ? JSON.stringify(value) : String(value as string)
    default:
      return typeof value === 'string' ? value : null
  }
}

/** Laying a part of an object over the whole by the type's shape, without owners: what admission policies do. */
import { mergeApplied } from './overlay.ts'
import { UNTYPED, type Shape } from '../shape.ts'

/** The object with the configuration in it. Throws for what names only a part of something that is one whole. */
export function mergeConfiguration(shape: Shape, object: unknown, configuration: unknown): unknown {
  const wholes = wholesIn(shape, configuration, '')
  if (wholes.length > 0)
    throw new Error(`may not mutate atomic arrays, maps or structs: ${wholes.join(', ')}`)
  return mergeApplied(shape, object, configuration)
}

/** Paths of lists and maps that can only be replaced as a whole. */
function wholesIn(shape: Shape, value: unknown, path: string): readonly string[] {
  if (typeof value !== 'object' || value === null) return []
  if (Array.isArray(value)) {
    if (shape.type === 'listSet') return []
    if (shape.type !== 'listMap') return [path]
    return value.flatMap((item: unknown) => {
      const fields = (item ?? {}) as Readonly<Record<string, unknown>>
      const keys = shape.keys
        .filter(({ name }) => fields[name] !== undefined)
        .map(({ name }) => `${name}=${JSON.stringify(fields[name])}`)
      return wholesIn(shape.item, item, `${path}[${keys.join(',')}]`)
    })
  }
  if (shape.type !== 'struct' && shape.type !== 'map') return [path]
  return Object.entries(value).flatMap(([name, part]) =>
    wholesIn(
      shape.type === 'map' ? shape.value : (shape.field(name) ?? UNTYPED),
      part,
      `${path}.${name}`,
    ),
  )
}

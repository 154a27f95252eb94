/** Lists that cannot be taken apart, since their items are not told from each other. */
import type { Shape } from '../shape.ts'
import { absent, childShape, divides, elementOf, isRecord, type Item } from './elements.ts'
import { shownElement } from './field-set.ts'

/** Items that are in their list twice, and items without a key: lists that are maps cannot hold them. */
export function itemProblems(shape: Shape, value: unknown, path = ''): readonly string[] {
  if (!divides(shape, value)) return []
  if (shape.type === 'struct' || shape.type === 'map')
    return Object.entries(value as Item).flatMap(([name, item]) =>
      itemProblems(childShape(shape, name), item, `${path}.${name}`),
    )
  const seen = new Set<string>()
  return (value as readonly unknown[]).flatMap((item, i) => {
    const element = elementOf(shape, item)
    const shown = shownElement(element)
    const inner =
      shape.type === 'listMap'
        ? [
            ...shape.keys
              .filter(
                ({ name, default: standard }) =>
                  isRecord(item) && absent(item[name]) && standard === undefined,
              )
              .map(
                ({ name }) =>
                  `${path}: element ${i}: associative list with keys has an element that omits key field ${JSON.stringify(name)} (and doesn't have default value)`,
              ),
            ...itemProblems(shape.item, item, `${path}${shown}`),
          ]
        : []
    if (seen.has(element)) return [`${path}: duplicate entries for key ${shown}`, ...inner]
    seen.add(element)
    return inner
  })
}

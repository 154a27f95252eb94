/** Cells that many tables share, and the texts in them. */
import { ageOf, type KubeObject } from '#machinery'

type Cell = (object: KubeObject, now: Date) => unknown

export const NONE = '<none>'
export const UNSET = '<unset>'

const COMMON: Readonly<Record<string, Cell>> = {
  Name: ({ metadata }) => metadata.name,
  Age: ({ metadata }, now) => ageOf(metadata.creationTimestamp, now),
  'Created At': ({ metadata }) => metadata.creationTimestamp,
}

export const commonCell = (name: string): Cell | undefined => COMMON[name]

/** `a=b,c=d`, sorted; `<none>` when empty. */
export function labelsText(labels: Readonly<Record<string, string>> | undefined): string {
  const entries = Object.entries(labels ?? {}).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return entries.length === 0 ? NONE : entries.map(([k, v]) => `${k}=${v}`).join(',')
}

interface Selector {
  readonly matchLabels?: Readonly<Record<string, string>>
  readonly matchExpressions?: readonly {
    readonly key: string
    readonly operator: string
    readonly values?: readonly string[]
  }[]
}

/** A label selector as kubectl takes it: `app=web,tier in (a,b),!old`. */
export function selectorText(selector: Selector | undefined): string {
  if (selector === undefined) return NONE
  const parts = [
    ...Object.entries(selector.matchLabels ?? {}).map(([key, value]) => ({
      key,
      text: `${key}=${value}`,
    })),
    ...(selector.matchExpressions ?? []).map(({ key, operator, values = [] }) => ({
      key,
      text: expressionText(key, operator, values),
    })),
  ]
  if (parts.length === 0) return NONE
  return parts
    .toSorted((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(({ text }) => text)
    .join(',')
}

function expressionText(key: string, operator: string, values: readonly string[]): string {
  const list = `(${values.toSorted().join(',')})`
  switch (operator) {
    case 'In':
      return `${key} in ${list}`
    case 'NotIn':
      return `${key} notin ${list}`
    case 'DoesNotExist':
      return `!${key}`
    default:
      return key
  }
}

interface Containers {
  readonly containers?: readonly { readonly name: string; readonly image?: string }[]
}
/** Container names, comma separated. */
export const containerNames = (spec: Containers | undefined): string =>
  (spec?.containers ?? []).map(({ name }) => name).join(',')
/** Container images, comma separated. */
export const containerImages = (spec: Containers | undefined): string =>
  (spec?.containers ?? []).map(({ image }) => image ?? '').join(',')

/** At most so many items, then how many are left out: `a,b + 1 more...`. */
export function firstOf(items: readonly string[], max: number): string {
  if (items.length === 0) return NONE
  const text = items.slice(0, max).join(',')
  return items.length > max ? `${text} + ${items.length - max} more...` : text
}

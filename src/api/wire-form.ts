/** Objects of the built-in kinds as Go writes them, and back. */
import { readForm, writtenForm, type JsonObject } from '#machinery'
import { typeTable } from './facts.ts'

let types: ReadonlyMap<string, string> | undefined

/** The definition of a built-in kind. Lists have a form of their own: theirs is said where they are written. */
function typeOf({ apiVersion, kind }: JsonObject): string | undefined {
  types ??= new Map(
    Object.entries(typeTable).flatMap(([name, { gvk = [] }]) =>
      gvk
        .filter(([, , each]) => !each.endsWith('List'))
        .map(([group, version, each]) => [
          `${group === '' ? version : `${group}/${version}`}/${each}`,
          name,
        ]),
    ),
  )
  return types.get(`${String(apiVersion)}/${String(kind)}`)
}

/** With every field that Go always writes: `rules: null`, `eventTime: null`. Objects of other kinds stay as they are. */
export function toWireForm<T extends object>(object: T): T {
  const type = typeOf(object as JsonObject)
  return type === undefined ? object : (writtenForm(typeTable, type, object as JsonObject) as T)
}

/** Without the nulls that are only in the written form, in place. Items of lists are of the kind that the list names. */
export function fromWireForm(object: object): void {
  const { apiVersion, kind, items } = object as JsonObject
  const isList = typeof kind === 'string' && kind.endsWith('List') && Array.isArray(items)
  const type = typeOf(
    isList ? { apiVersion, kind: kind.slice(0, -'List'.length) } : (object as JsonObject),
  )
  if (type === undefined) return
  for (const each of isList ? (items as readonly JsonObject[]) : [object as JsonObject])
    readForm(typeTable, type, each)
}

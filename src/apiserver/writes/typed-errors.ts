/** Configurations that cannot be applied because they do not fit their schema (structured merge and diff). */
import {
  badRequest,
  goText,
  type JsonObject,
  type Shape,
  type StatusError,
  type TypeMismatchError,
} from '#machinery'
import type { ExpectedKind } from '../expected-kind.ts'
import { isObject, textOf } from '../json.ts'

/** `failed to create typed patch object (shop/web; apps/v1, Kind=Deployment): .spec.foo: field not declared in schema` */
export function untypable(
  { group, kind }: ExpectedKind,
  { apiVersion, metadata }: JsonObject,
  problems: readonly string[],
): StatusError {
  const { name = '', namespace = '' } = (metadata ?? {}) as { name?: string; namespace?: string }
  const at = `${namespace}/${name}; ${group === '' ? '/' : ''}${textOf(apiVersion)}, Kind=${kind}`
  const [first = '', second] = problems
  const text = second === undefined ? first : ['errors:', ...problems].join('\n  ')
  return badRequest(`failed to create typed patch object (${at}): ${text}`)
}

const STEP = /\[(\d+)\]|([^.[\]]+)/g

const stepsOf = (path: string): readonly (string | number)[] =>
  [...path.matchAll(STEP)].map(([, index, name = '']) =>
    index === undefined ? name : Number(index),
  )

const below = (value: unknown, step: string | number): unknown => {
  if (typeof step === 'number') return Array.isArray(value) ? (value[step] as unknown) : undefined
  return isObject(value) ? value[step] : undefined
}

export const valueAtPath = (value: unknown, path: string): unknown =>
  stepsOf(path).reduce(below, value)

/** `.spec.containers[name="main"].foo`: items of lists that are maps by their keys. */
export function typedPath(root: Shape, value: unknown, path: string): string {
  let shape: Shape | undefined = root
  let at = value
  let text = ''
  for (const step of stepsOf(path)) {
    at = below(at, step)
    if (typeof step === 'string') {
      text += `.${step}`
      shape =
        shape?.type === 'struct'
          ? shape.field(step)
          : shape?.type === 'map'
            ? shape.value
            : undefined
    } else if (shape?.type === 'listMap') {
      text += `[${keyText(shape.keys, at)}]`
      shape = shape.item
    } else {
      text += `[${step}]`
      shape = undefined
    }
  }
  return text
}

function keyText(
  keys: readonly { readonly name: string; readonly default?: unknown }[],
  item: unknown,
): string {
  return keys
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name, default: standard }) => [name, below(item, name) ?? standard] as const)
    .filter(([, key]) => key !== undefined)
    .map(([name, key]) => `${name}=${JSON.stringify(key)}`)
    .join(',')
}

/** What should be there, and what is. */
export function expectation(
  { expected, message }: Pick<TypeMismatchError, 'expected' | 'message'>,
  found: unknown,
): string {
  const shown = goText(found)
  if (expected === 'string' || expected === '[]uint8')
    return `expected string, got &value.valueUnstructured{Value:${goSource(found)}}`
  if (expected === 'bool') return `expected boolean, got &{${shown}}`
  if (/^(u?int|float)\d+$/.test(expected) && !isNumber(found))
    return `expected numeric (int or float), got ${goType(found)}`
  if (expected.startsWith('[]')) return `expected list, got &{${shown}}`
  if (expected.startsWith('map[') || expected.includes('.')) return `expected map, got &{${shown}}`
  return message
}

const isNumber = (value: unknown): boolean => typeof value === 'number' || typeof value === 'bigint'

const goType = (value: unknown): string =>
  Array.isArray(value)
    ? '[]interface {}'
    : isObject(value)
      ? 'map[string]interface {}'
      : typeof value === 'boolean'
        ? 'bool'
        : typeof value

/** As a program in Go would write it. */
function goSource(value: unknown): string {
  if (Array.isArray(value)) return `[]interface {}{${value.map(goSource).join(', ')}}`
  if (!isObject(value)) return JSON.stringify(value) ?? 'interface {}(nil)'
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `map[string]interface {}{${members.map(([key, each]) => `${JSON.stringify(key)}:${goSource(each)}`).join(', ')}}`
}

/** JSONPath as kubectl and printer columns have it: `.status.conditions[?(@.type=="Ready")].status`. */
import { exactInteger } from '#machinery'
import { isObject } from '../json.ts'

type Step = (values: readonly unknown[]) => readonly unknown[]
type Path = (value: unknown) => readonly unknown[]

/** All values that a path leads to; undefined for text that is no path. What is absent leads to nothing. */
export function parseJsonPath(text: string): Path | undefined {
  const steps: Step[] = []
  let rest = text.replace(/^\$/, '')
  while (rest !== '') {
    const found = stepOf(rest)
    if (found === undefined) return undefined
    if (found.step !== undefined) steps.push(found.step)
    rest = rest.slice(found.length)
  }
  return (value) => steps.reduce((values, step) => step(values), [value] as readonly unknown[])
}

interface Found {
  readonly length: number
  /** Absent for a step that stays where it is. */
  readonly step: Step | undefined
}

function stepOf(text: string): Found | undefined {
  // The second dot begins the next step, unless a bracket does.
  if (text.startsWith('..')) return { length: text[2] === '[' ? 2 : 1, step: descend }
  if (text.startsWith('[')) return bracket(text)
  if (!text.startsWith('.')) return undefined
  if (text.startsWith('.[') || text === '.') return { length: 1, step: undefined }
  if (text.startsWith('.*')) return { length: 2, step: children }
  const name = /^\.((?:\\.|[^.[\]\\*(){}\s])+)/.exec(text)
  return name === null
    ? undefined
    : { length: name[0].length, step: fields([name[1]!.replaceAll(/\\(.)/g, '$1')]) }
}

const childrenOf = (value: unknown): readonly unknown[] =>
  Array.isArray(value) ? value : isObject(value) ? Object.values(value) : []

const children: Step = (values) => values.flatMap(childrenOf)

const fields =
  (names: readonly string[]): Step =>
  (values) =>
    values.flatMap((value) =>
      isObject(value)
        ? names.filter((name) => Object.hasOwn(value, name)).map((name) => value[name])
        : [],
    )

/** Everything, at any depth. */
const all = (value: unknown): readonly unknown[] => [value, ...childrenOf(value).flatMap(all)]
const descend: Step = (values) => values.flatMap(all)

function bracket(text: string): Found | undefined {
  const end = closing(text)
  if (end < 0) return undefined
  const inside = text.slice(1, end).trim()
  const step = selector(inside)
  return step === undefined ? undefined : { length: end + 1, step }
}

/** The bracket that ends the first one; quotes hide brackets. */
function closing(text: string): number {
  let depth = 0
  let quote = ''
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!
    if (quote !== '') {
      if (c === '\\') i++
      else if (c === quote) quote = ''
    } else if (c === "'" || c === '"') quote = c
    else if (c === '[') depth++
    else if (c === ']' && --depth === 0) return i
  }
  return -1
}

function selector(inside: string): Step | undefined {
  if (inside === '*') return children
  if (inside.startsWith('?(') && inside.endsWith(')')) return filter(inside.slice(2, -1))
  const names = [...inside.matchAll(/\s*(?:'((?:\\.|[^'\\])*)'|"((?:\\.|[^"\\])*)")\s*(?:,|$)/g)]
  if (names.length > 0 && names.reduce((sum, each) => sum + each[0].length, 0) === inside.length)
    return fields(names.map((each) => (each[1] ?? each[2] ?? '').replaceAll(/\\(.)/g, '$1')))
  if (/^-?\d+(\s*,\s*-?\d+)*$/.test(inside)) {
    const places = inside.split(',').map(Number)
    return (values) =>
      values.flatMap((value) =>
        Array.isArray(value)
          ? places.flatMap((place) => {
              const at = place < 0 ? value.length + place : place
              return at in value ? [value[at] as unknown] : []
            })
          : [],
      )
  }
  const range = /^(-?\d*):(-?\d*)(?::(\d+))?$/.exec(inside)
  if (range !== null) {
    const [, from = '', to = '', by = ''] = range
    return (values) =>
      values.flatMap((value) =>
        Array.isArray(value)
          ? value
              .slice(from === '' ? 0 : Number(from), to === '' ? undefined : Number(to))
              .filter((_, i) => i % (Number(by) || 1) === 0)
          : [],
      )
  }
  return undefined
}

const isNumber = (value: unknown): value is number | bigint =>
  typeof value === 'number' || typeof value === 'bigint'

type Compare = (a: unknown, b: unknown) => boolean

const ordered =
  (holds: (order: number) => boolean): Compare =>
  (a, b) => {
    if (isNumber(a) && isNumber(b)) return holds(a < b ? -1 : a > b ? 1 : 0)
    if (typeof a === 'string' && typeof b === 'string') return holds(a < b ? -1 : a > b ? 1 : 0)
    return typeof a === 'boolean' && typeof b === 'boolean' && holds(Number(a) - Number(b))
  }

const COMPARISONS: Readonly<Record<string, Compare>> = {
  '==': (a, b) => a === b,
  '!=': (a, b) => a !== b,
  '<=': ordered((order) => order <= 0),
  '>=': ordered((order) => order >= 0),
  '<': ordered((order) => order < 0),
  '>': ordered((order) => order > 0),
}

/** `@.type=="Ready"`, or `@.ready`, which asks whether it is there. */
function filter(condition: string): Step | undefined {
  const parts = /^\s*(.+?)\s*(==|!=|<=|>=|<|>)\s*(.+?)\s*$/.exec(condition)
  if (parts === null) {
    const path = operand(condition.trim())
    return path && ((values) => values.flatMap(childrenOf).filter((item) => path(item).length > 0))
  }
  const left = operand(parts[1]!)
  const right = operand(parts[3]!)
  const holds = COMPARISONS[parts[2]!]
  if (left === undefined || right === undefined || holds === undefined) return undefined
  return (values) =>
    values.flatMap(childrenOf).filter((item) => {
      const [a] = left(item)
      const [b] = right(item)
      return a !== undefined && b !== undefined && holds(a, b)
    })
}

function operand(text: string): Path | undefined {
  if (text.startsWith('@')) return parseJsonPath(text.slice(1))
  const quoted = /^'((?:\\.|[^'\\])*)'$|^"((?:\\.|[^"\\])*)"$/.exec(text)
  if (quoted !== null) {
    const value = (quoted[1] ?? quoted[2] ?? '').replaceAll(/\\(.)/g, '$1')
    return () => [value]
  }
  if (/^-?\d+(\.\d+)?$/.test(text)) {
    const value = text.includes('.') ? Number(text) : exactInteger(BigInt(text))
    return () => [value]
  }
  if (text === 'true' || text === 'false') return () => [text === 'true']
  return undefined
}

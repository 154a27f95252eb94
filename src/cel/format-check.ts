/** Patterns of `format` that are written down are judged with their values' types, before anything is evaluated. */
import type { Call, Expression } from './ast.ts'
import type { Issue } from './errors.ts'
import { typeText, type CelType } from './types.ts'

/** As the formatter reads it: a precision, and what is to be written. */
export const CLAUSE = /%(?:\.(\d*))?([^]|$)/gu

const INTEGERS = ['int', 'uint']
const DOUBLES = ['double', 'string']
const HEX = [...INTEGERS, 'string', 'bytes']
const SHOWN = 'list map int uint double bool string timestamp bytes duration type null'.split(' ')

interface Verb {
  readonly kinds: readonly string[]
  readonly only: string
}
const VERBS: ReadonlyMap<string, Verb> = new Map([
  [
    's',
    {
      kinds: SHOWN,
      only: 'string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps',
    },
  ],
  ['d', { kinds: INTEGERS, only: 'decimal clause can only be used on integers' }],
  ['f', { kinds: DOUBLES, only: 'fixed-point clause can only be used on doubles' }],
  ['e', { kinds: DOUBLES, only: 'scientific clause can only be used on doubles' }],
  [
    'b',
    { kinds: [...INTEGERS, 'bool'], only: 'only integers and bools can be formatted as binary' },
  ],
  ['o', { kinds: INTEGERS, only: 'octal clause can only be used on integers' }],
  ['x', { kinds: HEX, only: 'only integers, byte buffers, and strings can be formatted as hex' }],
  ['X', { kinds: HEX, only: 'only integers, byte buffers, and strings can be formatted as hex' }],
])

/** What a clause says of a value that it cannot write. */
export const misused = (verb: string, given: string): string =>
  `error during formatting: ${VERBS.get(verb)?.only ?? ''}, was given ${given}`
export const unknownClause = (verb: string): string =>
  `could not parse formatting clause: unrecognized formatting clause "${verb}"`

export function formatIssue(
  { name, target, args: [list], offset }: Call,
  typeOf: (expression: Expression) => CelType,
): Issue | undefined {
  if (name !== 'format' || target?.kind !== 'literal' || list?.kind !== 'list') return undefined
  if (typeof target.value !== 'string') return undefined
  let next = 0
  for (const [, , verb = ''] of target.value.matchAll(CLAUSE)) {
    if (verb === '%') continue
    if (verb === '') return { offset, message: 'unexpected end of string' }
    const value = list.elements[next++]
    if (value === undefined) return { offset, message: `index ${next - 1} out of range` }
    const known = VERBS.get(verb)
    if (known === undefined) return { offset, message: unknownClause(verb) }
    const wrong = unfit(value, verb === 's', known.kinds, typeOf)
    if (wrong !== undefined)
      return { offset: wrong.offset, message: misused(verb, plainName(typeOf(wrong))) }
  }
  return next < list.elements.length
    ? {
        offset,
        message: `too many arguments supplied to string.format (expected ${next}, got ${list.elements.length})`,
      }
    : undefined
}

/** The part that cannot be written; lists and maps that are written down are looked into. */
function unfit(
  value: Expression,
  deep: boolean,
  kinds: readonly string[],
  typeOf: (expression: Expression) => CelType,
): Expression | undefined {
  const { kind } = typeOf(value)
  if (kind !== 'dyn' && !kinds.includes(kind)) return value
  const parts =
    value.kind === 'list'
      ? value.elements
      : value.kind === 'map'
        ? value.entries.flatMap((entry) => [entry.key, entry.value])
        : []
  for (const part of deep ? parts : []) {
    const found = unfit(part, deep, kinds, typeOf)
    if (found !== undefined) return found
  }
  return undefined
}

/** Without the types of what it holds. */
const plainName = (type: CelType): string =>
  type.kind === 'opaque' || type.kind === 'object'
    ? type.name
    : ['list', 'map', 'type'].includes(type.kind)
      ? type.kind
      : typeText(type)

/** Reading a command line: what was asked, or what is wrong with it and what was probably meant. */

export interface OptionSpec {
  readonly name: string
  /** A flag takes no value; the word shown for the value otherwise, `DIR`. */
  readonly value?: string
  readonly short?: string
  readonly repeat?: boolean
  readonly summary: string
}

export interface ParsedArguments {
  readonly flags: ReadonlySet<string>
  readonly values: ReadonlyMap<string, readonly string[]>
  readonly operands: readonly string[]
}

/** Something the user wrote that cannot be; the message says what would be right. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'UsageError'
  }
}

export function parseArguments(
  words: readonly string[],
  specs: readonly OptionSpec[],
): ParsedArguments {
  const flags = new Set<string>()
  const values = new Map<string, string[]>()
  const operands: string[] = []
  const rest = [...words]
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === '--') {
      operands.push(...rest)
      break
    }
    if (!word.startsWith('-') || word === '-') {
      operands.push(word)
      continue
    }
    const [name, attached] = splitAtEquals(word)
    const spec = specs.find(
      (s) => name === `--${s.name}` || (s.short !== undefined && name === `-${s.short}`),
    )
    if (spec === undefined)
      throw new UsageError(
        unknown(
          'flag',
          name,
          specs.map((s) => `--${s.name}`),
        ),
      )
    if (spec.value === undefined) {
      if (attached !== undefined && attached !== 'true' && attached !== 'false') {
        throw new UsageError(
          `Flag --${spec.name} takes no value, but was given ${JSON.stringify(attached)}`,
        )
      }
      if (attached !== 'false') flags.add(spec.name)
      continue
    }
    const value = attached ?? rest.shift()
    if (value === undefined)
      throw new UsageError(`Flag --${spec.name} needs a value: --${spec.name} ${spec.value}`)
    const given = values.get(spec.name) ?? []
    if (given.length > 0 && spec.repeat !== true)
      throw new UsageError(`Flag --${spec.name} was given twice`)
    values.set(spec.name, [...given, value])
  }
  return { flags, values, operands }
}

function splitAtEquals(word: string): [string, string | undefined] {
  const at = word.indexOf('=')
  return at < 0 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)]
}

/** `Unknown flag --prot; did you mean --port?` */
export function unknown(what: string, given: string, known: readonly string[]): string {
  const near = nearest(given, known)
  return `Unknown ${what} ${given}${near === undefined ? '' : `; did you mean ${near}?`}`
}

/** The known word within a third of the letters of the given one, if any. */
export function nearest(given: string, known: readonly string[]): string | undefined {
  const ranked = known
    .map((word) => ({ word, distance: editDistance(given, word) }))
    .toSorted((a, b) => a.distance - b.distance)
  const best = ranked[0]
  return best !== undefined && best.distance <= Math.max(2, Math.floor(given.length / 3))
    ? best.word
    : undefined
}

/** Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`. */
export function editDistance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)]
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const swap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      row[j] = Math.min(
        (rows[i - 1]?.[j] ?? 0) + 1,
        (row[j - 1] ?? 0) + 1,
        (rows[i - 1]?.[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1),
        swap ? (rows[i - 2]?.[j - 2] ?? 0) + 1 : Infinity,
      )
    }
    rows.push(row)
  }
  return rows[a.length]?.[b.length] ?? 0
}

/** A whole number within bounds, or a UsageError that names the flag. */
export function wholeNumber(
  name: string,
  text: string,
  { min, max }: { min: number; max: number },
): number {
  const number = Number(text)
  if (!/^\d+$/.test(text) || number < min || number > max) {
    throw new UsageError(
      `--${name} must be a whole number from ${min} to ${max}, not ${JSON.stringify(text)}`,
    )
  }
  return number
}

const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/
/** This network, this machine, this link, groups and what is reserved: nobody else reaches a machine there. */
const ELSEWHERE_NOBODY = /^(?:0|127|169\.254|22[4-9]|2[3-5]\d)\./

/** An IPv4 address at which other machines can reach this one, or a UsageError that names the flag. */
export function reachableAddress(name: string, text: string): string {
  if (!IPV4.test(text)) throw new UsageError(`--${name} must be an IPv4 address, not ${text}`)
  if (ELSEWHERE_NOBODY.test(text))
    throw new UsageError(`--${name} ${text}: nodes and pods cannot reach this machine there`)
  return text
}

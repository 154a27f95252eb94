/** When a cron job runs: five fields, or a word for a common schedule. Only whether it can be read is decided here. */

interface Bounds {
  readonly min: number
  readonly max: number
  readonly names: readonly string[]
}

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat']
const FIELDS: readonly Bounds[] = [
  { min: 0, max: 59, names: [] },
  { min: 0, max: 23, names: [] },
  { min: 1, max: 31, names: [] },
  { min: 1, max: 12, names: MONTHS },
  { min: 0, max: 6, names: DAYS },
]
const WORDS = new Set([
  '@yearly',
  '@annually',
  '@monthly',
  '@weekly',
  '@daily',
  '@midnight',
  '@hourly',
])
const EVERY =
  /^@every (?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h)(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h))*$/

/** What is wrong with a schedule; undefined when it can be read. */
export function scheduleError(schedule: string): string | undefined {
  if (schedule.startsWith('@')) {
    if (WORDS.has(schedule) || EVERY.test(schedule)) return undefined
    return schedule.startsWith('@every ')
      ? `failed to parse duration ${schedule}`
      : `unrecognized descriptor: ${schedule}`
  }
  const fields = schedule.trim().split(/\s+/)
  if (fields.length !== FIELDS.length || schedule.trim() === '') {
    const found = schedule.trim() === '' ? [] : fields
    return `expected exactly 5 fields, found ${found.length}: [${found.join(' ')}]`
  }
  for (const [i, bounds] of FIELDS.entries()) {
    for (const part of (fields[i] ?? '').split(',')) {
      const wrong = partError(part, bounds)
      if (wrong !== undefined) return wrong
    }
  }
  return undefined
}

function partError(part: string, bounds: Bounds): string | undefined {
  const [range = '', step, ...rest] = part.split('/')
  if (rest.length > 0) return `too many slashes: ${part}`
  const [low = '', high, ...more] = range.split('-')
  if (more.length > 0) return `too many hyphens: ${part}`
  let start = bounds.min
  let end = bounds.max
  if (low !== '*' && low !== '?') {
    const first = valueOf(low, bounds)
    if (first === undefined)
      return `failed to parse int from ${low}: strconv.Atoi: parsing "${low}": invalid syntax`
    start = first
    end = first
    if (high !== undefined) {
      const last = valueOf(high, bounds)
      if (last === undefined)
        return `failed to parse int from ${high}: strconv.Atoi: parsing "${high}": invalid syntax`
      end = last
    } else if (step !== undefined) end = bounds.max
  }
  if (step !== undefined) {
    if (!/^\d+$/.test(step))
      return `failed to parse int from ${step}: strconv.Atoi: parsing "${step}": invalid syntax`
    if (Number(step) === 0) return `step of range should be a positive number: ${part}`
  }
  if (start < bounds.min)
    return `beginning of range (${start}) below minimum (${bounds.min}): ${part}`
  if (end > bounds.max) return `end of range (${end}) above maximum (${bounds.max}): ${part}`
  if (start > end) return `beginning of range (${start}) beyond end of range (${end}): ${part}`
  return undefined
}

function valueOf(text: string, { names, min }: Bounds): number | undefined {
  if (/^\d+$/.test(text)) return Number(text)
  const i = names.indexOf(text.toLowerCase())
  return i < 0 ? undefined : i + min
}

/** Whether this machine's time zone table knows the name. */
export function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== ''
  } catch {
    return false
  }
}

/** When a schedule comes next: five fields, a word for a common schedule, or `@every 1h30m`. */

export type Schedule =
  | {
      readonly type: 'fields'
      readonly minutes: ReadonlySet<number>
      readonly hours: ReadonlySet<number>
      readonly days: ReadonlySet<number>
      readonly months: ReadonlySet<number>
      readonly weekdays: ReadonlySet<number>
      /** When both days are given, either will do. */
      readonly eitherDay: boolean
    }
  | { readonly type: 'every'; readonly ms: number }

const WORDS: Readonly<Record<string, string>> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
}
const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat']
const UNITS_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
}

/** Undefined when it cannot be read. */
export function parseSchedule(text: string): Schedule | undefined {
  if (text.startsWith('@every ')) {
    const parts = [...text.slice(7).matchAll(/(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)/g)]
    const ms = parts.reduce((sum, [, n, unit]) => sum + Number(n) * (UNITS_MS[unit ?? ''] ?? 0), 0)
    // Seconds are the finest.
    return parts.length === 0
      ? undefined
      : { type: 'every', ms: Math.max(1000, Math.floor(ms / 1000) * 1000) }
  }
  const fields = (WORDS[text] ?? text).trim().split(/\s+/)
  const [minute, hour, day, month, weekday] = fields
  if (fields.length !== 5) return undefined
  const sets = [
    valuesOf(minute, 0, 59, []),
    valuesOf(hour, 0, 23, []),
    valuesOf(day, 1, 31, []),
    valuesOf(month, 1, 12, MONTHS),
    valuesOf(weekday, 0, 6, DAYS),
  ] as const
  const [minutes, hours, days, months, weekdays] = sets
  if (!minutes || !hours || !days || !months || !weekdays) return undefined
  const isAny = (field: string | undefined): boolean => /^[*?]/.test(field ?? '')
  const eitherDay = !isAny(day) && !isAny(weekday)
  return { type: 'fields', minutes, hours, days, months, weekdays, eitherDay }
}

function valuesOf(
  field: string | undefined,
  min: number,
  max: number,
  names: readonly string[],
): ReadonlySet<number> | undefined {
  const values = new Set<number>()
  const numberOf = (text: string): number =>
    /^\d+$/.test(text) ? Number(text) : names.indexOf(text.toLowerCase()) + min
  for (const part of (field ?? '').split(',')) {
    const [range = '', step] = part.split('/')
    const [low = '', high] = range.split('-')
    const any = low === '*' || low === '?'
    const first = any ? min : numberOf(low)
    const last = any ? max : high !== undefined ? numberOf(high) : step === undefined ? first : max
    const by = step === undefined ? 1 : Number(step)
    if (!(first >= min && last <= max && first <= last && by > 0)) return undefined
    for (let value = first; value <= last; value += by) values.add(value)
  }
  return values
}

const MINUTE = 60_000
const HOUR = 60 * MINUTE
/** February 29th on a certain weekday may take so long to come. */
const HORIZON_MS = 5 * 366 * 24 * HOUR

/** The first time after `after`; undefined when there is none (February 30th). */
export function nextTime(schedule: Schedule, after: Date, timeZone = 'UTC'): Date | undefined {
  if (schedule.type === 'every')
    return new Date(Math.floor((after.getTime() + schedule.ms) / 1000) * 1000)
  const offsetAt = offsets(timeZone)
  const { minutes, hours, days, months, weekdays, eitherDay } = schedule
  // A clock on the wall of that zone, as if it were UTC.
  const start = after.getTime() + offsetAt(after.getTime())
  let wall = Math.floor(start / MINUTE) * MINUTE + MINUTE
  while (wall - start < HORIZON_MS) {
    const date = new Date(wall)
    const [year, month, day] = [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()]
    if (!months.has(month + 1)) {
      wall = Date.UTC(year, month + 1, 1)
      continue
    }
    const [byDay, byWeekday] = [days.has(day), weekdays.has(date.getUTCDay())]
    if (eitherDay ? !byDay && !byWeekday : !byDay || !byWeekday) {
      wall = Date.UTC(year, month, day + 1)
      continue
    }
    if (!hours.has(date.getUTCHours())) {
      wall = Math.floor(wall / HOUR) * HOUR + HOUR
      continue
    }
    if (!minutes.has(date.getUTCMinutes())) {
      wall += MINUTE
      continue
    }
    const time = wall - offsetAt(wall - offsetAt(wall))
    // An hour that the clocks skip has no such time; one that they repeat has it once.
    if (time + offsetAt(time) === wall && time > after.getTime()) return new Date(time)
    wall += MINUTE
  }
  return undefined
}

/** Milliseconds that the zone's clocks are ahead of UTC. */
function offsets(timeZone: string): (time: number) => number {
  if (timeZone === 'UTC' || timeZone === 'Etc/UTC') return () => 0
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  })
  return (time) => {
    const parts = Object.fromEntries(
      format.formatToParts(time).map(({ type, value }) => [type, Number(value)]),
    )
    const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts
    return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(time / 1000) * 1000
  }
}

/** More missed runs than this are not counted one by one. */
const MANY = 100

/** The last time in (after, now], and whether very many were missed. */
export function lastTime(
  schedule: Schedule,
  after: Date,
  now: Date,
  timeZone?: string,
): { readonly time: Date | undefined; readonly missedMany: boolean } {
  let from = after
  let missed = 0
  if (schedule.type === 'every') {
    missed = Math.floor((now.getTime() - after.getTime()) / schedule.ms)
    const time = missed < 1 ? undefined : new Date(after.getTime() + missed * schedule.ms)
    return { time, missedMany: missed > MANY }
  }
  let time: Date | undefined
  for (;;) {
    const next = nextTime(schedule, from, timeZone)
    if (next === undefined || next > now) return { time, missedMany: missed > MANY }
    time = next
    from = next
    missed++
    // Far behind: the gap is halved, for only the last one counts.
    if (missed > MANY) {
      const half = new Date((from.getTime() + now.getTime()) / 2)
      const later = nextTime(schedule, half, timeZone)
      if (later !== undefined && later <= now) from = new Date(later.getTime() - 1)
    }
  }
}

/**
 * When a schedule comes next: five fields, a word for a common schedule, or `@every 1h30m`. Croner reads the
 * fields and finds the next time on a wall clock. From wall clock to time it goes as in Kubernetes, where a time
 * that the clocks skip does not come and one that they repeat comes twice: croner would move the first and
 * drop the second.
 */
import { Cron } from 'croner'

export type Schedule =
  | { readonly type: 'fields'; readonly cron: Cron }
  | { readonly type: 'every'; readonly ms: number }

const UNITS_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
}
/** First and last value of each field. */
const FIELDS = [
  [0, 59],
  [0, 23],
  [1, 31],
  [1, 12],
  [0, 6],
] as const

/** Croner's own additions (L, W, #, +) are no part of a CronJob's schedule. */
const PLAIN =
  /^(?:[\s\d*?,/-]|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|sun|mon|tue|wed|thu|fri|sat)+$/i

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
  const word = /^@(yearly|annually|monthly|weekly|daily|midnight|hourly)$/.test(text)
  if (!word && !PLAIN.test(text)) return undefined
  const fields = text.trim().split(/\s+/)
  if (!word && fields.length !== FIELDS.length) return undefined
  try {
    const pattern = word ? text : fields.map((field, i) => plainSteps(field, FIELDS[i]!)).join(' ')
    return {
      type: 'fields',
      cron: new Cron(pattern, { paused: true, timezone: 'UTC', mode: '5-part' }),
    }
  } catch {
    return undefined
  }
}

/** Steps as croner takes them: from a number they go to the end, and one that leaves the range is none. */
const plainSteps = (field: string, [first, last]: (typeof FIELDS)[number]): string =>
  field
    .split(',')
    .map((part) => {
      const [, range = '', step] = /^([^/]+)\/(\d+)$/.exec(part) ?? []
      if (step === undefined) return part
      if (Number(step) > last)
        return /^[*?]/.test(range) ? String(first) : range.replace(/-.*$/, '')
      return /^\w+$/.test(range) ? `${range}-${last}/${step}` : part
    })
    .join(',')

const HOUR = 3_600_000
/** No zone changes its clocks by more. */
const SHIFT_MS = 3 * HOUR
/** February 29th on a certain weekday may take so long to come. */
const HORIZON_MS = 5 * 366 * 24 * HOUR

/** The first time after `after`; undefined when there is none (February 30th). */
export function nextTime(schedule: Schedule, after: Date, timeZone = 'UTC'): Date | undefined {
  if (schedule.type === 'every')
    return new Date(Math.floor((after.getTime() + schedule.ms) / 1000) * 1000)
  const start = after.getTime()
  if (isUtc(timeZone)) return schedule.cron.nextRun(after) ?? undefined
  const offsetAt = offsets(timeZone)
  // The clocks may soon go back: what is then repeated is looked at too.
  const behind = Math.min(offsetAt(start), offsetAt(start + SHIFT_MS))
  let wall = start + behind
  let found: number | undefined
  for (;;) {
    // As if the wall clock were in UTC.
    const next = schedule.cron.nextRun(new Date(wall))?.getTime()
    if (next === undefined || next - start > HORIZON_MS) break
    wall = next
    if (found !== undefined && wall - behind > found + SHIFT_MS) break
    // None in an hour that is skipped, two in one that is repeated.
    for (const offset of [offsetAt(wall - behind - SHIFT_MS), offsetAt(wall - behind + SHIFT_MS)]) {
      const time = wall - offset
      if (time > start && offsetAt(time) === offset) found = Math.min(found ?? time, time)
    }
    if (found !== undefined && offsetAt(start) === behind) break
  }
  return found === undefined ? undefined : new Date(found)
}

const isUtc = (timeZone: string): boolean => timeZone === 'UTC' || timeZone === 'Etc/UTC'

/** Milliseconds that the zone's clocks are ahead of UTC. */
function offsets(timeZone: string): (time: number) => number {
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

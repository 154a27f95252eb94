/** Parts of a point in time, in a time zone. */
import { CelError } from './errors.ts'

const formats = new Map<string, Intl.DateTimeFormat>()
function formatFor(zone: string): Intl.DateTimeFormat {
  let found = formats.get(zone)
  if (found === undefined) {
    try {
      found = new Intl.DateTimeFormat('en-US', {
        timeZone: zone,
        hourCycle: 'h23',
        year: 'numeric',
        month: 'numeric',
        day: 'numeric',
        hour: 'numeric',
        minute: 'numeric',
        second: 'numeric',
        era: 'short',
      })
    } catch {
      throw new CelError(`unknown time zone ${zone}`)
    }
    formats.set(zone, found)
  }
  return found
}

const MINUTE_MS = 60_000

/** The time there, as if it were UTC. */
function local(ms: number, zone: string): Date {
  const fixed = /^([+-]?)(\d\d):(\d\d)$/.exec(zone)
  if (fixed !== null)
    return new Date(
      ms + (fixed[1] === '-' ? -1 : 1) * (Number(fixed[2]) * 60 + Number(fixed[3])) * MINUTE_MS,
    )
  if (zone === 'UTC' || zone === '') return new Date(ms)
  const parts = Object.fromEntries(
    formatFor(zone)
      .formatToParts(ms)
      .map(({ type, value }) => [type, value]),
  )
  const number = (name: string): number => Number(parts[name])
  return new Date(
    Date.UTC(
      number('year'),
      number('month') - 1,
      number('day'),
      number('hour'),
      number('minute'),
      number('second'),
      ((ms % 1000) + 1000) % 1000,
    ),
  )
}

const DAY_MS = 86_400_000

/** `getMonth` counts from 0, `getDate` from 1, `getDayOfMonth` from 0, `getDayOfWeek` from Sunday. */
export function timeParts(name: string, nanos: bigint, zone: string): bigint {
  const ms = Number((nanos - (((nanos % 1_000_000n) + 1_000_000n) % 1_000_000n)) / 1_000_000n)
  const date = local(ms, zone)
  const value = {
    getFullYear: () => date.getUTCFullYear(),
    getMonth: () => date.getUTCMonth(),
    getDate: () => date.getUTCDate(),
    getDayOfMonth: () => date.getUTCDate() - 1,
    getDayOfWeek: () => date.getUTCDay(),
    getDayOfYear: () =>
      Math.floor((date.getTime() - Date.UTC(date.getUTCFullYear(), 0, 1)) / DAY_MS),
    getHours: () => date.getUTCHours(),
    getMinutes: () => date.getUTCMinutes(),
    getSeconds: () => date.getUTCSeconds(),
    getMilliseconds: () => date.getUTCMilliseconds(),
  }[name]
  return BigInt(value?.() ?? 0)
}

/** Time that moves only when told. */
import type { Clock } from './env.ts'
import { sleepBy } from './sleep.ts'

/** Rounds of the event loop that follow every timer, so that chains of promises and streams come to rest. */
const SETTLE_ROUNDS = 4

/** Lets what is ready run, without time passing. */
export async function settle(): Promise<void> {
  for (let round = 0; round < SETTLE_ROUNDS; round++)
    await new Promise((resolve) => setImmediate(resolve))
}

interface Timer {
  readonly at: number
  readonly order: number
  readonly run: () => void
  cancelled: boolean
}

export function virtualClock(start: Date): {
  clock: Clock
  advance: (ms: number) => Promise<void>
  jump: (ms: number) => void
  next: () => number | undefined
} {
  let elapsed = 0
  let set = 0
  let order = 0
  const timers: Timer[] = []
  const before = (a: Timer, b: Timer): boolean =>
    a.at < b.at || (a.at === b.at && a.order < b.order)

  const push = (timer: Timer): void => {
    timers.push(timer)
    let i = timers.length - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!before(timers[i]!, timers[parent]!)) break
      ;[timers[i], timers[parent]] = [timers[parent]!, timers[i]!]
      i = parent
    }
  }
  const pop = (): Timer | undefined => {
    const top = timers[0]
    const last = timers.pop()
    if (top === undefined || last === undefined || timers.length === 0) return top
    timers[0] = last
    for (let i = 0; ;) {
      const left = 2 * i + 1
      const right = left + 1
      let least = i
      if (left < timers.length && before(timers[left]!, timers[least]!)) least = left
      if (right < timers.length && before(timers[right]!, timers[least]!)) least = right
      if (least === i) return top
      ;[timers[i], timers[least]] = [timers[least]!, timers[i]!]
      i = least
    }
  }
  const peek = (): Timer | undefined => {
    while (timers[0]?.cancelled) pop()
    return timers[0]
  }

  const schedule = (ms: number, run: () => void): (() => void) => {
    const timer: Timer = { at: elapsed + Math.max(0, ms), order: order++, run, cancelled: false }
    push(timer)
    return () => {
      timer.cancelled = true
    }
  }
  const clock: Clock = {
    now: () => new Date(start.getTime() + set + elapsed),
    monotonic: () => elapsed,
    schedule,
    sleep: sleepBy(schedule),
  }
  return {
    clock,
    next: () => {
      const timer = peek()
      return timer === undefined ? undefined : Math.max(0, timer.at - elapsed)
    },
    jump(ms) {
      set += ms
    },
    async advance(ms) {
      const target = elapsed + ms
      await settle()
      for (let timer = peek(); timer !== undefined && timer.at <= target; timer = peek()) {
        elapsed = Math.max(elapsed, timer.at)
        // All that is due at this instant runs before the loop turns, as it would in one tick of a real clock.
        for (let due = peek(); due !== undefined && due.at <= elapsed; due = peek()) {
          pop()
          due.run()
        }
        await settle()
      }
      elapsed = target
    },
  }
}

/** Keys that wait to be worked on: each once, with a growing wait after failures. */
import { Turn, exponential, type Clock, type Metrics } from '#base'

/** Keys that wait to be worked on: each once, and by one worker at a time. */
export interface WorkQueue {
  /** Worked on soon; once more if it is being worked on right now. */
  add(key: string): void
  addAfter(key: string, delayMs: number): void
  /** After a failure: waits longer each time. */
  retry(key: string): void
  /** It went well: the next failure waits little again. */
  forget(key: string): void
  failures(key: string): number
  readonly length: number
  /** Works on keys, `concurrency` at a time, until the signal aborts. An error of `work` is a retry. */
  run(
    work: (key: string) => Promise<void>,
    options: {
      readonly concurrency: number
      readonly signal: AbortSignal
      readonly onError?: (key: string, error: unknown) => void
    },
  ): void
  /** Nothing waits now and nothing is being worked on; delayed keys do not count. */
  readonly idle: boolean
}

const FIRST_RETRY_MS = 5
const LAST_RETRY_MS = 1_000_000

/** Counted under the names that upstream's queues have; without them nothing is. */
interface Counted {
  readonly name: string
  readonly metrics: Metrics
}

/**
 * A queue of keys: one that is added again while it waits is there once, and while it is worked on it waits
 * until that is over.
 */
export function createWorkQueue(
  { clock }: { readonly clock: Clock },
  counted?: Counted,
): WorkQueue {
  const counts =
    counted &&
    countsOf(
      counted,
      () => waiting.size,
      () => Array.from(working.values(), (at) => (clock.monotonic() - at) / 1000),
    )
  const since = new Map<string, number>()
  const waiting = new Set<string>()
  /** The same keys in their order, from `head` on: sets are slow to find the first one left of many. */
  let order: string[] = []
  let head = 0
  const wait = (key: string): void => {
    if (waiting.has(key)) return
    waiting.add(key)
    order.push(key)
  }
  const takeFirst = (): string | undefined => {
    const key = order[head]
    if (key === undefined) return undefined
    waiting.delete(key)
    if (++head === order.length || (head > 1024 && head * 2 > order.length)) {
      order = order.slice(head)
      head = 0
    }
    return key
  }
  const turn = new Turn(clock)
  /** Since when. */
  const working = new Map<string, number>()
  const again = new Set<string>()
  const failed = new Map<string, number>()
  const delayed = new Map<string, { readonly at: number; readonly cancel: () => void }>()
  let start: () => void = () => undefined
  /** Whoever still adds, for the caches outlive the worker, adds for nobody. */
  let ended = false

  const queue: WorkQueue = {
    add(key) {
      if (ended) return
      if (queue.idle) turn.begin()
      delayed.get(key)?.cancel()
      delayed.delete(key)
      counts?.adds.add()
      if (counts !== undefined && !since.has(key)) since.set(key, clock.monotonic())
      if (working.has(key)) again.add(key)
      else wait(key)
      start()
    },
    addAfter(key, delayMs) {
      if (ended) return
      if (delayMs <= 0) {
        queue.add(key)
        return
      }
      const at = clock.monotonic() + delayMs
      const known = delayed.get(key)
      if (known !== undefined && known.at <= at) return
      known?.cancel()
      const cancel = clock.schedule(delayMs, () => {
        delayed.delete(key)
        queue.add(key)
      })
      delayed.set(key, { at, cancel })
    },
    retry(key) {
      counts?.retries.add()
      const count = failed.get(key) ?? 0
      failed.set(key, count + 1)
      queue.addAfter(key, Math.min(FIRST_RETRY_MS * 2 ** Math.min(count, 30), LAST_RETRY_MS))
    },
    forget: (key) => void failed.delete(key),
    failures: (key) => failed.get(key) ?? 0,
    get length() {
      return waiting.size
    },
    get idle() {
      return waiting.size === 0 && working.size === 0
    },
    run(work, { concurrency, signal, onError }) {
      const one = async (key: string): Promise<void> => {
        const started = clock.monotonic()
        if (counts !== undefined) {
          counts.waited.observe((started - (since.get(key) ?? started)) / 1000)
          since.delete(key)
        }
        try {
          await work(key)
          failed.delete(key)
        } catch (error) {
          if (!signal.aborted) {
            onError?.(key, error)
            queue.retry(key)
          }
        } finally {
          counts?.worked.observe((clock.monotonic() - started) / 1000)
          working.delete(key)
          if (again.delete(key)) wait(key)
          start()
        }
      }
      turn.begin()
      let rests = false
      start = () => {
        while (!signal.aborted && !rests && working.size < concurrency && waiting.size > 0) {
          if (turn.isOver()) {
            rests = true
            void turn.next().then(() => {
              rests = false
              start()
            })
            return
          }
          const next = takeFirst()
          if (next === undefined) return
          working.set(next, clock.monotonic())
          void one(next)
        }
      }
      signal.addEventListener('abort', () => {
        for (const { cancel } of delayed.values()) cancel()
        delayed.clear()
        waiting.clear()
        order = []
        head = 0
        since.clear()
        ended = true
      })
      start()
    },
  }
  return queue
}

const TIMES = exponential(1e-8, 10, 10)

function countsOf(
  { name, metrics }: Counted,
  depth: () => number,
  /** Seconds that each key is being worked on. */
  unfinished: () => readonly number[],
) {
  const labels = ['name']
  metrics.gauge({ name: 'workqueue_depth', help: 'Keys that wait.', labels }, () => [
    [[name], depth()],
  ])
  metrics.gauge(
    {
      name: 'workqueue_unfinished_work_seconds',
      help: 'Time of all work that is under way.',
      labels,
    },
    () => [[[name], unfinished().reduce((sum, seconds) => sum + seconds, 0)]],
  )
  metrics.gauge(
    {
      name: 'workqueue_longest_running_processor_seconds',
      help: 'Time of the longest work that is under way.',
      labels,
    },
    () => [[[name], Math.max(0, ...unfinished())]],
  )
  const histogram = (metric: string, help: string) =>
    metrics.histogram({ name: metric, help, labels, buckets: TIMES }).with(name)
  const counter = (metric: string, help: string) =>
    metrics.counter({ name: metric, help, labels }).with(name)
  return {
    adds: counter('workqueue_adds_total', 'Keys that were added.'),
    retries: counter('workqueue_retries_total', 'Keys that are tried again after a failure.'),
    waited: histogram('workqueue_queue_duration_seconds', 'Time that keys waited.'),
    worked: histogram('workqueue_work_duration_seconds', 'Time that work on a key took.'),
  }
}

/** Who watches what, and what each of them has still to hear. */
import type { CacheEntry, CacheEvent } from './cached.ts'
import type { Revision } from './storage.ts'

/** From where, until when, and of what a watcher wants to hear. */
export interface CacheWatchOptions<T extends object> {
  /** Events after this revision. */
  readonly from: Revision
  readonly signal: AbortSignal
  /** Only keys that start with this; default: all of the cache. */
  readonly prefix?: string
  /** Only this key. */
  readonly key?: string
  /** Only objects that pass: one that begins to pass is added, one that stops passing is deleted. */
  readonly filter?: (entry: CacheEntry<T>) => boolean
  /** A field value that the filter asks for anyway: events of other objects then cost this watch nothing. */
  readonly hint?: { readonly field: string; readonly value: string }
  /** How far it may lag, in events. Default: 10,000. */
  readonly limit?: number
  /** It lagged further and was cut off, perhaps while nobody asks for what is next. */
  readonly onOverflow?: () => void
}

/** What one watcher is told. */
export interface Delivery<T extends object = object> {
  readonly type: 'added' | 'modified' | 'deleted'
  readonly event: CacheEvent<T>
  /** The state to show, at the event's revision. */
  readonly entry: CacheEntry<T>
}

/** The watcher lagged too far behind and was cut off; it may begin again at the last revision it saw. */
export class WatchOverflowError extends Error {
  constructor(limit: number) {
    super(`the watcher is more than ${limit} events behind`)
    this.name = 'WatchOverflowError'
  }
}

const DEFAULT_LIMIT = 10_000

/** Deliveries in order, in batches. Ends when its signal aborts or the cache closes; throws `WatchOverflowError`. */
export class CacheWatch<T extends object> implements AsyncIterable<readonly Delivery<T>[]> {
  /** @internal */ readonly options: CacheWatchOptions<T>
  readonly #revision: () => Revision
  readonly #onEnd: () => void
  readonly #limit: number
  #queue: Delivery<T>[] = []
  #isReplay = true
  #ended = false
  #overflow = false
  #awake: (() => void) | undefined
  #handedOut: Revision

  /** @internal */
  constructor(options: CacheWatchOptions<T>, revision: () => Revision, onEnd: () => void) {
    this.options = options
    this.#revision = revision
    this.#onEnd = onEnd
    this.#limit = options.limit ?? DEFAULT_LIMIT
    this.#handedOut = options.from
    if (options.signal.aborted) this.end()
    else options.signal.addEventListener('abort', this.end, { once: true })
  }

  /** All events up to this revision were handed out: what a bookmark may say. */
  get progress(): Revision {
    if (this.#queue.length > 0 || this.#overflow) return this.#handedOut
    return Math.max(this.options.from, this.#revision())
  }

  /** @internal Puts the event in the queue if it concerns this watcher; true when the watcher should be woken for it. */
  offer(event: CacheEvent<T>): boolean {
    if (this.#ended || event.revision <= this.options.from) return false
    const { prefix, key } = this.options
    if (key !== undefined && event.key !== key) return false
    if (prefix !== undefined && !event.key.startsWith(prefix)) return false
    const delivery = this.#deliveryOf(event)
    if (delivery === undefined) return false
    // What it asked to hear of the past is bounded by the cache's capacity already.
    if (!this.#isReplay && this.#queue.length >= this.#limit) {
      this.#overflow = true
      this.#queue = []
      this.end()
      this.options.onOverflow?.()
      return false
    }
    return this.#queue.push(delivery) === 1
  }

  #deliveryOf(event: CacheEvent<T>): Delivery<T> | undefined {
    const { filter } = this.options
    const { entry, previous } = event
    const was = previous !== undefined && (filter === undefined || filter(previous))
    const is = event.type !== 'deleted' && (filter === undefined || filter(entry))
    if (is) return { type: was ? 'modified' : 'added', event, entry }
    const departed = was ? event.departed : undefined
    return departed && { type: 'deleted', event, entry: departed }
  }

  /** @internal */
  wake(): void {
    this.#isReplay = false
    if (this.#queue.length > 0 || this.#ended) this.#awake?.()
  }

  /** Ends it; what is queued is dropped. */
  readonly end = (): void => {
    if (this.#ended) return
    this.#ended = true
    this.#onEnd()
    this.options.signal.removeEventListener('abort', this.end)
    this.#awake?.()
  }

  get hasEnded(): boolean {
    return this.#ended
  }

  /** What has come since it was last asked; undefined when nothing has. Throws `WatchOverflowError` once it was cut off. */
  take(): readonly Delivery<T>[] | undefined {
    this.#isReplay = false
    if (this.#overflow) throw new WatchOverflowError(this.#limit)
    if (this.#ended || this.#queue.length === 0) return undefined
    const batch = this.#queue
    this.#queue = []
    this.#handedOut = (batch.at(-1) as Delivery<T>).event.revision
    return batch
  }

  /**
   * Calls when there is something to take and when it has ended: the way of those who are many, to whom a
   * promise for each event would cost more than the event. It must not throw. Instead of iterating.
   */
  listen(onReady: () => void): void {
    this.#awake = () => callSoon(onReady)
    if (this.#queue.length > 0 || this.#ended) this.#awake()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly Delivery<T>[]> {
    try {
      for (;;) {
        const batch = this.take()
        if (batch !== undefined) yield batch
        else if (this.#ended) return
        else {
          const { promise, resolve } = Promise.withResolvers<void>()
          this.#awake = resolve
          await promise
          this.#awake = undefined
        }
      }
    } finally {
      this.end()
    }
  }
}

let soon: (() => void)[] = []

/** All together, after whoever tells of the event has finished: one promise for a thousand watchers. */
function callSoon(call: () => void): void {
  if (soon.push(call) > 1) return
  void Promise.resolve().then(() => {
    const calls = soon
    soon = []
    for (const each of calls) each()
  })
}

/** Finds the watchers of an event without asking each. */
export class WatcherSet<T extends object> {
  readonly #prefix: string
  readonly #routes = new Map<string, Set<CacheWatch<T>>>()
  /** By field, for watchers that gave a hint. */
  readonly #hinted = new Map<string, Map<string, Set<CacheWatch<T>>>>()
  #touched: CacheWatch<T>[] = []

  constructor(prefix: string) {
    this.#prefix = prefix
  }

  add(options: CacheWatchOptions<T>, revision: () => Revision): CacheWatch<T> {
    const { prefix = this.#prefix, key, hint } = options
    const routes =
      hint === undefined ? this.#routes : mapOf(this.#hinted, hint.field, newMap<CacheWatch<T>>)
    const general = this.#isFolder(prefix) ? prefix : '*'
    const name = hint?.value ?? (key === undefined ? general : `=${key}`)
    const watch = new CacheWatch(options, revision, () => {
      const route = routes.get(name)
      route?.delete(watch)
      if (route?.size === 0) routes.delete(name)
    })
    if (!options.signal.aborted) mapOf(routes, name, newSet<CacheWatch<T>>).add(watch)
    return watch
  }

  dispatch(event: CacheEvent<T>): void {
    const { key } = event
    this.#offer(this.#routes.get(this.#prefix), event)
    // Prefixes that end at a slash, and the key itself.
    for (let at = this.#prefix.length; ;) {
      at = key.indexOf('/', at) + 1
      if (at === 0) break
      this.#offer(this.#routes.get(key.slice(0, at)), event)
    }
    this.#offer(this.#routes.get(`=${key}`), event)
    this.#offer(this.#routes.get('*'), event)
    for (const [field, values] of this.#hinted) {
      const now = event.entry.index.fields?.[field] ?? ''
      const before = event.previous?.index.fields?.[field] ?? ''
      this.#offer(values.get(now), event)
      if (before !== now) this.#offer(values.get(before), event)
    }
  }

  /** Lets those run that got something. */
  wake(): void {
    const touched = this.#touched
    this.#touched = []
    for (const watch of touched) watch.wake()
  }

  closeAll(): void {
    for (const route of this.#allRoutes()) for (const watch of route) watch.end()
  }

  #offer(watches: ReadonlySet<CacheWatch<T>> | undefined, event: CacheEvent<T>): void {
    if (watches === undefined) return
    for (const watch of watches) if (watch.offer(event)) this.#touched.push(watch)
  }

  #isFolder(prefix: string): boolean {
    return prefix === this.#prefix || (prefix.startsWith(this.#prefix) && prefix.endsWith('/'))
  }

  *#allRoutes(): Generator<Set<CacheWatch<T>>> {
    yield* this.#routes.values()
    for (const values of this.#hinted.values()) yield* values.values()
  }
}

const newSet = <T>() => new Set<T>()
const newMap = <T>() => new Map<string, Set<T>>()

function mapOf<V>(map: Map<string, V>, name: string, make: () => V): V {
  let found = map.get(name)
  if (found === undefined) {
    found = make()
    map.set(name, found)
  }
  return found
}

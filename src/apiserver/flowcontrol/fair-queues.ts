/**
 * The queues of one priority level: flows are dealt to queues by shuffle sharding, and queues are served by
 * start-time fair queueing, so that a flow with many requests waits behind itself and not others behind it.
 */
import { createHash } from 'node:crypto'

export interface QueueSettings {
  readonly queues: number
  readonly handSize: number
  readonly lengthLimit: number
}

interface Queue<T> {
  readonly items: { readonly item: T; readonly seats: number }[]
  /** Virtual time at which its next request may start: what it has been given so far, in seats. */
  start: number
}

/** `handSize` different numbers below `queues`, the same for the same flow. */
export function dealHand(flow: string, { queues, handSize }: QueueSettings): readonly number[] {
  const digest = createHash('sha256').update(flow).digest()
  const deck = Array.from({ length: queues }, (_, i) => i)
  const hand: number[] = []
  for (let i = 0; i < Math.min(handSize, queues); i++) {
    // 32 bytes give a number of 16 bits for each of up to 16 cards; more go around again.
    const draw = digest.readUInt16BE((i * 2) % 32) % deck.length
    hand.push(...deck.splice(draw, 1))
  }
  return hand
}

export class FairQueues<T> {
  readonly #settings: QueueSettings
  readonly #queues: Queue<T>[]
  /** The start of what was served last: a queue that was empty begins here. */
  #now = 0
  #length = 0

  constructor(settings: QueueSettings) {
    this.#settings = settings
    this.#queues = Array.from({ length: settings.queues }, () => ({ items: [], start: 0 }))
  }

  get length(): number {
    return this.#length
  }

  /** The queue that it was put into and how long that is now; undefined when the shortest of the flow's hand is full. */
  add(
    flow: string,
    seats: number,
    item: T,
  ): { readonly queue: number; readonly length: number } | undefined {
    let shortest: Queue<T> | undefined
    let at = 0
    for (const index of dealHand(flow, this.#settings)) {
      const queue = this.#queues[index]!
      if (shortest !== undefined && queue.items.length >= shortest.items.length) continue
      shortest = queue
      at = index
    }
    if (shortest === undefined || shortest.items.length >= this.#settings.lengthLimit)
      return undefined
    if (shortest.items.length === 0) shortest.start = Math.max(shortest.start, this.#now)
    shortest.items.push({ item, seats })
    this.#length++
    return { queue: at, length: shortest.items.length }
  }

  /** For those who look: how long each queue is, and where it stands. */
  get queues(): readonly { readonly items: readonly T[]; readonly seats: number; start: number }[] {
    return this.#queues.map(({ items, start }) => ({
      items: items.map(({ item }) => item),
      seats: items.reduce((sum, { seats }) => sum + seats, 0),
      start,
    }))
  }

  /** Whose turn it is, without serving it. */
  peek(): { readonly item: T; readonly seats: number } | undefined {
    return this.#next()?.items[0]
  }

  take(): { readonly item: T; readonly seats: number } | undefined {
    const queue = this.#next()
    const served = queue?.items.shift()
    if (queue === undefined || served === undefined) return undefined
    this.#now = queue.start
    queue.start += served.seats
    this.#length--
    return served
  }

  remove(item: T): boolean {
    for (const { items } of this.#queues) {
      const index = items.findIndex((each) => each.item === item)
      if (index < 0) continue
      items.splice(index, 1)
      this.#length--
      return true
    }
    return false
  }

  #next(): Queue<T> | undefined {
    let next: Queue<T> | undefined
    for (const queue of this.#queues)
      if (queue.items.length > 0 && (next === undefined || queue.start < next.start)) next = queue
    return next
  }
}

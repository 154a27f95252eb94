/** What is to be seen of priority levels: by metrics, pages and tests. */
import type { RequestUser } from '#machinery'
import type { RequestInfo } from '../exchange.ts'

/** Why a request was told to come again. */
export type Rejection = 'queue-full' | 'concurrency-limit' | 'time-out' | 'cancelled'

/** A request that waits for its turn. */
export interface WaitingRequest {
  readonly schema: string
  /** What tells its flow from others of the schema: a user or a namespace. */
  readonly flow: string
  readonly user: RequestUser
  readonly info: RequestInfo
  readonly seats: number
  readonly arrived: Date
  readonly queue: number
  /** Its place in the queue. */
  readonly index: number
}

/** What has come out of a queue and is in the works. */
export interface Served {
  executing: number
  inUse: number
}

/** A level as it is now. */
export interface LevelState {
  readonly name: string
  readonly exempt: boolean
  readonly nominalSeats: number
  readonly currentSeats: number
  readonly lowestSeats: number
  readonly highestSeats: number
  readonly seatsInUse: number
  readonly executing: number
  readonly waiting: number
  readonly queues: readonly (Served & {
    readonly length: number
    /** Of what waits in it. */
    readonly seats: number
    /** The virtual time at which its next request may start, in seats. */
    readonly start: number
  })[]
  readonly dispatched: number
  readonly rejected: ReadonlyMap<Rejection, number>
}

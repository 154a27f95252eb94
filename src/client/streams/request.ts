/** What of a request decides how a conversation goes. */
import type { Duplex } from 'node:stream'

/** A request that may become a connection of streams. */
export interface UpgradeRequest {
  readonly method: string
  readonly query: URLSearchParams
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | undefined>>
  /** Answers 101 with these headers and hands over the raw socket; absent when no upgrade was asked for. */
  readonly upgrade?: ((headers: Readonly<Record<string, string>>) => Promise<Duplex>) | undefined
}

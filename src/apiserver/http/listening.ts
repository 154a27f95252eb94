/** An open port. */

/** A port that is open until it is closed. */
export interface Listening {
  readonly port: number
  /** New connections get this certificate; those that are there go on. */
  renew(tls: ListenOptions['tls']): void
  /** Takes no new connections, ends watches, lets requests finish (bounded), then closes. */
  close(): Promise<void>
}

/** Where, and as whom, the server is reached. */
export interface ListenOptions {
  readonly host?: string
  /** 0 takes a free one. */
  readonly port: number
  readonly tls: {
    readonly certificate: string | Uint8Array
    readonly key: string | Uint8Array
    /** Client certificates that these signed are verified; others are as if absent. */
    readonly clientAuthorities: readonly (string | Uint8Array)[]
  }
}

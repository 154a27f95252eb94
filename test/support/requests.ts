/** Requests without pause, from several clients at once: whoever answers, each must be answered. */
import { setTimeout as sleep } from 'node:timers/promises'

/** Less than it takes a client to try a third time (1 + 2 s), so that an address that is gone is seen as such. */
const TIMEOUT_MS = 2_500

export interface Load {
  /** Goes on for a moment, then stops: what was not answered, in words, and how many were asked in all. */
  end(): Promise<{ readonly lost: readonly string[]; readonly total: number }>
}

/** Two clients for each URL, a new connection for each request. */
export function constantRequests(urls: readonly string[]): Load {
  const lost: string[] = []
  let total = 0
  let on = true
  const clients = [...urls, ...urls].map(async (url) => {
    while (on) {
      total++
      try {
        const answer = await fetch(url, {
          headers: { connection: 'close' },
          signal: AbortSignal.timeout(TIMEOUT_MS),
        })
        await answer.text()
        if (!answer.ok) lost.push(`${url}: status ${answer.status}`)
      } catch (error) {
        lost.push(`${url}: ${String(error instanceof Error ? (error.cause ?? error) : error)}`)
      }
      await sleep(2)
    }
  })
  return {
    async end() {
      await sleep(500)
      on = false
      await Promise.all(clients)
      return { lost, total }
    },
  }
}

/** What a process of the cluster tells the one that started it: a line of JSON each, over a unix socket. */
import type { Duplex } from 'node:stream'
import type { Env } from '#base'
import type { ClusterStatus, Progress } from './options.ts'

/** What a process that was started in the background tells the one that started it. */
export type Report =
  | { readonly type: 'progress'; readonly progress: Progress }
  | { readonly type: 'ready'; readonly status: ClusterStatus }
  | { readonly type: 'failed'; readonly message: string; readonly advice: readonly string[] }

/** Path of the socket, in the environment of the process that was started. */
export const REPORT_VARIABLE = 'NAVARCH_REPORT_SOCKET'
/** Set to `1` for a process that ends when whoever started it does; its containers run on. */
export const LEASH_VARIABLE = 'NAVARCH_LEASH'

/** A report is a few kilobytes; what is longer is none. */
const LINE_LIMIT = 1024 * 1024

export interface Reporter {
  send(report: Report): void
  /** Resolves when whoever started us is gone; never when nobody listens. */
  readonly gone: Promise<void>
}

/** Sends reports to whoever started this process; nowhere when it was a person. */
export async function openReporter({
  net,
  process,
}: Pick<Env, 'net' | 'process'>): Promise<Reporter> {
  const silent: Reporter = { send: () => undefined, gone: new Promise(() => undefined) }
  const path = process.environment[REPORT_VARIABLE]
  if (path === undefined || path === '') return silent
  try {
    const socket = await net.connect({ path })
    socket.on('error', () => undefined)
    socket.resume()
    return {
      send: (report) => void (socket.writable && socket.write(`${JSON.stringify(report)}\n`)),
      gone: new Promise((resolve) => socket.once('close', () => resolve())),
    }
  } catch {
    return silent
  }
}

/** Calls back with each report that arrives. */
export function readReports(socket: Duplex, onReport: (report: Report) => void): void {
  let text = ''
  socket.on('error', () => undefined)
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('utf8')
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
      onReport(JSON.parse(text.slice(0, end)) as Report)
      text = text.slice(end + 1)
    }
    if (text.length > LINE_LIMIT) socket.destroy()
  })
}

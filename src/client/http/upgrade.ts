/** Turns a connection to an HTTP/1.1 server into one of SPDY streams. */
import { request, type IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Env } from '#base'
import { StatusError, type Status } from '#machinery'
import { RemoteFailure } from '../streams/run-session.ts'
import { spdyClient, type SpdySession } from '../streams/spdy-client.ts'

const MAX_REFUSAL_BYTES = 50 * 1024

export interface SpdyRequest {
  readonly host: string
  /** With its query. */
  readonly path: string
  readonly protocol: string
}

/** Rejects with what the server says when it refuses, and with what broke when the connection did. */
export async function upgradeToSpdy(
  socket: Duplex,
  { host, path, protocol }: SpdyRequest,
  signal: AbortSignal,
): Promise<SpdySession> {
  const stop = (): void => void socket.destroy(signal.reason as Error)
  signal.addEventListener('abort', stop, { once: true })
  try {
    signal.throwIfAborted()
    return await new Promise<SpdySession>((resolve, reject) => {
      const outgoing = request({
        createConnection: () => socket,
        method: 'POST',
        path,
        headers: {
          host,
          connection: 'Upgrade',
          upgrade: 'SPDY/3.1',
          'x-stream-protocol-version': protocol,
          'content-length': '0',
        },
      })
      outgoing.on('error', reject)
      outgoing.on('response', (response) => {
        refusalOf(response)
          .then(reject, reject)
          .finally(() => socket.destroy())
      })
      outgoing.on('upgrade', (_response, upgraded, head) => resolve(spdyClient(upgraded, head)))
      outgoing.end()
    })
  } catch (error) {
    socket.destroy()
    signal.throwIfAborted()
    throw error
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

/** At an address that needs no more than a plain connection. */
export async function spdyAt(
  url: string,
  protocol: string,
  { net }: Pick<Env, 'net'>,
  signal: AbortSignal,
): Promise<SpdySession> {
  const { hostname, port, pathname, search } = new URL(url)
  const socket = await net.connect(
    { host: hostname.replace(/^\[(.*)\]$/, '$1'), port: Number(port) },
    signal,
  )
  const host = `${hostname}:${port}`
  return upgradeToSpdy(socket, { host, path: `${pathname}${search}`, protocol }, signal)
}

/** A Status as it is; other texts as clients know them. */
async function refusalOf(response: IncomingMessage): Promise<Error> {
  const text = await refusalText(response)
  const status = readStatus(text)
  if (status !== undefined) return StatusError.from(status)
  return new RemoteFailure(`unable to upgrade connection: ${text}`)
}

/** What an answer that is no success says, as much of it as anybody would read. */
export async function refusalText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      chunks.push(chunk)
      size += chunk.length
      if (size > MAX_REFUSAL_BYTES) break
    }
  } catch {
    // What came before the connection broke.
  }
  return Buffer.concat(chunks).subarray(0, MAX_REFUSAL_BYTES).toString('utf8')
}

function readStatus(text: string): Status | undefined {
  try {
    const found = JSON.parse(text) as Partial<Status> | null
    return found?.kind === 'Status' && typeof found.message === 'string'
      ? (found as Status)
      : undefined
  } catch {
    return undefined
  }
}

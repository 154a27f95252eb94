/** Talking to a cluster that runs: one line of JSON each way over a unix socket that only its owner can open. */
import type { Duplex } from 'node:stream'
import type { Env, Listener } from '#base'
import { ClusterError, type BuildRequest } from '#cluster'

export type ImageRequest =
  | { readonly command: 'image'; readonly action: 'load'; readonly path: string }
  | ({ readonly command: 'image'; readonly action: 'build' } & BuildRequest)
  | { readonly command: 'image'; readonly action: 'list' }
  | { readonly command: 'image'; readonly action: 'remove'; readonly name: string }
export type NodesRequest =
  | { readonly command: 'nodes'; readonly action: 'list' }
  | { readonly command: 'nodes'; readonly action: 'grow'; readonly count: number }
  | {
      readonly command: 'nodes'
      readonly action: 'start' | 'stop' | 'remove'
      readonly name: string
    }
export type ControlRequest =
  | { readonly command: 'status' }
  | { readonly command: 'stop'; readonly containers: boolean }
  | ImageRequest
  | NodesRequest
export type ControlReply =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly message: string; readonly advice?: readonly string[] }

/** A request longer than this is not one of ours. */
const LINE_LIMIT_BYTES = 64 * 1024
const ANSWER_LIMIT_BYTES = 4 * 1024 * 1024

/** Undefined when nobody listens. */
export async function callControl(
  env: Pick<Env, 'net'>,
  socketPath: string,
  request: ControlRequest,
  signal: AbortSignal,
): Promise<ControlReply | undefined> {
  let socket: Duplex
  try {
    socket = await env.net.connect({ path: socketPath }, signal)
  } catch {
    return undefined
  }
  try {
    socket.write(`${JSON.stringify(request)}\n`)
    const line = await readLine(socket, ANSWER_LIMIT_BYTES)
    return line === undefined ? undefined : (JSON.parse(line) as ControlReply)
  } finally {
    socket.destroy()
  }
}

export function serveControl(
  env: Pick<Env, 'net' | 'log'>,
  socketPath: string,
  handle: (request: ControlRequest) => Promise<unknown>,
): Promise<Listener> {
  return env.net.listen({ path: socketPath }, (socket) => {
    socket.on('error', () => undefined)
    void (async () => {
      const line = await readLine(socket, LINE_LIMIT_BYTES)
      if (line === undefined) return
      let reply: ControlReply
      try {
        reply = { ok: true, value: await handle(JSON.parse(line) as ControlRequest) }
      } catch (error) {
        reply = {
          ok: false,
          message: error instanceof Error ? error.message : String(error),
          ...(error instanceof ClusterError ? { advice: error.advice } : {}),
        }
      }
      socket.end(`${JSON.stringify(reply)}\n`)
    })()
  })
}

async function readLine(socket: Duplex, limit: number): Promise<string | undefined> {
  let text = ''
  try {
    // The socket must outlive the loop: the answer goes out on it.
    for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
      text += String(chunk)
      if (text.length > limit) return undefined
      const end = text.indexOf('\n')
      if (end >= 0) return text.slice(0, end)
    }
  } catch {
    // The other side went away in the middle of a line.
  }
  return undefined
}

/** exec, attach and port-forward at the URL that a runtime hands out for them. */
import type { Duplex, Readable, Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import type { Env } from '#base'
import type { SessionStreams } from '#client'
import { StatusError, type Status } from '#machinery'
import { RuntimeError } from '../runtime.ts'
import { type SpdySession, upgrade } from './spdy.ts'

async function connectTo(
  url: string,
  protocol: string,
  { net }: Pick<Env, 'net'>,
  signal: AbortSignal,
): Promise<SpdySession> {
  const { hostname, port, pathname, search } = new URL(url)
  const host = hostname.replace(/^\[(.*)\]$/, '$1')
  const socket = await net.connect({ host, port: Number(port) }, signal)
  return upgrade(socket, { host: `${hostname}:${port}`, path: `${pathname}${search}`, protocol })
}

/** Runs a session to its end: the exit code comes when all output was written. */
export async function runSession(
  url: string,
  { tty }: { readonly tty: boolean },
  streams: SessionStreams,
  env: Pick<Env, 'net'>,
  signal: AbortSignal,
): Promise<{ readonly exitCode: number }> {
  const session = await connectTo(url, 'v4.channel.k8s.io', env, signal)
  const abort = () => session.close()
  signal.addEventListener('abort', abort, { once: true })
  try {
    const verdict = session.open({ streamType: 'error' })
    verdict.end()
    const outputs: Promise<void>[] = []
    if (streams.stdin !== undefined) feed(streams.stdin, session.open({ streamType: 'stdin' }))
    if (streams.stdout !== undefined) {
      outputs.push(drain(session.open({ streamType: 'stdout' }), streams.stdout))
    }
    // A terminal has one output.
    if (streams.stderr !== undefined && !tty) {
      outputs.push(drain(session.open({ streamType: 'stderr' }), streams.stderr))
    }
    if (tty) {
      const sizes = session.open({ streamType: 'resize' })
      if (streams.resize !== undefined) void sendSizes(streams.resize, sizes)
    }
    // Together: a connection that breaks fails all of them, and none may fail unheard.
    const [text] = await Promise.all([readAll(verdict), ...outputs])
    signal.throwIfAborted()
    return { exitCode: exitCodeOf(text) }
  } finally {
    signal.removeEventListener('abort', abort)
    session.close()
  }
}

function feed(from: Readable, to: Duplex): void {
  to.resume()
  from.pipe(to)
  from.once('error', () => to.end())
  from.once('close', () => to.end())
}

async function drain(from: Duplex, to: Writable): Promise<void> {
  from.end()
  for await (const chunk of from as AsyncIterable<Buffer>) {
    if (to.destroyed || to.writableEnded) continue
    if (!to.write(chunk)) await drained(to)
  }
}

const drained = (to: Writable): Promise<void> =>
  new Promise((resolve) => {
    const go = () => {
      to.off('drain', go)
      to.off('close', go)
      to.off('error', go)
      resolve()
    }
    to.once('drain', go)
    to.once('close', go)
    to.once('error', go)
  })

async function sendSizes(sizes: NonNullable<SessionStreams['resize']>, to: Duplex): Promise<void> {
  try {
    for await (const { width, height } of sizes) {
      if (to.destroyed) return
      to.write(`${JSON.stringify({ Width: width, Height: height })}\n`)
    }
  } catch {
    // The client went away; its session ends by itself.
  }
}

async function readAll(stream: Duplex): Promise<string> {
  let text = ''
  for await (const chunk of stream as AsyncIterable<Buffer>) text += chunk.toString()
  return text
}

/** Nothing, or a Status: success, or a failure that names the exit code. */
export function exitCodeOf(text: string): number {
  if (text === '') return 0
  let status: Partial<Status>
  try {
    status = JSON.parse(text) as Partial<Status>
  } catch {
    throw new RuntimeError('failed', text)
  }
  if (status.status === 'Success') return 0
  const code = status.details?.causes?.find(({ reason }) => reason === 'ExitCode')?.message
  if (code !== undefined) return Number(code)
  // The runtime's streaming server has put it in the words that clients know.
  throw StatusError.from({ ...status, metadata: {}, message: status.message ?? text })
}

/** How long silence is taken for trouble that is still to come, and not for a listener that waits for us. */
const VERDICT_MS = 200

/** Into the pod's network, by the runtime: finds what listens on the pod's own localhost only. */
export async function forwardPort(
  url: string,
  port: number,
  env: Pick<Env, 'net' | 'clock'>,
  signal: AbortSignal,
): Promise<Duplex> {
  const session = await connectTo(url, 'portforward.k8s.io', env, signal)
  const headers = { port: String(port), requestID: '0' }
  const errors = session.open({ streamType: 'error', ...headers })
  errors.end()
  const data = session.open({ streamType: 'data', ...headers })
  const failure = readAll(errors)
  // An end without a byte is trouble whose words are on their way.
  const readable = new Promise<void>((resolve) =>
    data.once('readable', () => data.readableLength > 0 && resolve()),
  )
  const calm = new AbortController()
  const silent = env.clock.sleep(VERDICT_MS, calm.signal).catch(() => {})
  const text = await Promise.race([failure, readable.then(() => ''), silent.then(() => '')])
  calm.abort()
  if (text !== '') {
    session.close()
    throw new RuntimeError('failed', text)
  }
  void failure.then((late) => late !== '' && data.destroy(new RuntimeError('failed', late)))
  void finished(data)
    .catch(() => {})
    .then(() => session.close())
  signal.addEventListener('abort', () => session.close(), { once: true })
  return data
}

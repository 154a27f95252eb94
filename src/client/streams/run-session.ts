/** exec, attach and port-forward over SPDY, as its client: with a kubelet, or with a runtime's streaming server. */
import type { Duplex, Readable, Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import type { Env } from '#base'
import type { SessionStreams } from '../node-api.ts'
import { StatusError, type Status } from '#machinery'
import type { SpdySession } from './spdy-client.ts'

/** The other side says in words of its own what went wrong. */
export class RemoteFailure extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'RemoteFailure'
  }
}

/** Runs a session to its end: the exit code comes when all output was written. */
export async function runSession(
  session: SpdySession,
  { tty }: { readonly tty: boolean },
  streams: SessionStreams,
  signal: AbortSignal,
): Promise<{ readonly exitCode: number }> {
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
    if (text === '' && verdict.wasCut)
      throw new RemoteFailure('the connection was lost before the command had ended')
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
    throw new RemoteFailure(text)
  }
  if (status.status === 'Success') return 0
  const code = status.details?.causes?.find(({ reason }) => reason === 'ExitCode')?.message
  if (code !== undefined) return Number(code)
  // The runtime's streaming server has put it in the words that clients know.
  throw StatusError.from({ ...status, metadata: {}, message: status.message ?? text })
}

/** Speaks it, so that `runSession` understands how it ended. */
export const SESSION_PROTOCOL = 'v4.channel.k8s.io'
/** The subprotocol of port-forward: pairs of a data stream and an error stream. */
export const PORT_PROTOCOL = 'portforward.k8s.io'

/** How long silence is taken for trouble that is still to come, and not for a listener that waits for us. */
export interface Verdict extends Pick<Env, 'clock'> {
  readonly ms: number
}

/** One connection to a port of a pod; trouble that is told later breaks it. */
export async function forwardPort(
  session: SpdySession,
  port: number,
  signal: AbortSignal,
  verdict?: Verdict,
): Promise<Duplex> {
  const headers = { port: String(port), requestID: '0' }
  const errors = session.open({ streamType: 'error', ...headers })
  errors.end()
  const data = session.open({ streamType: 'data', ...headers })
  const failure = readAll(errors)
  failure.catch(() => undefined)
  // An end without a byte is trouble whose words are on their way.
  const readable = new Promise<void>((resolve) =>
    data.once('readable', () => data.readableLength > 0 && resolve()),
  )
  if (verdict !== undefined) {
    const calm = new AbortController()
    const silent = verdict.clock.sleep(verdict.ms, calm.signal).catch(() => {})
    const text = await Promise.race([failure, readable.then(() => ''), silent.then(() => '')])
    calm.abort()
    if (text !== '') {
      session.close()
      throw new RemoteFailure(text)
    }
  }
  data.endAfter = failure.then(
    (late) => (late === '' ? undefined : new RemoteFailure(late)),
    () => undefined,
  )
  void data.endAfter.then((late) => late !== undefined && data.destroy(late))
  void finished(data)
    .catch(() => {})
    .then(() => session.close())
  signal.addEventListener('abort', () => session.close(), { once: true })
  return data
}

/** exec, attach and port-forward at the URL that a runtime hands out for them. */
import type { Duplex } from 'node:stream'
import type { Env } from '#base'
import {
  forwardPort as forward,
  PORT_PROTOCOL,
  RemoteFailure,
  runSession as run,
  SESSION_PROTOCOL,
  spdyAt,
  type SessionStreams,
} from '#client'
import { RuntimeError } from '../runtime.ts'

/** Trouble at the pod's own localhost is told at once; a listener that waits for us is silent. */
const VERDICT_MS = 200

/** Runs a session to its end: the exit code comes when all output was written. */
export async function runSession(
  url: string,
  { tty }: { readonly tty: boolean },
  streams: SessionStreams,
  env: Pick<Env, 'net'>,
  signal: AbortSignal,
): Promise<{ readonly exitCode: number }> {
  try {
    return await run(await spdyAt(url, SESSION_PROTOCOL, env, signal), { tty }, streams, signal)
  } catch (error) {
    throw asRuntime(error)
  }
}

/** Into the pod's network, by the runtime: finds what listens on the pod's own localhost only. */
export async function forwardPort(
  url: string,
  port: number,
  env: Pick<Env, 'net' | 'clock'>,
  signal: AbortSignal,
): Promise<Duplex> {
  try {
    const session = await spdyAt(url, PORT_PROTOCOL, env, signal)
    return await forward(session, port, signal, { clock: env.clock, ms: VERDICT_MS })
  } catch (error) {
    throw asRuntime(error)
  }
}

const asRuntime = (error: unknown): unknown =>
  error instanceof RemoteFailure ? new RuntimeError('failed', error.message) : error

/** A kubelet of another process, asked by its own HTTPS protocol: whose it is does not matter. */
import { request, type IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { badRequest, internalError, StatusError } from '#machinery'
import { logQuery } from '../log-options.ts'
import type { NodeApi, PodTarget, SessionStreams } from '../node-api.ts'
import {
  forwardPort,
  PORT_PROTOCOL,
  RemoteFailure,
  runSession,
  SESSION_PROTOCOL,
} from '../streams/run-session.ts'
import type { SpdySession } from '../streams/spdy-client.ts'
import { dialKubelet, hostPort, type KubeletAddress } from './dial.ts'
import { refusalText, upgradeToSpdy } from './upgrade.ts'

const PAGE_TIMEOUT_MS = 30_000
const MAX_PAGE_BYTES = 64 << 20

/** As the API server of a stock cluster asks its kubelets. */
export function kubeletApi(to: KubeletAddress): NodeApi {
  const at = hostPort(to)
  /** Resolves with the head of the answer: its body is still to come. */
  const get = async (path: string, signal: AbortSignal, timeoutMs: number) => {
    const socket = await dialKubelet(to, signal)
    const stop = (): void => void socket.destroy()
    signal.addEventListener('abort', stop, { once: true })
    socket.once('close', () => signal.removeEventListener('abort', stop))
    if (timeoutMs > 0)
      socket.setTimeout(timeoutMs, () => socket.destroy(new Error('no answer in time')))
    return new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = request({
        createConnection: () => socket,
        path,
        headers: { host: at, connection: 'close' },
      })
      outgoing.on('error', reject)
      outgoing.on('response', resolve)
      outgoing.end()
    })
  }
  const failed = (what: string, path: string, error: unknown): StatusError =>
    error instanceof StatusError
      ? error
      : new StatusError('', `${what} "https://${at}${path}": ${messageOf(error)}`, { code: 500 })

  const spdy = async (
    path: string,
    protocol: string,
    signal: AbortSignal,
  ): Promise<SpdySession> => {
    try {
      const socket = await dialKubelet(to, signal)
      return await upgradeToSpdy(socket, { host: at, path, protocol }, signal)
    } catch (error) {
      if (signal.aborted || error instanceof StatusError) throw error
      if (error instanceof RemoteFailure) throw internalError(error.message)
      throw internalError(`error sending request: Post "https://${at}${path}": ${messageOf(error)}`)
    }
  }
  const session = async (
    path: string,
    tty: boolean,
    streams: SessionStreams,
    signal: AbortSignal,
  ): Promise<{ readonly exitCode: number }> => {
    const opened = await spdy(path, SESSION_PROTOCOL, signal)
    try {
      return await runSession(opened, { tty }, streams, signal)
    } catch (error) {
      if (signal.aborted || error instanceof StatusError) throw error
      throw internalError(messageOf(error))
    }
  }

  return {
    async logs(target, options, signal) {
      const query = logQuery(options).toString()
      const path = `/containerLogs${pathOf(target, options.container)}${query === '' ? '' : `?${query}`}`
      let response: IncomingMessage
      try {
        // Stock kubelets answer with the first line, and that may be long in coming.
        response = await get(path, signal, 0)
      } catch (error) {
        signal.throwIfAborted()
        throw failed('Get', path, error)
      }
      const { statusCode = 500 } = response
      if (statusCode < 200 || statusCode > 206)
        throw refusedLog(statusCode, target.pod, await refusalText(response))
      return chunksOf(response, signal)
    },
    exec: (target, { container, command, tty }, streams, signal) =>
      session(
        `/exec${pathOf(target, container)}?${sessionQuery(streams, tty, command)}`,
        tty,
        streams,
        signal,
      ),
    async attach(target, { container, tty }, streams, signal) {
      const path = `/attach${pathOf(target, container)}?${sessionQuery(streams, tty, [])}`
      await session(path, tty, streams, signal)
    },
    async portForward(target, port, signal): Promise<Duplex> {
      const opened = await spdy(`/portForward${pathOf(target)}?port=${port}`, PORT_PROTOCOL, signal)
      return forwardPort(opened, port, signal)
    },
    async page(path, query) {
      const whole = `${encoded(path)}${query === '' ? '' : `?${query}`}`
      try {
        const response = await get(whole, new AbortController().signal, PAGE_TIMEOUT_MS)
        const chunks: Buffer[] = []
        let size = 0
        for await (const chunk of response as AsyncIterable<Buffer>) {
          size += chunk.length
          if (size > MAX_PAGE_BYTES) throw new Error('its page is too large')
          chunks.push(chunk)
        }
        const { statusCode: status = 500 } = response
        if (status === 404) return undefined
        const { 'content-type': contentType = '', location } = response.headers
        const headers = location === undefined ? {} : { headers: { location } }
        return { status, contentType, body: Buffer.concat(chunks), ...headers }
      } catch (error) {
        throw failed('Get', whole, error)
      }
    },
    connect: (signal) => dialKubelet(to, signal),
  }
}

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error)

const encoded = (path: string): string =>
  encodeURI(path).replaceAll('?', '%3F').replaceAll('#', '%23')

const pathOf = ({ namespace, pod }: PodTarget, container?: string): string =>
  [namespace, pod, ...(container === undefined ? [] : [container])]
    .map((part) => `/${encodeURIComponent(part)}`)
    .join('')

function sessionQuery(
  { stdin, stdout, stderr }: SessionStreams,
  tty: boolean,
  command: readonly string[],
): string {
  const query = new URLSearchParams()
  if (stdin !== undefined) query.set('input', '1')
  if (stdout !== undefined) query.set('output', '1')
  if (stderr !== undefined) query.set('error', '1')
  if (tty) query.set('tty', '1')
  for (const word of command) query.append('command', word)
  return query.toString()
}

/** What a client is told of an answer that is no log. */
function refusedLog(code: number, pod: string, text: string): StatusError {
  const about = `( pods/log ${pod})`
  switch (code) {
    case 400:
      return badRequest(text)
    case 401:
      return new StatusError(
        'Unauthorized',
        `the server has asked for the client to provide credentials ${about}`,
        { code },
      )
    case 403:
      return new StatusError('Forbidden', `${text.trimEnd()} ${about}`, { code })
    case 404:
      return new StatusError(
        'NotFound',
        `the server could not find the requested resource ${about}`,
        { code },
      )
    case 500:
      return internalError(text)
    default:
      return code > 500
        ? new StatusError(
            'InternalError',
            `an error on the server (${JSON.stringify(text)}) has prevented the request from succeeding ${about}`,
            { code },
          )
        : new StatusError(
            '',
            `the server responded with the status code ${code} but did not return more information ${about}`,
            { code },
          )
  }
}

async function* chunksOf(
  response: IncomingMessage,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    for await (const chunk of response as AsyncIterable<Uint8Array>) yield chunk
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    response.destroy()
  }
}

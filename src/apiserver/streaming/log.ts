/** `pods/log`: as a plain answer that may go on for ever, or as messages of a WebSocket. */
import {
  acceptWebSocket,
  chooseProtocol,
  logOptions,
  wantsWebSocket,
  type LogOptions,
} from '#client'
import type { ContainerStatus, Pod } from '#api'
import { StatusError, badRequest, internalError } from '#machinery'
import type { Exchange } from '../exchange.ts'
import type { ConnectHandler } from '../extensions.ts'
import { UPGRADED, type SessionOptions } from './exec.ts'
import { containerOf, podOf, reach, targetOf } from './target.ts'

const PROTOCOLS: readonly string[] = ['binary.k8s.io', 'base64.binary.k8s.io']

export const podLog =
  ({ nodeApi }: Pick<SessionOptions, 'nodeApi'>): ConnectHandler =>
  async (exchange, target) => {
    const pod = podOf(target)
    const options = logOptions(exchange.query, target.name, (asked) => containerOf(pod, asked))
    const node = pod.spec?.nodeName
    const left = new AbortController()
    const signal = AbortSignal.any([exchange.signal, left.signal])
    // Nothing was ever written by a pod that is nowhere yet.
    const lines = node
      ? await open(exchange, pod, options, () =>
          reach(node, nodeApi).logs(targetOf(pod), options, signal),
        )
      : nothing()
    if (exchange.upgrade !== undefined && wantsWebSocket(exchange))
      return overWebSocket(exchange, lines, left)
    return {
      status: 200,
      headers: { 'content-type': 'text/plain', 'cache-control': 'no-cache, private' },
      body: lines,
    }
  }

async function* nothing(): AsyncGenerator<Uint8Array, void, undefined> {
  // Ends at once.
}

/** Errors that say nothing to a client are put into words that the pod's status suggests. */
async function open(
  exchange: Exchange,
  pod: Pod,
  options: LogOptions,
  read: () => Promise<AsyncIterable<Uint8Array>>,
): Promise<AsyncIterable<Uint8Array>> {
  try {
    return await read()
  } catch (error) {
    if (error instanceof StatusError || exchange.signal.aborted) throw error
    throw (
      whyNoLog(pod, options) ??
      internalError(error instanceof Error ? error.message : String(error))
    )
  }
}

/** Why a container has no log yet, or no more; undefined when its status does not say. */
export function whyNoLog(
  pod: Pod,
  { container, previous = false }: Pick<LogOptions, 'container' | 'previous'>,
): StatusError | undefined {
  const found: ContainerStatus | undefined = [
    ...(pod.status?.containerStatuses ?? []),
    ...(pod.status?.initContainerStatuses ?? []),
    ...(pod.status?.ephemeralContainerStatuses ?? []),
  ].find(({ name }) => name === container)
  const subject = `container ${JSON.stringify(container)} in pod ${JSON.stringify(pod.metadata.name)}`
  if (found === undefined) return badRequest(`${subject} is not available`)
  const { state, lastState } = found
  if (previous)
    return lastState?.terminated?.containerID
      ? undefined
      : badRequest(
          `previous terminated container ${JSON.stringify(container)} in pod ${JSON.stringify(pod.metadata.name)} not found`,
        )
  if (state?.waiting !== undefined && !lastState?.terminated?.containerID)
    return badRequest(`${subject} is waiting to start: ${state.waiting.reason ?? ''}`)
  if (state?.terminated !== undefined && !state.terminated.containerID)
    return badRequest(`${subject} is terminated`)
  return undefined
}

async function overWebSocket(
  exchange: Exchange,
  lines: AsyncIterable<Uint8Array>,
  left: AbortController,
): Promise<typeof UPGRADED> {
  const protocol = chooseProtocol(exchange, PROTOCOLS)
  if (protocol === undefined)
    throw badRequest(
      `unable to upgrade: no supported subprotocol among ${exchange.headers['sec-websocket-protocol'] ?? ''}`,
    )
  const base64 = protocol.startsWith('base64')
  const connection = await acceptWebSocket(exchange, protocol, () => undefined)
  // Whoever reads a log that is followed waits for its next line: the client's leave must end that.
  connection.gone.addEventListener('abort', () => left.abort())
  try {
    for await (const chunk of lines) {
      if (connection.gone.aborted) break
      if (base64)
        await connection.send(Buffer.from(Buffer.from(chunk).toString('base64'), 'latin1'), 'text')
      else await connection.send(chunk)
    }
    connection.close()
  } catch {
    connection.close(1011, 'the log cannot be read further')
  }
  return UPGRADED
}

/** The server's side of port-forward: over SPDY, over SPDY in a WebSocket, and over a WebSocket's own channels. */
import type { Duplex } from 'node:stream'
import { aborted } from '#base'
import { badRequest } from '#machinery'
import type { NodeApi, PodTarget } from '../node-api.ts'
import { acceptChannels } from './channels.ts'
import type { UpgradeRequest } from './request.ts'
import { PORT_PROTOCOL } from './run-session.ts'
import { spdyProtocol, wantsSpdy } from './session.ts'
import { serveSpdy, type SpdyStream } from './spdy-server.ts'
import { acceptTunnel, chooseProtocol, wantsWebSocket } from './websocket.ts'

const TUNNEL = `SPDY/3.1+${PORT_PROTOCOL}`
const CHANNELS: readonly string[] = ['v4.channel.k8s.io', 'v4.base64.channel.k8s.io']

export interface Forward {
  readonly node: Pick<NodeApi, 'portForward'>
  readonly target: PodTarget
}

/** Answers the upgrade, whatever the client speaks; resolves when the client is gone. */
export async function serveForward(exchange: UpgradeRequest, forward: Forward): Promise<void> {
  if (exchange.upgrade !== undefined && wantsWebSocket(exchange)) {
    const protocol = chooseProtocol(exchange, [TUNNEL, ...CHANNELS])
    if (protocol === undefined)
      throw badRequest(
        `unable to upgrade: no supported subprotocol among ${exchange.headers['sec-websocket-protocol'] ?? ''}`,
      )
    if (protocol === TUNNEL) await overSpdy(await acceptTunnel(exchange, protocol), forward)
    else await overChannels(exchange, protocol, forward)
    return
  }
  if (exchange.upgrade === undefined || !wantsSpdy(exchange))
    throw badRequest('Upgrade request required')
  const protocol = spdyProtocol(exchange, [PORT_PROTOCOL], PORT_PROTOCOL)
  const socket = await exchange.upgrade({
    connection: 'Upgrade',
    upgrade: 'SPDY/3.1',
    'x-stream-protocol-version': protocol,
  })
  await overSpdy(socket, forward)
}

/** Each forwarded connection is a pair of streams with one request id: one for data, one for the error that ended it. */
function overSpdy(socket: Duplex, forward: Forward): Promise<void> {
  const waiting = new Map<string, SpdyStream>()
  const connection = serveSpdy(socket, (stream) => {
    const type = stream.headers['streamtype']
    const id = stream.headers['requestid'] ?? ''
    if (type !== 'error' && type !== 'data') {
      stream.destroy()
      return
    }
    const other = waiting.get(id)
    if (other === undefined || other.headers['streamtype'] === type) {
      waiting.set(id, stream)
      stream.once('close', () => {
        if (waiting.get(id) === stream) waiting.delete(id)
      })
      return
    }
    waiting.delete(id)
    const [data, error] = type === 'data' ? [stream, other] : [other, stream]
    void forwardOne(forward, data, error, connection.gone)
  })
  return aborted(connection.gone)
}

async function forwardOne(
  { node, target }: Forward,
  data: SpdyStream,
  error: SpdyStream,
  gone: AbortSignal,
): Promise<void> {
  error.resume()
  const port = Number(data.headers['port'])
  let failure: string | undefined
  try {
    if (!isPort(port)) throw new Error(`"${data.headers['port'] ?? ''}" is not a port`)
    await joined(data, await node.portForward(target, port, gone))
  } catch (cause) {
    failure = failureText(target, port, cause)
  }
  if (failure === undefined) error.end()
  else error.end(failure)
  if (!data.writableEnded) data.end()
  // What the client still sends is dropped. A reset would make it forget what it has not read yet.
  data.unpipe()
  data.resume()
}

const isPort = (port: number): boolean => Number.isInteger(port) && port > 0 && port < 65536

function failureText({ namespace, pod, uid }: PodTarget, port: number, cause: unknown): string {
  const text = cause instanceof Error ? cause.message : String(cause)
  // A kubelet that was asked in turn has found these words already.
  return text.startsWith(`error forwarding port ${port} to pod `)
    ? text
    : `error forwarding port ${port} to pod ${pod}_${namespace}, uid ${uid ?? ''}: ${text}`
}

/** Copies both ways. Each side's end is passed on; it is over when the pod's side has ended, or either broke. */
function joined(client: Duplex, pod: Duplex): Promise<void> {
  return new Promise((resolve, reject) => {
    let failed: Error | undefined
    pod.on('error', (error) => {
      failed = error
    })
    pod.on('close', () => (failed === undefined ? resolve() : reject(failed)))
    pod.on('end', () => {
      client.end()
      if (client.writableFinished) resolve()
      else client.once('finish', () => resolve())
    })
    client.on('close', () => {
      pod.destroy()
      resolve()
    })
    client.pipe(pod)
    pod.pipe(client, { end: false })
  })
}

/** Old form: two channels a port, data and error; each begins with the port, little-endian. */
async function overChannels(
  exchange: UpgradeRequest,
  protocol: string,
  { node, target }: Forward,
): Promise<void> {
  const ports = exchange.query
    .getAll('ports')
    .concat(exchange.query.getAll('port'))
    .flatMap((list) => list.split(','))
    .map(Number)
  if (ports.length === 0 || !ports.every(isPort))
    throw badRequest('query parameter "ports" is required, and must be a list of ports')
  const pods: (Duplex | undefined)[] = []
  let early: (() => void) | undefined
  const ready = new Promise<void>((resolve) => (early = resolve))
  const connection = await acceptChannels(exchange, protocol, async (channel, payload) => {
    await ready
    const pod = channel % 2 === 0 ? pods[channel / 2] : undefined
    if (pod === undefined || pod.destroyed || payload.length === 0 || pod.write(payload)) return
    await new Promise<void>((resolve) => {
      pod.once('drain', resolve)
      pod.once('close', resolve)
    })
  })
  const opened = ports.map(async (port, i) => {
    const announced = Buffer.of(port & 0xff, port >> 8)
    await connection.send(2 * i, announced)
    await connection.send(2 * i + 1, announced)
    try {
      pods[i] = await node.portForward(target, port, connection.gone)
    } catch (error) {
      await connection.send(2 * i + 1, Buffer.from(failureText(target, port, error)))
    }
  })
  await Promise.all(opened)
  early?.()
  await Promise.all(
    pods.map(async (pod, i) => {
      if (pod === undefined) return
      connection.gone.addEventListener('abort', () => pod.destroy())
      try {
        for await (const chunk of pod) await connection.send(2 * i, chunk as Uint8Array)
      } catch (error) {
        await connection.send(2 * i + 1, Buffer.from(failureText(target, ports[i] ?? 0, error)))
      }
    }),
  )
  connection.close()
}

/** Several streams over one WebSocket: each message begins with the number of its channel, as a byte or, in base64, as a digit. */
import type { UpgradeRequest } from './request.ts'
import { acceptWebSocket } from './websocket.ts'

/** A connection of channels. */
export interface Channels {
  send(channel: number, bytes: Uint8Array): void | Promise<void>
  close(code?: number, reason?: string): void
  /** Aborts when the connection is over, whoever ended it. */
  readonly gone: AbortSignal
}

const ZERO = 0x30

/** Answers the handshake. Messages are handed over one at a time; those that name no channel are left out. */
export async function acceptChannels(
  exchange: UpgradeRequest,
  protocol: string,
  onMessage: (channel: number, payload: Buffer) => void | Promise<void>,
): Promise<Channels> {
  const base64 = protocol.includes('base64')
  const connection = await acceptWebSocket(exchange, protocol, ({ data }) => {
    const [first] = data
    if (first === undefined) return undefined
    return base64
      ? onMessage(first - ZERO, Buffer.from(data.toString('latin1', 1), 'base64'))
      : onMessage(first, data.subarray(1))
  })
  return {
    send: (channel, bytes) =>
      base64
        ? connection.send(
            Buffer.from(`${channel}${Buffer.from(bytes).toString('base64')}`, 'latin1'),
            'text',
          )
        : connection.send(Buffer.concat([Buffer.of(channel), bytes])),
    close: (code, reason) => connection.close(code, reason),
    gone: connection.gone,
  }
}

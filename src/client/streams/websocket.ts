/** The server's side of a WebSocket (RFC 6455), on any socket that an exchange hands over. */
import { createHash } from 'node:crypto'
import { Duplex } from 'node:stream'
import { badRequest } from '#machinery'
import type { UpgradeRequest } from './request.ts'
import { readFrames, thenCall, writeOut, type Parsed } from './frames.ts'

const MAGIC = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
/** A message may not be larger: the connection is closed with 1009. */
const MAX_MESSAGE_BYTES = 16 << 20

const TEXT = 1
const BINARY = 2
const CLOSE = 8
const PING = 9
const PONG = 10

export interface WebSocketMessage {
  readonly text: boolean
  readonly data: Buffer
}

export interface WebSocketConnection {
  /** The subprotocol agreed on; '' for none. */
  readonly protocol: string
  send(data: Uint8Array, kind?: 'binary' | 'text'): void | Promise<void>
  close(code?: number, reason?: string): void
  /** Aborts when the connection is over, whoever ended it. */
  readonly gone: AbortSignal
}

/** Whether the request asks to go on as a WebSocket. */
export const wantsWebSocket = ({ headers }: UpgradeRequest): boolean =>
  /\bupgrade\b/i.test(headers['connection'] ?? '') && /^websocket$/i.test(headers['upgrade'] ?? '')

/** The subprotocols the client offers, in its order; those that carry a token are not for us. */
const offeredProtocols = ({ headers }: UpgradeRequest): readonly string[] =>
  (headers['sec-websocket-protocol'] ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '' && !name.startsWith('base64url.bearer.authorization.k8s.io.'))

/** The client's first protocol that is supported; '' when it offers none; undefined when none fits. */
export function chooseProtocol(
  exchange: UpgradeRequest,
  supported: readonly string[],
): string | undefined {
  const offered = offeredProtocols(exchange)
  if (offered.length === 0) return ''
  return offered.find((name) => supported.includes(name))
}

/** Answers the handshake. Messages are handed over one at a time: the next is read when the promise is done. */
export async function acceptWebSocket(
  exchange: UpgradeRequest,
  protocol: string,
  onMessage: (message: WebSocketMessage) => void | Promise<void>,
): Promise<WebSocketConnection> {
  const key = exchange.headers['sec-websocket-key']
  if (exchange.upgrade === undefined || key === undefined || exchange.method !== 'GET')
    throw badRequest('not a websocket handshake: "Sec-WebSocket-Key" header is missing')
  const socket = await exchange.upgrade({
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-accept': createHash('sha1').update(`${key}${MAGIC}`).digest('base64'),
    ...(protocol === '' ? {} : { 'sec-websocket-protocol': protocol }),
  })
  return serve(socket, protocol, onMessage)
}

interface Frame {
  readonly final: boolean
  readonly opcode: number
  readonly payload: Buffer
}

class ProtocolError extends Error {
  readonly code: number
  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}

function serve(
  socket: Duplex,
  protocol: string,
  onMessage: (message: WebSocketMessage) => void | Promise<void>,
): WebSocketConnection {
  const gone = new AbortController()
  let parts: Buffer[] = []
  let partsLength = 0
  let kind = 0
  let closing = false

  const close = (code = 1000, reason = ''): void => {
    if (closing) return
    closing = true
    const text = Buffer.from(reason, 'utf8').subarray(0, 123)
    const payload = Buffer.alloc(2 + text.length)
    payload.writeUInt16BE(code)
    text.copy(payload, 2)
    if (!socket.destroyed && !socket.writableEnded) socket.end(encodeFrame(CLOSE, payload))
  }

  const handle = (frame: Frame): void | Promise<void> => {
    switch (frame.opcode) {
      case PING:
        return closing ? undefined : writeOut(socket, encodeFrame(PONG, frame.payload))
      case PONG:
        return undefined
      case CLOSE: {
        const code = frame.payload.length >= 2 ? frame.payload.readUInt16BE() : 1000
        close(code === 1005 || code === 1006 ? 1000 : code)
        gone.abort()
        return undefined
      }
      case 0:
        if (kind === 0) throw new ProtocolError(1002, 'continuation of nothing')
        break
      case TEXT:
      case BINARY:
        if (kind !== 0) throw new ProtocolError(1002, 'a message inside a message')
        kind = frame.opcode
        break
      default:
        throw new ProtocolError(1002, 'unknown opcode')
    }
    parts.push(frame.payload)
    partsLength += frame.payload.length
    if (partsLength > MAX_MESSAGE_BYTES) throw new ProtocolError(1009, 'message is too large')
    if (!frame.final) return undefined
    const data = parts.length === 1 ? parts[0]! : Buffer.concat(parts, partsLength)
    const text = kind === TEXT
    parts = []
    partsLength = 0
    kind = 0
    return closing ? undefined : onMessage({ text, data })
  }

  readFrames<Frame>(socket, {
    parse: parseFrame,
    handle,
    ended(error) {
      if (error instanceof ProtocolError) close(error.code, error.message)
      else if (error !== undefined) close(1011)
      else if (!socket.writableEnded) socket.end()
      gone.abort()
    },
  })
  return {
    protocol,
    gone: gone.signal,
    close(code, reason) {
      close(code, reason)
      // What the client still says is read and dropped, so that it gets our last words.
      gone.abort()
    },
    send: (data, kindOf = 'binary') =>
      closing ? undefined : writeOut(socket, encodeFrame(kindOf === 'text' ? TEXT : BINARY, data)),
  }
}

/** Clients' frames are masked, and control frames are short and whole (RFC 6455 §5). */
export function parseFrame(bytes: Buffer): Parsed<Frame> {
  if (bytes.length < 2) return { needed: 2 }
  const [first, second] = [bytes[0]!, bytes[1]!]
  const opcode = first & 0x0f
  const final = (first & 0x80) !== 0
  if ((first & 0x70) !== 0) throw new ProtocolError(1002, 'reserved bits are set')
  if ((second & 0x80) === 0) throw new ProtocolError(1002, 'frame is not masked')
  const short = second & 0x7f
  if (opcode >= 8 && (!final || short > 125)) throw new ProtocolError(1002, 'bad control frame')
  const head = short === 126 ? 4 : short === 127 ? 10 : 2
  if (bytes.length < head + 4) return { needed: head + 4 }
  const length =
    short === 126
      ? bytes.readUInt16BE(2)
      : short === 127
        ? bytes.readUInt32BE(2) * 2 ** 32 + bytes.readUInt32BE(6)
        : short
  if (length > MAX_MESSAGE_BYTES) throw new ProtocolError(1009, 'message is too large')
  const size = head + 4 + length
  if (bytes.length < size) return { needed: size }
  const mask = bytes.subarray(head, head + 4)
  const payload = Buffer.allocUnsafe(length)
  for (let i = 0; i < length; i++) payload[i] = bytes[head + 4 + i]! ^ mask[i & 3]!
  return { frame: { final, opcode, payload }, size }
}

function encodeFrame(opcode: number, payload: Uint8Array): Buffer {
  const { length } = payload
  const head =
    length < 126
      ? Buffer.of(0x80 | opcode, length)
      : length < 0x10000
        ? Buffer.of(0x80 | opcode, 126, length >> 8, length & 0xff)
        : Buffer.alloc(10)
  if (head.length === 10) {
    head[0] = 0x80 | opcode
    head[1] = 127
    head.writeUInt32BE(Math.floor(length / 2 ** 32), 2)
    head.writeUInt32BE(length % 2 ** 32, 6)
  }
  return Buffer.concat([head, payload])
}

/** The messages as a stream of bytes, for protocols that are tunnelled. */
export async function acceptTunnel(exchange: UpgradeRequest, protocol: string): Promise<Duplex> {
  let wanted = (): void => undefined
  const tunnel = new Duplex({
    read: () => wanted(),
    write(chunk: Buffer, _encoding, callback) {
      void thenCall(connection.send(chunk), callback)
    },
    final(callback) {
      connection.close()
      callback()
    },
    destroy(error, callback) {
      connection.close(error === null ? 1000 : 1011)
      callback(null)
    },
  })
  const connection = await acceptWebSocket(exchange, protocol, ({ data }) => {
    if (tunnel.readableEnded || tunnel.destroyed || tunnel.push(data)) return undefined
    return new Promise((resolve) => (wanted = resolve))
  })
  connection.gone.addEventListener('abort', () => {
    wanted()
    if (!tunnel.destroyed) tunnel.push(null)
  })
  return tunnel
}

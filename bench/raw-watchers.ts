/**
 * Many watches on one HTTP/2 connection, as Go's clients have them, by a client that keeps nothing: what it makes of
 * garbage would be measured as the server's latency. It reads frames (RFC 9113) and looks at none of their contents.
 */
import type { NetConnectOpts } from 'node:net'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import type { Connection } from '#client'

const DATA = 0
const HEADERS = 1
const SETTINGS = 4
const PING = 6
const WINDOW_UPDATE = 8
const ACK = 1
const END_STREAM_AND_HEADERS = 0x5
const FRAME_HEADER = 9
const LARGEST_WINDOW = 2 ** 31 - 1
/** RFC 7541 appendix A: `:status 200`, the first field of an answer. */
const STATUS_200 = 0x88

const frame = (type: number, flags: number, stream: number, payload: Uint8Array): Buffer => {
  const header = Buffer.alloc(FRAME_HEADER)
  header.writeUIntBE(payload.length, 0, 3)
  header[3] = type
  header[4] = flags
  header.writeUInt32BE(stream, 5)
  return Buffer.concat([header, payload])
}

/** A header field with a name of the static table, as a literal that is not indexed (RFC 7541 6.2.2). */
const literal = (nameIndex: number, value: string): Buffer => {
  if (value.length >= 127) throw new Error('the value is too long for this encoder')
  return Buffer.concat([Buffer.of(nameIndex, value.length), Buffer.from(value)])
}

const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

export interface RawWatchers {
  close(): void
}

/** Opens `count` watches of one path; `onData` is told once for each piece that a watch gets, its state first. */
export function rawWatchers(
  { server, authority, certificate, key }: Connection,
  path: string,
  count: number,
  onData: () => void,
): Promise<RawWatchers> {
  const { hostname, port } = new URL(server)
  const { promise, resolve, reject } = Promise.withResolvers<RawWatchers>()
  const buffer = Buffer.allocUnsafe(256 * 1024)
  // What is left of the frame that is being read: its header, collected, and the length of its payload.
  const header = Buffer.alloc(FRAME_HEADER)
  let collected = 0
  let left = 0
  const payload = Buffer.alloc(8)
  const onFrameStart = (socket: TLSSocket): void => {
    const type = header[3] ?? 0
    if (type === DATA && left > 0) onData()
    if (type === SETTINGS && ((header[4] ?? 0) & ACK) === 0)
      socket.write(frame(SETTINGS, ACK, 0, Buffer.alloc(0)))
  }
  const onFrameEnd = (socket: TLSSocket): void => {
    const type = header[3] ?? 0
    if (type === PING && ((header[4] ?? 0) & ACK) === 0) socket.write(frame(PING, ACK, 0, payload))
    if (type === HEADERS && payload[0] !== STATUS_200)
      socket.destroy(new Error('a watch was not answered with 200'))
  }
  const take = (size: number, bytes: Uint8Array): boolean => {
    let at = 0
    while (at < size) {
      if (collected < FRAME_HEADER) {
        header[collected++] = bytes[at++] ?? 0
        if (collected < FRAME_HEADER) continue
        left = header.readUIntBE(0, 3)
        onFrameStart(socket)
      } else {
        const step = Math.min(left, size - at)
        if (header[3] !== DATA)
          for (let i = 0; i < step; i++) {
            const place = header.readUIntBE(0, 3) - left + i
            if (place < payload.length) payload[place] = bytes[at + i] ?? 0
          }
        at += step
        left -= step
      }
      if (collected === FRAME_HEADER && left === 0) {
        onFrameEnd(socket)
        collected = 0
      }
    }
    return true
  }
  const options: ConnectionOptions & Pick<NetConnectOpts, 'onread'> = {
    host: hostname,
    port: Number(port),
    ALPNProtocols: ['h2'],
    ...(authority === undefined ? {} : { ca: authority }),
    ...(certificate === undefined ? {} : { cert: certificate }),
    ...(key === undefined ? {} : { key }),
    onread: { buffer, callback: take },
  }
  const socket: TLSSocket = connect(options, () => {
    const initialWindow = Buffer.concat([Buffer.of(0, 4), uint32(LARGEST_WINDOW)])
    const request = Buffer.concat([
      Buffer.of(0x82, 0x87),
      literal(0x01, `${hostname}:${port}`),
      literal(0x04, path),
    ])
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
    socket.write(frame(SETTINGS, 0, 0, initialWindow))
    socket.write(frame(WINDOW_UPDATE, 0, 0, uint32(LARGEST_WINDOW - 65_535)))
    for (let i = 0; i < count; i++)
      socket.write(frame(HEADERS, END_STREAM_AND_HEADERS, 2 * i + 1, request))
    resolve({ close: () => void socket.destroy() })
  })
  socket.on('error', reject)
  return promise
}

/**
 * How API server and kubelet talk on an upgraded connection: frames of a channel byte, a length (big endian, 4 bytes)
 * and as many bytes. A data channel ends with an empty frame; what else there is to say is JSON on its own channel.
 */
import type { Duplex } from 'node:stream'
import type { Status } from '#machinery'
import type { LogOptions, PodTarget } from '../node-api.ts'

/** In the `Upgrade` header. */
export const NODE_PROTOCOL = 'navarch-node/1'
export const NODE_PATH = '/navarch/v1/session'

export const CHANNEL = { input: 0, output: 1, errors: 2, control: 3 } as const

export type NodeCall =
  | { readonly method: 'logs'; readonly target: PodTarget; readonly options: LogOptions }
  | {
      readonly method: 'exec' | 'attach'
      readonly target: PodTarget
      readonly options: {
        readonly container: string
        readonly command: readonly string[]
        readonly tty: boolean
      }
      readonly streams: {
        readonly stdin: boolean
        readonly stdout: boolean
        readonly stderr: boolean
        readonly resize: boolean
      }
    }
  | { readonly method: 'portForward'; readonly target: PodTarget; readonly port: number }

/** The caller begins with `call`; the kubelet says `accepted` or `failed`, and at last `ended` or `failed`. */
export type NodeControl =
  | { readonly type: 'call'; readonly call: NodeCall }
  | { readonly type: 'resize'; readonly width: number; readonly height: number }
  | { readonly type: 'accepted' }
  | { readonly type: 'ended'; readonly exitCode?: number }
  | { readonly type: 'failed'; readonly status: Status }
  /** So many bytes of input were taken: as many more may come. */
  | { readonly type: 'credit'; readonly bytes: number }
  /** Shows whether the other side is still there; says nothing else. */
  | { readonly type: 'ping' }

export interface Frame {
  readonly channel: number
  readonly data: Buffer
}

/** Input that is on its way and not yet taken; so a command that does not read holds up nothing else. */
export const INPUT_WINDOW_BYTES = 1 << 20

const HEADER_BYTES = 5
const MAX_FRAME_BYTES = 1 << 20
const CHUNK_BYTES = 256 * 1024

/** Frames as they arrive; reading pauses while one is dealt with. Ends when the other side does. */
export async function* readFrames(socket: Duplex, head: Uint8Array): AsyncGenerator<Frame, void> {
  const pending: Buffer[] = head.length > 0 ? [Buffer.from(head)] : []
  let size = head.length
  const take = (count: number): Buffer => {
    const all = pending.length === 1 ? pending[0]! : Buffer.concat(pending)
    pending.length = 0
    if (all.length > count) pending.push(all.subarray(count))
    size -= count
    return all.subarray(0, count)
  }
  const chunks = socket.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>
  let header: { readonly channel: number; readonly length: number } | undefined
  for (;;) {
    while (header === undefined ? size >= HEADER_BYTES : size >= header.length) {
      if (header === undefined) {
        const bytes = take(HEADER_BYTES)
        header = { channel: bytes[0]!, length: bytes.readUInt32BE(1) }
        if (header.length > MAX_FRAME_BYTES)
          throw new Error(`A frame of ${header.length} bytes is larger than ${MAX_FRAME_BYTES}`)
        continue
      }
      const { channel, length } = header
      header = undefined
      yield { channel, data: take(length) }
    }
    const next = await chunks.next()
    if (next.done === true) return
    pending.push(next.value)
    size += next.value.length
  }
}

export interface FrameWriter {
  /** Resolves when there is room for more. Nothing happens once the connection is gone. */
  data(channel: number, bytes: Uint8Array): Promise<void>
  /** No more on this channel. */
  end(channel: number): void
  control(message: NodeControl): void
}

export function frameWriter(socket: Duplex): FrameWriter {
  const send = (channel: number, bytes: Uint8Array): boolean => {
    if (socket.destroyed || !socket.writable) return true
    const header = Buffer.alloc(HEADER_BYTES)
    header[0] = channel
    header.writeUInt32BE(bytes.length, 1)
    socket.cork()
    socket.write(header)
    const more = bytes.length === 0 || socket.write(bytes)
    socket.uncork()
    return more
  }
  return {
    async data(channel, bytes) {
      for (let at = 0; at < bytes.length; at += CHUNK_BYTES)
        if (!send(channel, bytes.subarray(at, at + CHUNK_BYTES))) await roomIn(socket)
    },
    end: (channel) => void send(channel, new Uint8Array()),
    control: (message) => void send(CHANNEL.control, Buffer.from(JSON.stringify(message))),
  }
}

/** Until the stream takes more, or is gone. */
export const roomIn = (stream: {
  readonly destroyed: boolean
  readonly writableNeedDrain: boolean
  once(event: 'drain' | 'close', done: () => void): unknown
  off(event: 'drain' | 'close', done: () => void): unknown
}): Promise<void> =>
  new Promise((resolve) => {
    if (stream.destroyed || !stream.writableNeedDrain) {
      resolve()
      return
    }
    const done = (): void => {
      stream.off('drain', done)
      stream.off('close', done)
      resolve()
    }
    stream.once('drain', done)
    stream.once('close', done)
  })

export const readControl = (data: Buffer): NodeControl =>
  JSON.parse(data.toString('utf8')) as NodeControl

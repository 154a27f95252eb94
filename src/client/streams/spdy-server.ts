/**
 * The server's side of SPDY/3.1, as far as Kubernetes clients speak it: they open streams, we answer. Clients know no
 * flow control windows and send no updates: the socket itself holds a fast sender back.
 */
import { Duplex } from 'node:stream'
import { readFrames, thenCall, writeOut, type Parsed } from './frames.ts'
import { headerReader, headerWriter, type SpdyHeaders } from './spdy-headers.ts'

const SYN_STREAM = 1
const SYN_REPLY = 2
const RST_STREAM = 3
const PING = 6
const GOAWAY = 7
const FIN = 1
const CANCEL = 5
/** Bytes of one stream that wait to be read before the whole connection is held back. */
const STREAM_BUFFER_BYTES = 1 << 20
const MAX_FRAME_BYTES = 1 << 20
/** Of our own frames. */
const CHUNK_BYTES = 32 * 1024
/** A client may not have more open at once. */
const MAX_STREAMS = 1024

export interface SpdyStream extends Duplex {
  readonly headers: SpdyHeaders
}

export interface SpdyConnection {
  /** Says goodbye and ends the socket once all is written. */
  close(): void
  /** Aborts when the connection is over, whoever ended it. */
  readonly gone: AbortSignal
}

interface Frame {
  /** Undefined for data. */
  readonly type?: number
  readonly flags: number
  readonly streamId: number
  readonly payload: Buffer
}

function parseFrame(bytes: Buffer): Parsed<Frame> {
  if (bytes.length < 8) return { needed: 8 }
  const first = bytes.readUInt32BE(0)
  const flags = bytes[4]!
  const length = bytes.readUIntBE(5, 3)
  if (length > MAX_FRAME_BYTES) throw new Error('SPDY frame is too large')
  const size = 8 + length
  if (bytes.length < size) return { needed: size }
  const payload = bytes.subarray(8, size)
  if (first < 0x80000000) return { frame: { flags, streamId: first, payload }, size }
  const streamId = length >= 4 ? payload.readUInt32BE(0) & 0x7fffffff : 0
  return { frame: { type: first & 0xffff, flags, streamId, payload }, size }
}

function control(type: number, payload: Uint8Array, flags = 0): Buffer {
  const head = Buffer.alloc(8)
  head.writeUInt32BE((0x80030000 + type) >>> 0, 0)
  head[4] = flags
  head.writeUIntBE(payload.length, 5, 3)
  return Buffer.concat([head, payload])
}

function data(streamId: number, payload: Uint8Array, flags = 0): Buffer {
  const head = Buffer.alloc(8)
  head.writeUInt32BE(streamId, 0)
  head[4] = flags
  head.writeUIntBE(payload.length, 5, 3)
  return Buffer.concat([head, payload])
}

const words = (...values: readonly number[]): Buffer => {
  const bytes = Buffer.alloc(4 * values.length)
  for (const [i, value] of values.entries()) bytes.writeUInt32BE(value, 4 * i)
  return bytes
}

export function serveSpdy(socket: Duplex, onStream: (stream: SpdyStream) => void): SpdyConnection {
  const gone = new AbortController()
  const streams = new Map<number, OpenStream>()
  const readHeaders = headerReader()
  const writeHeaders = headerWriter()
  let last = 0
  let closing = false

  const write = (bytes: Uint8Array): void | Promise<void> => writeOut(socket, bytes)
  const open = (frame: Frame): void | Promise<void> => {
    // Headers are always read, even of a stream that is refused: the blocks are one stream.
    const headers = readHeaders(frame.payload.subarray(10))
    if (closing || streams.has(frame.streamId) || streams.size >= MAX_STREAMS)
      return write(control(RST_STREAM, words(frame.streamId, CANCEL)))
    last = frame.streamId
    const stream = new OpenStream(frame.streamId, headers, write, () =>
      streams.delete(frame.streamId),
    )
    streams.set(frame.streamId, stream)
    const answered = write(
      control(SYN_REPLY, Buffer.concat([words(frame.streamId), writeHeaders({})])),
    )
    if (frame.flags & FIN) void stream.receive(undefined)
    onStream(stream)
    return answered
  }
  const handle = (frame: Frame): void | Promise<void> => {
    switch (frame.type) {
      case undefined: {
        const stream = streams.get(frame.streamId)
        if (stream === undefined) return undefined
        const taken = frame.payload.length > 0 ? stream.receive(frame.payload) : undefined
        if (frame.flags & FIN) void stream.receive(undefined)
        return taken
      }
      case SYN_STREAM:
        return open(frame)
      case RST_STREAM:
        streams.get(frame.streamId)?.reset()
        return undefined
      case PING:
        // Odd ids are the client's own: they come back to it.
        return write(control(PING, frame.payload))
      default:
        // Settings, window updates, later headers and goodbyes change nothing here.
        return undefined
    }
  }
  const finish = (): void => {
    if (gone.signal.aborted) return
    gone.abort()
    for (const stream of streams.values()) stream.reset()
  }
  readFrames<Frame>(socket, {
    parse: parseFrame,
    handle,
    ended(error) {
      finish()
      if (error === undefined) socket.end()
      else socket.destroy()
    },
  })
  return {
    gone: gone.signal,
    close() {
      if (closing) return
      closing = true
      if (!socket.destroyed && !socket.writableEnded) socket.end(control(GOAWAY, words(last, 0)))
      finish()
    },
  }
}

class OpenStream extends Duplex implements SpdyStream {
  readonly headers: SpdyHeaders
  readonly #id: number
  readonly #send: (bytes: Uint8Array) => void | Promise<void>
  readonly #forget: () => void
  #wanted: () => void = () => undefined
  #finished = false

  constructor(
    id: number,
    headers: SpdyHeaders,
    send: (bytes: Uint8Array) => void | Promise<void>,
    forget: () => void,
  ) {
    super({ readableHighWaterMark: STREAM_BUFFER_BYTES, allowHalfOpen: true })
    this.#id = id
    this.headers = headers
    this.#send = send
    this.#forget = forget
    this.on('close', forget)
    // A reset is an end like any other: who cares looks at `destroyed`.
    this.on('error', () => undefined)
  }
  /** Bytes that came in; undefined for the end. The promise is done when there is room for more. */
  receive(bytes: Buffer | undefined): void | Promise<void> {
    if (this.destroyed || this.readableEnded) return undefined
    if (this.push(bytes ?? null) || bytes === undefined) return undefined
    return new Promise((resolve) => (this.#wanted = resolve))
  }
  /** The other side is gone. */
  reset(): void {
    this.#finished = true
    this.#wanted()
    this.#forget()
    this.push(null)
    this.destroy()
  }
  override _read(): void {
    const wanted = this.#wanted
    this.#wanted = () => undefined
    wanted()
  }
  override _write(
    chunk: Buffer,
    _encoding: BufferEncoding,
    callback: (error?: Error | null) => void,
  ): void {
    const send = async (): Promise<void> => {
      for (let at = 0; at < chunk.length; at += CHUNK_BYTES)
        await this.#send(data(this.#id, chunk.subarray(at, at + CHUNK_BYTES)))
    }
    void thenCall(send(), callback)
  }
  override _final(callback: (error?: Error | null) => void): void {
    this.#finished = true
    void thenCall(this.#send(data(this.#id, Buffer.alloc(0), FIN)), callback)
  }
  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#wanted()
    if (!this.#finished) void this.#send(control(RST_STREAM, words(this.#id, CANCEL)))
    this.#finished = true
    callback(error)
  }
}

/**
 * The client side of SPDY/3.1, as much of it as kubelets and the streaming servers of runtimes need: streams that we
 * open, data both ways, half-close. Unlike the WebSocket protocol v4 it can end a process's input.
 */
import { Duplex } from 'node:stream'
import { headerWriter } from './spdy-headers.ts'

const SYN_STREAM = 1
const RST_STREAM = 3
const PING = 6
const GOAWAY = 7
const FIN = 1
const MAX_FRAME_BYTES = 32 * 1024

export interface ClientStream extends Duplex {
  /** The connection ended before the other side had ended this stream. */
  readonly wasCut: boolean
  /** Its end is told only then, or the trouble that is found there. */
  endAfter: Promise<Error | undefined> | undefined
}

export interface SpdySession {
  /** Opens a stream; the headers are small. */
  open(headers: Readonly<Record<string, string>>): ClientStream
  /** Resolves when the connection is gone. */
  readonly closed: Promise<void>
  close(): void
}

/** On a connection whose other side has agreed to speak SPDY; `first` came with its answer. */
export function spdyClient(socket: Duplex, first: Buffer): SpdySession {
  const streams = new Map<number, SpdyStream>()
  let nextId = 1
  const writeHeaders = headerWriter()
  let pending = first
  let gone = false
  const { promise: closed, resolve: onClosed } = Promise.withResolvers<void>()

  const end = (error?: Error) => {
    if (gone) return
    gone = true
    socket.destroy()
    for (const stream of streams.values()) {
      if (error === undefined) stream.cut()
      else stream.destroy(error)
    }
    streams.clear()
    onClosed()
  }

  const receive = (chunk: Buffer) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk])
    let at = 0
    while (pending.length - at >= 8) {
      const length = pending.readUInt32BE(at + 4) & 0xffffff
      if (pending.length - at < 8 + length) break
      frame(pending.subarray(at, at + 8), pending.subarray(at + 8, at + 8 + length))
      at += 8 + length
    }
    pending = pending.subarray(at)
  }

  const frame = (head: Buffer, body: Buffer) => {
    const word = head.readUInt32BE(0)
    const flags = head[4] ?? 0
    if ((word & 0x80000000) === 0) {
      const stream = streams.get(word & 0x7fffffff)
      if (body.length > 0 && stream?.received(body) === false) socket.pause()
      if (flags & FIN) stream?.ended()
      return
    }
    switch (word & 0xffff) {
      case PING:
        socket.write(control(PING, 0, body))
        break
      case RST_STREAM:
        streams.get(body.readUInt32BE(0) & 0x7fffffff)?.ended()
        break
      case GOAWAY:
        break
      default:
      // Answers to our streams carry nothing that matters; nobody opens streams to us.
    }
  }

  socket.on('data', receive)
  socket.on('error', (error: Error) => end(error))
  socket.on('close', () => end())
  if (first.length > 0) receive(Buffer.alloc(0))
  socket.resume()

  return {
    closed,
    close: () => end(),
    open: (headers) => {
      const id = nextId
      nextId += 2
      const stream = new SpdyStream(socket, id)
      streams.set(id, stream)
      const fixed = Buffer.alloc(10)
      fixed.writeUInt32BE(id, 0)
      const block = writeHeaders(headers)
      socket.write(control(SYN_STREAM, 0, Buffer.concat([fixed, block])))
      return stream
    },
  }
}

function control(type: number, flags: number, body: Buffer): Buffer {
  const head = Buffer.alloc(8)
  head.writeUInt16BE(0x8003, 0)
  head.writeUInt16BE(type, 2)
  head.writeUInt32BE(body.length, 4)
  head[4] = flags
  return Buffer.concat([head, body])
}

class SpdyStream extends Duplex implements ClientStream {
  readonly #socket: Duplex
  readonly #id: number
  #over = false
  wasCut = false
  endAfter: Promise<Error | undefined> | undefined

  constructor(socket: Duplex, id: number) {
    super({ allowHalfOpen: true })
    this.#socket = socket
    this.#id = id
    // An aborted session is told by its result; nobody need listen here.
    this.on('error', () => {})
  }

  /** False when the reader is behind. */
  received(bytes: Buffer): boolean {
    return this.#over ? true : this.push(Buffer.from(bytes))
  }

  ended(): void {
    if (this.#over) return
    this.#over = true
    if (this.endAfter === undefined) this.push(null)
    else
      void this.endAfter.then((trouble) =>
        trouble === undefined ? this.push(null) : this.destroy(trouble),
      )
  }

  cut(): void {
    this.wasCut ||= !this.#over
    this.ended()
  }

  override _read(): void {
    this.#socket.resume()
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    if (this.#socket.destroyed) {
      done(new Error('Streaming connection is closed'))
      return
    }
    let flowing = true
    for (let at = 0; at < chunk.length; at += MAX_FRAME_BYTES) {
      const piece = chunk.subarray(at, at + MAX_FRAME_BYTES)
      flowing = this.#socket.write(Buffer.concat([this.#head(0, piece.length), piece]))
    }
    if (flowing) done()
    else {
      const socket = this.#socket
      const go = () => {
        socket.off('drain', go)
        socket.off('close', go)
        done()
      }
      socket.once('drain', go)
      socket.once('close', go)
    }
  }

  override _final(done: (error?: Error | null) => void): void {
    if (!this.#socket.destroyed) this.#socket.write(this.#head(FIN, 0))
    done()
  }

  #head(flags: number, length: number): Buffer {
    const head = Buffer.alloc(8)
    head.writeUInt32BE(this.#id, 0)
    head.writeUInt32BE(length, 4)
    head[4] = flags
    return head
  }
}

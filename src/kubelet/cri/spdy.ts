/**
 * The client side of SPDY/3.1, as much of it as a runtime's streaming server needs: streams that we
 * open, data both ways, half-close. Unlike the WebSocket protocol v4 it can end a process's input.
 */
import { Duplex } from 'node:stream'

const SYN_STREAM = 1
const RST_STREAM = 3
const PING = 6
const GOAWAY = 7
const FIN = 1
const MAX_FRAME_BYTES = 32 * 1024

export interface SpdySession {
  /** Opens a stream; the headers are small. */
  open(headers: Readonly<Record<string, string>>): Duplex
  /** Resolves when the connection is gone. */
  readonly closed: Promise<void>
  close(): void
}

class UpgradeError extends Error {
  readonly code: number
  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}

/** Asks an HTTP/1.1 server to speak SPDY on this connection. */
export async function upgrade(
  socket: Duplex,
  options: { readonly host: string; readonly path: string; readonly protocol: string },
): Promise<SpdySession> {
  socket.write(
    [
      `POST ${options.path} HTTP/1.1`,
      `Host: ${options.host}`,
      'Connection: Upgrade',
      'Upgrade: SPDY/3.1',
      `X-Stream-Protocol-Version: ${options.protocol}`,
      'Content-Length: 0',
      '',
      '',
    ].join('\r\n'),
  )
  const { head, rest } = await readHead(socket)
  const code = Number(/^HTTP\/1\.[01] (\d+)/.exec(head)?.[1] ?? 0)
  if (code !== 101) {
    socket.destroy()
    throw new UpgradeError(code, `Streaming server refused SPDY: ${head.split('\r\n')[0] ?? ''}`)
  }
  return session(socket, rest)
}

const MAX_HEAD_BYTES = 16 * 1024

function readHead(socket: Duplex): Promise<{ head: string; rest: Buffer }> {
  return new Promise((resolve, reject) => {
    let seen = Buffer.alloc(0)
    const settle = () => {
      socket.off('data', onData)
      socket.off('error', onError)
      socket.off('close', onClose)
    }
    const onError = (error: Error) => {
      settle()
      reject(error)
    }
    const onClose = () => onError(new Error('Streaming server closed the connection'))
    const onData = (chunk: Buffer) => {
      seen = Buffer.concat([seen, chunk])
      const end = seen.indexOf('\r\n\r\n')
      if (end < 0) {
        if (seen.length > MAX_HEAD_BYTES) onError(new Error('Streaming server sent no HTTP answer'))
        return
      }
      settle()
      socket.pause()
      resolve({ head: seen.subarray(0, end).toString('latin1'), rest: seen.subarray(end + 4) })
    }
    socket.on('data', onData)
    socket.on('error', onError)
    socket.on('close', onClose)
  })
}

function session(socket: Duplex, first: Buffer): SpdySession {
  const streams = new Map<number, SpdyStream>()
  let nextId = 1
  let sentHeaders = false
  let pending = first
  let gone = false
  const { promise: closed, resolve: onClosed } = Promise.withResolvers<void>()

  const end = (error?: Error) => {
    if (gone) return
    gone = true
    socket.destroy()
    for (const stream of streams.values()) {
      if (error === undefined) stream.ended()
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
      const block = headerBlock(headers, !sentHeaders)
      sentHeaders = true
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

/** Names and values in a zlib stream of stored blocks: one stream for the whole connection. */
function headerBlock(headers: Readonly<Record<string, string>>, isFirst: boolean): Buffer {
  const parts: Buffer[] = [word(Object.keys(headers).length)]
  for (const [name, value] of Object.entries(headers)) {
    const [nameBytes, valueBytes] = [Buffer.from(name.toLowerCase()), Buffer.from(value)]
    parts.push(word(nameBytes.length), nameBytes, word(valueBytes.length), valueBytes)
  }
  const plain = Buffer.concat(parts)
  const size = Buffer.alloc(5)
  size.writeUInt16LE(plain.length, 1)
  size.writeUInt16LE(plain.length ^ 0xffff, 3)
  return Buffer.concat([
    Buffer.from(isFirst ? [0x78, 0x01] : []),
    size,
    plain,
    // An empty stored block is a sync flush: the reader gets all that came before.
    Buffer.from([0, 0, 0, 0xff, 0xff]),
  ])
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value, 0)
  return bytes
}

class SpdyStream extends Duplex {
  readonly #socket: Duplex
  readonly #id: number
  #over = false

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
    this.push(null)
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

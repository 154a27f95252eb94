/** A client that costs as little as TLS lets it: HTTP/1.1 requests as bytes, answers looked at for status and length alone. */
import { connect, type TLSSocket } from 'node:tls'
import type { Connection } from '#client'

export interface RawAnswer {
  readonly status: number
  /** Milliseconds from the request's last byte to the answer's. */
  readonly ms: number
  readonly bytes: number
}

export interface RawConnection {
  /** One at a time. */
  request(method: string, path: string, options?: RawOptions): Promise<RawAnswer>
  /** Chunks of an answer that does not end: when each came, and its bytes. */
  stream(path: string, onData: (bytes: Buffer) => void): void
  close(): void
}

export interface RawOptions {
  readonly body?: string | Uint8Array
  readonly contentType?: string
  readonly accept?: string
}

const END = Buffer.from('\r\n\r\n')
const LAST_CHUNK = Buffer.from('\r\n0\r\n\r\n')

export async function rawConnection({
  server,
  authority,
  certificate,
  key,
}: Connection): Promise<RawConnection> {
  const { hostname, port } = new URL(server)
  const socket: TLSSocket = connect({
    host: hostname,
    port: Number(port),
    ...(authority === undefined ? {} : { ca: authority }),
    ...(certificate === undefined ? {} : { cert: certificate }),
    ...(key === undefined ? {} : { key }),
    ALPNProtocols: ['http/1.1'],
  })
  socket.setNoDelay(true)
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve)
    socket.once('error', reject)
  })
  let waiting: { started: number; resolve(answer: RawAnswer): void } | undefined
  let streaming: ((bytes: Buffer) => void) | undefined
  let fail: ((error: Error) => void) | undefined
  let head: Buffer = Buffer.alloc(0)
  let status = 0
  /** Bytes of the body that are still to come; undefined while the head is read, -1 for chunks. */
  let left: number | undefined
  let bytes = 0
  let tail = Buffer.alloc(0)
  const done = (): void => {
    const { started, resolve } = waiting!
    waiting = undefined
    left = undefined
    head = Buffer.alloc(0)
    resolve({ status, ms: performance.now() - started, bytes })
  }
  socket.on('data', (data: Buffer) => {
    let chunk = data
    if (streaming !== undefined && left !== undefined) return streaming(chunk)
    if (left === undefined) {
      head = head.length === 0 ? chunk : Buffer.concat([head, chunk])
      const end = head.indexOf(END)
      if (end < 0) return
      status = Number(head.toString('latin1', 9, 12))
      const length = /\r\ncontent-length: (\d+)/i.exec(head.toString('latin1', 0, end))?.[1]
      left = length === undefined ? -1 : Number(length)
      chunk = head.subarray(end + END.length)
      bytes = 0
      tail = Buffer.alloc(0)
      if (streaming !== undefined) {
        if (chunk.length > 0) streaming(chunk)
        return
      }
    }
    bytes += chunk.length
    if (left >= 0) {
      left -= chunk.length
      if (left === 0) done()
      return
    }
    tail = Buffer.concat([tail, chunk.subarray(-LAST_CHUNK.length)]).subarray(-LAST_CHUNK.length)
    if (tail.equals(LAST_CHUNK)) done()
  })
  socket.on('error', (error) => fail?.(error))
  socket.on('close', () => fail?.(new Error('the connection was closed')))

  const start = `HTTP/1.1\r\nHost: ${hostname}:${port}\r\nUser-Agent: bench/1.0\r\n`
  return {
    request(method, path, { body, contentType, accept = 'application/json' } = {}) {
      return new Promise((resolve, reject) => {
        fail = reject
        const type = contentType ?? 'application/json'
        const about =
          body === undefined
            ? ''
            : `Content-Type: ${type}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`
        waiting = { started: performance.now(), resolve }
        const head = `${method} ${path} ${start}Accept: ${accept}\r\n${about}\r\n`
        if (body === undefined || typeof body === 'string') socket.write(`${head}${body ?? ''}`)
        else socket.write(Buffer.concat([Buffer.from(head), body]))
      })
    },
    stream(path, onData) {
      streaming = onData
      socket.write(`GET ${path} ${start}Accept: application/json\r\n\r\n`)
    },
    close() {
      fail = undefined
      socket.destroy()
    },
  }
}

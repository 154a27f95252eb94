/** Reading frames from a socket: one after another, and no faster than they are taken. */
import type { Duplex } from 'node:stream'

/** What the next frame is, or how many bytes must be there before it can be said. */
export type Parsed<T> = { readonly frame: T; readonly size: number } | { readonly needed: number }

export interface FrameReader<T> {
  /** Throws when the bytes are no frame: the connection is then over. */
  parse(bytes: Buffer): Parsed<T>
  /** While the promise is open, nothing more is read. */
  handle(frame: T): void | Promise<void>
  /** Called once: the other side has ended, the socket broke, or a frame was wrong. */
  ended(error: Error | undefined): void
}

export function readFrames<T>(socket: Duplex, reader: FrameReader<T>): void {
  let chunks: Buffer[] = []
  let length = 0
  let needed = 1
  let busy = false
  let over = false

  const finish = (error: Error | undefined): void => {
    if (over) return
    over = true
    chunks = []
    reader.ended(error)
  }
  const work = (): void => {
    while (!busy && !over && length >= needed) {
      const bytes = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, length)
      chunks = [bytes]
      try {
        const parsed = reader.parse(bytes)
        if ('needed' in parsed) {
          needed = parsed.needed
          continue
        }
        length -= parsed.size
        chunks = length === 0 ? [] : [bytes.subarray(parsed.size)]
        needed = 1
        const taken = reader.handle(parsed.frame)
        if (taken === undefined) continue
        busy = true
        socket.pause()
        taken.then(
          () => {
            busy = false
            socket.resume()
            work()
          },
          (error: unknown) => finish(error as Error),
        )
      } catch (error) {
        finish(error as Error)
      }
    }
  }
  socket.on('data', (chunk: Buffer) => {
    if (over) return
    chunks.push(chunk)
    length += chunk.length
    work()
  })
  socket.on('end', () => finish(undefined))
  socket.on('close', () => finish(undefined))
  socket.on('error', (error) => finish(error))
}

/** Writes, and waits when the other side does not take it. What is written to a closed socket is lost. */
export function writeOut(socket: Duplex, bytes: Uint8Array): void | Promise<void> {
  if (socket.destroyed || socket.writableEnded || socket.write(bytes)) return undefined
  // All who wait for one socket share one wait.
  let wait = draining.get(socket)
  if (wait === undefined) {
    wait = new Promise((resolve) => {
      const done = (): void => {
        draining.delete(socket)
        socket.removeListener('drain', done)
        socket.removeListener('close', done)
        resolve()
      }
      socket.on('drain', done)
      socket.on('close', done)
    })
    draining.set(socket, wait)
  }
  return wait
}
const draining = new WeakMap<Duplex, Promise<void>>()

/** Calls a stream's callback when the work is done. */
export async function thenCall(
  work: void | Promise<void>,
  callback: (error?: Error | null) => void,
): Promise<void> {
  try {
    await work
  } catch (error) {
    callback(error as Error)
    return
  }
  callback()
}

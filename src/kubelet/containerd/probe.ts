/** The few calls that tell whether containerd is alive, and which images its CRI side sees. */
import { Client, credentials, type ClientReadableStream } from '@grpc/grpc-js'
import { grpcDeadline } from '#base'

export interface ContainerdProbe {
  /** The runtime's version, once CRI answers; rejects until then. */
  version(timeoutMs: number): Promise<string>
  /** Whether CRI sees the image: what an import put into containerd arrives there a moment later. */
  hasImage(name: string, timeoutMs: number): Promise<boolean>
  /** Resolves when containerd ends, however it does. Costs nothing while it lives. */
  gone(signal: AbortSignal): Promise<void>
  close(): void
}

const raw = (value: Buffer): Buffer => value

export function probeContainerd(socket: string): ContainerdProbe {
  const client = new Client(`unix:${socket}`, credentials.createInsecure(), {
    'grpc.initial_reconnect_backoff_ms': 10,
    'grpc.min_reconnect_backoff_ms': 10,
    'grpc.max_reconnect_backoff_ms': 20,
  })
  const call = (method: string, request: Buffer, timeoutMs: number): Promise<Buffer> =>
    new Promise((resolve, reject) => {
      // The deadline is gRPC's own timer: it is what limits a call inside the library.
      const deadline = grpcDeadline(timeoutMs)
      client.makeUnaryRequest(method, raw, raw, request, { deadline }, (error, response) =>
        error === null ? resolve(response ?? Buffer.alloc(0)) : reject(error),
      )
    })
  return {
    version: async (timeoutMs) => {
      const response = await call('/runtime.v1.RuntimeService/Version', Buffer.alloc(0), timeoutMs)
      return stringField(response, 3)?.replace(/^v/, '') ?? 'unknown'
    },
    hasImage: async (name, timeoutMs) => {
      const request = message(1, message(1, Buffer.from(name)))
      return (await call('/runtime.v1.ImageService/ImageStatus', request, timeoutMs)).length > 0
    },
    gone: (signal) =>
      new Promise((resolve) => {
        if (signal.aborted) return resolve()
        const health: ClientReadableStream<Buffer> = client.makeServerStreamRequest(
          '/grpc.health.v1.Health/Watch',
          raw,
          raw,
          Buffer.alloc(0),
        )
        const end = (): void => {
          signal.removeEventListener('abort', end)
          health.cancel()
          resolve()
        }
        signal.addEventListener('abort', end, { once: true })
        health.on('data', () => undefined)
        health.once('error', end)
        health.once('end', end)
      }),
    close: () => client.close(),
  }
}

/** A length-delimited protobuf field with a small number. */
function message(field: number, content: Buffer): Buffer {
  const length: number[] = []
  for (let left = content.length; ; left >>= 7) {
    if (left < 0x80) {
      length.push(left)
      break
    }
    length.push((left & 0x7f) | 0x80)
  }
  return Buffer.concat([Buffer.from([(field << 3) | 2, ...length]), content])
}

/** The text in a field of a message that has nothing but short length-delimited fields. */
function stringField(bytes: Buffer, wanted: number): string | undefined {
  for (let at = 0; at + 1 < bytes.length;) {
    const [tag = 0, length = 0] = [bytes[at], bytes[at + 1]]
    if ((tag & 7) !== 2 || length >= 0x80) return undefined
    if (tag >> 3 === wanted) return bytes.toString('utf8', at + 2, at + 2 + length)
    at += 2 + length
  }
  return undefined
}

/** The gRPC health check (grpc.health.v1.Health/Check): one small message each way, over plain HTTP/2. */
import { connect } from 'node:http2'
import type { Env } from '#base'
import type { ProbeOutcome } from './decide.ts'

const SERVING = 1
const STATUS_NAMES = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN']
const UNIMPLEMENTED = '12'

export async function probeGrpc(
  {
    host,
    port,
    service,
  }: { readonly host: string; readonly port: number; readonly service: string },
  { net }: Pick<Env, 'net'>,
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  const socket = await net.connect({ host, port }, signal)
  const name = Buffer.from(service)
  const message = Buffer.concat([Buffer.from([0x0a, name.length]), name])
  const body = Buffer.concat([
    Buffer.from([0, 0, 0, 0, name.length === 0 ? 0 : message.length]),
    name.length === 0 ? Buffer.alloc(0) : message,
  ])
  const session = connect('http://localhost', { createConnection: () => socket })
  const abort = () => session.destroy(new Error('timeout'))
  signal.addEventListener('abort', abort, { once: true })
  try {
    const { status, data, grpcStatus, grpcMessage } = await new Promise<{
      status: number
      data: Buffer
      grpcStatus: string
      grpcMessage: string
    }>((resolve, reject) => {
      session.on('error', reject)
      const stream = session.request({
        ':method': 'POST',
        ':path': '/grpc.health.v1.Health/Check',
        ':authority': `${host}:${port}`,
        'content-type': 'application/grpc',
        te: 'trailers',
        'user-agent': 'kube-probe/1.36',
      })
      const chunks: Buffer[] = []
      let code = 0
      let outcome = { grpcStatus: '', grpcMessage: '' }
      const note = (headers: Readonly<Record<string, unknown>>) => {
        if (headers['grpc-status'] === undefined) return
        outcome = {
          grpcStatus: textOf(headers['grpc-status']),
          grpcMessage: textOf(headers['grpc-message']),
        }
      }
      stream.on('response', (headers) => {
        code = headers[':status'] ?? 0
        note(headers)
      })
      stream.on('trailers', note)
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('error', reject)
      stream.on('end', () => resolve({ status: code, data: Buffer.concat(chunks), ...outcome }))
      stream.end(body)
    })
    if (grpcStatus === UNIMPLEMENTED) {
      return {
        ok: false,
        message: `error: this server does not implement the grpc health protocol (grpc.health.v1.Health): ${grpcMessage}`,
      }
    }
    if (status !== 200 || grpcStatus !== '0') {
      return { ok: false, message: `error: health rpc failed: ${grpcMessage || grpcStatus}` }
    }
    const answer = servingStatus(data)
    return answer === SERVING
      ? { ok: true }
      : {
          ok: false,
          message: `service unhealthy (responded with "${STATUS_NAMES[answer] ?? answer}")`,
        }
  } finally {
    signal.removeEventListener('abort', abort)
    session.destroy()
    socket.destroy()
  }
}

/** Five bytes of frame, then field 1 as a varint; absent is 0. */
const servingStatus = (data: Buffer): number => (data[5] === 0x08 ? (data[6] ?? 0) : 0)

const textOf = (header: unknown): string =>
  typeof header === 'string' || typeof header === 'number' ? String(header) : ''

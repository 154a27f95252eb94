/** As much of HTTP/1.1 as a load balancer's probe needs: one request, one answer, and goodbye. */
import type { Duplex } from 'node:stream'

export interface Answer {
  readonly status: 200 | 404 | 405 | 503
  readonly type: 'application/json' | 'text/plain; charset=utf-8'
  readonly body: string
  readonly headers?: Readonly<Record<string, string>>
}

const REASONS = {
  200: 'OK',
  404: 'Not Found',
  405: 'Method Not Allowed',
  503: 'Service Unavailable',
} as const
const MAX_HEAD_BYTES = 8192
/** Who has not asked by then goes without an answer. */
export const ASK_WITHIN_MS = 10_000

export const text = (status: Answer['status'], body: string): Answer => ({
  status,
  type: 'text/plain; charset=utf-8',
  body,
})

/** Answers GET and HEAD of a path; the query does not matter. */
export function answerOnce(
  socket: Duplex,
  schedule: (ms: number, run: () => void) => () => void,
  answer: (path: string) => Answer,
): void {
  let head = ''
  const cancel = schedule(ASK_WITHIN_MS, () => socket.destroy())
  socket.on('error', () => undefined)
  socket.once('close', cancel)
  const onData = (chunk: Buffer): void => {
    head += chunk.toString('latin1')
    if (head.includes('\r\n\r\n')) {
      socket.off('data', onData)
      socket.end(written(head, answer))
    } else if (head.length > MAX_HEAD_BYTES) socket.destroy()
  }
  socket.on('data', onData)
}

function written(head: string, answer: (path: string) => Answer): string {
  const [method = '', target = ''] = head.split(' ', 2)
  const isRead = method === 'GET' || method === 'HEAD'
  const { status, type, body, headers } = isRead
    ? answer(target.replace(/[?#].*$/s, ''))
    : text(405, 'Method Not Allowed\n')
  const fields = {
    'Content-Type': type,
    'X-Content-Type-Options': 'nosniff',
    ...headers,
    'Content-Length': String(Buffer.byteLength(body)),
    Connection: 'close',
  }
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} ${REASONS[status]}\r\n${lines.join('')}\r\n${method === 'HEAD' ? '' : body}`
}

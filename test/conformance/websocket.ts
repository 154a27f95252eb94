/** As much of a WebSocket client as a test needs that only listens: no library, so that nothing hides what is sent. */
import { randomBytes } from 'node:crypto'
import { request } from 'node:https'
import { KubeConfig } from '@kubernetes/client-node'
import type { Api } from './api.ts'

const CLOSE = 8

/** Opens the path with this subprotocol, and gives the messages until the server closes. */
export async function messagesOf(
  api: Api,
  path: string,
  query: URLSearchParams,
  protocol: string,
): Promise<{ readonly protocol: string | undefined; readonly messages: readonly Buffer[] }> {
  const config = new KubeConfig()
  if (api.config.file === undefined) config.loadFromDefault()
  else config.loadFromFile(api.config.file)
  if (api.config.context !== undefined) config.setCurrentContext(api.config.context)
  const tls: { headers?: Record<string, string> } = {}
  await config.applyToHTTPSOptions(tls as never)
  return new Promise((resolve, reject) => {
    const asked = request(`${api.server}${path}?${query.toString()}`, {
      ...(tls as object),
      headers: {
        ...tls.headers,
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': randomBytes(16).toString('base64'),
        'sec-websocket-protocol': protocol,
      },
    })
    asked.once('error', reject)
    asked.once('response', ({ statusCode }) =>
      reject(new Error(`${path} answered ${statusCode} to a WebSocket`)),
    )
    asked.once('upgrade', (response, socket, head) => {
      const messages: Buffer[] = []
      let rest = head
      const chosen = response.headers['sec-websocket-protocol']
      const read = (chunk: Buffer): void => {
        rest = Buffer.concat([rest, chunk])
        for (let frame = frameOf(rest); frame !== undefined; frame = frameOf(rest)) {
          rest = rest.subarray(frame.length)
          if (frame.opcode === CLOSE) socket.end()
          else if (frame.opcode <= 2) messages.push(Buffer.from(frame.payload))
        }
      }
      socket.on('data', read)
      socket.once('error', reject)
      socket.once('close', () => resolve({ protocol: chosen, messages }))
      read(Buffer.alloc(0))
    })
    asked.end()
  })
}

/** A frame of a server: never masked. */
function frameOf(
  bytes: Buffer,
): { readonly opcode: number; readonly payload: Buffer; readonly length: number } | undefined {
  if (bytes.length < 2) return undefined
  const short = (bytes[1] ?? 0) & 0x7f
  const extra = short === 126 ? 2 : short === 127 ? 8 : 0
  if (bytes.length < 2 + extra) return undefined
  const size =
    extra === 0 ? short : extra === 2 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2))
  const length = 2 + extra + size
  if (bytes.length < length) return undefined
  return {
    opcode: (bytes[0] ?? 0) & 0x0f,
    payload: bytes.subarray(2 + extra, length),
    length,
  }
}

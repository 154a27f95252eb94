/** What all proxies do alike: which headers go on, how bodies flow, and what becomes of an upgrade. */
import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { notFound } from '#machinery'
import type { Exchange } from '../exchange.ts'

/** Headers that concern one connection only (RFC 9110 §7.6.1), and what is meant for this server alone. */
const NOT_FORWARDED: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'authorization',
  'host',
])

export const isForwarded = (header: string): boolean =>
  !NOT_FORWARDED.has(header) && !header.startsWith(':')

export const isUpgrade = ({ headers, upgrade }: Exchange): boolean =>
  upgrade !== undefined &&
  headers['upgrade'] !== undefined &&
  /\bupgrade\b/i.test(headers['connection'] ?? '')

/** Whether a body follows, or an upgrade. */
export const hasBody = ({ method, headers }: Exchange): boolean =>
  headers['content-length'] !== undefined ||
  headers['transfer-encoding'] !== undefined ||
  !['GET', 'HEAD', 'OPTIONS', 'DELETE'].includes(method)

export async function sendBody(exchange: Exchange, outgoing: ClientRequest): Promise<void> {
  if (!hasBody(exchange) || isUpgrade(exchange)) {
    outgoing.end()
    return
  }
  if (exchange.stream === undefined) {
    outgoing.end(await exchange.body())
    return
  }
  for await (const chunk of exchange.stream()) {
    if (outgoing.destroyed) return
    if (!outgoing.write(chunk))
      await new Promise<void>((resolve) => {
        outgoing.once('drain', resolve)
        outgoing.once('close', resolve)
      })
  }
  outgoing.end()
}

export function responseHeaders(headers: IncomingHttpHeaders): Record<string, string | string[]> {
  const kept: Record<string, string | string[]> = {}
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined && isForwarded(name)) kept[name] = value
  return kept
}

/** The other side has switched protocols: so do we, and then only carry bytes. */
export async function join(
  exchange: Exchange,
  response: IncomingMessage,
  upstream: Duplex,
  head: Buffer,
): Promise<void> {
  if (exchange.upgrade === undefined) throw notFound({ group: '', resource: 'proxy' }, '')
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(response.headers))
    if (typeof value === 'string') headers[name] = value
  const client = await exchange.upgrade(headers)
  if (head.length > 0) client.write(head)
  client.pipe(upstream)
  upstream.pipe(client)
  client.on('error', () => upstream.destroy())
  upstream.on('error', () => client.destroy())
  client.on('close', () => upstream.destroy())
  await new Promise<void>((resolve) => {
    upstream.on('close', () => {
      client.end()
      // Its last words are read and dropped: otherwise its end would never be seen.
      client.resume()
      resolve()
    })
  })
}

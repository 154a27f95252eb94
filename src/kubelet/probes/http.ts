/** A GET as probes and hooks make it: HTTP/1.1 on a connection of its own, any certificate will do. */
import type { Duplex } from 'node:stream'
import { connect as secure } from 'node:tls'
import type { Env } from '#base'
import type { ProbeOutcome } from './decide.ts'

export interface HttpTarget {
  readonly scheme: 'http' | 'https'
  readonly host: string
  readonly port: number
  /** With its query. */
  readonly path: string
  readonly headers: readonly { readonly name: string; readonly value: string }[]
}

interface Answer {
  readonly code: number
  readonly location: string | undefined
  readonly body: string
}

const MAX_REDIRECTS = 10
/** Of a body, in messages. */
const MAX_BODY_BYTES = 10 * 1024

export async function probeHttp(
  target: HttpTarget,
  { net }: Pick<Env, 'net'>,
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  let at = target
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const { code, location, body } = await get(at, net, signal)
    if (code < 300 && code >= 200) return { ok: true }
    if (code < 200 || code >= 400) {
      return { ok: false, message: `HTTP probe failed with statuscode: ${code}` }
    }
    const next = location === undefined ? undefined : redirected(at, location)
    if (next === undefined) return { ok: true }
    // Elsewhere is not what was to be probed: it counts as an answer, with a warning.
    if (next.host !== target.host) {
      return {
        ok: true,
        warning: `Probe terminated redirects, Response body: ${body.slice(0, 1024)}`,
      }
    }
    at = next
  }
  return { ok: false, message: `stopped after ${MAX_REDIRECTS} redirects` }
}

function redirected(from: HttpTarget, location: string): HttpTarget | undefined {
  const base = `${from.scheme}://${bracketed(from.host)}:${from.port}${from.path}`
  if (!URL.canParse(location, base)) return undefined
  const url = new URL(location, base)
  const scheme = url.protocol === 'https:' ? 'https' : 'http'
  return {
    ...from,
    scheme,
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? (scheme === 'https' ? 443 : 80) : Number(url.port),
    path: `${url.pathname}${url.search}`,
  }
}

const bracketed = (host: string): string => (host.includes(':') ? `[${host}]` : host)

export async function get(
  target: HttpTarget,
  net: Env['net'],
  signal: AbortSignal,
): Promise<Answer> {
  const plain = await net.connect({ host: target.host, port: target.port }, signal)
  const socket =
    target.scheme === 'https' ? secure({ socket: plain, rejectUnauthorized: false }) : plain
  const abort = () => {
    socket.destroy()
    plain.destroy()
  }
  signal.addEventListener('abort', abort, { once: true })
  try {
    socket.write(requestText(target))
    return await readAnswer(socket)
  } catch (error) {
    if (!signal.aborted) throw error
    throw new Error('context deadline exceeded (Client.Timeout exceeded while awaiting headers)')
  } finally {
    signal.removeEventListener('abort', abort)
    socket.destroy()
    plain.destroy()
  }
}

function requestText({ host, port, path, headers }: HttpTarget): string {
  const named = new Map<string, string>([
    ['host', `${bracketed(host)}:${port}`],
    ['user-agent', 'kube-probe/1.36'],
    ['accept', '*/*'],
    ['connection', 'close'],
  ])
  const own: string[] = []
  for (const { name, value } of headers) {
    const lower = name.toLowerCase()
    if (lower === 'host' || lower === 'user-agent' || lower === 'accept') {
      // An empty value takes the header away.
      if (value === '' && lower !== 'host') named.delete(lower)
      else named.set(lower, value)
    } else own.push(`${name}: ${value}`)
  }
  const title = (name: string) => name.replaceAll(/(^|-)[a-z]/g, (letter) => letter.toUpperCase())
  return [
    `GET ${path} HTTP/1.1`,
    ...[...named].map(([name, value]) => `${title(name)}: ${value}`),
    ...own,
    '',
    '',
  ].join('\r\n')
}

/** Reads the head and the beginning of the body: enough to judge and to tell. */
function readAnswer(socket: Duplex): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let text = ''
    let failure: Error | undefined
    const settle = () => {
      const end = text.indexOf('\r\n\r\n')
      const head = end < 0 ? '' : text.slice(0, end)
      const code = Number(/^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1] ?? 0)
      if (code === 0) {
        reject(failure ?? new Error(text === '' ? 'EOF' : 'malformed HTTP response'))
        return
      }
      const location = /^location:\s*(.*)$/im.exec(head)?.[1]?.trim()
      resolve({ code, location, body: text.slice(end + 4) })
    }
    const complete = () => {
      const end = text.indexOf('\r\n\r\n')
      if (end < 0) return false
      const length = /^content-length:\s*(\d+)/im.exec(text.slice(0, end))?.[1]
      return length !== undefined && text.length - end - 4 >= Number(length)
    }
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
      if (text.length > MAX_BODY_BYTES || complete()) settle()
    })
    socket.on('error', (error: Error) => {
      failure = error
      settle()
    })
    socket.on('end', settle)
    socket.on('close', settle)
  })
}

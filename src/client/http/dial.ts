/** TLS connections to kubelets, and what went wrong with them in the words of Go's clients, which people look for. */
import { isIP } from 'node:net'
import { connect, type TLSSocket } from 'node:tls'

/** Where the kubelet of a node listens. */
export interface KubeletAddress {
  readonly address: string
  readonly port: number
  readonly tls: {
    /** Of the API server, PEM. */
    readonly certificate: string
    readonly key: string
    /** Who must have signed the kubelet's certificate; absent when any certificate will do. */
    readonly trust?: {
      /** PEM. */
      readonly authority: string
      /** Whom it must be for; default the address. */
      readonly name?: string
    }
  }
}

const CONNECT_TIMEOUT_MS = 10_000
/** A kubelet that vanished is noticed while nothing is said. */
const KEEP_ALIVE_MS = 30_000

export const hostPort = ({ address, port }: Pick<KubeletAddress, 'address' | 'port'>): string =>
  `${address.includes(':') ? `[${address}]` : address}:${port}`

/** Rejects with an error whose message tells where, and why not. */
export function dialKubelet(to: KubeletAddress, signal: AbortSignal): Promise<TLSSocket> {
  const { address, port, tls } = to
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const name = tls.trust?.name ?? (isIP(address) === 0 ? address : undefined)
    const socket = connect({
      host: address,
      port,
      cert: tls.certificate,
      key: tls.key,
      minVersion: 'TLSv1.2',
      ALPNProtocols: ['http/1.1'],
      ...(name === undefined ? {} : { servername: name }),
      ...(tls.trust === undefined
        ? { rejectUnauthorized: false }
        : { ca: tls.trust.authority, rejectUnauthorized: true }),
    })
    const stop = (): void => void socket.destroy(reasonOf(signal))
    const late = (): void => void socket.destroy(new Error('i/o timeout'))
    const fail = (error: Error): void => {
      signal.removeEventListener('abort', stop)
      reject(signal.aborted ? reasonOf(signal) : new Error(inGoWords(to, error)))
    }
    signal.addEventListener('abort', stop, { once: true })
    socket.setTimeout(CONNECT_TIMEOUT_MS, late)
    socket.once('error', fail)
    socket.once('close', () => fail(new Error('EOF')))
    socket.once('secureConnect', () => {
      signal.removeEventListener('abort', stop)
      socket.removeListener('error', fail)
      socket.setTimeout(0, late)
      socket.setKeepAlive(true, KEEP_ALIVE_MS)
      socket.setNoDelay(true)
      // Whoever uses it listens too; one that nobody uses yet may break.
      socket.on('error', () => undefined)
      resolve(socket)
    })
  })
}

const reasonOf = ({ reason }: AbortSignal): Error =>
  reason instanceof Error ? reason : new Error('it was aborted')

const CONNECTING: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connect: connection refused',
  EHOSTUNREACH: 'connect: no route to host',
  ENETUNREACH: 'connect: network is unreachable',
  ETIMEDOUT: 'connect: connection timed out',
  EADDRNOTAVAIL: 'connect: cannot assign requested address',
  EINVAL: 'connect: invalid argument',
}

/** `dial tcp 10.0.0.7:10250: connect: connection refused`. */
function inGoWords(
  to: Pick<KubeletAddress, 'address' | 'port'>,
  error: Error & { readonly code?: string },
): string {
  const { code = '', message } = error
  if (CONNECTING[code] !== undefined) return `dial tcp ${hostPort(to)}: ${CONNECTING[code]}`
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return `dial tcp: lookup ${to.address}: no such host`
  if (message === 'i/o timeout') return `dial tcp ${hostPort(to)}: i/o timeout`
  if (code === 'ECONNRESET') return `read tcp ${hostPort(to)}: read: connection reset by peer`
  if (/CERT|SIGNATURE|ISSUER|ALTNAME/.test(code))
    return `tls: failed to verify certificate: x509: ${message}`
  return message
}

/** Connections to one server that is reached as a Service: made through the environment, secured, and kept. */
import { Agent } from 'node:http'
import { isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as tlsConnect } from 'node:tls'
import type { Env } from '#base'

export interface SecureTarget {
  /** Whom the certificate must name. */
  readonly serverName: string
  /** PEM; without it, the authorities that the world trusts. */
  readonly authority?: string | undefined
  /** Whatever certificate it shows is good enough. */
  readonly insecure?: boolean
  /** What we show, PEM. */
  readonly credentials?: { readonly certificate?: string; readonly key?: string }
  readonly address: () => { readonly host: string; readonly port: number }
}

export async function secured(net: Env['net'], target: SecureTarget): Promise<Duplex> {
  const { serverName, authority, insecure = false, credentials = {} } = target
  const socket = await net.connect(target.address())
  return new Promise((resolve, reject) => {
    const secure = tlsConnect(
      {
        socket,
        // A certificate names addresses as addresses: there is no server name for them (RFC 6066 §3).
        ...(isIP(serverName) === 0 ? { servername: serverName } : { host: serverName }),
        // What is trusted need not be an authority: a certificate may vouch for itself.
        ...(authority === undefined ? {} : { ca: authority, allowPartialTrustChain: true }),
        ...(insecure ? { rejectUnauthorized: false } : {}),
        ...(credentials.certificate === undefined ? {} : { cert: credentials.certificate }),
        ...(credentials.key === undefined ? {} : { key: credentials.key }),
        ALPNProtocols: ['http/1.1'],
      },
      () => {
        secure.off('error', reject)
        resolve(secure)
      },
    )
    secure.once('error', reject)
    // Whoever answers in plain text, or goes away in the middle of it.
    secure.once('close', () => reject(new Error('EOF')))
  })
}

const IDLE_MS = 90_000

export class SecureAgent extends Agent {
  readonly #net: Env['net']
  readonly #target: SecureTarget

  constructor(net: Env['net'], target: SecureTarget) {
    super({ keepAlive: true, timeout: IDLE_MS })
    this.#net = net
    this.#target = target
  }

  override createConnection(
    _options: unknown,
    done?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    const connected = (error: Error | null, stream?: Duplex): void =>
      done?.(error, stream as Duplex)
    secured(this.#net, this.#target).then(
      (socket) => connected(null, socket),
      (error: unknown) => connected(error as Error),
    )
  }
}

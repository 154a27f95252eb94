/** Connections to one server that is reached as a Service: made through the environment, secured, and kept. */
import { Agent } from 'node:http'
import { isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import { checkServerIdentity, connect as tlsConnect, type TLSSocket } from 'node:tls'
import type { Env } from '#base'
import { isUnknownAuthority } from './errors.ts'
import { vouchedFor } from './vouched.ts'

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

export async function secured(
  env: Pick<Env, 'clock' | 'net'>,
  target: SecureTarget,
): Promise<Duplex> {
  try {
    return await connected(env.net, target, target.insecure ?? false)
  } catch (error) {
    const { authority, serverName } = target
    if (authority === undefined || !isUnknownAuthority(error)) throw error
    const socket = await connected(env.net, target, true)
    const certificate = socket.getPeerX509Certificate()
    const stranger =
      certificate === undefined || !vouchedFor(certificate, authority, env.clock.now())
        ? error
        : checkServerIdentity(serverName, socket.getPeerCertificate())
    if (stranger === undefined) return socket
    socket.destroy()
    throw stranger
  }
}

async function connected(
  net: Env['net'],
  { serverName, authority, credentials = {}, address }: SecureTarget,
  unverified: boolean,
): Promise<TLSSocket> {
  const socket = await net.connect(address())
  return new Promise((resolve, reject) => {
    const secure = tlsConnect(
      {
        socket,
        // A certificate names addresses as addresses: there is no server name for them (RFC 6066 §3).
        ...(isIP(serverName) === 0 ? { servername: serverName } : { host: serverName }),
        // What is trusted need not be an authority: a certificate may vouch for itself.
        ...(authority === undefined ? {} : { ca: authority, allowPartialTrustChain: true }),
        ...(unverified ? { rejectUnauthorized: false } : {}),
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
  readonly #env: Pick<Env, 'clock' | 'net'>
  readonly #target: SecureTarget

  constructor(env: Pick<Env, 'clock' | 'net'>, target: SecureTarget) {
    super({ keepAlive: true, timeout: IDLE_MS })
    this.#env = env
    this.#target = target
  }

  override createConnection(
    _options: unknown,
    done?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    const report = (error: Error | null, stream?: Duplex): void => done?.(error, stream as Duplex)
    secured(this.#env, this.#target).then(
      (socket) => report(null, socket),
      (error: unknown) => report(error as Error),
    )
  }
}

/** A cluster of a test's process on a port of this machine, for clients that know nothing of the library. */
import { ensurePki, kubeconfigText, type ApiServer } from '#apiserver'
import type { Env } from '#base'

export interface ListenAt {
  /** Default: a free one. */
  readonly port?: number
  /** Default: 127.0.0.1. */
  readonly host?: string
}

/** A way in for other clients, until it is closed. */
export interface Doorway {
  /** `https://127.0.0.1:40213` */
  readonly url: string
  /** Text of a kubeconfig with the rights of an administrator: for kubectl, helm, or another library. */
  readonly kubeconfig: string
  /** Ends watches, lets requests finish, and frees the port. The cluster runs on. */
  close(): Promise<void>
}

/** `folder` holds the authorities that the server trusts: certificates that they signed are made beside them. */
export async function listen(
  server: ApiServer,
  env: Pick<Env, 'fs' | 'clock' | 'random'>,
  folder: string,
  { port = 0, host = '127.0.0.1' }: ListenAt,
): Promise<Doorway> {
  const pki = await ensurePki(env, folder, /^[\d.]+$|:/.test(host) ? { ips: [host] } : {})
  const listening = await server.listen({
    host,
    port,
    tls: {
      ...pki.server,
      clientAuthorities: [pki.authority.certificate, pki.frontProxyAuthority.certificate],
    },
  })
  const url = `https://${host.includes(':') ? `[${host}]` : host}:${listening.port}`
  return {
    url,
    kubeconfig: kubeconfigText({
      server: url,
      authority: pki.authority.certificate,
      name: 'navarch',
      user: 'navarch',
      credential: pki.admin,
    }),
    close: () => listening.close(),
  }
}

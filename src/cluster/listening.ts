/** The ports of the API server, and what to do when one cannot be had. */
import type { Listening, Pki } from '#apiserver'
import type { makeServer } from './control-plane.ts'
import { ClusterError, type ServeOptions } from './options.ts'

/** Who the server is, and whose certificates it believes. */
export const tlsOf = ({ server, authority, frontProxyAuthority }: Pki) => ({
  ...server,
  clientAuthorities: [authority.certificate, frontProxyAuthority.certificate],
})

/** Opens a port, or says why it cannot in words that help. */
export async function listenOn(
  server: ReturnType<typeof makeServer>,
  { host, port }: Pick<ServeOptions, 'host' | 'port'>,
  pki: Pki,
): Promise<Listening> {
  try {
    return await server.listen({
      host,
      port,
      tls: tlsOf(pki),
    })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'EADDRINUSE')
      throw new ClusterError(
        `Port ${port} is taken by another program`,
        'Choose another one: navarch up --port PORT (0 takes a free one)',
      )
    if (code === 'EACCES')
      throw new ClusterError(
        `No permission to listen on port ${port}`,
        'Run as root, or choose a port above 1023: navarch up --port PORT',
      )
    if (code === 'EADDRNOTAVAIL')
      throw new ClusterError(
        `This machine has no address ${host}`,
        'Choose one that it has: navarch up --host ADDRESS',
      )
    throw error
  }
}

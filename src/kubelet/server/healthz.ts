/** The health of the kubelet for those on its own machine, without asking who they are. */
import { createServer } from 'node:http'
import type { NodeApi } from '#client'

export const HEALTHZ_PORT = 10_248

export interface HealthzOptions {
  readonly host: string
  readonly port: number
  readonly nodeApi: Pick<NodeApi, 'page'>
}

/** Resolves when it listens. */
export async function serveHealthz({ host, port, nodeApi }: HealthzOptions): Promise<{
  readonly port: number
  close(): Promise<void>
}> {
  const server = createServer((request, response) => {
    request.resume()
    const [path = '/', query = ''] = (request.url ?? '/').split('?', 2)
    const send = (status: number, body: Uint8Array | string): void =>
      void response
        .writeHead(status, {
          'content-type': 'text/plain; charset=utf-8',
          'x-content-type-options': 'nosniff',
          'content-length': Buffer.byteLength(body),
        })
        .end(body)
    const isHealth = path === '/healthz' || path.startsWith('/healthz/')
    const page = isHealth ? nodeApi.page(path, query) : Promise.resolve(undefined)
    page.then(
      (found) =>
        found === undefined ? send(404, '404 page not found\n') : send(found.status, found.body),
      (error: unknown) => send(500, error instanceof Error ? error.message : String(error)),
    )
  })
  const taken = await new Promise<number>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port }, () => {
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : port)
    })
  })
  return {
    port: taken,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

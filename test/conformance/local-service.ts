/** An HTTPS server in this process, reached by the API server as a Service of the test's namespace. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { networkInterfaces } from 'node:os'
import { ensurePki } from '#apiserver'
import { virtualEnv } from '#base'
import type { Fixture } from './mirror.ts'

export interface LocalService {
  /** Of this machine; undefined when it has none that others could use, and then there is no Service either. */
  readonly address: string | undefined
  /** On which the process listens. */
  readonly port: number
  /** In base64, as configurations have it. */
  readonly caBundle: string
}

export async function localService(
  { api, namespace, ns, cleanUp }: Fixture,
  options: {
    readonly name: string
    /** Of the Service. */
    readonly port: number
    /** PEM: clients must show a certificate that this authority signed. */
    readonly clientAuthority?: string
    readonly answer: (request: IncomingMessage, response: ServerResponse, body: string) => void
  },
): Promise<LocalService> {
  const { name, clientAuthority } = options
  const address = Object.values(networkInterfaces())
    .flat()
    .find((each) => each?.family === 'IPv4' && !each.internal)?.address
  const pki = await ensurePki(virtualEnv({ start: new Date() }), '/pki', {})
  const leaf = await pki.issue({
    subject: { commonName: name },
    usages: ['server'],
    names: [`${name}.${namespace}.svc`],
    addresses: ['127.0.0.1'],
  })
  const server = createServer(
    {
      cert: leaf.certificate,
      key: leaf.key,
      ...(clientAuthority === undefined
        ? {}
        : { ca: clientAuthority, requestCert: true, rejectUnauthorized: true }),
    },
    (request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => options.answer(request, response, Buffer.concat(chunks).toString()))
    },
  )
  await new Promise<void>((resolve) => {
    server.listen(0, address === undefined ? '127.0.0.1' : '0.0.0.0', resolve)
  })
  cleanUp(async () => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  if (address !== undefined) {
    await api.post(ns('services'), {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name },
      spec: { ports: [{ name: 'https', protocol: 'TCP', port: options.port, targetPort: port }] },
    })
    await api.post(`/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`, {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name, labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      ports: [{ name: 'https', protocol: 'TCP', port }],
      endpoints: [{ addresses: [address], conditions: { ready: true } }],
    })
  }
  return {
    address,
    port,
    caBundle: Buffer.from(pki.authority.certificate).toString('base64'),
  }
}

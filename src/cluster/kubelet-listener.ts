/** Where a kubelet is asked from outside its process. */
import type { Credential, Pki } from '#apiserver'
import type { Env } from '#base'
import { dialKubelet, type Client, type NodeApi } from '#client'
import {
  HEALTHZ_PORT,
  KUBELET_PORT,
  reviewedAccess,
  serveHealthz,
  serveNode,
  type NodeServer,
} from '#kubelet'
import { StatusError } from '#machinery'
import { ownTrust } from './kubelet-address.ts'

export interface KubeletListenerOptions {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  readonly nodeName: string
  /** As the node: it asks the cluster who may ask the node what. */
  readonly client: Client
  readonly env: Env
  readonly tls: Credential & { readonly authority: string }
}

export interface KubeletListener extends NodeServer {
  /** From now on this answers; before, whoever asks hears that the kubelet is starting. */
  answerWith(nodeApi: NodeApi): void
}

/** The node tells its port when it registers, and only then has a kubelet that answers. */
export async function listenForKubelet(options: KubeletListenerOptions): Promise<KubeletListener> {
  const { host, port, nodeName, client, env, tls } = options
  let held: NodeApi | undefined
  const api = (): NodeApi => {
    if (held === undefined)
      throw new StatusError('ServiceUnavailable', `the kubelet of node "${nodeName}" is starting`)
    return held
  }
  const listening = await serveNode({
    host,
    port,
    env,
    tls,
    access: reviewedAccess({ client, nodeName, env }),
    nodeApi: {
      logs: async (...words) => api().logs(...words),
      exec: async (...words) => api().exec(...words),
      attach: async (...words) => api().attach(...words),
      portForward: async (...words) => api().portForward(...words),
      page: async (...words) => api().page(...words),
      find: async (...words) => api().find?.(...words),
    },
  })
  return {
    ...listening,
    answerWith(nodeApi) {
      held = nodeApi
    },
  }
}

/** On the port of a stock kubelet, or on a free one where another node of this machine has that. */
export async function listenWherePossible(
  options: Omit<KubeletListenerOptions, 'port'>,
): Promise<KubeletListener> {
  try {
    return await listenForKubelet({ ...options, port: KUBELET_PORT })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code !== 'EADDRINUSE') throw error
    return listenForKubelet({ ...options, port: 0 })
  }
}

/** For the node in the control plane's own process. Undefined where the node's address is none of this machine's. */
export async function listenBesideServer({
  pki,
  nodeIp,
  nodeName,
  client,
  env,
  port,
}: {
  readonly pki: () => Pick<Pki, 'authority' | 'issue'>
  readonly nodeIp: string
  readonly nodeName: string
  readonly client: Client
  readonly env: Env
  /** Default: a stock kubelet's, or a free one where that is taken. */
  readonly port?: number
}): Promise<(KubeletListener & { renewFrom(): Promise<void> }) | undefined> {
  const issue = (): Promise<Credential> =>
    pki().issue({
      subject: { commonName: `system:node:${nodeName}`, organizations: ['system:nodes'] },
      usages: ['server'],
      names: [nodeName],
      addresses: [nodeIp],
    })
  const tls = { ...(await issue()), authority: pki().authority.certificate }
  try {
    const wanted = { host: nodeIp, nodeName, client, env, tls }
    const listening = await (port === undefined
      ? listenWherePossible(wanted)
      : listenForKubelet({ ...wanted, port }))
    return { ...listening, renewFrom: async () => listening.renew(await issue()) }
  } catch (error) {
    env.log.for('cluster').warn('The kubelet cannot be asked from outside its process', {
      address: nodeIp,
      error,
    })
    return undefined
  }
}

/** For a node whose address is nowhere: the API server alone gets there. */
export async function listenOnLoopback({
  certificates,
  nodeName,
  client,
  env,
}: {
  readonly certificates: {
    current(): Pki
    onChange(listener: () => void): void
  }
  readonly nodeName: string
  readonly client: Client
  readonly env: Env
}): Promise<(KubeletListener & Required<Pick<NodeApi, 'connect'>>) | undefined> {
  const address = '127.0.0.1'
  const pki = () => certificates.current()
  const listening = await listenBesideServer({
    pki,
    nodeIp: address,
    port: 0,
    nodeName,
    client,
    env,
  })
  if (listening === undefined) return undefined
  const { port } = listening
  certificates.onChange(() => {
    listening
      .renewFrom()
      .catch((error: unknown) => env.log.error('cannot renew a certificate', { error }))
  })
  return {
    ...listening,
    connect: (signal) =>
      dialKubelet({ address, port, tls: ownTrust(certificates.current(), nodeName) }, signal),
  }
}

/** On this machine's own address, for those who look there: the first kubelet has it. Gives how it ends. */
export async function tellHealth(
  env: Pick<Env, 'log'>,
  nodeApi: NodeApi,
  port?: number,
): Promise<() => Promise<void>> {
  if (port === 0) return async () => undefined
  try {
    const listening = await serveHealthz({
      host: '127.0.0.1',
      port: port ?? HEALTHZ_PORT,
      nodeApi,
    })
    return () => listening.close()
  } catch (error) {
    const log = env.log.for('cluster')
    const words = 'The health of the kubelet is not told on a port of its own'
    // Nobody has asked for this one.
    if (port === undefined) log.debug(words, { port: HEALTHZ_PORT, error })
    else log.warn(words, { port, error })
    return async () => undefined
  }
}

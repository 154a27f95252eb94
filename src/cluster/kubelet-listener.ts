/** Where a kubelet is asked from outside its process. */
import type { Credential, Pki } from '#apiserver'
import type { Env } from '#base'
import type { Client, NodeApi } from '#client'
import { KUBELET_PORT, reviewedAccess, serveNode, type NodeServer } from '#kubelet'
import { StatusError } from '#machinery'

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
    },
  })
  return {
    ...listening,
    answerWith(nodeApi) {
      held = nodeApi
    },
  }
}

/**
 * For the node in the control plane's own process: on the port of a stock kubelet, or on a free one where another
 * cluster of this machine has that. Undefined where the node's address is none of this machine's.
 */
export async function listenBesideServer({
  pki,
  nodeIp,
  nodeName,
  client,
  env,
}: {
  readonly pki: () => Pick<Pki, 'authority' | 'issue'>
  readonly nodeIp: string
  readonly nodeName: string
  readonly client: Client
  readonly env: Env
}): Promise<(KubeletListener & { renewFrom(): Promise<void> }) | undefined> {
  const issue = (): Promise<Credential> =>
    pki().issue({
      subject: { commonName: `system:node:${nodeName}`, organizations: ['system:nodes'] },
      usages: ['server'],
      names: [nodeName],
      addresses: [nodeIp],
    })
  const tls = { ...(await issue()), authority: pki().authority.certificate }
  for (const port of [KUBELET_PORT, 0]) {
    try {
      const listening = await listenForKubelet({ host: nodeIp, port, nodeName, client, env, tls })
      return { ...listening, renewFrom: async () => listening.renew(await issue()) }
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined
      if (code === 'EADDRINUSE' && port !== 0) continue
      env.log.for('cluster').warn('The kubelet cannot be asked from outside its process', {
        address: `${nodeIp}:${port}`,
        error,
      })
    }
  }
  return undefined
}

/** `pods/portforward`. */
import { serveForward, type NodeApi } from '#client'
import { StatusError } from '#machinery'
import type { ConnectHandler } from '../extensions.ts'
import { UPGRADED, type SessionOptions } from './exec.ts'
import { nodeApiOf, podOf, targetOf } from './target.ts'

export const podPortForward =
  ({ nodeApi }: Pick<SessionOptions, 'nodeApi'>): ConnectHandler =>
  async (exchange, connectTarget) => {
    const pod = podOf(connectTarget)
    const node = nodeApiOf(pod, nodeApi)
    const target = targetOf(pod)
    await canBeAsked(node, exchange.signal)
    await serveForward(exchange, { node, target })
    return UPGRADED
  }

/** A kubelet that does not answer is told of before anything is promised. */
async function canBeAsked({ connect }: NodeApi, signal: AbortSignal): Promise<void> {
  try {
    const socket = await connect?.(signal)
    socket?.destroy()
  } catch (error) {
    throw new StatusError(
      '',
      `error dialing backend: ${error instanceof Error ? error.message : String(error)}`,
      { code: 500 },
    )
  }
}

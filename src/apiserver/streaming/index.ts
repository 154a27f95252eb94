/** Subresources that are conversations: exec, attach, port-forward, logs and proxies. */
import type { Env } from '#base'
import type { ConnectHandler, Reader } from '../server.ts'
import { podAttach, podExec } from './exec.ts'
import { podLog } from './log.ts'
import { podPortForward } from './port-forward.ts'
import { nodeProxy, podProxy, serviceProxy } from './proxy.ts'
import type { NodeApis } from './target.ts'

export interface StreamingOptions {
  readonly env: Pick<Env, 'clock' | 'net' | 'random'>
  readonly read: Pick<Reader, 'get' | 'list'>
  /** How the kubelet of a node is reached; undefined when it is not known. */
  readonly nodeApi: NodeApis
}

/** For `Extensions.connect`. */
export function connectHandlers(
  options: StreamingOptions,
): Readonly<Record<string, ConnectHandler>> {
  const session = { nodeApi: options.nodeApi, clock: options.env.clock }
  return {
    'pods/exec': podExec(session),
    'pods/attach': podAttach(session),
    'pods/portforward': podPortForward(session),
    'pods/log': podLog(session),
    'pods/proxy': podProxy(options),
    'services/proxy': serviceProxy(options),
    'nodes/proxy': nodeProxy(options),
  }
}

export type { NodeApis } from './target.ts'

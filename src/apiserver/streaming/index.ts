/** Subresources that are conversations: exec, attach, port-forward, logs and proxies. */
import { nodes } from '#api'
import type { Env } from '#base'
import { notFound } from '#machinery'
import type { ConnectHandler } from '../extensions.ts'
import type { Reader } from '../inside.ts'
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
  const { read } = options
  // A kubelet is known by its Node: without it there is nobody to ask.
  const nodeApi: NodeApis = (name) => {
    if (read.get(nodes, '', name) === undefined)
      throw notFound({ group: '', resource: 'nodes' }, name)
    return options.nodeApi(name)
  }
  const session = { nodeApi, clock: options.env.clock }
  return {
    'pods/exec': podExec(session),
    'pods/attach': podAttach(session),
    'pods/portforward': podPortForward(session),
    'pods/log': podLog(session),
    'pods/proxy': podProxy(options),
    'services/proxy': serviceProxy(options),
    'nodes/proxy': nodeProxy({ ...options, nodeApi }),
  }
}

export type { NodeApis } from './target.ts'

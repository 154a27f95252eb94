/** A kubelet with a simulated runtime, and words for what its pods show. */
import type { Pod } from '#api'
import { virtualEnv, type VirtualEnv } from '#base'
import type { KubeletSettings } from './kubelet.ts'
import { simulatedRuntime } from './simulated/index.ts'
import { startTestNode, type TestNode } from './testing/node.ts'
import { pod, type PodOptions } from './testing/pods.ts'

interface World {
  readonly env: VirtualEnv
  readonly node: TestNode
}

export async function world(config: Partial<KubeletSettings> = {}): Promise<World> {
  const env = virtualEnv()
  const node = await startTestNode(env, simulatedRuntime(env), config)
  await env.advance(500)
  await node.kubelet.ready
  return { env, node }
}

export const phase = (target: Pod | undefined) => target?.status?.phase

export const condition = (target: Pod | undefined, type: string) =>
  target?.status?.conditions?.find((each) => each.type === type)

export const first = (target: Pod | undefined) => target?.status?.containerStatuses?.[0]

export const started = (name: string, options: PodOptions = {}) =>
  pod({ ...options, metadata: { ...options.metadata, name } })

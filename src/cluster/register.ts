/** How a node comes to be known to a cluster, before its kubelet starts. */
import { nodes as nodeResource } from '#api'
import type { Env } from '#base'
import type { Client } from '#client'
import { isStatus } from '#machinery'
import { ClusterError, type NodeSettings } from './options.ts'

const FIRST_POLL_MS = 10
const POLL_MS = 200
const WAIT_MS = 60_000

export interface Registration extends Pick<NodeSettings, 'labels' | 'taints'> {
  readonly nodeName: string
  /** Its range of pods, when that is not the cluster's to choose. */
  readonly podCidr?: string
}

/** The Node exists, so that it can be given a range of pods; the kubelet fills in the rest. */
export async function register(
  client: Client,
  env: Pick<Env, 'log'>,
  { nodeName, podCidr, labels, taints = [] }: Registration,
): Promise<void> {
  try {
    if ((await client.getOptional(nodeResource, { name: nodeName })) !== undefined) return
    await client.create(nodeResource, {
      metadata: {
        name: nodeName,
        labels: { 'kubernetes.io/hostname': nodeName, ...labels },
        annotations: { 'volumes.kubernetes.io/controller-managed-attach-detach': 'true' },
      },
      spec: {
        ...(podCidr === undefined ? {} : { podCIDR: podCidr, podCIDRs: [podCidr] }),
        ...(taints.length === 0 ? {} : { taints }),
      },
    })
    env.log.info('node registered', { node: nodeName })
  } catch (error) {
    if (!isStatus(error, 'AlreadyExists')) throw error
  }
}

export const podRange = (client: Client, waiting: Waiting, name: string): Promise<string> =>
  until(waiting, 'the node gets a range of pod addresses', async () => {
    const { spec } = await client.get(nodeResource, { name })
    return spec.podCIDR
  })

/** For how a wait ends before its time. */
export interface Waiting extends Pick<Env, 'clock'> {
  readonly signal: AbortSignal
}

export async function until<T>(
  { clock, signal }: Waiting,
  what: string,
  attempt: () => Promise<T | undefined>,
): Promise<T> {
  const end = clock.monotonic() + WAIT_MS
  for (let waitMs = FIRST_POLL_MS; ; waitMs = Math.min(waitMs * 2, POLL_MS)) {
    const found = await attempt()
    if (found !== undefined) return found
    if (clock.monotonic() > end)
      throw new ClusterError(
        `Waited ${WAIT_MS / 1000} seconds until ${what}, in vain`,
        'See on the server: navarch logs controllers',
      )
    await clock.sleep(waitMs, signal)
  }
}

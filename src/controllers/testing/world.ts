/** A cluster in virtual time for tests of controllers: a server in memory, and a kubelet that only pretends. */
import { leases, nodes, pods, type Pod } from '#api'
import { virtualEnv, type VirtualEnv } from '#base'
import { createClient, createInformers, type Client } from '#client'
import {
  memoryTransport,
  type MemoryTransport,
  type MemoryTransportOptions,
  type ObjectStore,
} from '#client/testing'
import { isStatus, type KubeObject } from '#machinery'
import type { Controller } from '../framework/index.ts'

export interface WorldOptions extends Partial<MemoryTransportOptions> {
  readonly nodes?: readonly string[]
  /** From bound to ready. Default 1,000. */
  readonly startMs?: number
  /** From asked to stop to gone. Default 1,000. */
  readonly stopMs?: number
  /** Chooses a pod's node. Default: one after the other. */
  readonly place?: (pod: Pod) => string
  /** Pods that never become ready. */
  readonly isStuck?: (pod: Pod) => boolean
  readonly seed?: number
}

export interface World {
  readonly env: VirtualEnv
  readonly transport: MemoryTransport
  readonly store: ObjectStore
  readonly client: Client
  /** Nodes that have fallen silent: no lease, and their pods do nothing. */
  readonly silent: Set<string>
  /** Ends a pod as its containers would. */
  readonly end: (pod: KubeObject, phase: 'Succeeded' | 'Failed', exitCode?: number) => Promise<void>
  /** Runs until nothing was written for `restMs`; throws after an hour. */
  readonly rest: (restMs?: number) => Promise<void>
  readonly stop: () => void
}

export async function world(
  controllers: readonly Controller[],
  options: WorldOptions = {},
): Promise<World> {
  const {
    nodes: nodeNames = ['n1'],
    startMs = 1000,
    stopMs = 1000,
    isStuck,
    place,
    seed = 1,
  } = options
  const env = virtualEnv({ seed })
  const transport = memoryTransport({ clock: env.clock, ...options })
  const { store } = transport
  const client = createClient(transport)
  const stop = new AbortController()
  const { signal } = stop
  const silent = new Set<string>()
  const informers = createInformers(client, env, signal)
  for (const name of nodeNames) await registerNode(client, env, name)
  const stamp = (): string => `${env.clock.now().toISOString().slice(0, 19)}Z`

  let address = 1
  let placed = 0
  const seen = new Set<string>()
  const once = (
    pod: Pod,
    what: string,
    delayMs: number,
    run: (now: Pod) => Promise<void>,
  ): void => {
    const id = `${what}/${pod.metadata.uid}`
    if (seen.has(id)) return
    seen.add(id)
    env.clock.schedule(delayMs, () => {
      const current = store.get(pods, pod.metadata)
      if (signal.aborted || current === undefined || current.metadata.uid !== pod.metadata.uid)
        return
      if (silent.has(current.spec.nodeName ?? '')) return
      run(current).catch((error: unknown) => {
        if (isStatus(error, 'Conflict')) {
          seen.delete(id)
          once(current, what, 10, run)
        } else if (!isStatus(error, 'NotFound')) throw error
      })
    })
  }
  const react = (pod: Pod): void => {
    const { phase } = pod.status ?? {}
    if (pod.metadata.deletionTimestamp !== undefined)
      once(pod, 'stop', stopMs, (now) =>
        client.delete(pods, now.metadata, { gracePeriodSeconds: 0 }).then(() => undefined),
      )
    else if (!pod.spec.nodeName) {
      if (nodeNames.length > 0)
        once(pod, 'bind', 1, (now) =>
          client.bind(now, place?.(now) ?? nodeNames[placed++ % nodeNames.length] ?? ''),
        )
    } else if (phase === 'Pending' && isStuck?.(pod) !== true)
      once(pod, 'start', startMs, async (now) => {
        const time = stamp()
        await client.updateStatus(pods, {
          ...now,
          status: {
            ...now.status,
            phase: 'Running',
            startTime: time,
            podIP: `10.244.0.${address}`,
            podIPs: [{ ip: `10.244.0.${address++}` }],
            conditions: [
              { type: 'PodScheduled', status: 'True', lastTransitionTime: time },
              { type: 'Ready', status: 'True', lastTransitionTime: time },
            ],
          },
        })
      })
  }
  store.onEvent(({ resource, event }) => {
    if (resource.resource === 'pods' && event.type !== 'DELETED') react(event.object as Pod)
  })

  for (const controller of controllers) controller.start({ client, informers, env, signal })
  await env.advance(10)

  return {
    env,
    transport,
    store,
    client,
    silent,
    async end(target, phase, exitCode = phase === 'Succeeded' ? 0 : 1) {
      const pod = store.get(pods, target.metadata) as Pod
      const [container] = pod.spec.containers
      await client.updateStatus(pods, {
        ...pod,
        status: {
          ...pod.status,
          phase,
          conditions: [{ type: 'Ready', status: 'False', lastTransitionTime: stamp() }],
          containerStatuses: [
            {
              name: container?.name ?? '',
              ready: false,
              restartCount: 0,
              image: container?.image ?? '',
              imageID: '',
              state: {
                terminated: { exitCode, reason: phase, finishedAt: stamp(), startedAt: stamp() },
              },
            },
          ],
        },
      })
    },
    async rest(restMs = 5000) {
      const until = env.clock.monotonic() + 3_600_000
      for (let before = -1; before !== store.revision;) {
        before = store.revision
        await env.advance(restMs)
        if (env.clock.monotonic() > until) throw new Error('The world does not come to rest')
      }
    },
    stop: () => stop.abort(new Error('The test has ended')),
  }
}

async function registerNode(client: Client, env: VirtualEnv, name: string): Promise<void> {
  const time = env.clock.now().toISOString()
  await client.create(nodes, {
    metadata: { name, labels: { 'kubernetes.io/hostname': name } },
    spec: {},
  })
  const node = await client.get(nodes, { name })
  await client.updateStatus(nodes, {
    ...node,
    status: {
      ...node.status,
      conditions: [
        {
          type: 'Ready',
          status: 'True',
          reason: 'KubeletReady',
          message: 'kubelet is posting ready status',
          lastHeartbeatTime: `${time.slice(0, 19)}Z`,
          lastTransitionTime: `${time.slice(0, 19)}Z`,
        },
      ],
    },
  })
  await client.create(leases, {
    metadata: { namespace: 'kube-node-lease', name },
    spec: { holderIdentity: name, leaseDurationSeconds: 40, renewTime: micro(time) },
  })
}

const micro = (iso: string): string => iso.replace('Z', '000Z')

/** Renews the lease of each node that is not silent, every ten seconds, until the signal aborts. */
export function heartbeats({ env, client, store, silent }: World, signal: AbortSignal): void {
  const beat = async (): Promise<void> => {
    for (const node of store.list(nodes)) {
      const { name } = node.metadata
      if (silent.has(name)) continue
      await client.patch(leases, { namespace: 'kube-node-lease', name }, 'merge', {
        spec: { renewTime: micro(env.clock.now().toISOString()) },
      })
    }
  }
  const next = (): void => {
    if (signal.aborted) return
    void beat()
    env.clock.schedule(10_000, next)
  }
  next()
}

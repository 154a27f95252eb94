/** A kubelet with an API in memory. */
import type { Env } from '#base'
import { type Event, type Pod, namespaces, pods } from '#api'
import { type Transport, createClient } from '#client'
import { type MemoryTransport, memoryTransport } from '#client/testing'
import type { Readings } from '../eviction/readings.ts'
import { type Kubelet, type KubeletSettings, startKubelet } from '../kubelet.ts'
import type { Machine } from '../node/machine.ts'
import type { Runtime } from '../runtime.ts'

export interface TestNode {
  readonly api: MemoryTransport
  readonly kubelet: Kubelet
  create(pod: Pod): Pod
  get(name: string): Pod | undefined
  remove(name: string, graceSeconds?: number): void
  /** `Started: Container started`, in order. */
  events(name: string): readonly string[]
  stop(): Promise<void>
}

/** Answers what the memory API does not have: tokens. */
function withTokens(api: MemoryTransport, env: Pick<Env, 'clock'>): Transport {
  let tokens = 0
  return {
    ...api,
    request: async (request) => {
      if (request.method !== 'POST' || !request.path.endsWith('/token')) return api.request(request)
      const { spec } = request.body as { spec: { expirationSeconds?: number } }
      const life = (spec.expirationSeconds ?? 3600) * 1000
      return {
        status: {
          token: `token-${++tokens}`,
          expirationTimestamp: new Date(env.clock.now().getTime() + life).toISOString(),
        },
      }
    },
    watch: (request) => api.watch(request),
  }
}

export async function startTestNode(
  env: Env,
  runtime: Runtime,
  config: Partial<KubeletSettings> = {},
  options: {
    readonly api?: MemoryTransport
    readonly machine?: Machine
    readonly readings?: Readings
  } = {},
): Promise<TestNode> {
  const api = options.api ?? memoryTransport({ clock: env.clock })
  for (const name of ['default', 'shop', 'kube-node-lease']) {
    if (api.store.get(namespaces, { name }) === undefined) {
      api.store.create(namespaces, { metadata: { name }, spec: {} })
    }
  }
  const stop = new AbortController()
  const kubelet = await startKubelet(
    {
      client: createClient(withTokens(api, env)),
      runtime,
      env,
      config: { nodeName: 'n1', nodeIps: ['192.168.0.1'], ...config },
      ...(options.machine === undefined ? {} : { machine: options.machine }),
      ...(options.readings === undefined ? {} : { readings: options.readings }),
    },
    stop.signal,
  )
  return {
    api,
    kubelet,
    create: (pod) => {
      const { uid: _uid, resourceVersion: _version, ...metadata } = pod.metadata
      return api.store.create(pods, { ...pod, metadata: { ...metadata } })
    },
    get: (name) => api.store.get(pods, { namespace: 'shop', name }),
    remove: (name, graceSeconds) => {
      api.store.delete(
        pods,
        { namespace: 'shop', name },
        graceSeconds === undefined ? {} : { gracePeriodSeconds: graceSeconds },
      )
    },
    events: (name) =>
      api.store.log
        .filter(({ event, resource }) => resource.resource === 'events' && event.type === 'ADDED')
        .map(({ event }) => event.object as Event)
        .filter(({ involvedObject }) => involvedObject.name === name)
        .map(({ reason, message }) => `${reason}: ${message}`),
    stop: async () => {
      stop.abort(new Error('the test is over'))
      await kubelet.stopped
    },
  }
}

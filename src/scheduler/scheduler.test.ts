import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  namespaces,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  storageClasses,
  type Event,
  type Node,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Pod,
} from '#api'
import { virtualEnv, type VirtualEnv } from '#base'
import {
  createClient,
  createEventRecorder,
  createInformers,
  resourcePath,
  type ApiRequest,
  type Informers,
  type Transport,
} from '#client'
import { keyOf, type KubeObject, type WatchEvent } from '#machinery'
import { node, pod } from './fixtures.ts'
import { startScheduler } from './scheduler.ts'

/** As much of an API server as the scheduler meets: objects by path, watches, bindings, status patches. */
class Api implements Transport {
  readonly #objects = new Map<string, Map<string, KubeObject>>()
  readonly #watchers = new Set<{ path: string; queue: WatchEvent[]; wake: () => void }>()
  readonly requests: ApiRequest[] = []
  readonly events: Event[] = []
  #revision = 1
  /** Fails the next bindings. */
  failBindings = 0

  put(collection: string, object: KubeObject): void {
    const all = this.#collection(collection)
    const key = keyOf(object)
    const stored = {
      ...object,
      metadata: { ...object.metadata, resourceVersion: String(++this.#revision) },
    }
    this.#tell(collection, { type: all.has(key) ? 'MODIFIED' : 'ADDED', object: stored })
    all.set(key, stored)
  }
  remove(collection: string, key: string): void {
    const all = this.#collection(collection)
    const object = all.get(key)
    if (object === undefined) return
    all.delete(key)
    const { metadata } = object
    const gone = { ...object, metadata: { ...metadata, resourceVersion: String(++this.#revision) } }
    this.#tell(collection, { type: 'DELETED', object: gone })
  }
  pod(key: string): Pod {
    return this.#collection(POD_PATH).get(key) as Pod
  }

  async request(request: ApiRequest): Promise<unknown> {
    this.requests.push(request)
    const { method, path, body } = request
    const [, namespace = '', resource, name = '', subresource] =
      /^\/api\/v1\/namespaces\/([^/]+)\/([^/]+)(?:\/([^/]+)(?:\/([^/]+))?)?$/.exec(path) ?? []
    if (resource === 'events') {
      this.events.push(body as Event)
      return body
    }
    if (resource !== 'pods') return body
    const key = `${namespace}/${name}`
    const current = this.pod(key)
    if (method === 'DELETE') {
      this.remove(POD_PATH, key)
      return {}
    }
    if (subresource === 'binding') {
      if (this.failBindings-- > 0) throw new Error('the server is busy')
      const { target } = body as { target: { name: string } }
      this.put(POD_PATH, { ...current, spec: { ...current.spec, nodeName: target.name } } as Pod)
      return {}
    }
    const patch = body as { status: NonNullable<Pod['status']> }
    const conditions = [...(current.status?.conditions ?? [])].filter(
      ({ type }) => !patch.status.conditions?.some((other) => other.type === type),
    )
    const status = {
      ...current.status,
      ...patch.status,
      conditions: [...conditions, ...(patch.status.conditions ?? [])],
    }
    this.put(POD_PATH, { ...current, status } as Pod)
    return this.pod(key)
  }

  async watch({ path, signal }: ApiRequest): Promise<AsyncIterable<readonly WatchEvent[]>> {
    const initial: WatchEvent[] = [...this.#collection(path).values()].map((object) => ({
      type: 'ADDED',
      object,
    }))
    const end = {
      metadata: {
        name: '',
        resourceVersion: String(this.#revision),
        annotations: { 'k8s.io/initial-events-end': 'true' },
      },
    } as unknown as KubeObject
    const watcher = {
      path,
      queue: [...initial, { type: 'BOOKMARK', object: end } as const],
      wake: () => {},
    }
    this.#watchers.add(watcher)
    return (async function* follow() {
      while (signal?.aborted !== true) {
        if (watcher.queue.length > 0) yield watcher.queue.splice(0)
        else
          await new Promise<void>((resolve) => {
            watcher.wake = resolve
            signal?.addEventListener('abort', () => resolve(), { once: true })
          })
      }
    })()
  }

  #collection(path: string): Map<string, KubeObject> {
    let all = this.#objects.get(path)
    if (all === undefined) this.#objects.set(path, (all = new Map()))
    return all
  }
  #tell(path: string, event: WatchEvent): void {
    for (const watcher of this.#watchers) {
      if (watcher.path !== path) continue
      watcher.queue.push(event)
      watcher.wake()
    }
  }
}

const POD_PATH = resourcePath(pods, {})
const NODE_PATH = resourcePath(nodes, {})

async function setUp(
  initial: readonly Node[] = [],
  before: (informers: Informers, api: Api) => void = () => undefined,
) {
  const env = virtualEnv()
  const api = new Api()
  for (const each of initial) api.put(NODE_PATH, each)
  const client = createClient(api)
  const ending = new AbortController()
  const informers = createInformers(client, env, ending.signal)
  before(informers, api)
  await settle(env)
  const events = createEventRecorder(client, env, { component: 'default-scheduler' })
  const scheduler = startScheduler({ client, informers, events, env }, ending.signal)
  await settle(env)
  await scheduler.started
  return { env, api, scheduler, end: () => ending.abort() }
}

async function settle(env: VirtualEnv, ms = 5): Promise<void> {
  for (let at = 0; at < 5; at++) await env.advance(ms / 5)
}

const scheduledOf = ({ status }: Pod) =>
  status?.conditions?.find(({ type }) => type === 'PodScheduled')
const messagesOf = (api: Api, reason: string) =>
  api.events.filter((event) => event.reason === reason).map(({ message }) => message)

test('a pod is bound, and an event says where', async () => {
  const { env, api, end } = await setUp([node('n1')])
  api.put(POD_PATH, pod('a'))
  await settle(env)
  assert.equal(api.pod('shop/a').spec.nodeName, 'n1')
  assert.deepEqual(messagesOf(api, 'Scheduled'), ['Successfully assigned shop/a to n1'])
  const binding = api.requests.find(({ path }) => path.endsWith('/binding'))
  assert.deepEqual(binding?.body, {
    apiVersion: 'v1',
    kind: 'Binding',
    metadata: { namespace: 'shop', name: 'a', uid: 'uid-shop-a' },
    target: { apiVersion: 'v1', kind: 'Node', name: 'n1' },
  })
  end()
})

test('a scheduler that begins when the caches are full already schedules', async () => {
  const { env, api, end } = await setUp([node('n1')], (informers, filled) => {
    const { metadata } = pod('shop')
    const labels = { 'kubernetes.io/metadata.name': 'shop' }
    filled.put(resourcePath(namespaces, {}), { metadata: { ...metadata, namespace: '', labels } })
    for (const ref of [namespaces, nodes, pods]) informers.informer<KubeObject>(ref)
  })
  api.put(POD_PATH, pod('a'))
  await settle(env)
  assert.equal(api.pod('shop/a').spec.nodeName, 'n1')
  end()
})

test('a pod that fits nowhere says why once, and goes when there is room', async () => {
  const { env, api, end } = await setUp([node('n1', { allocatable: { cpu: '1' } })])
  api.put(POD_PATH, pod('a', { requests: { cpu: '2' } }))
  await settle(env)
  const message =
    '0/1 nodes are available: 1 Insufficient cpu. ' +
    'no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.'
  assert.deepEqual(messagesOf(api, 'FailedScheduling'), [message])
  const condition = scheduledOf(api.pod('shop/a'))
  assert.deepEqual(
    [condition?.status, condition?.reason, condition?.message],
    ['False', 'Unschedulable', message],
  )
  const before = api.requests.length
  await env.advance(120_000)
  assert.equal(api.requests.length, before, 'it was tried without a cause')
  api.put(NODE_PATH, node('n2'))
  await settle(env)
  assert.equal(api.pod('shop/a').spec.nodeName, 'n2')
  end()
})

test('pods for other schedulers, gated and deleted ones are left alone', async () => {
  const { env, api, end } = await setUp([node('n1')])
  api.put(POD_PATH, pod('other', { spec: { schedulerName: 'mine' } }))
  api.put(POD_PATH, pod('gated', { spec: { schedulingGates: [{ name: 'g' }] } }))
  const deleted = pod('deleted')
  api.put(POD_PATH, {
    ...deleted,
    metadata: { ...deleted.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' },
  })
  await settle(env)
  assert.equal(api.requests.length, 0)
  api.put(POD_PATH, pod('gated'))
  await settle(env)
  assert.equal(api.pod('shop/gated').spec.nodeName, 'n1')
  end()
})

test('a binding that fails is tried again, and holds no room meanwhile', async () => {
  const { env, api, end } = await setUp([node('n1', { allocatable: { pods: '1' } })])
  api.failBindings = 1
  api.put(POD_PATH, pod('a'))
  await settle(env)
  assert.equal(api.pod('shop/a').spec.nodeName, undefined)
  assert.deepEqual(messagesOf(api, 'FailedScheduling'), ['binding rejected: the server is busy'])
  await settle(env, 2000)
  assert.equal(api.pod('shop/a').spec.nodeName, 'n1')
  end()
})

test('room is made for a more important pod, and the victim is told', async () => {
  const { env, api, end } = await setUp([node('n1')])
  api.put(POD_PATH, pod('low', { requests: { cpu: '4' }, priority: 0, on: 'n1' }))
  await settle(env)
  const patches = api.requests.length
  api.put(POD_PATH, pod('vip', { requests: { cpu: '2' }, priority: 100 }))
  await settle(env)
  const disruption = api.requests.slice(patches).find(({ path }) => path.endsWith('/low/status'))
  const patch = disruption?.body as { status: { conditions: { type: string; reason: string }[] } }
  const [condition] = patch.status.conditions
  assert.deepEqual(
    [condition?.type, condition?.reason],
    ['DisruptionTarget', 'PreemptionByScheduler'],
  )
  assert.equal(api.pod('shop/vip').status?.nominatedNodeName, 'n1')
  assert.deepEqual(messagesOf(api, 'Preempted'), ['Preempted by pod uid-shop-vip on node n1'])
  assert.equal(api.pod('shop/low'), undefined)
  await settle(env, 1000)
  assert.equal(api.pod('shop/vip').spec.nodeName, 'n1')
  end()
  const text = await env.metrics.text()
  for (const line of [
    'scheduler_preemption_attempts_total 1',
    'scheduler_preemption_victims_sum 1',
    'scheduler_cache_size{type="nodes"} 1',
  ])
    assert.ok(text.includes(`${line}\n`), `${line}\n${text}`)
  assert.match(text, /scheduler_scheduling_algorithm_duration_seconds_count [1-9]/)
})

test('the room made for a pod is not given to a lesser one', async () => {
  const { env, api, end } = await setUp([node('n1')])
  const vip = pod('vip', {
    requests: { cpu: '3' },
    priority: 100,
    spec: { schedulingGates: [{ name: 'g' }] },
  })
  api.put(POD_PATH, { ...vip, status: { phase: 'Pending', nominatedNodeName: 'n1' } } as Pod)
  api.put(POD_PATH, pod('low', { requests: { cpu: '2' }, priority: 0 }))
  await settle(env)
  assert.equal(api.pod('shop/low').spec.nodeName, undefined)
  end()
})

test('many pods at once fill the nodes and no more', async () => {
  const { env, api, scheduler, end } = await setUp(
    Array.from({ length: 5 }, (_, at) => node(`n${at}`, { allocatable: { cpu: '2', pods: '10' } })),
  )
  for (let at = 0; at < 60; at++) api.put(POD_PATH, pod(`p${at}`, { requests: { cpu: '300m' } }))
  for (let at = 0; at < 20; at++) await settle(env)
  const placed = Array.from({ length: 60 }, (_, at) => api.pod(`shop/p${at}`)).filter(
    ({ spec }) => spec.nodeName,
  )
  assert.equal(placed.length, 30)
  assert.equal(scheduler.counts.unschedulable, 30)
  const waiting = Array.from({ length: 60 }, (_, at) => api.pod(`shop/p${at}`)).find(
    ({ spec }) => !spec.nodeName,
  )
  assert.ok(waiting)
  const verdicts = [...scheduler.explain(waiting).values()].map(({ reasons }) => reasons.join())
  assert.deepEqual(verdicts, Array.from({ length: 5 }).fill('Insufficient cpu'))
  api.remove(POD_PATH, keyOf(placed[0] as Pod))
  await settle(env, 2000)
  assert.equal(scheduler.counts.unschedulable, 29)
  end()
})

test('a claim that waits for its first pod is told the node, and the pod waits for it', async () => {
  const { env, api, end } = await setUp([node('n1')])
  const claims = resourcePath(persistentVolumeClaims, {})
  const claim = {
    metadata: { name: 'data', namespace: 'shop', uid: 'uid-claim' },
    spec: { storageClassName: 'local' },
  } as unknown as PersistentVolumeClaim
  const { metadata } = pod('local')
  api.put(resourcePath(storageClasses, {}), {
    metadata: { ...metadata, namespace: '' },
    provisioner: 'example.com/disks',
    volumeBindingMode: 'WaitForFirstConsumer',
  } as unknown as KubeObject)
  api.put(claims, claim)
  await settle(env)
  const volumes = [{ name: 'data', persistentVolumeClaim: { claimName: 'data' } }]
  api.put(POD_PATH, pod('a', { spec: { volumes } }))
  await settle(env)
  const selected = api.requests.find(({ path }) => path.endsWith('/persistentvolumeclaims/data'))
  assert.deepEqual(selected?.body, {
    metadata: { annotations: { 'volume.kubernetes.io/selected-node': 'n1' } },
  })
  assert.equal(api.pod('shop/a').spec.nodeName, undefined)
  api.put(claims, {
    ...claim,
    metadata: { ...claim.metadata, annotations: { 'pv.kubernetes.io/bind-completed': 'yes' } },
    spec: { ...claim.spec, volumeName: 'pv' },
    status: { phase: 'Bound' },
  } as KubeObject)
  await settle(env)
  assert.equal(api.pod('shop/a').spec.nodeName, 'n1')
  end()
})

test('a volume that is there is given to the claim before the pod has its node', async () => {
  const { env, api, end } = await setUp([node('n1'), node('n2')])
  const { metadata } = pod('local')
  api.put(resourcePath(storageClasses, {}), {
    metadata: { ...metadata, namespace: '' },
    provisioner: 'kubernetes.io/no-provisioner',
    volumeBindingMode: 'WaitForFirstConsumer',
  } as unknown as KubeObject)
  const match = { key: 'kubernetes.io/hostname', operator: 'In', values: ['n2'] }
  api.put(resourcePath(persistentVolumes, {}), {
    metadata: { ...metadata, name: 'disk', namespace: '', uid: 'uid-disk' },
    spec: {
      storageClassName: 'local',
      capacity: { storage: '1Gi' },
      nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [match] }] } },
    },
    status: { phase: 'Available' },
  } as unknown as KubeObject)
  const claims = resourcePath(persistentVolumeClaims, {})
  const claim = {
    metadata: { name: 'data', namespace: 'shop', uid: 'uid-claim' },
    spec: { storageClassName: 'local' },
  } as unknown as PersistentVolumeClaim
  api.put(claims, claim)
  await settle(env)
  const volumes = [{ name: 'data', persistentVolumeClaim: { claimName: 'data' } }]
  api.put(POD_PATH, pod('a', { spec: { volumes } }))
  await settle(env)
  const taken = api.requests.find(({ path }) => path.endsWith('/persistentvolumes/disk'))
  const body = taken?.body as PersistentVolume | undefined
  assert.equal(body?.metadata.annotations?.['pv.kubernetes.io/bound-by-controller'], 'yes')
  const { kind, namespace, name, uid } = body?.spec?.claimRef ?? {}
  assert.deepEqual(
    [kind, namespace, name, uid],
    ['PersistentVolumeClaim', 'shop', 'data', 'uid-claim'],
  )
  assert.equal(api.pod('shop/a').spec.nodeName, undefined)
  const bound = {
    ...claim,
    metadata: { ...claim.metadata, annotations: { 'pv.kubernetes.io/bind-completed': 'yes' } },
    spec: { ...claim.spec, volumeName: 'disk' },
  }
  api.put(claims, bound as KubeObject)
  await settle(env)
  // A node would not mount it before the claim says so.
  assert.equal(api.pod('shop/a').spec.nodeName, undefined)
  api.put(claims, { ...bound, status: { phase: 'Bound' } } as KubeObject)
  await settle(env)
  assert.equal(api.pod('shop/a').spec.nodeName, 'n2')
  end()
})

test('pods that are there count, also those that ended do not', async () => {
  const { env, api, end } = await setUp([node('n1', { allocatable: { pods: '1' } })])
  const done = pod('done', { on: 'n1' })
  api.put(POD_PATH, done)
  api.put(POD_PATH, pod('next'))
  await settle(env)
  assert.equal(api.pod('shop/next').spec.nodeName, undefined)
  api.put(POD_PATH, { ...done, status: { phase: 'Succeeded' } } as Pod)
  await settle(env, 1000)
  assert.equal(api.pod('shop/next').spec.nodeName, 'n1')
  end()
})

/** Objects and waits that many mirrors share. */
import assert from 'node:assert/strict'
import type { Answer, Api, Json, Watching } from './api.ts'
import type { Fixture } from './mirror.ts'

export const PAUSE = 'registry.k8s.io/pause:3.10.1'
export const AGNHOST = 'registry.k8s.io/e2e-test-images/agnhost:2.59'
export const AGNHOST_BEFORE = 'registry.k8s.io/e2e-test-images/agnhost:2.55'
export const BUSYBOX = 'registry.k8s.io/e2e-test-images/busybox:1.37.0-1'
export const NAUTILUS = 'registry.k8s.io/e2e-test-images/nautilus:1.7'
export const KITTEN = 'registry.k8s.io/e2e-test-images/kitten:1.7'

export const names = (list: Json): string[] =>
  list['items'].map((item: Json) => item['metadata'].name as string)

/** A pod of one container. */
export const pod = (name: string, extra: Json = {}): Json => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, ...extra['metadata'] },
  spec: {
    containers: [{ name: 'c', image: PAUSE, ...extra['container'] }],
    ...extra['spec'],
  },
})

export interface Workload {
  readonly replicas?: number
  readonly labels?: Readonly<Record<string, string>>
  readonly container?: Json
  readonly podSpec?: Json
  readonly spec?: Json
  readonly metadata?: Json
}

const template = ({ labels, container, podSpec }: Workload, name: string): Json => ({
  metadata: { labels: labels ?? { name } },
  spec: {
    terminationGracePeriodSeconds: 0,
    containers: [{ name: 'c', image: AGNHOST, ...container }],
    ...podSpec,
  },
})

const workload =
  (kind: string) =>
  (name: string, what: Workload = {}): Json => ({
    apiVersion: 'apps/v1',
    kind,
    metadata: { name, labels: what.labels ?? { name }, ...what.metadata },
    spec: {
      ...(kind === 'DaemonSet' ? {} : { replicas: what.replicas ?? 1 }),
      selector: { matchLabels: what.labels ?? { name } },
      template: template(what, name),
      ...what.spec,
    },
  })

export const deployment = workload('Deployment')
export const replicaSet = workload('ReplicaSet')
export const daemonSet = workload('DaemonSet')
export const statefulSet = workload('StatefulSet')

export const replicationController = (name: string, what: Workload = {}): Json => ({
  apiVersion: 'v1',
  kind: 'ReplicationController',
  metadata: { name, labels: what.labels ?? { name }, ...what.metadata },
  spec: {
    replicas: what.replicas ?? 1,
    selector: what.labels ?? { name },
    template: template(what, name),
    ...what.spec,
  },
})

export const service = (name: string, spec: Json, metadata: Json = {}): Json => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, ...metadata },
  spec,
})

/** Reads, changes and replaces, again if another writer was faster. */
export async function change(
  api: Api,
  path: string,
  edit: (object: Json) => void,
  write = path,
): Promise<Json> {
  for (let tries = 0; ; tries++) {
    const object = await api.get(path)
    edit(object)
    const answer = await api.call('PUT', write, { body: object })
    if (answer.status < 300) return answer.json
    if (answer.status !== 409 || tries === 20)
      throw new Error(`PUT ${write} answered ${answer.status}: ${answer.json['message']}`)
  }
}

/** The answer of a call that must fail in this way. */
export async function refused(
  api: Api,
  method: string,
  path: string,
  body: unknown,
  status: number,
  message?: RegExp,
): Promise<Answer> {
  const answer = await api.call(method, path, { body })
  assert.equal(answer.status, status, `${method} ${path}: ${answer.text.slice(0, 300)}`)
  assert.equal(answer.json['kind'], 'Status')
  if (message !== undefined) assert.match(answer.json['message'], message)
  return answer
}

/** A Scale to write whatever became of the object meanwhile: without a resourceVersion. */
export function scaledTo(scale: Json, replicas: number): Json {
  const { resourceVersion: _, ...metadata } = scale['metadata'] as Json
  return { ...scale, metadata, spec: { replicas } }
}

/** A patch of a Scale as typed clients write it: with what is zero. */
export const scalePatch = (replicas: number): Json => ({
  metadata: { creationTimestamp: null },
  spec: { replicas },
  status: { replicas: 0 },
})

export const gone = async (api: Api, path: string): Promise<boolean> =>
  (await api.call('GET', path)).status === 404

export const isReady = (object: Json): boolean =>
  object['status']?.phase === 'Running' && conditionOf(object, 'Ready')?.['status'] === 'True'

export const conditionOf = (object: Json, type: string): Json | undefined =>
  object['status']?.conditions?.find((c: Json) => c['type'] === type)

/** The pods of a label selector, once there are so many and all are ready. */
export const readyPods = (
  { api, ns, until }: Pick<Fixture, 'api' | 'ns' | 'until'>,
  labelSelector: string,
  count: number,
): Promise<Json[]> =>
  until(
    `${count} ready pods with ${labelSelector}`,
    async () => {
      const { items } = await api.get(ns('pods'), { labelSelector })
      const active = items.filter((p: Json) => p['metadata'].deletionTimestamp === undefined)
      return active.length === count && active.every(isReady) && (active as Json[])
    },
    300_000,
  )

export const runningPod = (
  { api, ns, until }: Pick<Fixture, 'api' | 'ns' | 'until'>,
  name: string,
): Promise<Json> =>
  until(
    `pod ${name} is ready`,
    async () => {
      const found = await api.get(ns(`pods/${name}`))
      return isReady(found) && found
    },
    300_000,
  )

/** Waits for an event about an object of this name. */
export const frame = (
  watching: Watching,
  type: string,
  name: string,
  fits: (object: Json) => boolean = () => true,
): Promise<Json> =>
  watching
    .next(
      `${type} ${name}`,
      (f) => f.type === type && f.object['metadata'].name === name && fits(f.object),
    )
    .then((f) => f.object)

/** That something stays so for a while. */
export async function holds(
  what: string,
  look: () => Promise<boolean>,
  forMs: number,
): Promise<void> {
  const end = performance.now() + forMs
  do {
    assert.ok(await look(), `It did not stay so: ${what}`)
    await pause(200)
  } while (performance.now() < end)
}

export const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    const timer = setInterval(() => {
      clearInterval(timer)
      resolve()
    }, ms)
  })

/**
 * The group version that has the resource: v1 from 1.37 on, a beta when it is switched on before that.
 * A cluster that serves none cannot be asked.
 */
export async function servedVersion(
  { api, skip }: Pick<Fixture, 'api' | 'skip'>,
  group: string,
  resource: string,
): Promise<string> {
  for (const version of ['v1', 'v1beta2', 'v1beta1']) {
    const answer = await api.call('GET', `/apis/${group}/${version}`)
    if (answer.json['resources']?.some((r: Json) => r['name'] === resource))
      return `${group}/${version}`
  }
  return skip(`the cluster serves ${resource} of ${group} neither in v1 nor as a beta`)
}

/** Makes so many pod templates, twenty at a time; gives their names in order. */
export async function templates(api: Api, path: string, total: number): Promise<readonly string[]> {
  const all = Array.from({ length: total }, (_, i) => `template-${String(i).padStart(4, '0')}`)
  const queue = [...all]
  await Promise.all(
    Array.from({ length: 20 }, async () => {
      for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
        await api.post(path, {
          apiVersion: 'v1',
          kind: 'PodTemplate',
          metadata: { name },
          template: { spec: { containers: [{ name: 'test', image: 'test2' }] } },
        })
      }
    }),
  )
  return all
}

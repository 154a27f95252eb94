import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { mirror, type Fixture } from '../mirror.ts'
import {
  change,
  conditionOf,
  frame,
  gone,
  holds,
  isReady,
  PAUSE,
  pod,
  readyPods,
  replicaSet,
  runningPod,
} from '../support.ts'

const workers = async ({ api }: Fixture): Promise<Json[]> =>
  (await api.get('/api/v1/nodes', { fieldSelector: 'spec.unschedulable=false' }))['items'].filter(
    (node: Json) =>
      !(node['spec'].taints ?? []).some((t: Json) =>
        ['NoSchedule', 'NoExecute'].includes(t['effect']),
      ),
  )

const unschedulable = ({ api, ns, until }: Fixture, name: string): Promise<Json> =>
  until(`${name} cannot be placed`, async () => {
    const found = await api.get(ns(`pods/${name}`))
    const scheduled = conditionOf(found, 'PodScheduled')
    return scheduled?.['status'] === 'False' && scheduled['reason'] === 'Unschedulable' && found
  })

/** The event is known by its name alone: it starts with the name of the pod. */
const failedScheduling = ({ api, ns, until }: Fixture, name: string): Promise<Json> =>
  until('an event says why', async () =>
    (await api.get(ns('events')))['items'].find(
      (event: Json) =>
        event['metadata'].name.startsWith(name) &&
        event['type'] === 'Warning' &&
        event['reason'] === 'FailedScheduling',
    ),
  )

const labelled = async (
  { api, cleanUp }: Fixture,
  node: string,
  key: string,
  value: string,
): Promise<void> => {
  const label = (text: string | null): Promise<Json> =>
    api.patch(`/api/v1/nodes/${node}`, { metadata: { labels: { [key]: text } } }, 'merge')
  await label(value)
  cleanUp(() => label(null))
}

mirror(
  '[sig-scheduling] SchedulerPredicates validates that NodeSelector is respected if not matching [Conformance] [Serial]',
  async (fixture) => {
    const { api, ns } = fixture
    await api.post(
      ns('pods'),
      pod('restricted-pod', { spec: { nodeSelector: { label: 'nonempty' } } }),
    )
    await unschedulable(fixture, 'restricted-pod')
    const event = await failedScheduling(fixture, 'restricted-pod')
    assert.match(event['message'], /didn't match Pod's node affinity\/selector/)
  },
)

mirror(
  '[sig-scheduling] SchedulerPredicates validates that NodeSelector is respected if matching [Conformance] [Serial]',
  async (fixture) => {
    const { api, ns, unique } = fixture
    const [node] = await workers(fixture)
    const name = String(node?.['metadata'].name)
    const key = `kubernetes.io/${unique('e2e')}`
    await labelled(fixture, name, key, '42')
    await api.post(ns('pods'), pod('with-labels', { spec: { nodeSelector: { [key]: '42' } } }))
    assert.equal((await runningPod(fixture, 'with-labels'))['spec'].nodeName, name)
  },
)

mirror(
  '[sig-scheduling] SchedulerPredicates validates resource limits of pods that are allowed to run [Conformance] [Serial]',
  async (fixture) => {
    const { api, ns, unique } = fixture
    const key = unique('mirror')
    const nodes = await workers(fixture)
    const milli = (text: string | undefined): number =>
      text === undefined ? 0 : text.endsWith('m') ? Number(text.slice(0, -1)) : Number(text) * 1000
    const { items } = await api.get('/api/v1/pods')
    for (const node of nodes) {
      const name = String(node['metadata'].name)
      await labelled(fixture, name, key, name)
      const taken = items
        .filter(
          (each: Json) =>
            each['spec'].nodeName === name &&
            !['Succeeded', 'Failed'].includes(each['status'].phase),
        )
        .flatMap((each: Json) => each['spec'].containers)
        .reduce((sum: number, c: Json) => sum + milli(c['resources']?.requests?.cpu), 0)
      const free = milli(node['status'].allocatable.cpu) - taken
      const cpu = `${Math.floor(free * 0.7)}m`
      await api.post(
        ns('pods'),
        pod(`filler-pod-${name}`, {
          metadata: { labels: { filler: 'yes' } },
          container: { resources: { requests: { cpu }, limits: { cpu } } },
          spec: { nodeSelector: { [key]: name } },
        }),
      )
    }
    await readyPods(fixture, 'filler=yes', nodes.length)
    const most = Math.max(...nodes.map((node) => milli(node['status'].allocatable.cpu)))
    const cpu = `${Math.floor(most * 0.5)}m`
    await api.post(
      ns('pods'),
      pod('additional-pod', { container: { resources: { requests: { cpu }, limits: { cpu } } } }),
    )
    await unschedulable(fixture, 'additional-pod')
    assert.match((await failedScheduling(fixture, 'additional-pod'))['message'], /Insufficient cpu/)
  },
)

mirror(
  '[sig-scheduling] SchedulerPredicates validates that there exists conflict between pods with same hostPort and protocol but one using 0.0.0.0 hostIP [Conformance] [Serial]',
  async (fixture) => {
    const { api, ns, unique, profile } = fixture
    const [node] = await workers(fixture)
    const name = String(node?.['metadata'].name)
    const key = `kubernetes.io/${unique('e2e')}`
    await labelled(fixture, name, key, '95')
    const claiming = (podName: string, hostIP: string): Json =>
      pod(podName, {
        container: {
          ports: [{ hostPort: 54_322, containerPort: 5555, protocol: 'TCP', hostIP }],
        },
        spec: { nodeSelector: { [key]: '95' } },
      })
    await api.post(ns('pods'), claiming('pod4', '0.0.0.0'))
    await runningPod(fixture, 'pod4')
    const address = node?.['status'].addresses.find((a: Json) => a['type'] === 'InternalIP').address
    await api.post(ns('pods'), claiming('pod5', address))
    await unschedulable(fixture, 'pod5')
    await holds(
      'it is not placed',
      async () => (await api.get(ns('pods/pod5')))['spec'].nodeName === undefined,
      profile === 'fast' ? 2000 : 300_000,
    )
  },
)

const EXTENDED = 'scheduling.k8s.io/foo'
const PREEMPTION = '[sig-scheduling] SchedulerPreemption'

/** Nodes have five of an extended resource, and pods of three priorities can ask for it. */
async function preemptible(fixture: Fixture): Promise<{
  readonly nodes: Json[]
  readonly high: string
  readonly medium: string
  readonly low: string
}> {
  const { api, cleanUp, unique } = fixture
  const nodes = await workers(fixture)
  for (const { metadata } of nodes) {
    const path = `/api/v1/nodes/${metadata.name}`
    const amount = (value: string | null): Promise<Json> =>
      api.patch(
        `${path}/status`,
        { status: { capacity: { [EXTENDED]: value }, allocatable: { [EXTENDED]: value } } },
        'merge',
      )
    await amount('5')
    cleanUp(() => amount(null))
  }
  const classOf = async (word: string, value: number): Promise<string> => {
    const name = unique(word)
    const path = '/apis/scheduling.k8s.io/v1/priorityclasses'
    await api.post(path, {
      apiVersion: 'scheduling.k8s.io/v1',
      kind: 'PriorityClass',
      metadata: { name },
      value,
    })
    cleanUp(() => api.delete(`${path}/${name}`))
    return name
  }
  return {
    nodes,
    high: await classOf('sched-preemption-high-priority', 1000),
    medium: await classOf('sched-preemption-medium-priority', 100),
    low: await classOf('sched-preemption-low-priority', 1),
  }
}

const asking = (name: string, priorityClassName: string, amount: number, extra: Json = {}): Json =>
  pod(name, {
    metadata: { labels: { name: 'preemption' }, ...extra['metadata'] },
    container: {
      resources: {
        requests: { [EXTENDED]: String(amount) },
        limits: { [EXTENDED]: String(amount) },
      },
    },
    spec: { priorityClassName, terminationGracePeriodSeconds: 0, ...extra['spec'] },
  })

/** Fills all nodes with pods of two each: the first of low priority, the others of medium. */
async function filled(fixture: Fixture): Promise<{ readonly high: string; readonly victim: Json }> {
  const { api, ns } = fixture
  const { nodes, high, medium, low } = await preemptible(fixture)
  const pods: Json[] = []
  for (const [i, node] of nodes.entries()) {
    for (let j = 0; j < 2; j++) {
      const isFirst = i === 0 && j === 0
      const affinity = {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [
              {
                matchFields: [
                  { key: 'metadata.name', operator: 'In', values: [node['metadata'].name] },
                ],
              },
            ],
          },
        },
      }
      const name = `pod${i}-${j}-${isFirst ? 'low' : 'medium'}`
      pods.push(
        await api.post(ns('pods'), asking(name, isFirst ? low : medium, 2, { spec: { affinity } })),
      )
    }
  }
  for (const each of pods) await runningPod(fixture, String(each['metadata'].name))
  return { high, victim: pods[0] as Json }
}

const isPreempted = async ({ api, ns, until }: Fixture, victim: Json): Promise<void> => {
  await until('the victim is preempted', async () => {
    const answer = await api.call('GET', ns(`pods/${victim['metadata'].name}`))
    return (
      answer.status === 404 ||
      answer.json['metadata'].uid !== victim['metadata'].uid ||
      answer.json['metadata'].deletionTimestamp !== undefined
    )
  })
}

mirror(`${PREEMPTION} validates basic preemption works [Conformance] [Serial]`, async (fixture) => {
  const { api, ns } = fixture
  const { high, victim } = await filled(fixture)
  await api.post(ns('pods'), asking('preemptor-pod', high, 2))
  await runningPod(fixture, 'preemptor-pod')
  await isPreempted(fixture, victim)
  // Nobody of medium priority had to go.
  const { items } = await api.get(ns('pods'))
  for (const each of items.filter((p: Json) => p['metadata'].name.endsWith('-medium')))
    assert.equal(each['metadata'].deletionTimestamp, undefined)
})

mirror(
  `${PREEMPTION} validates lower priority pod preemption by critical pod [Conformance] [Serial]`,
  async (fixture) => {
    const { api, cleanUp } = fixture
    const { victim } = await filled(fixture)
    const path = '/api/v1/namespaces/kube-system/pods'
    const name = fixture.unique('critical-pod')
    await api.post(path, asking(name, 'system-cluster-critical', 2))
    cleanUp(() => api.delete(`${path}/${name}`, { gracePeriodSeconds: 0 }))
    await fixture.until('the critical pod runs', async () =>
      isReady(await api.get(`${path}/${name}`)),
    )
    await isPreempted(fixture, victim)
  },
)

mirror(
  `${PREEMPTION} validates pod disruption condition is added to the preempted pod [Conformance] [Serial]`,
  async (fixture) => {
    const { api, ns, until } = fixture
    const { nodes, high, low } = await preemptible(fixture)
    const name = String(nodes[0]?.['metadata'].name)
    const affinity = {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [
            { matchFields: [{ key: 'metadata.name', operator: 'In', values: [name] }] },
          ],
        },
      },
    }
    await api.post(
      ns('pods'),
      asking('victim-pod', low, 5, {
        spec: { affinity },
        metadata: { finalizers: ['example.com/test-finalizer'] },
      }),
    )
    await runningPod(fixture, 'victim-pod')
    await api.post(ns('pods'), asking('preemptor-pod', high, 5, { spec: { affinity } }))
    const victim = await until('the victim says why it goes', async () => {
      const found = await api.get(ns('pods/victim-pod'))
      return conditionOf(found, 'DisruptionTarget') !== undefined && found
    })
    const condition = conditionOf(victim, 'DisruptionTarget')
    assert.equal(condition?.['status'], 'True')
    assert.equal(condition['reason'], 'PreemptionByScheduler')
    await change(api, ns('pods/victim-pod'), (object) => {
      object['metadata'].finalizers = []
    })
    await until('the victim is gone', () => gone(api, ns('pods/victim-pod')))
  },
)

mirror(
  `${PREEMPTION} PreemptionExecutionPath runs ReplicaSets to verify preemption running path [Conformance] [Serial]`,
  async (fixture) => {
    const { api, ns, cleanUp, unique, namespace, until } = fixture
    const [node] = await workers(fixture)
    const nodeName = String(node?.['metadata'].name)
    const fake = 'example.com/fakecpu'
    const amount = (value: string | null): Promise<Json> =>
      api.patch(
        `/api/v1/nodes/${nodeName}/status`,
        { status: { capacity: { [fake]: value }, allocatable: { [fake]: value } } },
        'merge',
      )
    await amount('1000')
    cleanUp(() => amount(null))
    const classes: string[] = []
    for (let i = 1; i <= 4; i++) {
      const name = unique(`p${i}`)
      await api.post('/apis/scheduling.k8s.io/v1/priorityclasses', {
        apiVersion: 'scheduling.k8s.io/v1',
        kind: 'PriorityClass',
        metadata: { name },
        value: i,
      })
      cleanUp(() => api.delete(`/apis/scheduling.k8s.io/v1/priorityclasses/${name}`))
      classes.push(name)
    }
    const watching = await api.watch(ns('pods'))
    const make = async (i: number, replicas: number, cpu: string): Promise<void> => {
      const labels = { name: `pod${i}` }
      await api.post(
        `/apis/apps/v1/namespaces/${namespace}/replicasets`,
        replicaSet(`rs-pod${i}`, {
          replicas,
          labels,
          container: {
            image: PAUSE,
            resources: { requests: { [fake]: cpu }, limits: { [fake]: cpu } },
          },
          podSpec: {
            nodeSelector: {
              'kubernetes.io/hostname': node?.['metadata'].labels['kubernetes.io/hostname'],
            },
            priorityClassName: classes[i - 1],
          },
        }),
      )
    }
    // Three sets fill the node; the fourth takes from the lowest.
    for (const [i, replicas, cpu] of [
      [1, 5, '40'],
      [2, 4, '50'],
      [3, 4, '95'],
    ] as const) {
      await make(i, replicas, cpu)
      await readyPods(fixture, `name=pod${i}`, replicas)
    }
    await make(4, 1, '400')
    await readyPods(fixture, 'name=pod4', 1)
    const created = (i: number): number =>
      watching.frames.filter(
        ({ type, object }) => type === 'ADDED' && object['metadata'].labels?.name === `pod${i}`,
      ).length
    await until('the sets replaced what was taken', async () => created(1) > 5 || created(2) > 4)
    // The third is not touched: the two below it are enough.
    assert.equal(created(3), 4)
    watching.stop()
  },
)

const TAINT = 'kubernetes.io/e2e-evict-taint-key'
const tainted = async (
  { api, cleanUp }: Fixture,
  node: string,
): Promise<() => Promise<unknown>> => {
  const path = `/api/v1/nodes/${node}`
  const remove = (): Promise<unknown> =>
    change(api, path, (object) => {
      object['spec'].taints = (object['spec'].taints ?? []).filter((t: Json) => t['key'] !== TAINT)
    })
  cleanUp(remove)
  await change(api, path, (object) => {
    object['spec'].taints = [
      ...(object['spec'].taints ?? []),
      { key: TAINT, value: 'evictTaintVal', effect: 'NoExecute' },
    ]
  })
  return remove
}
const tolerating = (seconds: number): Json => ({
  key: TAINT,
  operator: 'Equal',
  value: 'evictTaintVal',
  effect: 'NoExecute',
  tolerationSeconds: seconds,
})

mirror(
  '[sig-node] NoExecuteTaintManager Single Pod removing taint cancels eviction [Conformance] [Disruptive] [Serial]',
  async (fixture) => {
    const { api, ns, profile } = fixture
    const wait = profile === 'fast' ? 4 : 60
    await api.post(
      ns('pods'),
      pod('taint-eviction-3', { spec: { tolerations: [tolerating(2 * wait)] } }),
    )
    const { spec } = await runningPod(fixture, 'taint-eviction-3')
    const remove = await tainted(fixture, spec.nodeName)
    const watching = await api.watch(ns('pods'))
    const isThere = async (): Promise<boolean> =>
      (await api.get(ns('pods/taint-eviction-3')))['metadata'].deletionTimestamp === undefined
    await holds('it is not evicted yet', isThere, wait * 1000)
    await remove()
    await holds('it is not evicted any more', isThere, 2 * wait * 1000)
    watching.stop()
  },
)

mirror(
  '[sig-node] NoExecuteTaintManager Multiple Pods evicts pods with minTolerationSeconds [Conformance] [Disruptive] [Serial]',
  async (fixture) => {
    const { api, ns, profile } = fixture
    const unit = profile === 'fast' ? 2 : 30
    const labels = { group: 'taint-eviction-b' }
    const make = (name: string, seconds: number, spec: Json = {}): Promise<Json> =>
      api.post(
        ns('pods'),
        pod(name, {
          metadata: { labels },
          spec: { tolerations: [tolerating(seconds)], terminationGracePeriodSeconds: 0, ...spec },
        }),
      )
    await make('taint-eviction-b1', unit)
    const { spec } = await runningPod(fixture, 'taint-eviction-b1')
    await make('taint-eviction-b2', 2 * unit, {
      nodeSelector: { 'kubernetes.io/hostname': spec.nodeName },
    })
    await runningPod(fixture, 'taint-eviction-b2')
    const watching = await api.watch(ns('pods'), { labelSelector: 'group=taint-eviction-b' })
    const began = performance.now()
    await tainted(fixture, spec.nodeName)
    await frame(watching, 'DELETED', 'taint-eviction-b1')
    const first = performance.now() - began
    assert.ok(first > unit * 900, `evicted too early, after ${first} ms`)
    await frame(watching, 'DELETED', 'taint-eviction-b2')
    const second = performance.now() - began
    assert.ok(second > 2 * unit * 900, `evicted too early, after ${second} ms`)
    watching.stop()
  },
)

import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { mirror, type Fixture } from '../mirror.ts'
import {
  AGNHOST,
  AGNHOST_BEFORE,
  BUSYBOX,
  change,
  conditionOf,
  frame,
  gone,
  PAUSE,
  pod,
  readyPods,
  runningPod,
} from '../support.ts'

mirror('[sig-node] Pods should get a host IP [Conformance] [NodeConformance]', async (fixture) => {
  const { api, ns } = fixture
  await api.post(ns('pods'), pod('pod-hostip'))
  const { status } = await runningPod(fixture, 'pod-hostip')
  assert.match(status.hostIP, /^[\d.:a-f]+$/)
  assert.equal(status.hostIPs[0].ip, status.hostIP)
})

mirror(
  '[sig-node] Pods should be submitted and removed [Conformance] [NodeConformance]',
  async (fixture) => {
    const { api, ns, unique } = fixture
    const value = unique('time')
    const selector = { labelSelector: `time=${value}` }
    const { items, metadata } = await api.get(ns('pods'), selector)
    assert.equal(items.length, 0)
    const watching = await api.watch(ns('pods'), {
      ...selector,
      resourceVersion: metadata.resourceVersion,
    })
    await api.post(
      ns('pods'),
      pod('submit-remove', { metadata: { labels: { name: 'foo', time: value } } }),
    )
    assert.equal((await api.get(ns('pods'), selector))['items'].length, 1)
    await frame(watching, 'ADDED', 'submit-remove')
    await runningPod(fixture, 'submit-remove')
    await api.delete(ns('pods/submit-remove'), { gracePeriodSeconds: 30 })
    const terminating = await watching.next(
      'it is being deleted',
      ({ type, object }) =>
        type === 'DELETED' || object['metadata'].deletionTimestamp !== undefined,
    )
    assert.notEqual(terminating.object['metadata'].deletionTimestamp, undefined)
    assert.notEqual(terminating.object['metadata'].deletionGracePeriodSeconds, 0)
    const last = await frame(watching, 'DELETED', 'submit-remove')
    assert.notEqual(last['metadata'].deletionTimestamp, undefined)
    assert.equal((await api.get(ns('pods'), selector))['items'].length, 0)
    watching.stop()
  },
)

mirror('[sig-node] Pods should be updated [Conformance] [NodeConformance]', async (fixture) => {
  const { api, ns, unique } = fixture
  const value = unique('time')
  await api.post(
    ns('pods'),
    pod('pod-update', { metadata: { labels: { name: 'foo', time: value } } }),
  )
  await runningPod(fixture, 'pod-update')
  await change(api, ns('pods/pod-update'), (object) => {
    object['metadata'].labels['time'] = `${value}-updated`
  })
  const { items } = await api.get(ns('pods'), { labelSelector: `time=${value}-updated` })
  assert.equal(items.length, 1)
})

mirror(
  '[sig-node] Pods should allow activeDeadlineSeconds to be updated [Conformance] [NodeConformance]',
  async (fixture) => {
    const { api, ns, until } = fixture
    await api.post(ns('pods'), pod('pod-deadline'))
    await runningPod(fixture, 'pod-deadline')
    await change(api, ns('pods/pod-deadline'), (object) => {
      object['spec'].activeDeadlineSeconds = 5
    })
    const failed = await until('the deadline passes', async () => {
      const found = await api.get(ns('pods/pod-deadline'))
      return found['status'].phase === 'Failed' && found
    })
    assert.equal(failed['status'].reason, 'DeadlineExceeded')
  },
)

mirror('[sig-node] Pods should delete a collection of pods [Conformance]', async (fixture) => {
  const { api, ns, until } = fixture
  for (const name of ['test-pod-1', 'test-pod-2', 'test-pod-3'])
    await api.post(
      ns('pods'),
      pod(name, {
        metadata: { labels: { type: 'Testing' } },
        spec: { terminationGracePeriodSeconds: 1 },
      }),
    )
  await readyPods(fixture, 'type=Testing', 3)
  await api.delete(ns('pods'), undefined, { labelSelector: 'type=Testing' })
  await until(
    'all are gone',
    async () =>
      (await api.get(ns('pods'), { labelSelector: 'type=Testing' }))['items'].length === 0,
  )
})

mirror('[sig-node] Pods should patch a pod status [Conformance]', async (fixture) => {
  const { api, ns, unique } = fixture
  const name = unique('pod')
  await api.post(ns('pods'), pod(name, { metadata: { labels: { [name]: 'testing' } } }))
  const path = ns(`pods/${name}`)
  await runningPod(fixture, name)
  const patched = await api.patch(
    `${path}/status`,
    {
      metadata: { labels: { podstatus: 'patched' } },
      status: { message: 'Patched by e2e test', reason: 'E2E' },
    },
    'strategic-merge',
  )
  assert.deepEqual(
    [patched['status'].message, patched['status'].reason],
    ['Patched by e2e test', 'E2E'],
  )
  assert.equal(patched['status'].phase, 'Running')
  const read = await api.get(`${path}/status`)
  assert.equal(read['status'].phase, 'Running')
})

mirror(
  '[sig-node] Pods should run through the lifecycle of Pods and PodStatus [Conformance]',
  async (fixture) => {
    const { api, ns, namespace } = fixture
    const path = ns('pods/pod-test')
    const selector = { labelSelector: 'test-pod-static=true' }
    const watching = await api.watch(ns('pods'), selector)
    await api.post(
      ns('pods'),
      pod('pod-test', {
        metadata: { labels: { 'test-pod-static': 'true' } },
        container: { image: AGNHOST },
        spec: { terminationGracePeriodSeconds: 1 },
      }),
    )
    await frame(watching, 'ADDED', 'pod-test')
    await frame(
      watching,
      'MODIFIED',
      'pod-test',
      (o) => o['status'].phase === 'Running' && conditionOf(o, 'Ready')?.['status'] === 'True',
    )
    const before = await api.get(path)
    assert.equal(before['status'].containerStatuses[0].ready, true)
    await api.patch(
      path,
      {
        metadata: { labels: { 'test-pod': 'patched' } },
        spec: {
          terminationGracePeriodSeconds: 1,
          containers: [{ name: 'c', image: 'registry.k8s.io/e2e-test-images/agnhost:2.55' }],
        },
      },
      'strategic-merge',
    )
    await frame(
      watching,
      'MODIFIED',
      'pod-test',
      (o) => o['metadata'].labels['test-pod'] === 'patched',
    )
    const patched = await api.get(path)
    assert.equal(
      patched['spec'].containers[0].image,
      'registry.k8s.io/e2e-test-images/agnhost:2.55',
    )
    assert.equal(patched['metadata'].labels['test-pod'], 'patched')

    // The whole status, replaced: the pod is as ready as it was when its image changed a moment ago.
    const both = ['Ready', 'ContainersReady']
    const replaced = await change(api, `${path}/status`, (object) => {
      for (const type of both) assert.equal(conditionOf(object, type)?.['status'], 'True', type)
      object['status'].conditions = object['status'].conditions.map((c: Json) =>
        both.includes(c['type']) ? { ...c, status: 'False' } : c,
      )
    })
    for (const type of both) assert.equal(conditionOf(replaced, type)?.['status'], 'False')
    await frame(
      watching,
      'MODIFIED',
      'pod-test',
      (o) => conditionOf(o, 'Ready')?.['status'] === 'False',
    )
    // The kubelet knows better.
    await frame(
      watching,
      'MODIFIED',
      'pod-test',
      (o) => conditionOf(o, 'Ready')?.['status'] === 'True',
    )
    const everywhere = (await api.get('/api/v1/pods', selector))['items'].filter(
      (each: Json) => each['metadata'].namespace === namespace,
    )
    assert.equal(everywhere.length, 1)
    await api.delete(ns('pods'), undefined, selector)
    await frame(watching, 'DELETED', 'pod-test')
    assert.ok(await gone(api, path))
    watching.stop()
  },
)

const GENERATION = '[sig-node] Pods Extended (pod generation) Pod Generation'

const observed = (
  { api, ns, until }: Fixture,
  name: string,
  generation: number,
  withinMs?: number,
): Promise<Json> =>
  until(
    `generation ${generation} is observed`,
    async () => {
      const found = await api.get(ns(`pods/${name}`))
      return (
        found['metadata'].generation === generation &&
        found['status'].observedGeneration === generation &&
        found
      )
    },
    withinMs,
  )

mirror(
  `${GENERATION} pod generation should start at 1 and increment per update [MinimumKubeletVersion:1.34] [Conformance]`,
  async (fixture) => {
    const { api, ns } = fixture
    const path = ns('pods/pod-generation')
    const created = await api.post(
      ns('pods'),
      pod('pod-generation', {
        container: {
          image: AGNHOST,
          args: ['pause'],
          resources: {
            requests: { cpu: '10m', memory: '20Mi' },
            limits: { cpu: '20m', memory: '40Mi' },
          },
        },
        spec: {
          // What its image does of itself: a shell that finds nothing to read.
          initContainers: [{ name: 'init-container', image: BUSYBOX }],
        },
        metadata: { annotations: { 'simulation.navarch.dev/run-seconds.init-container': '0' } },
      }),
    )
    assert.equal(created['metadata'].generation, 1)
    await runningPod(fixture, 'pod-generation')
    const toleration = { key: 'foo', operator: 'Equal', value: 'bar', effect: 'NoSchedule' }
    const steps: readonly (readonly [string, (object: Json) => void, boolean])[] = [
      ['nothing', () => undefined, false],
      // All others are left out: the server has them added again.
      ['the tolerations', (o) => (o['spec'].tolerations = [toleration]), true],
      ['a deadline', (o) => (o['spec'].activeDeadlineSeconds = 5000), true],
      ['the image', (o) => (o['spec'].containers[0].image = AGNHOST_BEFORE), true],
      ['an init image', (o) => (o['spec'].initContainers[0].image = PAUSE), true],
      ['annotations', (o) => (o['metadata'].annotations = { key: 'value' }), false],
      ['its generation', (o) => (o['metadata'].generation = 1), false],
    ]
    let generation = 1
    for (const [what, edit, counts] of steps) {
      const updated = await change(api, path, edit)
      if (counts) generation++
      assert.equal(updated['metadata'].generation, generation, what)
      await observed(fixture, 'pod-generation', generation, 20_000)
    }
    const conditions = (await api.get(path))['status'].conditions
    for (const type of ['Ready', 'ContainersReady', 'Initialized'])
      assert.ok(
        conditions.find((c: Json) => c['type'] === type)?.observedGeneration <= generation,
        type,
      )
    const resized = await change(
      api,
      path,
      (o) => (o['spec'].containers[0].resources.requests.cpu = '15m'),
      `${path}/resize`,
    )
    assert.equal(resized['metadata'].generation, generation + 1)
    await observed(fixture, 'pod-generation', generation + 1)
    await api.patch(
      `${path}/ephemeralcontainers`,
      { spec: { ephemeralContainers: [{ name: 'debug', image: AGNHOST }] } },
      'strategic-merge',
    )
    await observed(fixture, 'pod-generation', generation + 2)
  },
)

mirror(
  `${GENERATION} custom-set generation on new pods and graceful delete [Conformance]`,
  async (fixture) => {
    const { api, ns } = fixture
    const path = ns('pods/pod-generation')
    const created = await api.post(
      ns('pods'),
      pod('pod-generation', {
        container: { image: AGNHOST, args: ['pause'] },
        metadata: { generation: 100 },
      }),
    )
    assert.equal(created['metadata'].generation, 1)
    await runningPod(fixture, 'pod-generation')
    const last = await api.call('DELETE', path, { query: { gracePeriodSeconds: '60' } })
    assert.equal(last.status, 200)
    // At once: what the pod's containers do with their time is their own affair.
    const terminating = await api.get(path)
    assert.notEqual(terminating['metadata'].deletionTimestamp, undefined)
    assert.equal(terminating['metadata'].generation, 2)
    await api.call('DELETE', path, { body: { gracePeriodSeconds: 0 } })
    await fixture.until('the pod is gone', () => gone(api, path))
  },
)

mirror(
  `${GENERATION} issue 500 podspec updates and verify generation and observedGeneration eventually converge [MinimumKubeletVersion:1.34] [Conformance]`,
  async (fixture) => {
    const { api, ns } = fixture
    const path = ns('pods/pod-generation')
    await api.post(ns('pods'), pod('pod-generation', { spec: { activeDeadlineSeconds: 5000 } }))
    await runningPod(fixture, 'pod-generation')
    for (let i = 0; i < 499; i++)
      await change(api, path, (object) => {
        object['spec'].activeDeadlineSeconds--
      })
    await observed(fixture, 'pod-generation', 500, 300_000)
  },
)

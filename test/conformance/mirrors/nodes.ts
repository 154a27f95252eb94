import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { mirror, type Fixture } from '../mirror.ts'
import { change, frame, gone, names, pod, refused } from '../support.ts'

const BLOCKING = ['NoSchedule', 'NoExecute']

mirror(
  '[sig-architecture] Conformance Tests should have at least two untainted nodes [Conformance]',
  async ({ api }) => {
    const { items } = await api.get('/api/v1/nodes', {
      fieldSelector: 'spec.unschedulable=false',
      resourceVersion: '0',
    })
    const usable = items.filter(
      (node: Json) =>
        node['status'].conditions?.some(
          (c: Json) => c['type'] === 'Ready' && c['status'] === 'True',
        ) && !(node['spec'].taints ?? []).some((t: Json) => BLOCKING.includes(t['effect'])),
    )
    assert.ok(usable.length >= 2, `Conformance requires at least two nodes: ${usable.length}`)
  },
)

mirror(
  '[sig-node] Node Lifecycle should run through the lifecycle of a node [Conformance]',
  async ({ api, unique, cleanUp }) => {
    const path = '/api/v1/nodes'
    const name = unique('e2e-fake-node')
    const created = await api.post(path, {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name, labels: { [name]: 'yes' } },
      status: { phase: 'Running' },
    })
    cleanUp(() => api.delete(`${path}/${name}`))
    assert.equal(created['metadata'].name, name)
    assert.equal((await api.get(`${path}/${name}`))['metadata'].uid, created['metadata'].uid)
    const patched = await api.patch(
      `${path}/${name}`,
      { metadata: { labels: { [name]: 'patched' } } },
      'strategic-merge',
    )
    assert.equal(patched['metadata'].labels[name], 'patched')
    const watching = await api.watch(path, {
      fieldSelector: `metadata.name=${name}`,
      resourceVersion: patched['metadata'].resourceVersion,
    })
    const updated = await change(api, `${path}/${name}`, (object) => {
      object['metadata'].labels[name] = 'updated'
    })
    assert.equal(updated['metadata'].labels[name], 'updated')
    await frame(watching, 'MODIFIED', name, (o) => o['metadata'].labels[name] === 'updated')
    const listed = await api.get(path, { labelSelector: `${name}=updated` })
    assert.deepEqual(names(listed), [name])
    await api.delete(path, undefined, { labelSelector: `${name}=updated` })
    await frame(watching, 'DELETED', name)
    assert.equal((await api.get(path, { labelSelector: `${name}=updated` }))['items'].length, 0)
    watching.stop()
  },
)

mirror(
  '[sig-node] Pods Extended Pods Set QOS Class should be set on Pods with matching resource requests and limits for memory and cpu [Conformance]',
  async ({ api, ns }) => {
    const amounts = { cpu: '100m', memory: '100Mi' }
    await api.post(
      ns('pods'),
      pod('pod-qos', { container: { resources: { requests: amounts, limits: amounts } } }),
    )
    const found = await api.get(ns('pods/pod-qos'))
    assert.equal(found['status'].qosClass, 'Guaranteed')
  },
)

const CLASSES = '/apis/node.k8s.io/v1/runtimeclasses'

async function runtimeClass(
  { api, unique, cleanUp }: Fixture,
  handler: string,
  more: Json = {},
): Promise<string> {
  const name = unique('runtime-class')
  await api.post(CLASSES, {
    apiVersion: 'node.k8s.io/v1',
    kind: 'RuntimeClass',
    metadata: { name },
    handler,
    ...more,
  })
  cleanUp(() => api.delete(`${CLASSES}/${name}`))
  return name
}

const withClass = (runtimeClassName: string, spec: Json = {}): Json =>
  pod('test-runtimeclass', {
    spec: { runtimeClassName, automountServiceAccountToken: false, ...spec },
  })

mirror(
  '[sig-node] RuntimeClass should reject a Pod requesting a non-existent RuntimeClass [Conformance] [NodeConformance]',
  async ({ api, ns, unique }) => {
    await refused(api, 'POST', ns('pods'), withClass(unique('nonexistent')), 403, /RuntimeClass/)
  },
)

mirror(
  '[sig-node] RuntimeClass should reject a Pod requesting a deleted RuntimeClass [Conformance] [NodeConformance]',
  async (fixture) => {
    const { api, ns, until } = fixture
    const name = await runtimeClass(fixture, 'e2e-test-handler')
    await api.delete(`${CLASSES}/${name}`)
    await until('the class is gone', () => gone(api, `${CLASSES}/${name}`))
    await refused(api, 'POST', ns('pods'), withClass(name), 403, /RuntimeClass/)
  },
)

/** The handler that every node has: its own. */
const HANDLER = process.env['MIRROR_RUNTIME_HANDLER'] ?? ''

for (const [name, overhead] of [
  [
    '[sig-node] RuntimeClass should schedule a Pod requesting a RuntimeClass without PodOverhead [Conformance] [NodeConformance]',
    undefined,
  ],
  [
    '[sig-node] RuntimeClass should schedule a Pod requesting a RuntimeClass and initialize its Overhead [Conformance] [NodeConformance]',
    { podFixed: { cpu: '10m', memory: '1Mi' } },
  ],
] as const) {
  mirror(name, async (fixture) => {
    const { api, ns, until } = fixture
    const handler = HANDLER || 'runc'
    const className = await runtimeClass(
      fixture,
      handler,
      overhead === undefined ? {} : { overhead },
    )
    const made = await api.post(ns('pods'), withClass(className))
    assert.equal(made['spec'].runtimeClassName, className)
    assert.deepEqual(made['spec'].overhead, overhead?.podFixed)
    // Whether the node has the handler is not asked: only that the scheduler took it.
    await until('the pod is scheduled', async () => {
      const found = await api.get(ns('pods/test-runtimeclass'))
      return found['status'].conditions?.some(
        (c: Json) => c['type'] === 'PodScheduled' && c['status'] === 'True',
      )
    })
  })
}

mirror(
  '[sig-node] Sysctls [LinuxOnly] should reject invalid sysctls [Conformance] [NodeConformance]',
  async ({ api, ns }) => {
    const answer = await api.call('POST', ns('pods'), {
      body: pod('sysctl', {
        spec: {
          securityContext: {
            sysctls: [
              { name: 'foo-', value: 'bar' },
              { name: 'kernel.shmmax', value: '100000000' },
              { name: 'safe-and-unsafe', value: '100000000' },
              { name: 'bar..', value: '42' },
            ],
          },
        },
      }),
    })
    assert.equal(answer.status, 422)
    for (const part of ['Invalid value: "foo-"', 'Invalid value: "bar.."'])
      assert.ok(answer.json['message'].includes(part), `${part} in ${answer.json['message']}`)
    for (const part of ['safe-and-unsafe', 'kernel.shmmax'])
      assert.equal(answer.json['message'].includes(part), false, part)
  },
)

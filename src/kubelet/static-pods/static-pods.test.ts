import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualEnv } from '#base'
import { type Node, type Pod, nodes, pods } from '#api'
import { simulatedRuntime } from '../simulated/index.ts'
import { startTestNode } from '../testing/node.ts'
import { mirrorOf, staticPodOf } from './manifest.ts'

const manifest = (image: string): string => `
apiVersion: v1
kind: Pod
metadata:
  name: web
  namespace: shop
  labels: {app: web}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: app
    image: ${image}
`
const facts = { file: '/manifests/web.yaml', nodeName: 'n1', seen: new Date(0) }

test('a manifest is a pod of the node, and another one when it changes', () => {
  const one = staticPodOf(manifest('web:1'), facts)
  assert.equal(one.metadata.name, 'web-n1')
  assert.equal(one.spec.nodeName, 'n1')
  assert.equal(one.spec.restartPolicy, 'Always')
  assert.match(one.metadata.uid ?? '', /^[0-9a-f]{32}$/)
  assert.equal(one.metadata.annotations?.['kubernetes.io/config.source'], 'file')
  assert.equal(staticPodOf(manifest('web:1'), facts).metadata.uid, one.metadata.uid)
  assert.notEqual(staticPodOf(manifest('web:2'), facts).metadata.uid, one.metadata.uid)
  const node = { metadata: { name: 'n1', uid: 'node-uid' } } as Node
  const mirror = mirrorOf(one, node).metadata as Pod['metadata']
  assert.equal(mirror.uid, undefined)
  assert.equal(mirror.annotations?.['kubernetes.io/config.mirror'], one.metadata.uid)
  assert.deepEqual(mirror.ownerReferences, [
    { apiVersion: 'v1', kind: 'Node', name: 'n1', uid: 'node-uid', controller: true },
  ])
})

test('what is no pod is refused with the reason', () => {
  const refused = (text: string) => () => staticPodOf(text, facts)
  assert.throws(refused('kind: Service\napiVersion: v1'), /it is not a Pod/)
  assert.throws(refused('kind: Pod\napiVersion: v1\nspec: {containers: []}'), /no metadata\.name/)
  assert.throws(
    refused(manifest('web:1').replace('name: app', 'name: "-"')),
    /spec\.containers\[0\]\.name/,
  )
})

test('a manifest that needs the API is refused: the pod must run without it', () => {
  const refused = (spec: string) => () =>
    staticPodOf(manifest('web:1').replace('spec:', `spec:\n  ${spec}`), facts)
  assert.throws(refused('serviceAccountName: web'), /may not reference service accounts/)
  assert.throws(
    refused('volumes: [{name: v, secret: {secretName: s}}]'),
    /may not reference secrets/,
  )
  assert.throws(
    () =>
      staticPodOf(
        manifest('web:1').replace(
          'name: app',
          'name: app\n    envFrom: [{configMapRef: {name: c}}]',
        ),
        facts,
      ),
    /may not reference config maps/,
  )
  assert.throws(
    refused('volumes: [{name: v, persistentVolumeClaim: {claimName: c}}]'),
    /may not reference persistent volume claims/,
  )
})

async function world() {
  const env = virtualEnv()
  await env.fs.makeFolder('/manifests')
  await env.fs.write('/manifests/web.yaml', manifest('web:1'))
  await env.fs.write('/manifests/.hidden', manifest('hidden:1'))
  const runtime = simulatedRuntime(env)
  const node = await startTestNode(env, runtime, { staticPodPath: '/manifests' })
  await env.advance(1000)
  await node.kubelet.ready
  await env.advance(2000)
  return { env, node, runtime }
}

test('a pod of the folder runs, and the API shows how it is', async () => {
  const { node } = await world()
  const mirror = node.get('web-n1')
  assert.equal(mirror?.status?.phase, 'Running')
  assert.equal(mirror?.status?.containerStatuses?.[0]?.ready, true)
  assert.equal(mirror?.metadata.ownerReferences?.[0]?.kind, 'Node')
  assert.equal(
    mirror?.metadata.ownerReferences?.[0]?.uid,
    node.api.store.get(nodes, { name: 'n1' })?.metadata.uid,
  )
  assert.equal(node.kubelet.podsRunning(), 1)
  // Asked for by the uid that the API knows.
  const log = await node.kubelet.nodeApi.logs(
    {
      namespace: 'shop',
      pod: 'web-n1',
      ...(mirror?.metadata.uid === undefined ? {} : { uid: mirror.metadata.uid }),
    },
    { container: 'app' },
    new AbortController().signal,
  )
  assert.ok(log)
  await node.stop()
})

test('its image in the API comes again when somebody deletes it, and the pod runs on', async () => {
  const { env, node } = await world()
  const before = node.get('web-n1')
  const id = before?.status?.containerStatuses?.[0]?.containerID
  node.remove('web-n1')
  await env.advance(2000)
  const after = node.get('web-n1')
  assert.notEqual(after?.metadata.uid, before?.metadata.uid)
  assert.equal(after?.status?.phase, 'Running')
  assert.equal(after?.status?.containerStatuses?.[0]?.containerID, id)
  await node.stop()
})

test('a changed file is another pod, once the one before has ended; a file that is gone ends it', async () => {
  const { env, node } = await world()
  const id = node.get('web-n1')?.status?.containerStatuses?.[0]?.containerID
  await env.fs.write('/manifests/web.yaml', manifest('web:2'))
  await env.advance(10_000)
  const changed = node.get('web-n1')
  assert.equal(changed?.spec.containers[0]?.image, 'web:2')
  assert.equal(changed?.status?.phase, 'Running')
  assert.notEqual(changed?.status?.containerStatuses?.[0]?.containerID, id)
  assert.equal(node.kubelet.podsRunning(), 1)
  await env.fs.write('/manifests/web.yaml', 'half writ')
  await env.advance(10_000)
  assert.equal(node.get('web-n1')?.status?.phase, 'Running')
  await env.fs.remove('/manifests/web.yaml')
  await env.advance(30_000)
  assert.equal(node.get('web-n1'), undefined)
  assert.equal(node.kubelet.podsRunning(), 0)
  assert.equal(node.api.store.list(pods).length, 0)
  await node.stop()
})

test('a new kubelet finds its containers running', async () => {
  const { env, node, runtime } = await world()
  const id = node.get('web-n1')?.status?.containerStatuses?.[0]?.containerID
  const uid = node.get('web-n1')?.metadata.uid
  await node.stop()
  const again = await startTestNode(
    env,
    runtime,
    { staticPodPath: '/manifests' },
    { api: node.api },
  )
  await env.advance(5000)
  const status = again.get('web-n1')?.status?.containerStatuses?.[0]
  assert.equal(status?.containerID, id)
  assert.equal(status?.restartCount, 0)
  assert.equal(again.get('web-n1')?.metadata.uid, uid)
  assert.equal(again.kubelet.podsRunning(), 1)
  await again.stop()
})

test('a kubelet without a folder takes away what an earlier one has left in the API', async () => {
  const { env, node, runtime } = await world()
  await node.stop()
  const again = await startTestNode(env, runtime, {}, { api: node.api })
  await env.advance(5000)
  assert.equal(again.get('web-n1'), undefined)
  assert.equal((await runtime.listContainers()).length, 0)
  await again.stop()
})

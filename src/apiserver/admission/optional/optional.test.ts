import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualEnv } from '#base'
import { send, testServer, type TestServer } from '../../server.testing.ts'
import { builtInAdmission } from '../index.ts'
import { openAdmission } from '../open.ts'

const PODS = '/api/v1/namespaces/shop/pods'
const FILE = '/admission.yaml'

async function serverWith(enable: readonly string[], text = '', more = {}): Promise<TestServer> {
  const env = virtualEnv()
  if (text !== '') await env.fs.write(FILE, text)
  const chosen = await openAdmission(env, {
    enable,
    disable: ['ServiceAccount'],
    ...(text === '' ? {} : { configFile: FILE }),
  })
  const made = await testServer({
    env,
    extensions: (inside) => ({
      admission: builtInAdmission(inside, {
        env,
        authorizer: { authorize: async () => ({ verdict: 'allow', reason: '' }) },
        chosen,
      }),
    }),
  })
  const shop = { metadata: { name: 'shop', ...more } }
  if (!enable.includes('NamespaceAutoProvision'))
    assert.equal((await send(made.server, 'POST /api/v1/namespaces', shop)).status, 201)
  return { ...made, env }
}

const pod = (spec: object = {}, name = 'web') => ({
  metadata: { name },
  spec: { containers: [{ name: 'main', image: 'web:1' }], ...spec },
})
type Made = { readonly spec: Readonly<Record<string, unknown>> }
const created = async ({ server }: TestServer, body: object): Promise<Made['spec']> => {
  const answer = await send(server, `POST ${PODS}`, body)
  assert.equal(answer.status, 201, answer.text)
  return (answer.json as unknown as Made).spec
}
const refused = async ({ server }: TestServer, body: object, path = PODS): Promise<unknown> => {
  const { status, json } = await send(server, `POST ${path}`, body)
  assert.notEqual(status, 201)
  return json['message']
}

test('AlwaysPullImages: whatever a pod says, its images are pulled', async () => {
  const made = await serverWith(['AlwaysPullImages'])
  const containers = [{ name: 'main', image: 'web:1', imagePullPolicy: 'Never' }]
  const spec = await created(made, pod({ containers }))
  assert.equal((spec['containers'] as { imagePullPolicy: string }[])[0]?.imagePullPolicy, 'Always')
})

test('ExtendedResourceToleration: who asks for a device tolerates its taint', async () => {
  const made = await serverWith(['ExtendedResourceToleration'])
  const resources = { limits: { 'example.com/gpu': '1', cpu: '1' } }
  const spec = await created(made, pod({ containers: [{ name: 'a', image: 'i', resources }] }))
  assert.deepEqual(
    (spec['tolerations'] as { key: string }[]).filter(({ key }) => key === 'example.com/gpu'),
    [{ key: 'example.com/gpu', operator: 'Exists', effect: 'NoSchedule' }],
  )
})

test('LimitPodHardAntiAffinityTopology: only nodes may be kept free of others', async () => {
  const made = await serverWith(['LimitPodHardAntiAffinityTopology'])
  const term = (topologyKey: string) => ({
    affinity: {
      podAntiAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: [
          { topologyKey, labelSelector: { matchLabels: { a: 'b' } } },
        ],
      },
    },
  })
  await created(made, pod(term('kubernetes.io/hostname')))
  assert.equal(
    await refused(made, pod(term('zone'), 'far')),
    'pods "far" is forbidden: affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey zone but only key kubernetes.io/hostname is allowed',
  )
})

test('DenyServiceExternalIPs: no new addresses, and old ones may stay', async () => {
  const made = await serverWith(['DenyServiceExternalIPs'])
  const service = {
    metadata: { name: 'web' },
    spec: { ports: [{ port: 80 }], externalIPs: ['1.2.3.4'] },
  }
  assert.equal(
    await refused(made, service, '/api/v1/namespaces/shop/services'),
    'services "web" is forbidden: Use of external IPs is denied by admission control.',
  )
})

test('NamespaceAutoProvision: a namespace that is written to is there; a dry run makes none', async () => {
  const made = await serverWith(['NamespaceAutoProvision'])
  const missing = await refused(made, pod(), `${PODS}?dryRun=All`)
  assert.equal(missing, 'namespaces "shop" not found')
  await created(made, pod())
  assert.equal((await send(made.server, 'GET /api/v1/namespaces/shop')).status, 200)
})

test('PodNodeSelector: pods go to the nodes of their namespace', async () => {
  const annotations = { 'scheduler.alpha.kubernetes.io/node-selector': 'env=test,zone = a' }
  const made = await serverWith(['PodNodeSelector'], '', { annotations })
  const spec = await created(made, pod({ nodeSelector: { disk: 'ssd' } }))
  assert.deepEqual(spec['nodeSelector'], { disk: 'ssd', env: 'test', zone: 'a' })
  assert.equal(
    await refused(made, pod({ nodeSelector: { env: 'live' } }, 'b')),
    'pods "b" is forbidden: pod node label selector conflicts with its namespace node label selector',
  )
})

const CONFIGURATION = `
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: PodNodeSelector
  configuration:
    podNodeSelectorPluginConfig: {clusterDefaultNodeSelector: env=all, shop: 'env=all,disk=ssd'}
- name: PodTolerationRestriction
  configuration: {default: [{key: a, operator: Exists}], whitelist: [{key: a, operator: Exists}]}
- name: EventRateLimit
  configuration: {limits: [{type: Namespace, qps: 1, burst: 2}]}
- name: PodSecurity
  configuration: {defaults: {enforce: baseline}, exemptions: {namespaces: [kube-system]}}
`

test('the configuration says what namespaces without annotations get and may', async () => {
  const made = await serverWith(['PodNodeSelector'], CONFIGURATION)
  const spec = await created(made, pod())
  assert.deepEqual(spec['nodeSelector'], { env: 'all' })
  assert.equal(
    await refused(made, pod({ nodeSelector: { other: 'x' } }, 'b')),
    'pods "b" is forbidden: pod node label selector labels conflict with its namespace whitelist',
  )
  const text = String(await refused(made, pod({ hostNetwork: true }, 'c')))
  assert.match(text, /violates PodSecurity "baseline:latest": host namespaces/)
})

test('PodTolerationRestriction: the wider of two tolerations is kept, and others are refused', async () => {
  const made = await serverWith(['PodTolerationRestriction'], CONFIGURATION)
  // The plugin that gives every pod five minutes runs first.
  assert.match(String(await refused(made, pod())), /conflict with its cluster whitelist$/)
  const annotations = { 'scheduler.alpha.kubernetes.io/tolerationsWhitelist': '' }
  await send(made.server, 'PUT /api/v1/namespaces/shop', {
    metadata: { name: 'shop', annotations },
  })
  const own = [{ key: 'a', operator: 'Equal', value: 'x', effect: 'NoSchedule' }]
  const spec = await created(made, pod({ tolerations: own }))
  const keys = (spec['tolerations'] as { key: string; operator: string }[]).map(
    ({ key, operator }) => `${key} ${operator}`,
  )
  assert.ok(keys.includes('a Exists'))
  assert.ok(!keys.includes('a Equal'))
})

test('EventRateLimit: so many at once, then so many a second', async () => {
  const made = await serverWith(['EventRateLimit'], CONFIGURATION)
  const path = '/api/v1/namespaces/shop/events'
  const event = (name: string) => ({
    metadata: { name },
    involvedObject: { kind: 'Pod', namespace: 'shop', name: 'web' },
  })
  const post = async (name: string) => send(made.server, `POST ${path}`, event(name))
  assert.deepEqual([(await post('a')).status, (await post('b')).status], [201, 201])
  const third = await post('c')
  assert.equal(third.status, 429)
  assert.equal(third.json['message'], 'limit reached on type Namespace for key shop')
  await made.env.advance(1000)
  assert.equal((await post('c')).status, 201)
})

test('unknown plugins, and those that cannot run here, are refused by name', async () => {
  const env = virtualEnv()
  const say = async (settings: Parameters<typeof openAdmission>[1]) =>
    openAdmission(env, settings).then(
      () => '',
      (error: Error) => error.message,
    )
  assert.equal(
    await say({ enable: ['Nothing'], disable: ['Never'] }),
    'enable-admission-plugins plugin "Nothing" is unknown; disable-admission-plugins plugin "Never" is unknown',
  )
  assert.equal(
    await say({ enable: ['AlwaysPullImages'], disable: ['AlwaysPullImages'] }),
    '[AlwaysPullImages] in enable-admission-plugins and disable-admission-plugins overlapped',
  )
  assert.match(await say({ enable: ['ImagePolicyWebhook'] }), /cannot be enabled/)
  assert.match(await say({ enable: ['EventRateLimit'] }), /needs its limits/)
  await env.fs.write(FILE, CONFIGURATION.replace('qps: 1', 'qps: 0'))
  assert.equal(
    await say({ configFile: FILE }),
    `${FILE}: limits[0].qps: Invalid value: 0: must be positive`,
  )
})

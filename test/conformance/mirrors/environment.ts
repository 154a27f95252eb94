/** [sig-node] What containers find in their environment. */
import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import {
  agnhost,
  createPod,
  execIn,
  finished,
  outputsOf,
  podOf,
  podNow,
  prints,
  running,
  shell,
} from '../containers.ts'
import { configMap, mirror, type Fixture } from '../mirror.ts'
import { service } from '../support.ts'

const CONFORMANCE = '[Conformance] [NodeConformance]'
const base64 = (text: string): string => Buffer.from(text).toString('base64')
const secret = (name: string, data: Readonly<Record<string, string>>): Json => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name },
  data: Object.fromEntries(Object.entries(data).map(([key, value]) => [key, base64(value)])),
})

for (const [kind, title] of [
  ['ConfigMap', 'ConfigMap should be consumable via environment variable'],
  ['Secret', 'Secrets should be consumable from pods in env vars'],
] as const)
  mirror(`[sig-node] ${title} ${CONFORMANCE}`, async (fixture) => {
    const { api, ns } = fixture
    const name = fixture.unique('source')
    const data = { 'data-1': 'value-1' }
    if (kind === 'ConfigMap') await api.post(ns('configmaps'), configMap(name, { data }))
    else await api.post(ns('secrets'), secret(name, data))
    const valueFrom = {
      [kind === 'ConfigMap' ? 'configMapKeyRef' : 'secretKeyRef']: { name, key: 'data-1' },
    }
    await prints(
      fixture,
      podOf(fixture, shell('env', { env: [{ name: 'DATA_1', valueFrom }] })),
      'DATA_1=value-1',
    )
  })

for (const kind of ['ConfigMap', 'Secrets'] as const) {
  const create = ({ api, ns }: Fixture, name: string, data: Readonly<Record<string, string>>) =>
    kind === 'ConfigMap'
      ? api.post(ns('configmaps'), configMap(name, { data }))
      : api.post(ns('secrets'), secret(name, data))
  const ref = (name: string): Json => ({
    [kind === 'ConfigMap' ? 'configMapRef' : 'secretRef']: { name },
  })
  mirror(
    `[sig-node] ${kind} should be consumable via the environment ${CONFORMANCE}`,
    async (fixture) => {
      const name = fixture.unique('source')
      await create(fixture, name, { data_1: 'value-1', data_2: 'value-2', data_3: 'value-3' })
      const pod = podOf(
        fixture,
        shell('env', { envFrom: [ref(name), { prefix: 'p_', ...ref(name) }] }),
      )
      await prints(
        fixture,
        pod,
        'data_1=value-1',
        'data_2=value-2',
        'data_3=value-3',
        'p_data_1=value-1',
        'p_data_2=value-2',
        'p_data_3=value-3',
      )
    },
  )
  mirror(
    `[sig-node] ${kind} should be consumable as environment variable names ${kind === 'Secrets' ? 'variable names ' : ''}with various prefixes [Conformance]`,
    async (fixture) => {
      const name = fixture.unique('source')
      await create(fixture, name, { 'data-1': 'value-1', 'data.2': 'value-2', '3-data': 'value-3' })
      const pod = podOf(
        fixture,
        shell('', {
          // A shell would leave out names that it cannot use itself.
          command: ['env'],
          envFrom: [ref(name), { prefix: 'p-', ...ref(name) }, { prefix: '#_', ...ref(name) }],
        }),
      )
      await prints(
        fixture,
        pod,
        ...['', 'p-', '#_'].flatMap((prefix) => [
          `${prefix}data-1=value-1`,
          `${prefix}data.2=value-2`,
          `${prefix}3-data=value-3`,
        ]),
      )
    },
  )
}

const downward = (
  text: string,
  env: readonly Json[],
  expected: (pod: Json) => readonly (string | RegExp)[],
  more: Json = {},
) =>
  mirror(`[sig-node] Downward API should provide ${text} ${CONFORMANCE}`, async (fixture) => {
    const pod = podOf(fixture, shell('env', { name: 'dapi-container', env, ...more }))
    const outputs = await outputsOf(fixture, pod)
    const output = outputs['dapi-container'] ?? ''
    for (const each of expected(await podNow(fixture, pod['metadata'].name)))
      if (typeof each === 'string') assert.ok(output.includes(each), `${each} is not in\n${output}`)
      else assert.match(output, each)
  })
const fromField = (name: string, fieldPath: string): Json => ({
  name,
  valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath } },
})
const fromResource = (name: string, resource: string): Json => ({
  name,
  valueFrom: { resourceFieldRef: { resource } },
})

downward(
  'pod name, namespace and IP address as env vars',
  [
    fromField('POD_NAME', 'metadata.name'),
    fromField('POD_NAMESPACE', 'metadata.namespace'),
    fromField('POD_IP', 'status.podIP'),
  ],
  (pod) => [
    `POD_NAME=${pod['metadata'].name}`,
    `POD_NAMESPACE=${pod['metadata'].namespace}`,
    /POD_IP=(?:\d+\.){3}\d+/,
  ],
)
downward('host IP as an env var', [fromField('HOST_IP', 'status.hostIP')], (pod) => [
  `HOST_IP=${pod['status'].hostIP}`,
])
downward('hostIPs as an env var', [fromField('HOST_IPS', 'status.hostIPs')], (pod) => [
  `HOST_IPS=${pod['status'].hostIPs.map(({ ip }: Json) => String(ip)).join(',')}`,
])
downward('pod UID as env vars', [fromField('POD_UID', 'metadata.uid')], (pod) => [
  `POD_UID=${pod['metadata'].uid}`,
])
const RESOURCES = [
  fromResource('CPU_LIMIT', 'limits.cpu'),
  fromResource('MEMORY_LIMIT', 'limits.memory'),
  fromResource('CPU_REQUEST', 'requests.cpu'),
  fromResource('MEMORY_REQUEST', 'requests.memory'),
]
downward(
  "container's limits.cpu/memory and requests.cpu/memory as env vars",
  RESOURCES,
  () => ['CPU_LIMIT=2', 'MEMORY_LIMIT=67108864', 'CPU_REQUEST=1', 'MEMORY_REQUEST=33554432'],
  {
    resources: {
      requests: { cpu: '250m', memory: '32Mi' },
      limits: { cpu: '1250m', memory: '64Mi' },
    },
  },
)
downward('default limits.cpu/memory from node allocatable', RESOURCES.slice(0, 2), () => [
  /CPU_LIMIT=[1-9]/,
  /MEMORY_LIMIT=[1-9]/,
])

mirror(
  `[sig-node] Pods should contain environment variables for services ${CONFORMANCE}`,
  async (fixture) => {
    const { api, ns } = fixture
    const server = podOf(
      fixture,
      agnhost(['serve-hostname'], { ports: [{ containerPort: 9376 }] }),
      {
        metadata: { name: fixture.unique('server'), labels: { name: 'srv' } },
        spec: { restartPolicy: 'Always' },
      },
    )
    await createPod(fixture, server)
    await running(fixture, server['metadata'].name)
    const { spec } = (await api.post(
      ns('services'),
      service('fooservice', {
        ports: [{ port: 8765, targetPort: 8080 }],
        selector: { name: 'srv' },
      }),
    )) as { spec: Json }
    const address = `${spec['clusterIP']}:8765`
    await fixture.until('the environment names the service', async () => {
      const pod = podOf(fixture, shell('env'))
      const created = await createPod(fixture, pod)
      const done = await finished(fixture, created['metadata'].name)
      const output = await api.call('GET', ns(`pods/${done['metadata'].name}/log`))
      return [
        `FOOSERVICE_SERVICE_HOST=${spec['clusterIP']}`,
        'FOOSERVICE_SERVICE_PORT=8765',
        `FOOSERVICE_PORT=tcp://${address}`,
        `FOOSERVICE_PORT_8765_TCP=tcp://${address}`,
        'FOOSERVICE_PORT_8765_TCP_PROTO=tcp',
        'FOOSERVICE_PORT_8765_TCP_PORT=8765',
        `FOOSERVICE_PORT_8765_TCP_ADDR=${spec['clusterIP']}`,
      ].every((line) => output.text.includes(line))
    })
  },
)

const expansion = (text: string): string => `[sig-node] Variable Expansion should ${text}`

mirror(
  `${expansion('allow composing env vars into new env vars')} ${CONFORMANCE}`,
  async (fixture) => {
    const env = [
      { name: 'FOO', value: 'foo-value' },
      { name: 'BAR', value: 'bar-value' },
      { name: 'FOOBAR', value: '$(FOO);;$(BAR)' },
    ]
    await prints(
      fixture,
      podOf(fixture, shell('env', { env })),
      'FOO=foo-value',
      'BAR=bar-value',
      'FOOBAR=foo-value;;bar-value',
    )
  },
)
const VALUE = [{ name: 'TEST_VAR', value: 'test-value' }]
mirror(
  `${expansion("allow substituting values in a container's command")} ${CONFORMANCE}`,
  async (fixture) => {
    const pod = podOf(fixture, shell('TEST_VAR=wrong echo "$(TEST_VAR)"', { env: VALUE }))
    await prints(fixture, pod, 'test-value')
  },
)
mirror(
  `${expansion("allow substituting values in a container's args")} ${CONFORMANCE}`,
  async (fixture) => {
    const pod = podOf(fixture, {
      ...shell(''),
      command: ['sh', '-c'],
      args: ['TEST_VAR=wrong echo "$(TEST_VAR)"'],
      env: VALUE,
    })
    await prints(fixture, pod, 'test-value')
  },
)

const POD_NAME = { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }
const refusedToStart = (fixture: Fixture, name: string): Promise<unknown> =>
  fixture.until('the container is told not to start', async () => {
    const [state] = (await podNow(fixture, name))['status'].containerStatuses ?? []
    return state?.state?.waiting?.reason === 'CreateContainerConfigError'
  })

/** Its subpath is below what an annotation says. */
const annotated = shell('sleep 600', {
  env: [
    POD_NAME,
    {
      name: 'ANNOTATION',
      valueFrom: { fieldRef: { fieldPath: "metadata.annotations['mysubpath']" } },
    },
  ],
  volumeMounts: [
    {
      name: 'workdir1',
      mountPath: '/subpath_mount',
      subPathExpr: '$(ANNOTATION)/$(POD_NAME)',
    },
    { name: 'workdir1', mountPath: '/volume_mount' },
  ],
})
const workdir = { volumes: [{ name: 'workdir1', emptyDir: {} }] }

mirror(
  `${expansion('allow substituting values in a volume subpath')} [Conformance]`,
  async (fixture) => {
    const name = fixture.unique('var-expansion')
    const pod = podOf(
      fixture,
      shell(`test -d /testcontainer/${name};echo $?`, {
        env: [POD_NAME],
        volumeMounts: [
          { name: 'workdir1', mountPath: '/logscontainer', subPathExpr: '$(POD_NAME)' },
          { name: 'workdir1', mountPath: '/testcontainer' },
        ],
      }),
      { metadata: { name }, spec: workdir },
    )
    await prints(fixture, pod, '0\n')
  },
)

for (const [text, value] of [
  ['fail substituting values in a volume subpath with backticks', '..'],
  ['fail substituting values in a volume subpath with absolute path', '/tmp'],
] as const)
  mirror(`${expansion(text)} [Conformance]`, async (fixture) => {
    const { api, ns } = fixture
    const pod = podOf(
      fixture,
      shell('sleep 600', {
        env: [{ name: 'POD_NAME', value }],
        volumeMounts: [
          { name: 'workdir1', mountPath: '/logscontainer', subPathExpr: '$(POD_NAME)' },
        ],
      }),
      { spec: workdir },
    )
    const created = await createPod(fixture, pod)
    const { name } = created['metadata']
    await refusedToStart(fixture, name)
    await api.delete(ns(`pods/${name}`), undefined, { gracePeriodSeconds: 0 })
  })

mirror(
  `${expansion('verify that a failing subpath expansion can be modified during the lifecycle of a container')} [Conformance] [Slow]`,
  async (fixture) => {
    const { api, ns } = fixture
    const name = fixture.unique('var-expansion')
    const pod = podOf(fixture, annotated, {
      metadata: { name, annotations: { notmysubpath: 'mypath' } },
      spec: workdir,
    })
    await createPod(fixture, pod)
    await refusedToStart(fixture, name)
    await api.patch(
      ns(`pods/${name}`),
      { metadata: { annotations: { mysubpath: 'mypath' } } },
      'merge',
    )
    await running(fixture, name)
    await api.delete(ns(`pods/${name}`), undefined, { gracePeriodSeconds: 0 })
  },
)

mirror(
  `${expansion('succeed in writing subpaths in container')} [Conformance]`,
  async (fixture) => {
    const { api, ns } = fixture
    const name = fixture.unique('var-expansion')
    const pod = podOf(fixture, annotated, {
      metadata: { name, annotations: { mysubpath: 'mypath' } },
      spec: workdir,
    })
    await createPod(fixture, pod)
    await running(fixture, name)
    await execIn(fixture, name, ['touch', `/volume_mount/mypath/${name}/test.log`])
    await execIn(fixture, name, ['test', '-f', '/subpath_mount/test.log'])
    await api.patch(
      ns(`pods/${name}`),
      { metadata: { annotations: { mysubpath: 'mynewpath' } } },
      'merge',
    )
    await running(fixture, name)
    await api.delete(ns(`pods/${name}`), undefined, { gracePeriodSeconds: 0 })
  },
)

/** [sig-storage] ConfigMaps, Secrets and the downward API as files, alone and projected. */
import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { agnhost, createPod, podOf, prints, printed, outputsOf, running } from '../containers.ts'
import { configMap, mirror, type Fixture } from '../mirror.ts'

const NON_ROOT = 1000
const FS_GROUP = 1001
const CONFIG = { 'data-1': 'value-1', 'data-2': 'value-2', 'data-3': 'value-3' }
const encoded = (data: Readonly<Record<string, string>>): Json =>
  Object.fromEntries(
    Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')]),
  )

/** One of the two kinds of source, written alone or as a projection. */
interface Source {
  readonly title: string
  readonly plural: string
  readonly mount: string
  create(
    fixture: Fixture,
    name: string,
    data: Readonly<Record<string, string>>,
    namespace?: string,
  ): Promise<Json>
  volume(name: string, options?: Json): Json
}

const post = async (fixture: Fixture, kind: string, body: Json, namespace: string): Promise<Json> =>
  fixture.api.post(`/api/v1/namespaces/${namespace}/${kind}`, body)

const configMaps = {
  plural: 'configmaps',
  create: (
    fixture: Fixture,
    name: string,
    data: Readonly<Record<string, string>>,
    namespace = fixture.namespace,
  ) => post(fixture, 'configmaps', configMap(name, { data }), namespace),
}
const secrets = {
  plural: 'secrets',
  create: (
    fixture: Fixture,
    name: string,
    data: Readonly<Record<string, string>>,
    namespace = fixture.namespace,
  ) =>
    post(
      fixture,
      'secrets',
      { apiVersion: 'v1', kind: 'Secret', metadata: { name }, data: encoded(data) },
      namespace,
    ),
}

const { defaultMode: _, ...NONE }: Json = { defaultMode: 0 }
const projected =
  (source: string) =>
  (name: string, { defaultMode, ...options }: Json = NONE): Json => ({
    projected: {
      ...(defaultMode === undefined ? {} : { defaultMode }),
      sources: [{ [source]: { name, ...options } }],
    },
  })

const SOURCES: readonly Source[] = [
  {
    title: 'ConfigMap',
    mount: '/etc/configmap-volume',
    ...configMaps,
    volume: (name, options = {}) => ({ configMap: { name, ...options } }),
  },
  {
    title: 'Projected configMap',
    mount: '/etc/projected-configmap-volume',
    ...configMaps,
    volume: projected('configMap'),
  },
  {
    title: 'Secrets',
    mount: '/etc/secret-volume',
    ...secrets,
    volume: (name, options = {}) => ({ secret: { secretName: name, ...options } }),
  },
  {
    title: 'Projected secret',
    mount: '/etc/projected-secret-volume',
    ...secrets,
    volume: projected('secret'),
  },
]

const CONFORMANCE = '[Conformance] [NodeConformance]'
const LINUX = `[LinuxOnly] ${CONFORMANCE}`

/** A pod that looks at one file of the volume. */
const lookingAt = (
  fixture: Fixture,
  { mount }: Source,
  volume: Json,
  file: string,
  security: Json = {},
): Json =>
  podOf(
    fixture,
    agnhost(['mounttest', `--file_content=${mount}/${file}`, `--file_mode=${mount}/${file}`], {
      volumeMounts: [{ name: 'v', mountPath: mount, readOnly: true }],
    }),
    { spec: { volumes: [{ name: 'v', ...volume }], securityContext: security } },
  )

for (const source of SOURCES) {
  const { title, mount } = source
  const isSecret = source.plural === 'secrets'
  const inVolume = `[sig-storage] ${title} should be consumable from pods in volume`
  const content = (file: string, value: string) => `content of file "${mount}/${file}": ${value}`
  const mode = (file: string, text: string) => `mode of file "${mount}/${file}": ${text}`
  const consumed = (
    name: string,
    options: Json,
    file: string,
    expected: readonly string[],
    security: Json = {},
  ): void =>
    mirror(name, async (fixture) => {
      const of = fixture.unique('volume')
      await source.create(fixture, of, CONFIG)
      await prints(
        fixture,
        lookingAt(fixture, source, source.volume(of, options), file, security),
        ...expected,
      )
    })

  const mapped = { items: [{ key: 'data-2', path: 'path/to/data-2' }] }
  const withMode = { items: [{ key: 'data-2', path: 'path/to/data-2', mode: 0o400 }] }
  const itemMode = isSecret ? 'Item Mode' : 'Item mode'

  consumed(`${inVolume} ${CONFORMANCE}`, {}, 'data-1', [
    content('data-1', 'value-1'),
    mode('data-1', '-rw-r--r--'),
  ])
  consumed(`${inVolume} with defaultMode set ${LINUX}`, { defaultMode: 0o400 }, 'data-1', [
    content('data-1', 'value-1'),
    mode('data-1', '-r--------'),
  ])
  consumed(`${inVolume} with mappings ${CONFORMANCE}`, mapped, 'path/to/data-2', [
    content('path/to/data-2', 'value-2'),
    mode('path/to/data-2', '-rw-r--r--'),
  ])
  consumed(`${inVolume} with mappings and ${itemMode} set ${LINUX}`, withMode, 'path/to/data-2', [
    content('path/to/data-2', 'value-2'),
    mode('path/to/data-2', '-r--------'),
  ])
  if (isSecret)
    consumed(
      `${inVolume} as non-root with defaultMode and fsGroup set ${LINUX}`,
      { defaultMode: 0o440 },
      'data-1',
      [content('data-1', 'value-1'), mode('data-1', '-r--r-----')],
      { runAsUser: NON_ROOT, fsGroup: FS_GROUP },
    )
  else {
    const nonRoot = { runAsUser: NON_ROOT, runAsNonRoot: true }
    consumed(
      `${inVolume} as non-root ${CONFORMANCE}`,
      {},
      'data-1',
      [content('data-1', 'value-1')],
      nonRoot,
    )
    consumed(
      `${inVolume} with mappings as non-root ${CONFORMANCE}`,
      mapped,
      'path/to/data-2',
      [content('path/to/data-2', 'value-2')],
      nonRoot,
    )
  }

  mirror(
    `[sig-storage] ${title} should be consumable in multiple volumes in ${isSecret ? 'a' : 'the same'} pod ${CONFORMANCE}`,
    async (fixture) => {
      const of = fixture.unique('volume')
      await source.create(fixture, of, CONFIG)
      const pod = podOf(
        fixture,
        agnhost(['mounttest', '--file_content=/etc/one/data-1', '--file_mode=/etc/two/data-1'], {
          volumeMounts: ['one', 'two'].map((name) => ({
            name,
            mountPath: `/etc/${name}`,
            readOnly: true,
          })),
        }),
        { spec: { volumes: ['one', 'two'].map((name) => ({ name, ...source.volume(of) })) } },
      )
      await prints(
        fixture,
        pod,
        'content of file "/etc/one/data-1": value-1',
        'mode of file "/etc/two/data-1": -rw-r--r--',
      )
    },
  )

  mirror(
    `[sig-storage] ${title} optional updates should be reflected in volume ${CONFORMANCE}`,
    async (fixture) => {
      const { api, ns } = fixture
      const [deleted, updated, created] = ['del', 'upd', 'create'].map((word) =>
        fixture.unique(`opt-${word}`),
      ) as [string, string, string]
      await source.create(fixture, deleted, { 'data-1': 'value-1' })
      await source.create(fixture, updated, { 'data-1': 'value-1' })
      const parts = { deleted, updated, created }
      const file = { deleted: 'data-1', updated: 'data-3', created: 'data-1' }
      const pod = podOf(
        fixture,
        Object.entries(file).map(([part, name]) =>
          agnhost(
            [
              'mounttest',
              '--break_on_expected_content=false',
              '--retry_time=240',
              `--file_content_in_loop=/etc/volumes/${part}/${name}`,
            ],
            {
              name: part,
              volumeMounts: [{ name: part, mountPath: `/etc/volumes/${part}`, readOnly: true }],
            },
          ),
        ),
        {
          spec: {
            volumes: Object.entries(parts).map(([part, name]) => ({
              name: part,
              ...source.volume(name, { optional: true }),
            })),
          },
        },
      )
      const { metadata } = (await createPod(fixture, pod)) as { metadata: Json }
      const name = String(metadata['name'])
      await running(fixture, name)
      await printed(fixture, name, 'deleted', 'value-1')
      await printed(fixture, name, 'updated', 'Error reading file /etc/volumes/updated/data-3')
      await printed(fixture, name, 'created', 'Error reading file /etc/volumes/created/data-1')
      await api.delete(ns(`${source.plural}/${deleted}`))
      const data = { 'data-3': 'value-3' }
      await api.patch(
        ns(`${source.plural}/${updated}`),
        { data: { 'data-1': null, ...(isSecret ? encoded(data) : data) } },
        'merge',
      )
      await source.create(fixture, created, { 'data-1': 'value-1' })
      await printed(fixture, name, 'created', 'value-1')
      await printed(fixture, name, 'updated', 'value-3')
      await printed(fixture, name, 'deleted', 'Error reading file /etc/volumes/deleted/data-1')
    },
  )

  if (!isSecret)
    mirror(
      `[sig-storage] ${title} updates should be reflected in volume ${CONFORMANCE}`,
      async (fixture) => {
        const { api, ns } = fixture
        const of = fixture.unique('upd')
        await source.create(fixture, of, { 'data-1': 'value-1' })
        const pod = podOf(
          fixture,
          agnhost(
            [
              'mounttest',
              '--break_on_expected_content=false',
              '--retry_time=240',
              `--file_content_in_loop=${mount}/data-1`,
            ],
            { volumeMounts: [{ name: 'v', mountPath: mount, readOnly: true }] },
          ),
          { spec: { volumes: [{ name: 'v', ...source.volume(of) }] } },
        )
        const { metadata } = (await createPod(fixture, pod)) as { metadata: Json }
        await running(fixture, metadata['name'])
        await printed(fixture, metadata['name'], 'agnhost-container', 'value-1')
        await api.patch(ns(`configmaps/${of}`), { data: { 'data-1': 'value-2' } }, 'merge')
        await printed(fixture, metadata['name'], 'agnhost-container', 'value-2')
      },
    )
}

mirror(
  `[sig-storage] ConfigMap binary data should be reflected in volume ${CONFORMANCE}`,
  async (fixture) => {
    const { api, ns } = fixture
    const name = fixture.unique('binary')
    const binary = Buffer.from([0xde, 0xca, 0xfe, 0xba, 0xd0, 0xfe, 0xff])
    await api.post(
      ns('configmaps'),
      configMap(name, {
        data: { 'data-1': 'value-1' },
        binaryData: { 'dump.bin': binary.toString('base64') },
      }),
    )
    const mounts = {
      volumeMounts: [{ name: 'v', mountPath: '/etc/configmap-volume', readOnly: true }],
    }
    const pod = podOf(
      fixture,
      [
        agnhost(['mounttest', '--file_content=/etc/configmap-volume/data-1'], mounts),
        {
          ...agnhost([], mounts),
          name: 'binary',
          args: undefined,
          command: ['hexdump', '-C', '/etc/configmap-volume/dump.bin'],
        },
      ],
      { spec: { volumes: [{ name: 'v', configMap: { name } }] } },
    )
    const outputs = await outputsOf(fixture, pod)
    assert.ok(outputs['agnhost-container']?.includes('value-1'))
    assert.match(outputs['binary'] ?? '', /de ca fe ba d0 fe ff/)
  },
)

mirror(
  `[sig-storage] Secrets should be able to mount in a volume regardless of a different secret existing with same name in different namespace ${CONFORMANCE}`,
  async (fixture) => {
    const { api } = fixture
    const other = await api.post('/api/v1/namespaces', {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { generateName: 'mirror-other-' },
    })
    fixture.cleanUp(() => api.delete(`/api/v1/namespaces/${other['metadata'].name}`))
    const name = fixture.unique('same-name')
    await secrets.create(fixture, name, { 'data-1': 'another value' }, other['metadata'].name)
    await secrets.create(fixture, name, CONFIG)
    const [, , source] = SOURCES
    assert.ok(source)
    await prints(
      fixture,
      lookingAt(fixture, source, source.volume(name), 'data-1'),
      'content of file "/etc/secret-volume/data-1": value-1',
    )
  },
)

const DOWNWARD = [
  {
    title: 'Downward API volume',
    volume: (items: readonly Json[], defaultMode?: number): Json => ({
      downwardAPI: { items, ...(defaultMode === undefined ? {} : { defaultMode }) },
    }),
  },
  {
    title: 'Projected downwardAPI',
    volume: (items: readonly Json[], defaultMode?: number): Json => ({
      projected: {
        sources: [{ downwardAPI: { items } }],
        ...(defaultMode === undefined ? {} : { defaultMode }),
      },
    }),
  },
]
const field = (path: string, fieldPath: string): Json => ({ path, fieldRef: { fieldPath } })

for (const { title, volume } of DOWNWARD) {
  const of = (text: string): string => `[sig-storage] ${title} should ${text}`
  const looking = (
    fixture: Fixture,
    args: readonly string[],
    source: Json,
    more: Json = {},
    metadata: Json = {},
  ): Json =>
    podOf(
      fixture,
      agnhost(['mounttest', ...args], {
        name: 'client-container',
        volumeMounts: [{ name: 'podinfo', mountPath: '/etc/podinfo' }],
        ...more,
      }),
      { metadata, spec: { volumes: [{ name: 'podinfo', ...source }] } },
    )

  mirror(`${of('provide podname only')} ${CONFORMANCE}`, async (fixture) => {
    const name = fixture.unique('downward')
    await prints(
      fixture,
      looking(
        fixture,
        ['--file_content=/etc/podinfo/podname'],
        volume([field('podname', 'metadata.name')]),
        {},
        { name },
      ),
      `${name}\n`,
    )
  })
  mirror(`${of('set DefaultMode on files')} ${LINUX}`, async (fixture) => {
    await prints(
      fixture,
      looking(
        fixture,
        ['--file_mode=/etc/podinfo/podname'],
        volume([field('podname', 'metadata.name')], 0o400),
      ),
      'mode of file "/etc/podinfo/podname": -r--------',
    )
  })
  mirror(`${of('set mode on item file')} ${LINUX}`, async (fixture) => {
    await prints(
      fixture,
      looking(
        fixture,
        ['--file_mode=/etc/podinfo/podname'],
        volume([{ ...field('podname', 'metadata.name'), mode: 0o400 }]),
      ),
      'mode of file "/etc/podinfo/podname": -r--------',
    )
  })
  for (const [what, before, after] of [
    ['labels', 'key3="value3"', { key1: 'value1', key2: 'value2', key3: 'value3' }],
    ['annotations', 'builder="foo"', { builder: 'foo' }],
  ] as const)
    mirror(`${of(`update ${what} on modification`)} ${CONFORMANCE}`, async (fixture) => {
      const start = what === 'labels' ? { key1: 'value1', key2: 'value2' } : { builder: 'bar' }
      const pod = looking(
        fixture,
        [
          '--break_on_expected_content=false',
          '--retry_time=240',
          `--file_content_in_loop=/etc/podinfo/${what}`,
        ],
        volume([field(what, `metadata.${what}`)]),
        {},
        { name: fixture.unique('downward'), [what]: start },
      )
      const { metadata } = (await createPod(fixture, pod)) as { metadata: Json }
      const name = String(metadata['name'])
      await running(fixture, name)
      await printed(
        fixture,
        name,
        'client-container',
        what === 'labels' ? 'key1="value1"' : 'builder="bar"',
      )
      await fixture.api.patch(fixture.ns(`pods/${name}`), { metadata: { [what]: after } }, 'merge')
      await printed(fixture, name, 'client-container', before)
    })

  const resources = {
    requests: { cpu: '250m', memory: '32Mi' },
    limits: { cpu: '1250m', memory: '64Mi' },
  }
  for (const [what, resource, divisor, expected] of [
    ["container's cpu limit", 'limits.cpu', '1m', '1250'],
    ["container's memory limit", 'limits.memory', '1', '67108864'],
    ["container's cpu request", 'requests.cpu', '1m', '250'],
    ["container's memory request", 'requests.memory', '1', '33554432'],
  ] as const)
    mirror(`${of(`provide ${what}`)} ${CONFORMANCE}`, async (fixture) => {
      const item = {
        path: 'value',
        resourceFieldRef: { containerName: 'client-container', resource, divisor },
      }
      await prints(
        fixture,
        looking(fixture, ['--file_content=/etc/podinfo/value'], volume([item]), { resources }),
        `content of file "/etc/podinfo/value": ${expected}`,
      )
    })
  for (const resource of ['cpu', 'memory'] as const)
    mirror(
      `${of(`provide node allocatable (${resource}) as default ${resource} limit if the limit is not set`)} ${CONFORMANCE}`,
      async (fixture) => {
        const item = {
          path: 'value',
          resourceFieldRef: { containerName: 'client-container', resource: `limits.${resource}` },
        }
        await prints(
          fixture,
          looking(fixture, ['--file_content=/etc/podinfo/value'], volume([item])),
          /content of file "\/etc\/podinfo\/value": [1-9]/,
        )
      },
    )
}

mirror(
  '[sig-storage] Projected combined should project all components that make up the projection API [Projection] [Conformance] [NodeConformance]',
  async (fixture) => {
    const name = fixture.unique('combined')
    await configMaps.create(fixture, name, { 'configmap-data': 'configmap-value-1' })
    await secrets.create(fixture, name, { 'secret-data': 'secret-value-1' })
    const pod = podOf(
      fixture,
      {
        ...agnhost([]),
        args: undefined,
        command: [
          'sh',
          '-c',
          'cat /all/podname && cat /all/secret-data && cat /all/configmap-data',
        ],
        volumeMounts: [{ name: 'all', mountPath: '/all', readOnly: true }],
      },
      {
        metadata: { name },
        spec: {
          volumes: [
            {
              name: 'all',
              projected: {
                sources: [
                  { downwardAPI: { items: [field('podname', 'metadata.name')] } },
                  { secret: { name, items: [{ key: 'secret-data', path: 'secret-data' }] } },
                  {
                    configMap: { name, items: [{ key: 'configmap-data', path: 'configmap-data' }] },
                  },
                ],
              },
            },
          ],
        },
      },
    )
    await prints(fixture, pod, name, 'secret-value-1', 'configmap-value-1')
  },
)

/** [sig-storage] EmptyDir volumes */
import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { agnhost, createPod, podOf, prints, printed, running, shell } from '../containers.ts'
import { configMap, mirror, type Fixture } from '../mirror.ts'

const MOUNT = '/test-volume'
const NON_ROOT = 1001

const emptyDirPod = (
  fixture: Fixture,
  args: readonly string[],
  medium: string,
  user?: number,
): Json =>
  podOf(
    fixture,
    agnhost(['mounttest', ...args], { volumeMounts: [{ name: 'v', mountPath: MOUNT }] }),
    {
      spec: {
        volumes: [{ name: 'v', emptyDir: medium === 'tmpfs' ? { medium: 'Memory' } : {} }],
        ...(user === undefined ? {} : { securityContext: { runAsUser: user } }),
      },
    },
  )

const MODES: Readonly<Record<string, string>> = {
  '0644': '-rw-r--r--',
  '0666': '-rw-rw-rw-',
  '0777': '-rwxrwxrwx',
}

for (const who of ['root', 'non-root'])
  for (const [mode, shown] of Object.entries(MODES))
    for (const medium of ['tmpfs', 'default'])
      mirror(
        `[sig-storage] EmptyDir volumes should support (${who},${mode},${medium}) [LinuxOnly] [Conformance] [NodeConformance]`,
        async (fixture) => {
          const file = `${MOUNT}/test-file`
          const pod = emptyDirPod(
            fixture,
            [`--fs_type=${MOUNT}`, `--new_file_${mode}=${file}`, `--file_perm=${file}`],
            medium,
            who === 'root' ? undefined : NON_ROOT,
          )
          await prints(
            fixture,
            pod,
            `perms of file "${file}": ${shown}`,
            ...(medium === 'tmpfs' ? [`mount type of "${MOUNT}": tmpfs`] : []),
          )
        },
      )

for (const medium of ['tmpfs', 'default medium'])
  mirror(
    `[sig-storage] EmptyDir volumes volume on ${medium} should have the correct mode [LinuxOnly] [Conformance] [NodeConformance]`,
    async (fixture) => {
      const pod = emptyDirPod(fixture, [`--fs_type=${MOUNT}`, `--file_perm=${MOUNT}`], medium)
      await prints(
        fixture,
        pod,
        `perms of file "${MOUNT}": -rwxrwxrwx`,
        ...(medium === 'tmpfs' ? [`mount type of "${MOUNT}": tmpfs`] : []),
      )
    },
  )

mirror(
  '[sig-storage] EmptyDir volumes pod should support shared volumes between containers [Conformance]',
  async (fixture) => {
    const volumeMounts = [{ name: 'shared-data', mountPath: '/usr/share/volumeshare' }]
    const pod = podOf(
      fixture,
      [
        shell(
          'while true; do cat /usr/share/volumeshare/shareddata.txt 2>/dev/null; sleep 1; done',
          {
            name: 'main',
            volumeMounts,
          },
        ),
        shell(
          'echo "Hello from the busy-box sub-container" > /usr/share/volumeshare/shareddata.txt; sleep 600',
          {
            name: 'sub',
            volumeMounts,
          },
        ),
      ],
      { spec: { volumes: [{ name: 'shared-data', emptyDir: {} }] } },
    )
    const { metadata } = (await createPod(fixture, pod)) as { metadata: Json }
    await running(fixture, metadata['name'])
    await printed(fixture, metadata['name'], 'main', 'Hello from the busy-box sub-container')
  },
)

mirror(
  '[sig-storage] EmptyDir wrapper volumes should not conflict [Conformance]',
  async (fixture) => {
    const { api, ns } = fixture
    const name = fixture.unique('wrapper')
    await api.post(ns('secrets'), {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name },
      data: { 'data-1': Buffer.from('value-1\n').toString('base64') },
    })
    await api.post(ns('configmaps'), configMap(name, { data: { 'data-1': 'value-1' } }))
    const pod = podOf(
      fixture,
      agnhost(['pause'], {
        volumeMounts: [
          { name: 'secret', mountPath: '/etc/secret-volume', readOnly: true },
          { name: 'config', mountPath: '/etc/configmap-volume' },
        ],
      }),
      {
        spec: {
          volumes: [
            { name: 'secret', secret: { secretName: name } },
            { name: 'config', configMap: { name } },
          ],
        },
      },
    )
    const created = await createPod(fixture, pod)
    await running(fixture, created['metadata'].name)
  },
)

mirror(
  '[sig-storage] EmptyDir wrapper volumes should not cause race condition when used for configmaps [Conformance] [Serial]',
  async (fixture) => {
    const { api, ns } = fixture
    const maps = Array.from({ length: 50 }, (_, i) => `racey-configmap-${i}`)
    for (const name of maps)
      await api.post(ns('configmaps'), configMap(name, { data: { 'data-1': 'value-1' } }))
    for (let round = 0; round < 3; round++) {
      const pods = await Promise.all(
        Array.from({ length: 5 }, () =>
          createPod(
            fixture,
            podOf(
              fixture,
              shell('sleep 10000', {
                volumeMounts: maps.map((name, i) => ({
                  name: `v-${i}`,
                  mountPath: `/etc/${name}`,
                })),
              }),
              {
                spec: {
                  volumes: maps.map((name, i) => ({
                    name: `v-${i}`,
                    configMap: { name, items: [{ key: 'data-1', path: 'data-1' }] },
                  })),
                },
              },
            ),
          ),
        ),
      )
      for (const { metadata } of pods as { metadata: Json }[])
        await running(fixture, metadata['name'])
      for (const { metadata } of pods as { metadata: Json }[])
        await api.delete(ns(`pods/${metadata['name']}`), undefined, { gracePeriodSeconds: 0 })
    }
    assert.equal((await api.get(ns('configmaps')))['items'].length, 51)
  },
)

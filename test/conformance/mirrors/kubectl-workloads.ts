/** kubectl with controllers whose pods really run. */
import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { needsContainers } from '../containers.ts'
import { kubectl } from '../kubectl.ts'
import { mirror, type Fixture } from '../mirror.ts'
import { AGNHOST, NAUTILUS, readyPods, replicationController } from '../support.ts'

const DEMO = JSON.stringify(
  replicationController('update-demo-nautilus', {
    replicas: 2,
    labels: { name: 'update-demo', version: 'nautilus' },
    container: {
      name: 'update-demo',
      image: NAUTILUS,
      ports: [{ containerPort: 80, protocol: 'TCP' }],
    },
  }),
)

/** So many pods, as kubectl prints them, each running the image and showing its picture. */
const shows = async (fixture: Fixture, replicas: number): Promise<void> => {
  const { api, ns, until } = fixture
  await until(
    `${replicas} pods show the picture`,
    async () => {
      const listed = await kubectl(fixture, [
        'get',
        'pods',
        '-o',
        'template',
        '--template={{range.items}}{{.metadata.name}} {{end}}',
        '-l',
        'name=update-demo',
      ])
      const found = listed.trim().split(' ').filter(Boolean)
      if (found.length !== replicas) return false
      for (const name of found) {
        const runs = await kubectl(fixture, [
          'get',
          'pods',
          name,
          '-o',
          'template',
          '--template={{if (exists . "status" "containerStatuses")}}{{range .status.containerStatuses}}{{if (and (eq .name "update-demo") (exists . "state" "running"))}}true{{end}}{{end}}{{end}}',
        ])
        if (runs !== 'true') return false
        const image = await kubectl(fixture, [
          'get',
          'pods',
          name,
          '-o',
          'template',
          '--template={{if (exists . "spec" "containers")}}{{range .spec.containers}}{{if eq .name "update-demo"}}{{.image}}{{end}}{{end}}{{end}}',
        ])
        assert.equal(image, NAUTILUS)
        const answer = await api.call('GET', ns(`pods/${name}/proxy/data.json`))
        if (answer.json['image'] !== 'nautilus.jpg') return false
      }
      return true
    },
    300_000,
  )
}

mirror(
  '[sig-cli] Kubectl client Update Demo should create and stop a replication controller [Conformance]',
  async (fixture) => {
    await needsContainers(fixture)
    await kubectl(fixture, ['create', '-f', '-'], DEMO)
    await shows(fixture, 2)
    await kubectl(fixture, ['delete', '--grace-period=0', '--force', '-f', '-'], DEMO)
    await fixture.until(
      'nothing is left',
      async () =>
        (
          await kubectl(fixture, ['get', 'rc,svc', '-l', 'name=update-demo', '--no-headers'])
        ).trim() === '' &&
        (
          await kubectl(fixture, ['get', 'pods', '-l', 'name=update-demo', '--no-headers'])
        ).trim() === '',
    )
  },
)

mirror(
  '[sig-cli] Kubectl client Update Demo should scale a replication controller [Conformance]',
  async (fixture) => {
    await needsContainers(fixture)
    await kubectl(fixture, ['create', '-f', '-'], DEMO)
    await shows(fixture, 2)
    for (const replicas of [1, 2]) {
      await kubectl(fixture, [
        'scale',
        'rc',
        'update-demo-nautilus',
        `--replicas=${replicas}`,
        '--timeout=5m',
      ])
      await shows(fixture, replicas)
    }
  },
)

mirror(
  '[sig-cli] Kubectl client Kubectl expose should create services for rc [Conformance]',
  async (fixture) => {
    const { api, ns, until } = fixture
    await needsContainers(fixture)
    const made = replicationController('agnhost-primary', {
      labels: { app: 'agnhost', role: 'primary' },
      container: {
        name: 'agnhost-primary',
        image: AGNHOST,
        args: ['guestbook', '--http-port', '6379'],
        ports: [{ name: 'agnhost-server', containerPort: 6379 }],
      },
    })
    await kubectl(fixture, ['create', '-f', '-'], JSON.stringify(made))
    const [primary] = await readyPods(fixture, 'app=agnhost', 1)
    const leads = async (name: string, port: number): Promise<void> => {
      await until(`${name} leads to the pod`, async () => {
        const answer = await api.call('GET', ns(`endpoints/${name}`))
        const [subset] = answer.json['subsets'] ?? []
        return (
          subset?.addresses?.[0]?.targetRef?.uid === primary?.['metadata'].uid &&
          subset.ports[0].port === 6379
        )
      })
      const { spec } = await api.get(ns(`services/${name}`))
      assert.deepEqual(
        spec.ports.map((p: Json) => [p['port'], p['targetPort']]),
        [[port, 6379]],
      )
    }
    await kubectl(fixture, [
      'expose',
      'rc',
      'agnhost-primary',
      '--name=rm2',
      '--port=1234',
      '--target-port=6379',
    ])
    await leads('rm2', 1234)
    await kubectl(fixture, [
      'expose',
      'service',
      'rm2',
      '--name=rm3',
      '--port=2345',
      '--target-port=6379',
    ])
    await leads('rm3', 2345)
  },
)

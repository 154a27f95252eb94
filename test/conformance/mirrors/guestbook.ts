/** [sig-cli] An application of three parts that find each other by their names, made and removed with kubectl. */
import { needsContainers } from '../containers.ts'
import { kubectl } from '../kubectl.ts'
import { mirror } from '../mirror.ts'
import { deployment, readyPods, service } from '../support.ts'

const requests = { cpu: '100m', memory: '100Mi' }

const part = (
  name: string,
  labels: Readonly<Record<string, string>>,
  replicas: number,
  args: readonly string[],
  port: number,
): readonly object[] => [
  service(name, { ports: [{ port }], selector: labels }, { labels }),
  deployment(name, {
    replicas,
    labels,
    container: {
      name,
      args: ['guestbook', ...args],
      resources: { requests },
      ports: [{ containerPort: port }],
    },
  }),
]

const FRONTEND = { app: 'guestbook', tier: 'frontend' }
const PRIMARY = { app: 'agnhost', role: 'primary', tier: 'backend' }
const REPLICA = { app: 'agnhost', role: 'replica', tier: 'backend' }

const GUESTBOOK = [
  ...part(
    'agnhost-replica',
    REPLICA,
    2,
    ['--replicaof', 'agnhost-primary', '--http-port', '6379'],
    6379,
  ),
  ...part('agnhost-primary', PRIMARY, 1, ['--http-port', '6379'], 6379),
  ...part('frontend', FRONTEND, 3, ['--backend-port', '6379'], 80),
]
  .map((object) => JSON.stringify(object))
  .join('\n---\n')

mirror(
  '[sig-cli] Kubectl client Guestbook application should create and stop a working application [Conformance]',
  async (fixture) => {
    await needsContainers(fixture)
    const { api, ns, until } = fixture
    await kubectl(fixture, ['create', '-f', '-'], GUESTBOOK)
    const selector = (labels: Readonly<Record<string, string>>): string =>
      Object.entries(labels)
        .map(([key, value]) => `${key}=${value}`)
        .join(',')
    await readyPods(fixture, selector(FRONTEND), 3)
    await readyPods(fixture, selector(PRIMARY), 1)
    await readyPods(fixture, selector(REPLICA), 2)
    const answers = (cmd: string, value: string, expected: string): Promise<boolean> =>
      until(
        `${cmd} answers ${expected}`,
        async () => {
          const answer = await api.call('GET', ns('services/frontend/proxy/guestbook'), {
            query: { cmd, key: 'messages', value },
          })
          return answer.status === 200 && answer.json['data'] === expected
        },
        180_000,
      )
    await answers('get', '', '')
    await answers('set', 'TestEntry', 'Updated')
    await answers('get', '', 'TestEntry')
    await kubectl(fixture, ['delete', '--grace-period=0', '--force', '-f', '-'], GUESTBOOK)
    await until(
      'nothing is left',
      async () => {
        for (const labels of [FRONTEND, PRIMARY, REPLICA]) {
          const left = await kubectl(fixture, [
            'get',
            'deployments,services,pods',
            '-l',
            selector(labels),
            '--no-headers',
          ])
          if (left.trim() !== '') return false
        }
        return true
      },
      300_000,
    )
  },
)

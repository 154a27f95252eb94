/** Logs where collectors look for them, on a machine that is two nodes. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, realpathSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { canRunContainers, eventually, startCluster, type TestCluster } from '../support/navarch.ts'

const IMAGE = 'navarch.local/demo:v1'
const PODS = '/var/log/pods'
const LINKS = '/var/log/containers'

/** A collector as its charts have it: it sees `/var/log` of its node and reads what the links lead to. */
const COLLECTOR = `
apiVersion: apps/v1
kind: DaemonSet
metadata: { name: collector }
spec:
  selector: { matchLabels: { app: collector } }
  template:
    metadata: { labels: { app: collector } }
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: collector
          image: ${IMAGE}
          securityContext: { runAsUser: 0 }
          command: [sh, -c, "echo collecting; exec sleep 1000000"]
          volumeMounts: [{ name: logs, mountPath: /var/log, readOnly: true }]
      volumes: [{ name: logs, hostPath: { path: /var/log } }]
`
const pod = (name: string, node: string, script: string): string => `
apiVersion: v1
kind: Pod
metadata: { name: ${name} }
spec:
  nodeName: ${node}
  terminationGracePeriodSeconds: 0
  containers: [{ name: c, image: ${IMAGE}, command: [sh, -c, ${JSON.stringify(script)}] }]
`

const namesIn = (folder: string): readonly string[] =>
  existsSync(folder) ? readdirSync(folder).toSorted() : []

describe(
  'logs of pods on the machine',
  { skip: canRunContainers ? false : 'needs Linux, root and containerd' },
  () => {
    let cluster: TestCluster
    let kubectl: TestCluster['kubectl']
    let nodes: readonly string[]
    const before_ = { pods: namesIn(PODS), links: namesIn(LINKS), had: existsSync(PODS) }

    before(async () => {
      cluster = await startCluster([
        '--nodes=2',
        '--pod-cidr=10.242.0.0/16',
        '--service-cidr=10.114.0.0/16',
      ])
      kubectl = cluster.kubectl
      cluster.navarch(['image', 'build', '--demo', `--tag=${IMAGE}`])
      nodes = kubectl(['get', 'nodes', '-o', 'name'])
        .stdout.trim()
        .split('\n')
        .map((line) => line.replace('node/', ''))
      kubectl('apply -f -', { input: COLLECTOR })
      kubectl('rollout status daemonset/collector --timeout=60s')
    })
    after(() => cluster?.stop())

    const collect = (node: string, script: string): string => {
      const [collector = ''] = kubectl([
        'get',
        'pods',
        '-l',
        'app=collector',
        '--field-selector',
        `spec.nodeName=${node}`,
        '-o',
        'jsonpath={.items[*].metadata.name}',
      ]).stdout.split(' ')
      return kubectl(['exec', collector, '--', 'sh', '-c', script]).stdout
    }

    test('a collector of each node finds the logs of its node, and no others', async () => {
      for (const [i, node] of nodes.entries())
        kubectl('apply -f -', {
          input: pod(`talker-${i}`, node, `echo I am ${i}; exec sleep 1000000`),
        })
      for (const [i, node] of nodes.entries()) {
        kubectl(`wait --for=condition=Ready pod/talker-${i} --timeout=60s`)
        const lines = (): string => collect(node, `cat ${LINKS}/talker-*_default_c-*.log`)
        await eventually('the line is there', () => lines().includes('stdout F I am'))
        assert.match(lines(), new RegExp(`^\\S+ stdout F I am ${i}\n$`))
        const files = collect(node, `ls ${PODS}/`).trim().split('\n')
        assert.equal(files.filter((name) => name.startsWith('default_talker-')).length, 1)
      }
    })

    test('a container that crashes leaves the log of its last attempt, and older ones go', async () => {
      const [first = ''] = nodes
      kubectl('apply -f -', { input: pod('crasher', first, 'echo attempt $HOSTNAME; exit 1') })
      const restarts = (): number =>
        Number(
          kubectl([
            'get',
            'pod',
            'crasher',
            '-o',
            'jsonpath={.status.containerStatuses[0].restartCount}',
          ]).stdout,
        )
      await eventually('it has crashed twice', () => restarts() >= 2, 60_000)
      assert.match(kubectl('logs --previous crasher').stdout, /attempt/)
      const found = collect(first, `ls ${PODS}/default_crasher_*/c; ls ${LINKS} | grep crasher`)
      const files = found.split('\n').filter((name) => /^\d+\.log$/.test(name))
      assert.ok(files.length >= 1 && files.length <= 2 && !files.includes('0.log'), found)
      kubectl('delete pod crasher --now')
      await eventually(
        'its links are gone',
        () => !collect(first, `ls ${LINKS}`).includes('crasher'),
      )
    })

    test('the machine has the logs of its first node’s pods, and nothing of them afterwards', () => {
      const own = namesIn(PODS).filter((name) => !before_.pods.includes(name))
      assert.ok(own.some((name) => name.startsWith('default_talker-0_')))
      assert.ok(!own.some((name) => name.startsWith('default_talker-1_')))
      const link = namesIn(LINKS).find((name) => name.startsWith('talker-0_default_c-'))
      assert.ok(link !== undefined && /-[0-9a-f]{64}\.log$/.test(link))
      assert.match(
        realpathSync(`${LINKS}/${link}`),
        /^\/var\/log\/pods\/default_talker-0_.*\/c\/0\.log$/,
      )
      const lists = kubectl(['get', '--raw', `/api/v1/nodes/${nodes[0]}/proxy/logs/containers/`])
      assert.match(lists.stdout, /talker-0_default_c-/)
      cluster.stop()
      assert.deepEqual(namesIn(PODS), before_.pods)
      assert.deepEqual(namesIn(LINKS), before_.links)
      assert.equal(existsSync(PODS), before_.had)
    })
  },
)

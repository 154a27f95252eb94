/** The real helm: install, upgrade, rollback and uninstall of a chart made here, with a hook. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { canRunContainers, startCluster, type TestCluster } from '../support/navarch.ts'
import { helmPath } from '../support/tools.ts'

const CHART = `apiVersion: v2
name: shop
version: 0.1.0
`
const WORKLOAD = `apiVersion: apps/v1
kind: Deployment
metadata: { name: {{ .Release.Name }} }
spec:
  replicas: {{ .Values.replicas }}
  selector: { matchLabels: { app: {{ .Release.Name }} } }
  template:
    metadata: { labels: { app: {{ .Release.Name }} } }
    spec: { containers: [{ name: web, image: "navarch.local/demo:v1", ports: [{ containerPort: 8080 }] }] }
---
apiVersion: v1
kind: Service
metadata: { name: {{ .Release.Name }} }
spec: { selector: { app: {{ .Release.Name }} }, ports: [{ port: 80, targetPort: 8080 }] }
`
const HOOK = `apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .Release.Name }}-before
  annotations: { helm.sh/hook: pre-install, helm.sh/hook-delete-policy: before-hook-creation }
spec:
  template:
    spec: { restartPolicy: Never, containers: [{ name: main, image: "navarch.local/demo:v1", command: [sh, -c, "echo prepared"] }] }
`

describe('helm', { skip: canRunContainers ? false : 'needs Linux, root and containerd' }, () => {
  let cluster: TestCluster
  let chart: string
  const helm = (...words: string[]): string => {
    const ran = spawnSync(helmPath(), words, {
      encoding: 'utf8',
      timeout: 90_000,
      env: {
        ...process.env,
        KUBECONFIG: cluster.kubeconfig,
        HELM_CACHE_HOME: join(cluster.dataDir, 'helm'),
      },
    })
    assert.equal(ran.status, 0, ran.stderr + ran.stdout)
    return ran.stdout
  }
  const replicas = (): string =>
    cluster.kubectl('get deployment shop -o jsonpath={.status.readyReplicas}').stdout

  before(async () => {
    cluster = await startCluster()
    cluster.navarch(['image', 'build', '--demo', '--tag=navarch.local/demo:v1'])
    chart = join(cluster.dataDir, 'chart')
    mkdirSync(join(chart, 'templates'), { recursive: true })
    writeFileSync(join(chart, 'Chart.yaml'), CHART)
    writeFileSync(join(chart, 'values.yaml'), 'replicas: 1\n')
    writeFileSync(join(chart, 'templates', 'workload.yaml'), WORKLOAD)
    writeFileSync(join(chart, 'templates', 'hook.yaml'), HOOK)
  })
  after(() => cluster?.stop())

  test('a chart is installed after its hook, upgraded, rolled back and removed', () => {
    helm('install', 'shop', chart, '--wait', '--timeout=60s')
    assert.match(cluster.kubectl('logs job/shop-before').stdout, /prepared/)
    assert.equal(replicas(), '1')
    helm('upgrade', 'shop', chart, '--set=replicas=2', '--wait', '--timeout=60s')
    assert.equal(replicas(), '2')
    helm('rollback', 'shop', '1', '--wait', '--timeout=60s')
    assert.equal(replicas(), '1')
    assert.match(helm('history', 'shop'), /3\s+.*deployed/)
    helm('uninstall', 'shop', '--wait', '--timeout=60s')
    assert.match(cluster.kubectl('get deployment shop', { mayFail: true }).stderr, /NotFound/)
  })
})

/** The real helm on simulated nodes: definitions in crds/, every hook, tests, waiting, and going back by itself. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { startCluster, type TestCluster } from '../support/navarch.ts'
import { talk, type Talk } from '../support/talk.ts'
import { helmPath } from '../support/tools.ts'

const HOOKS = [
  'pre-install',
  'post-install',
  'pre-upgrade',
  'post-upgrade',
  'pre-rollback',
  'post-rollback',
  'pre-delete',
  'post-delete',
]

const CHART: Readonly<Record<string, string>> = {
  'Chart.yaml': 'apiVersion: v2\nname: store\nversion: 0.1.0\nkubeVersion: ">=1.30.0-0"\n',
  'values.yaml': 'replicas: 1\nlost: false\nfound: nothing\n',
  'crds/shelf.yaml': `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: shelves.store.example.com }
spec:
  group: store.example.com
  scope: Namespaced
  names: { plural: shelves, singular: shelf, kind: Shelf }
  versions:
    - name: v1
      served: true
      storage: true
      schema: { openAPIV3Schema: { type: object, properties: { spec: { type: object, properties: { size: { type: integer } } } } } }
`,
  'templates/all.yaml': `apiVersion: apps/v1
kind: Deployment
metadata: { name: {{ .Release.Name }} }
spec:
  replicas: {{ .Values.replicas }}
  selector: { matchLabels: { app: {{ .Release.Name }} } }
  template:
    metadata: { labels: { app: {{ .Release.Name }} } }
    spec:
      {{- if .Values.lost }}
      nodeSelector: { no: where }
      {{- end }}
      containers: [{ name: web, image: "web:{{ .Values.replicas }}" }]
---
apiVersion: v1
kind: Service
metadata: { name: {{ .Release.Name }} }
spec: { selector: { app: {{ .Release.Name }} }, ports: [{ port: 80 }] }
---
apiVersion: store.example.com/v1
kind: Shelf
metadata: { name: {{ .Release.Name }} }
spec: { size: {{ .Values.replicas }} }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: {{ .Release.Name }}-seen }
data:
  found: {{ (lookup "v1" "Namespace" "" "default").metadata.name | default "nothing" | quote }}
  shelves: {{ .Capabilities.APIVersions.Has "store.example.com/v1/Shelf" | quote }}
  version: {{ .Capabilities.KubeVersion.Minor | quote }}
`,
  'templates/test.yaml': `apiVersion: v1
kind: Pod
metadata:
  name: {{ .Release.Name }}-test
  annotations: { helm.sh/hook: test, helm.sh/hook-delete-policy: before-hook-creation, simulation.navarch.dev/run-seconds: "0", simulation.navarch.dev/output: well }
spec: { restartPolicy: Never, containers: [{ name: t, image: tester }] }
`,
  'templates/job.yaml': `apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .Release.Name }}-prepare
  annotations: { helm.sh/hook: "pre-install,pre-upgrade", helm.sh/hook-weight: "-5", helm.sh/hook-delete-policy: "before-hook-creation,hook-succeeded" }
spec:
  template:
    metadata: { annotations: { simulation.navarch.dev/run-seconds: "0" } }
    spec: { restartPolicy: Never, containers: [{ name: t, image: preparer }] }
`,
  ...Object.fromEntries(
    HOOKS.map((hook) => [
      `templates/${hook}.yaml`,
      `apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-${hook}
  annotations: { helm.sh/hook: ${hook}, helm.sh/hook-delete-policy: before-hook-creation }
`,
    ]),
  ),
}

describe('helm charts', () => {
  let cluster: TestCluster
  let chart: string
  let k: Talk
  const run = (words: readonly string[]) =>
    spawnSync(helmPath(), [...words, '--namespace=shop'], {
      encoding: 'utf8',
      timeout: 60_000,
      env: {
        ...process.env,
        KUBECONFIG: cluster.kubeconfig,
        HELM_CACHE_HOME: join(cluster.dataDir, 'helm'),
      },
    })
  const helm = (...words: string[]): string => {
    const ran = run(words)
    assert.equal(ran.status, 0, ran.stderr + ran.stdout)
    return ran.stdout
  }
  const refused = (...words: string[]): string => {
    const ran = run(words)
    assert.notEqual(ran.status, 0, ran.stdout)
    return ran.stderr
  }
  const wait = ['--wait', '--timeout=30s']

  before(async () => {
    cluster = await startCluster(['--runtime=simulated'])
    k = talk(cluster, { namespace: 'shop' })
    k`create namespace shop`
    chart = join(cluster.dataDir, 'chart')
    for (const [name, text] of Object.entries(CHART)) {
      mkdirSync(dirname(join(chart, name)), { recursive: true })
      writeFileSync(join(chart, name), text)
    }
  })
  after(() => cluster?.stop())

  test('an install brings its definitions, runs its hooks, and sees the cluster', () => {
    assert.match(
      refused('install', 'store', chart, '--dry-run=server'),
      /no matches for kind "Shelf" in version "store.example.com\/v1"/,
    )
    assert.match(helm('install', 'store', chart, ...wait), /STATUS: deployed/)
    assert.equal(k`get shelf store -o jsonpath={.spec.size}`, '1')
    assert.equal(
      k`get cm store-seen -o jsonpath={.data}`,
      '{"found":"default","shelves":"true","version":"36"}',
    )
    assert.match(k`get cm -o name`, /store-post-install\nconfigmap\/store-pre-install/)
    assert.match(k.fails`get job store-prepare`, /not found/)
    assert.equal(k`get deployment store -o jsonpath={.status.readyReplicas}`, '1')
    assert.match(helm('status', 'store'), /==> v1\/Deployment\nNAME +READY +UP-TO-DATE/)
  })

  test('its test is a pod that ends well', () => {
    const said = helm('test', 'store', '--logs', '--timeout=30s')
    assert.match(said, /Phase: +Succeeded[^]*POD LOGS: store-test\nwell/)
  })

  test('an upgrade changes what is different, and a dry run nothing', () => {
    assert.match(
      helm('upgrade', 'store', chart, '--set=replicas=2', '--dry-run=server'),
      /Dry run complete/,
    )
    assert.equal(k`get shelf store -o jsonpath={.spec.size}`, '1')
    helm('upgrade', 'store', chart, '--set=replicas=2', ...wait)
    assert.equal(k`get deployment store -o jsonpath={.status.readyReplicas}`, '2')
    assert.match(k`get cm -o name`, /store-post-upgrade[^]*store-pre-upgrade/)
    helm(
      'upgrade',
      '--install',
      'store',
      chart,
      '--set=replicas=3',
      '--server-side=true',
      '--force-conflicts',
    )
    assert.equal(k`get shelf store -o jsonpath={.spec.size}`, '3')
  })

  test('what somebody else took over is a conflict, until it is forced', () => {
    k.given(
      '{apiVersion: store.example.com/v1, kind: Shelf, metadata: {name: store}, spec: {size: 9}}',
    )`
      apply --server-side --force-conflicts --field-manager=person -f -`
    assert.match(
      refused('upgrade', 'store', chart, '--set=replicas=2'),
      /conflict with "person".*: \.spec\.size/,
    )
    helm('upgrade', 'store', chart, '--set=replicas=2', '--force-conflicts')
    assert.equal(k`get shelf store -o jsonpath={.spec.size}`, '2')
  })

  test('an upgrade that fails goes back by itself, and any upgrade by hand', () => {
    assert.match(
      refused(
        'upgrade',
        'store',
        chart,
        '--set=lost=true',
        '--rollback-on-failure',
        '--timeout=6s',
      ),
      /has been rolled back due to rollback-on-failure being set/,
    )
    assert.equal(k`get deployment store -o jsonpath={.spec.template.spec.nodeSelector}`, '')
    helm('rollback', 'store', '1', ...wait)
    assert.equal(k`get shelf store -o jsonpath={.spec.size}`, '1')
    assert.match(k`get cm -o name`, /store-post-rollback[^]*store-pre-rollback/)
    assert.match(helm('history', 'store'), /Rollback to 1/)
  })

  test('an uninstall leaves its definitions and its last hooks', () => {
    helm('uninstall', 'store', '--wait', '--cascade=foreground', '--timeout=30s')
    assert.equal(k`get deployments,replicasets,services,shelves -o name`, '')
    assert.match(k`get cm -o name`, /store-post-delete[^]*store-pre-delete/)
    assert.match(k`get crd shelves.store.example.com -o name`, /shelves/)
    assert.equal(helm('list', '-q'), '')
    assert.match(
      refused(
        'install',
        'store',
        chart,
        '--set=lost=true',
        '--rollback-on-failure',
        '--timeout=6s',
      ),
      /has been uninstalled due to rollback-on-failure being set/,
    )
    assert.equal(helm('list', '-q'), '')
  })
})

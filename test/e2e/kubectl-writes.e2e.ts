/** The real kubectl and changes: patch, replace, edit, apply of both kinds, diff and prune. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { startCluster, type TestCluster } from '../support/navarch.ts'
import { talk, withFiles, type Talk } from '../support/talk.ts'

const config = (name: string, data: string, labels = '{ app: x }'): string => `
apiVersion: v1
kind: ConfigMap
metadata: { name: ${name}, labels: ${labels} }
data: ${data}
`
const workload = (more: string, volume: string): string => `
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, labels: { app: x } }
spec:
  selector: { matchLabels: { app: web } }
${more}
  template:
    metadata: { labels: { app: web } }
    spec:
      containers: [{ name: c, image: nginx, ports: [{ containerPort: 80 }] }]
      volumes: [{ name: v, ${volume} }]
`

describe('kubectl and changes', () => {
  let cluster: TestCluster
  let k: Talk

  before(async () => {
    cluster = await startCluster(['--runtime=simulated'])
    k = talk(cluster, { namespace: 'shop' })
    k`create namespace shop`
    k`run web --image=nginx --labels=name=web`
    k`wait pod/web --for=condition=Ready --timeout=20s`
  })
  after(() => cluster?.stop())

  const image = (): string => k`get pod web -o jsonpath={.spec.containers[0].image}`
  const managers = (what: string): string =>
    k`get ${what} --show-managed-fields -o jsonpath={.metadata.managedFields[*].manager}`

  test('a patch is strategic, merge or JSON, in YAML too, or refused', () => {
    const patch = '{"spec":{"containers":[{"name":"web","image":"nginx:2"}]}}'
    assert.equal(k`patch pod web -p ${patch} --dry-run=server`, 'pod/web patched')
    assert.equal(image(), 'nginx')
    assert.equal(k`patch pod web -p ${patch}`, 'pod/web patched')
    assert.equal(image(), 'nginx:2')
    assert.equal(k`patch pod web -p ${patch}`, 'pod/web patched (no change)')
    k`patch pod web --type=json -p ${'[{"op":"replace","path":"/spec/containers/0/image","value":"nginx:3"}]'}`
    assert.equal(image(), 'nginx:3')
    k`patch pod web -p ${'spec:\n  containers:\n  - name: web\n    image: nginx:4\n'}`
    assert.equal(image(), 'nginx:4')
    k`patch pod web --type=merge -p ${'{"metadata":{"annotations":{"a":"b"}}}'}`
    assert.equal(k`get pod web -o jsonpath={.metadata.annotations}`, '{"a":"b"}')
    assert.match(managers('pod/web'), /kubectl-patch/)
    assert.match(
      k.fails`patch pod web -p ${'{"metadata":{"resourceVersion":"1"}}'}`,
      /^Error from server \(Conflict\): Operation cannot be fulfilled on pods "web": the object has been modified; please apply your changes to the latest version and try again$/,
    )
    assert.match(
      k.fails`patch pod web -p ${'{"spec":{"nodeName":"other"}}'}`,
      /^The Pod "web" is invalid: spec: Forbidden: pod updates may not change fields other than/,
    )
    assert.match(
      k.fails`patch pod web -p ${'{"metadata":{"name":"other"}}'}`,
      /the name of the object \(other\) does not match the name on the URL \(web\)/,
    )
    assert.match(
      k.fails`patch pod web -p ${'{"spec":{"containers":[{"image":"x"}]}}'}`,
      /does not contain declared merge key: name/,
    )
    assert.match(k.fails`patch pod web -p ${'{"metadata":{"labels":"text"}}'}`, /labels|map/)
    assert.equal(
      k.runs`patch pod web -p ${'{"spec":{"containers":[{"name":"web","imag":"x"}]}}'}`.stderr,
      'Warning: unknown field "spec.containers[0].imag"\n',
    )
  })

  test('subresources are patched by themselves', () => {
    assert.equal(
      k`patch pod web --subresource=status -p ${'{"status":{"message":"hello"}}'}`,
      'pod/web patched',
    )
    assert.equal(k`get pod web -o jsonpath={.status.message}`, 'hello')
    k`create deployment sized --image=x`
    assert.equal(
      k`patch deployment sized --subresource=scale --type=merge -p ${'{"spec":{"replicas":2}}'}`,
      'scale.autoscaling/sized patched',
    )
    assert.equal(k`get deployment sized -o jsonpath={.spec.replicas}`, '2')
    k`delete deployment sized`
  })

  test('replace wants what was read, or force', () => {
    const read = k`get pod web -o json`
    assert.equal(k.given(read.replace('nginx:4', 'nginx:5'))`replace -f -`, 'pod/web replaced')
    assert.match(
      k.given(read).fails`replace -f -`,
      /\(Conflict\): error when replacing "STDIN": Operation cannot be fulfilled/,
    )
    const renamed = k`get pod web -o json`.replaceAll('"name": "web"', '"name": "new"')
    assert.match(k.given(renamed).fails`replace -f -`, /pods "new" not found/)
    const other = k`get pod web -o json`.replace('"image": "nginx:5"', '"image": "nginx:6"')
    assert.equal(
      k.given(other)`replace --force --grace-period=0 -f -`,
      'pod "web" deleted from shop namespace\npod/web replaced',
    )
    assert.match(managers('pod/web'), /kubectl-replace/)
    const role =
      '{"kind":"ClusterRole","apiVersion":"rbac.authorization.k8s.io/v1","metadata":{"name":"r9","resourceVersion":"0"},"rules":[]}'
    k.given(role.replace(',"resourceVersion":"0"', ''))`create -f -`
    for (const flag of ['--dry-run=server', '--dry-run=none'])
      assert.match(k.given(role)`replace -f - ${flag}`, /r9 replaced/)
  })

  test('an editor changes what it is given, and nothing is no change', () => {
    withFiles({ 'edit.sh': '#!/bin/sh\nsed -i s/nginx:6/nginx:7/ "$1"\n' }, (folder) => {
      const editing = k.env({ EDITOR: `${folder}/edit.sh` })
      assert.match(
        editing`edit pod/web --output-patch`,
        /^Patch: \{"spec".*nginx:7[^]*pod\/web edited$/,
      )
      assert.equal(image(), 'nginx:7')
      assert.match(managers('pod/web'), /kubectl-edit/)
    })
    const looking = k.env({ EDITOR: 'cat' })
    assert.match(looking`edit pod/web`, /name: web[^]*Edit cancelled, no changes made\.|name: web/)
    assert.match(looking.runs`edit ns`.stdout, /kind: List/)
    assert.match(looking.given(config('c', '{}')).runs`create --edit -f -`.stderr, /Edit cancelled/)
    withFiles({ 'edit.sh': '#!/bin/sh\nsed -i s/mock/modified/g "$1"\n' }, (folder) => {
      k.env({ EDITOR: `${folder}/edit.sh` }).given(config('mock', '{}'))`create --edit -f -`
      assert.equal(k`get cm modified -o name`, 'configmap/modified')
    })
  })

  test('apply makes, changes, and takes back only what it gave', () => {
    const first = config('app', '{ a: "1", b: "2" }')
    assert.equal(
      k.given(first)`apply -f - --dry-run=server`,
      'configmap/app created (server dry run)',
    )
    assert.equal(k.given(first)`apply -f -`, 'configmap/app created')
    assert.equal(k.given(first)`apply -f -`, 'configmap/app unchanged')
    k`patch cm app --type=merge -p ${'{"data":{"c":"3"}}'}`
    const second = config('app', '{ a: "9" }')
    const difference = k.given(second).runs`diff -f -`
    assert.equal(difference.code, 1)
    assert.match(difference.stdout, /^-  a: "1"\n-  b: "2"\n\+  a: "9"$/m)
    assert.equal(k.given(second)`apply -f -`, 'configmap/app configured')
    assert.equal(k`get cm app -o jsonpath={.data}`, '{"a":"9","c":"3"}')
    assert.equal(k.given(second).runs`diff -f -`.code, 0)
    assert.match(k`apply view-last-applied cm/app`, /^data:\n {2}a: "9"$/m)
    assert.match(managers('cm/app'), /kubectl-client-side-apply/)
    k`create cm made`
    assert.match(
      k.given(config('made', '{ z: z }')).runs`apply -f -`.stderr,
      /^Warning: resource configmaps\/made is missing the kubectl.kubernetes.io\/last-applied-configuration annotation/,
    )
    assert.match(
      k.given(config('app', '{}'))`apply set-last-applied -f -`,
      /configmap\/app configured/,
    )
    assert.match(
      k.given(
        '{apiVersion: v1, kind: Pod, metadata: {name: POD-B}, spec: {containers: [{name: c, image: x}]}}',
      ).fails`apply -f -`,
      /The Pod "POD-B" is invalid/,
    )
  })

  test('apply clears what defaults had filled in, when the other form is chosen', () => {
    k.given(workload('', 'emptyDir: {}'))`apply -f -`
    assert.match(k`get deployment web -o jsonpath={.spec.strategy}`, /maxSurge.*RollingUpdate/)
    k.given(
      workload(
        '  strategy: { type: Recreate, $retainKeys: [type] }',
        'hostPath: { path: /tmp }, $retainKeys: [name, hostPath]',
      ),
    )`apply -f -`
    assert.equal(k`get deployment web -o jsonpath={.spec.strategy}`, '{"type":"Recreate"}')
    assert.match(k`get deployment web -o jsonpath={.spec.template.spec.volumes}`, /^\[\{"hostPath"/)
    assert.equal(k`get deployment web -o jsonpath={.metadata.generation}`, '2')
    k`delete deployment web`
  })

  test('a Service that may not change is made anew by force', () => {
    const service = (ip: string): string =>
      `{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {clusterIP: ${ip}, ports: [{port: 80}]}}`
    k.given(service('10.96.7.11'))`apply -f -`
    assert.match(
      k.given(service('10.96.7.12')).fails`apply -f -`,
      /spec\.clusterIPs\[0\]: Invalid value: \["10\.96\.7\.12"\]: may not change once set/,
    )
    k.given(service('10.96.7.12'))`apply -f - --force`
    assert.equal(k`get service a -o jsonpath={.spec.clusterIP}`, '10.96.7.12')
    k`delete service a`
  })

  test('server-side apply owns fields, meets conflicts, and is forced', () => {
    const given = (data: string): Talk => k.given(config('owned', data))
    assert.equal(
      given('{ a: "1", b: "2" }')`apply --server-side -f -`,
      'configmap/owned serverside-applied',
    )
    assert.match(
      given('{ a: "2" }').fails`apply --server-side -f - --field-manager=other`,
      /^error: Apply failed with 1 conflict: conflict with "kubectl": \.data\.a\nPlease review the fields above/,
    )
    given('{ a: "2" }')`apply --server-side -f - --field-manager=other --force-conflicts`
    given('{ b: "2" }')`apply --server-side -f -`
    assert.equal(k`get cm owned -o jsonpath={.data}`, '{"a":"2","b":"2"}')
    given('{}')`apply --server-side -f - --field-manager=other`
    assert.equal(k`get cm owned -o jsonpath={.data}`, '{"b":"2"}')
    const rv = k`get cm owned -o jsonpath={.metadata.resourceVersion}`
    given('{ b: "3" }')`apply --server-side -f - --dry-run=server`
    assert.equal(k`get cm owned -o jsonpath={.metadata.resourceVersion}`, rv)
  })

  test('client-side apply goes over to server-side apply, and back', () => {
    const given = (data: string): Talk => k.given(config('moving', data))
    given('{ key: value, legacy: unused }')`apply -f -`
    assert.match(
      given('{ key: other }').fails`apply --server-side --field-manager=not-kubectl -f -`,
      /conflict with "kubectl-client-side-apply" using v1: \.data\.key/,
    )
    given('{ key: value, legacy: unused }')`apply --server-side -f -`
    given('{ key: value }')`apply --server-side -f -`
    assert.equal(k`get cm moving -o jsonpath={.data}`, '{"key":"value"}')
    assert.match(k`apply view-last-applied cm/moving -o json`, /"key": "value"\n/)
    given('{ key: third }')`apply -f -`
    assert.equal(k`get cm moving -o jsonpath={.data}`, '{"key":"third"}')
  })

  test('prune takes what is no longer said: by label, by list of kinds, by set', () => {
    const [one, two] = ['one', 'two'].map((name) => config(name, '{ a: b }', '{ set: p }'))
    k.given(`${one}---${two}`)`apply -f -`
    assert.match(
      k.given(one!).fails`apply --prune -f -`,
      /all resources selected for prune without explicitly passing --all/,
    )
    assert.equal(
      k.given(one!)`apply --prune -l set=p --prune-allowlist=core/v1/ConfigMap -f -`,
      'configmap/one unchanged\nconfigmap/two pruned',
    )
    const set = k.env({ KUBECTL_APPLYSET: 'true' })
    set.given(
      `${one}---${two}`,
    )`apply --server-side --force-conflicts --prune --applyset=parent -f -`
    assert.equal(
      set.given(two!)`apply --server-side --prune --applyset=parent -f -`,
      'configmap/two serverside-applied\nconfigmap/one pruned',
    )
    assert.match(
      k`get secret parent -o yaml`,
      /applyset.kubernetes.io\/contains-group-kinds: ConfigMap/,
    )
  })

  test('one bad object of several does not keep the others away', () => {
    const [pod, namespaced] = [
      '{apiVersion: example.com/v1, kind: Bogus, metadata: {name: b}}',
      '{apiVersion: v1, kind: ConfigMap, metadata: {name: cm, namespace: nowhere}}',
    ]
    assert.match(
      k.given(`${config('good', '{}')}---\n${pod}`).fails`apply -f -`,
      /no matches for kind "Bogus" in version "example.com\/v1"/,
    )
    assert.equal(k`get cm good -o name`, 'configmap/good')
    assert.match(
      k.given(namespaced!).fails`apply -f -`,
      /the namespace from the provided object "nowhere" does not match the namespace "shop"/,
    )
    assert.match(
      talk(cluster).given(namespaced!).fails`apply -f -`,
      /namespaces "nowhere" not found/,
    )
  })

  test('kustomizations and sets of files are built, applied and deleted', () => {
    const files = {
      'kustomization.yaml': `namePrefix: test-
commonAnnotations: { by: test }
resources: [service.yaml]
configMapGenerator: [{ name: map, literals: [a=b] }]
generatorOptions: { disableNameSuffixHash: true }
`,
      'service.yaml':
        '{apiVersion: v1, kind: Service, metadata: {name: service}, spec: {ports: [{port: 80}]}}',
    }
    withFiles(files, (folder) => {
      assert.match(k`kustomize ${folder}`, /name: test-map[^]*name: test-service/)
      assert.equal(
        k`apply -k ${folder}`,
        'configmap/test-map created\nservice/test-service created',
      )
      assert.equal(k`get -k ${folder} -o jsonpath={..metadata.name}`, 'test-map test-service')
      assert.equal(k.runs`diff -k ${folder}`.code, 0)
      assert.match(k`delete -k ${folder}`, /"test-map" deleted[^]*"test-service" deleted/)
    })
  })
})

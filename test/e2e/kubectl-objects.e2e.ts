/** The real kubectl with single objects: creating, looking in every form, marking, waiting and deleting. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { startCluster, type TestCluster } from '../support/navarch.ts'
import { talk, withFiles, type Talk } from '../support/talk.ts'

describe('kubectl and single objects', () => {
  let cluster: TestCluster
  let k: Talk

  before(async () => {
    cluster = await startCluster(['--runtime=simulated'])
    k = talk(cluster, { namespace: 'shop' })
    k`create namespace shop`
  })
  after(() => cluster?.stop())

  test('config maps and secrets come from literals and files, and dry runs leave nothing', () => {
    for (const where of ['client', 'server'])
      assert.equal(
        k`create configmap words --from-literal=a=b --dry-run=${where}`,
        `configmap/words created (${where === 'client' ? 'dry run' : 'server dry run'})`,
      )
    assert.match(k.fails`get configmap words`, /configmaps "words" not found/)
    withFiles({ text: 'hello\n', 'tls.key': 'x' }, (folder) => {
      assert.equal(
        k`create configmap words --from-literal=a=b --from-file=${folder}/text`,
        'configmap/words created',
      )
      cluster.kubectl(['--namespace=shop', 'create', 'cm', 'binary', '--from-file=b=/bin/true'])
    })
    assert.equal(k`get cm words -o jsonpath={.data.text}`, 'hello')
    assert.match(k`get cm binary -o yaml`, /^binaryData:\n {2}b: f0VMR/m)
    assert.equal(
      k.fails`create configmap words`,
      'error: failed to create configmap: configmaps "words" already exists',
    )
    k`create secret generic keys --from-literal=key1=value1 --type=test-type`
    assert.equal(
      k`get secret keys -o ${'go-template={{.type}} {{.data.key1}}'}`,
      'test-type dmFsdWUx',
    )
    k`create secret docker-registry pull --docker-username=u --docker-password=p --docker-email=e@x`
    assert.equal(k`get secret pull -o jsonpath={.type}`, 'kubernetes.io/dockerconfigjson')
    k.given(
      '{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"},"data":{"k1":"djE=","k2":""},"stringData":{"k2":"v2"}}',
    )`create -f -`
    assert.equal(k`get secret s -o jsonpath={.data}`, '{"k1":"djE=","k2":"djI="}')
    assert.equal(
      k`create secret generic t --from-literal=a=b -o ${'go-template={{.metadata.name}}:'}`,
      't:',
    )
  })

  test('raw requests go where they say', () => {
    const path = '/api/v1/namespaces/shop/configmaps'
    const made = k.given('{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"raw"}}')`
      create --raw ${path} -f -`
    assert.match(made, /"uid"/)
    const replaced = k.given(
      '{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"raw"},"data":{"k":"v"}}',
    )`replace --raw ${path}/raw -f -`
    assert.match(replaced, /"k":"v"/)
    assert.match(k`delete --raw ${path}/raw`, /"status":"Success"/)
    assert.match(k.fails`get cm raw`, /configmaps "raw" not found/)
    assert.equal(
      k.fails`get --raw /nosuch`,
      'Error from server (NotFound): the server could not find the requested resource',
    )
  })

  test('pods are looked at in every form', () => {
    assert.equal(k`run web --image=nginx --labels=name=web --port=80`, 'pod/web created')
    k`wait pod/web --for=condition=Ready --timeout=20s`
    assert.match(k`get pods`, /^NAME +READY +STATUS +RESTARTS +AGE\nweb +1\/1 +Running +0 +\d+s$/)
    assert.match(
      k`get pod web -o wide`,
      /AGE +IP +NODE +NOMINATED NODE +READINESS GATES\nweb .* 10\.\S+ +node-1 +<none> +<none>$/,
    )
    for (const name of ['pod web', 'pod/web', 'pods/web', 'po/web'])
      assert.equal(cluster.kubectl(`-n shop get ${name} -o name`).stdout.trim(), 'pod/web')
    assert.equal(k`get pods -o ${'go-template={{range .items}}{{.metadata.name}}:{{end}}'}`, 'web:')
    assert.equal(
      k`get pods -o ${'jsonpath={.items[?(@.metadata.name=="web")].spec.nodeName}'}`,
      'node-1',
    )
    assert.deepEqual(JSON.parse(k`get pods -o jsonpath-as-json={.items[*].metadata.labels}`), [
      { name: 'web' },
    ])
    assert.equal(
      k`get pods -o custom-columns=N:.metadata.name,I:.spec.containers[*].image`.replaceAll(
        / +/g,
        ' ',
      ),
      'N I\nweb nginx',
    )
    assert.match(k`get pods -l ${'name in (web)'} --show-labels`, /name=web$/)
    assert.match(k`get pods -L name`, /NAME\nweb .* web$/)
    assert.match(k`get pods --show-kind --no-headers`, /^pod\/web/)
    assert.equal(k`get pods --field-selector=metadata.name=web -o name`, 'pod/web')
    assert.equal(k`get pods --field-selector=status.phase=Running -o name`, 'pod/web')
    assert.match(
      k.fails`get pods --field-selector=spec.nosuch=x`,
      /\(BadRequest\).* field selector "spec.nosuch=x": field label not supported: spec.nosuch$/,
    )
    assert.match(k.fails`get pods -l ${'name in web)'}`, /unable to parse requirement: found 'web'/)
    assert.match(k`get pod web -o json --show-managed-fields`, /"manager": "kubectl-run"/)
    assert.equal(k`get pod web -o jsonpath={.missing}`, '')
    assert.match(
      k.fails`get pod web --allow-missing-template-keys=false -o jsonpath={.missing}`,
      /missing is not found/,
    )
    assert.match(k`describe pod web`, /^Name: +web\n[^]*Events:\n/)
    assert.doesNotMatch(k`describe pod web --show-events=false`, /Events:/)
  })

  test('what is not there is told of in the same words as ever', () => {
    assert.equal(k.fails`get pods abc`, 'Error from server (NotFound): pods "abc" not found')
    assert.equal(k.fails`get nosuch`, 'error: the server doesn\'t have a resource type "nosuch"')
    assert.equal(k.runs`get ingresses`.stderr, 'No resources found in shop namespace.\n')
    assert.doesNotMatch(k`get ingresses -o yaml`, /No resources/)
    assert.equal(k`get pods abc --ignore-not-found`, '')
    assert.match(
      k.fails`get pod web --all-namespaces`,
      /a resource cannot be retrieved by name across all namespaces/,
    )
  })

  test('subresources have tables of their own, and do not spoil others', () => {
    k`create deployment sized --image=nginx --replicas=2`
    assert.match(
      k`get deployment sized --subresource=scale`,
      /^NAME +DESIRED +AVAILABLE +AGE\nsized +2 +\d +\d+s$/,
    )
    assert.match(k`get pod web --subresource=status`, /^NAME +READY +STATUS/)
    assert.match(k`get pod web`, /^NAME +READY +STATUS/)
    assert.match(k.fails`get pod web --subresource=scale`, /could not find the requested resource/)
    k`delete deployment sized`
  })

  test('several pages are one list, and a watch begins with what is there', () => {
    for (const name of ['one', 'two', 'three']) k`create configmap ${name}`
    assert.match(k`get cm --chunk-size=1 --no-headers`, /^one [^]*^three [^]*^two /m)
    const watched = k.runs`get cm --chunk-size=1 --watch --request-timeout=1s`
    assert.match(watched.stdout, /^three [^]*^words /m)
    const quiet = k.runs`get cm --watch-only --output-watch-events --request-timeout=1s`
    assert.equal(quiet.stdout, '')
    const requests = k.runs`get clusterroles --chunk-size=20 --v=6`.stderr
    assert.match(requests, /clusterroles\?limit=20/)
    assert.match(requests, /clusterroles\?continue=/)
    assert.match(k.runs`get cm --sort-by=.metadata.name --v=8`.stderr, /includeObject=Object/)
    assert.match(
      k`get cm --sort-by=.metadata.name -o name`,
      /^configmap\/binary\n[^]*configmap\/three\nconfigmap\/two\nconfigmap\/words$/,
    )
  })

  test('labels and annotations are set, kept and taken away', () => {
    assert.equal(k`label pod web tier=front --dry-run=server`, 'pod/web labeled (server dry run)')
    assert.equal(k`label pod web tier=front`, 'pod/web labeled')
    assert.equal(
      k.fails`label pod web tier=back`,
      "error: 'tier' already has a value (front), and --overwrite is false",
    )
    assert.equal(k`label pods --all tier=back --overwrite`, 'pod/web labeled')
    assert.equal(k`label pod web tier-`, 'pod/web unlabeled')
    assert.equal(k`label pod web tier-`, 'label "tier" not found.\npod/web not labeled')
    assert.match(k.fails`label pod web ${'a=b c'}`, /invalid label value/)
    k`label pod web empty=`
    assert.equal(k`get pod web -o jsonpath={.metadata.labels}`, '{"empty":"","name":"web"}')
    k`annotate pod web note=hello`
    assert.equal(k`get pod web -o jsonpath={.metadata.annotations}`, '{"note":"hello"}')
    assert.match(
      k`get pod web --show-managed-fields -o jsonpath={.metadata.managedFields[*].manager}`,
      /kubectl-annotate/,
    )
    k`annotate pod web note-`
    assert.equal(k`get pod web -o jsonpath={.metadata.annotations}`, '')
    k`label pod web changed=yes --record`
    assert.match(
      k`get pod web -o jsonpath={.metadata.annotations}`,
      /kubernetes.io\/change-cause.*--record=true/,
    )
    assert.match(
      k.fails`label pod web changed=no --overwrite --resource-version=1`,
      /the object has been modified; please apply your changes to the latest version/,
    )
  })

  test('waiting is for conditions, values, the beginning and the end', () => {
    assert.equal(k`wait pod/web --for=condition=Ready`, 'pod/web condition met')
    assert.equal(
      k`wait pod -l name=web --for=jsonpath={.status.phase}=Running`,
      'pod/web condition met',
    )
    assert.equal(k`wait pod/web --for=jsonpath={.status.podIP}`, 'pod/web condition met')
    assert.equal(
      k.fails`wait pod/web --for=condition=Nosuch --timeout=100ms`,
      'error: timed out waiting for the condition on pods/web',
    )
    assert.match(k.fails`wait pod/no --for=condition=Ready --timeout=1s`, /pods "no" not found/)
    assert.equal(k`wait pod/no --for=delete --timeout=1s`, '')
    const waiting = cluster.kubectlSpawn([
      'wait',
      'cm/later',
      '--for=create',
      '--namespace=shop',
      '--timeout=20s',
    ])
    k`create cm later`
    return new Promise<void>((resolve, reject) => {
      let said = ''
      waiting.stdout.on('data', (chunk) => (said += String(chunk)))
      waiting.once('error', reject)
      waiting.once('close', () => {
        try {
          assert.equal(said, 'configmap/later condition met\n')
          resolve()
        } catch (error) {
          reject(error as Error)
        }
      })
    })
  })

  test('deleting is by name, label, field, file, all of them, or refused', () => {
    assert.match(k.fails`delete pods`, /no name was specified/)
    assert.match(k.fails`delete pods --all -l a=b`, /found a non empty selector/)
    assert.equal(
      k`delete pod web --dry-run=server`,
      'pod "web" deleted from shop namespace (server dry run)',
    )
    assert.equal(k`delete pod web --now`, 'pod "web" deleted from shop namespace')
    assert.equal(k.fails`delete pod web`, 'Error from server (NotFound): pods "web" not found')
    assert.equal(k`delete pod web --ignore-not-found`, '')
    k`run a --image=x --labels=l=1`
    k`run b --image=x --labels=l=1`
    const forced = k.runs`delete pods -l l=1 --grace-period=0 --force`
    assert.match(forced.stderr, /^Warning: Immediate deletion does not wait/)
    assert.match(forced.stdout, /pod "a" force deleted[^]*pod "b" force deleted/)
    assert.equal(
      k`delete cm --field-selector=metadata.name=one`,
      'configmap "one" deleted from shop namespace',
    )
    assert.equal(k`get pods,cm -o name --field-selector=metadata.name=one`, '')
    const file = '{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"two"}}'
    assert.equal(k.given(file)`delete -f -`, 'configmap "two" deleted from shop namespace')
  })

  test('what a deployment owns goes with it, after it, before it, or stays', () => {
    const owned = () => k`get rs,pods -l app=d -o name`
    const create = (): void => {
      k`create deployment d --image=x`
      k`rollout status deployment/d --timeout=20s`
    }
    create()
    k`delete deployment d --cascade=orphan`
    assert.match(
      owned(),
      /^pod\/d-\S+\nreplicaset.apps\/d-\w+$|^replicaset.apps\/d-\w+\npod\/d-\S+$/,
    )
    k`delete rs -l app=d --cascade=foreground`
    assert.equal(owned(), '')
    create()
    k`delete deployment d --cascade=foreground`
    assert.equal(owned(), '')
    create()
    k`delete deployment d --cascade=background`
    k`wait rs,pods -l app=d --for=delete --timeout=20s`
    assert.equal(owned(), '')
  })

  test('a namespace takes with it what is in it', () => {
    k`create namespace gone`
    cluster.kubectl('create configmap x -n gone')
    k`delete namespace gone --wait=false`
    k`wait --for=delete ns/gone --timeout=20s`
    assert.match(k.fails`get ns/gone`, /namespaces "gone" not found/)
    assert.match(
      cluster.kubectl('create configmap x -n gone', { mayFail: true }).stderr,
      /namespaces "gone" not found/,
    )
    assert.match(
      k.fails`delete namespace kube-system`,
      /namespaces "kube-system" is forbidden: this namespace may not be deleted/,
    )
  })
})

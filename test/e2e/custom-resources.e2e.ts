/** Custom resources as people use them: the real kubectl, a controller's client, a garbage collector, a restart. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { CustomObjectsApi, KubeConfig, makeInformer } from '@kubernetes/client-node'
import { eventually, startCluster, type TestCluster } from '../support/navarch.ts'

const DEFINITION = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: crontabs.stable.example.com }
spec:
  group: stable.example.com
  scope: Namespaced
  names: { plural: crontabs, singular: crontab, kind: CronTab, shortNames: [ct], categories: [all] }
  versions:
    - name: v1
      served: true
      storage: true
      subresources:
        status: {}
        scale: { specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas }
      additionalPrinterColumns:
        - { name: Spec, type: string, jsonPath: .spec.cronSpec }
        - { name: Replicas, type: integer, jsonPath: .spec.replicas }
        - { name: Ready, type: string, jsonPath: '.status.conditions[?(@.type=="Ready")].status' }
        - { name: Age, type: date, jsonPath: .metadata.creationTimestamp }
      schema:
        openAPIV3Schema:
          description: A table of what runs when.
          type: object
          properties:
            spec:
              description: What is wanted.
              type: object
              required: [cronSpec]
              x-kubernetes-validations:
                - { rule: '!has(self.replicas) || self.replicas <= self.limit', message: more than the limit }
              properties:
                cronSpec: { type: string, description: When it runs., pattern: '^(\\S+\\s+){4}\\S+$' }
                image: { type: string, default: busybox }
                replicas: { type: integer, minimum: 1 }
                limit: { type: integer, default: 10 }
            status:
              type: object
              properties:
                replicas: { type: integer }
                conditions:
                  type: array
                  items: { type: object, x-kubernetes-preserve-unknown-fields: true }
`

const tab = (name: string, spec = 'replicas: 2'): string => `
apiVersion: stable.example.com/v1
kind: CronTab
metadata: { name: ${name} }
spec: { cronSpec: '* * * * 5', ${spec} }
`

describe('custom resources', () => {
  let cluster: TestCluster
  let kubectl: TestCluster['kubectl']
  const apply = (input: string, mayFail = false, more: readonly string[] = []) =>
    kubectl(['apply', '-f', '-', ...more], { input, mayFail })

  before(async () => {
    cluster = await startCluster(['--runtime=simulated'])
    ;({ kubectl } = cluster)
    apply(DEFINITION)
    kubectl('wait --for=condition=Established crd/crontabs.stable.example.com --timeout=30s')
  })
  after(() => cluster.stop())

  test('a definition is usable in the moment in which it is established', () => {
    apply(tab('first'))
    const [header = '', row = ''] = kubectl('get ct').stdout.split('\n')
    assert.match(header, /^NAME +SPEC +REPLICAS +READY +AGE/)
    assert.match(row, /^first +\* \* \* \* 5 +2 +\d+s/)
    assert.match(kubectl('get all').stdout, /crontab.stable.example.com\/first/)
    assert.match(kubectl('api-resources --api-group=stable.example.com').stdout, /crontabs +ct /)
  })

  test('kubectl explains it', () => {
    assert.match(kubectl('explain crontab').stdout, /A table of what runs when\./)
    const { stdout } = kubectl('explain crontab.spec')
    assert.match(stdout, /cronSpec\s+<string> -required-\s+When it runs\./)
  })

  test('what is wrong is refused in words that say where', () => {
    const refused = (spec: string): string => {
      const { code, stderr } = apply(tab('wrong', spec), true)
      assert.notEqual(code, 0)
      return stderr
    }
    assert.match(
      refused('replicas: many'),
      /spec\.replicas in body must be of type integer: "string"/,
    )
    assert.match(
      refused('replicas: 0'),
      /spec\.replicas in body should be greater than or equal to 1/,
    )
    assert.match(refused('replicas: 11'), /spec: Invalid value: more than the limit/)
    assert.match(refused('replicaz: 1'), /unknown field "spec\.replicaz"/)
  })

  test('it is applied from the server side, scaled, patched and compared', () => {
    apply(tab('second'), false, ['--server-side', '--field-manager=one'])
    const conflict = apply(tab('second', 'replicas: 5'), true, [
      '--server-side',
      '--field-manager=two',
    ])
    assert.match(conflict.stderr, /conflict with "one": \.spec\.replicas/)
    apply(tab('third'))
    kubectl('scale crontab/third --replicas=4')
    assert.equal(kubectl('get ct third -o jsonpath={.spec.replicas}').stdout, '4')
    assert.equal(kubectl('get ct third -o jsonpath={.spec.image}').stdout, 'busybox')
    kubectl(['patch', 'ct', 'third', '--type=merge', '-p', '{"spec":{"replicas":3}}'])
    const strategic = kubectl(['patch', 'ct', 'third', '-p', '{"spec":{"replicas":3}}'], {
      mayFail: true,
    })
    assert.match(strategic.stderr, /UnsupportedMediaType|not supported|unknown format/)
    const status = '{"status":{"conditions":[{"type":"Ready","status":"True"}]}}'
    kubectl(['patch', 'ct', 'third', '--subresource=status', '--type=merge', '-p', status])
    assert.match(kubectl('get ct third').stdout, /third .* True /)
    assert.equal(kubectl(['diff', '-f', '-'], { input: tab('first'), mayFail: true }).code, 0)
  })

  test('objects with owners go when their owners do', async () => {
    apply(tab('owner'))
    const uid = kubectl('get ct owner -o jsonpath={.metadata.uid}').stdout
    const owner = `[{apiVersion: stable.example.com/v1, kind: CronTab, name: owner, uid: ${uid}}]`
    kubectl('create -f -', {
      input: `{apiVersion: v1, kind: ConfigMap, metadata: {name: owned, ownerReferences: ${owner}}}`,
    })
    kubectl('delete ct owner --cascade=foreground --timeout=60s')
    await eventually(
      'the owned object is gone',
      () => kubectl('get cm owned', { mayFail: true }).code !== 0,
    )
  })

  test("a controller's client lists, watches and writes it", async () => {
    const config = new KubeConfig()
    config.loadFromFile(cluster.kubeconfig)
    const api = config.makeApiClient(CustomObjectsApi)
    const of = {
      group: 'stable.example.com',
      version: 'v1',
      namespace: 'default',
      plural: 'crontabs',
    }
    const path = '/apis/stable.example.com/v1/namespaces/default/crontabs'
    const seen = new Set<string>()
    const informer = makeInformer(config, path, () => api.listNamespacedCustomObject(of))
    informer.on('add', ({ metadata }) => seen.add(metadata?.name ?? ''))
    informer.on('error', () => undefined)
    await informer.start()
    await api.createNamespacedCustomObject({
      ...of,
      body: {
        apiVersion: 'stable.example.com/v1',
        kind: 'CronTab',
        metadata: { name: 'by-client' },
        spec: { cronSpec: '* * * * 1' },
      },
    })
    await eventually('the informer has both', () => seen.has('by-client') && seen.has('first'))
    await informer.stop()
  })

  test('a restart forgets nothing', () => {
    cluster.kill9()
    cluster.up()
    assert.match(kubectl('get ct first').stdout, /first/)
  })

  test('a definition takes its objects with it, and may come again', () => {
    kubectl('delete crd crontabs.stable.example.com --timeout=60s')
    assert.match(
      kubectl('get ct', { mayFail: true }).stderr,
      /doesn't have a resource type "ct"|not find/,
    )
    apply(DEFINITION)
    kubectl('wait --for=condition=Established crd/crontabs.stable.example.com --timeout=30s')
    assert.match(kubectl('get ct').stderr, /No resources found/)
  })
})

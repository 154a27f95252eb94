/** The main walk once more with a kubectl that is sixteen versions older: what it needs of the wire, nobody else asks for. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { startCluster, type TestCluster } from '../support/navarch.ts'
import { oldKubectl } from '../support/old-kubectl.ts'
import { talk, withFiles, type Talk } from '../support/talk.ts'

const old = oldKubectl()

const web = (replicas: number): string => `
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, labels: { app: web } }
spec:
  replicas: ${replicas}
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec: { containers: [{ name: main, image: "nginx:1" }] }
`
const FOO = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: foos.example.com }
spec:
  group: example.com
  scope: Namespaced
  names: { plural: foos, singular: foo, kind: Foo }
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          description: A foo.
          properties:
            spec:
              type: object
              required: [mode]
              properties: { mode: { type: string, description: How. }, count: { type: integer } }
`

// Text that begins with a brace is JSON to it.
const foo = (name: string, spec: string): string =>
  `kind: Foo\napiVersion: example.com/v1\nmetadata: { name: ${name} }\nspec: { ${spec} }\n`

describe("Debian's kubectl 1.20", { skip: 'missing' in old ? old.missing : false }, () => {
  let cluster: TestCluster
  let k: Talk

  before(async () => {
    cluster = await startCluster(['--runtime=simulated'])
    k = talk(cluster, {
      namespace: 'shop',
      ...('path' in old ? { program: old.path } : {}),
    })
    k`create namespace shop`
  })
  after(() => cluster?.stop())

  test('it finds the server, its kinds and its tables', () => {
    assert.match(k`version --short`, /Client Version: v1\.20[^]*Server Version: v1\.36/)
    assert.match(k`get nodes`, /^NAME +STATUS +ROLES +AGE +VERSION\nnode-1 +Ready/)
    assert.match(k`api-versions`, /^apps\/v1$/m)
    assert.match(k`api-resources`, /^deployments +deploy +apps\/v1 +true +Deployment$/m)
    assert.match(k`cluster-info`, /control plane.* is running at/)
    assert.equal(k.runs`get all`.stderr, 'No resources found in shop namespace.\n')
    assert.equal(k`auth can-i get pods`, 'yes')
  })

  test('it explains, and judges by the schemas before it sends', () => {
    assert.match(
      k`explain deployment.spec.strategy`,
      /RESOURCE: strategy <Object>[^]*rollingUpdate\t<Object>/,
    )
    assert.match(k`explain pods --recursive`, /containers\t<\[\]Object>/)
    const bad =
      'apiVersion: v1\nkind: Pod\nmetadata: { name: bad }\nspec: { containers: [{ name: c, imag: x }] }\n'
    assert.match(
      k.given(bad).fails`create -f -`,
      /error validating data: ValidationError\(Pod\.spec\.containers\[0\]\): unknown field "imag"/,
    )
    k.given(FOO)`create -f -`
    k`wait --for=condition=Established crd/foos.example.com --timeout=20s`
    assert.match(k`explain foo.spec`, /mode\t<string> -required-\n +How\./)
    k.given(foo('f', 'mode: a'))`create -f -`
    assert.match(k.given(foo('g', 'count: 1')).fails`create -f -`, /missing required field "mode"/)
    assert.match(k`get foos`, /^NAME +AGE\nf +\d+s$/)
    assert.match(k`describe foo f`, /Mode: +a/)
    k`patch foo f --type=merge -p ${'{"spec":{"mode":"b"}}'}`
    assert.equal(k`get foo f -o jsonpath={.spec.mode}`, 'b')
    k`delete crd foos.example.com`
  })

  test('it applies, compares, edits, and applies at the server', () => {
    assert.equal(k.given(web(1))`apply -f -`, 'deployment.apps/web created')
    assert.equal(k.given(web(1))`apply -f -`, 'deployment.apps/web unchanged')
    assert.match(k.given(web(2)).runs`diff -f -`.stdout, /^-  replicas: 1\n\+  replicas: 2$/m)
    assert.equal(k.given(web(2))`apply -f -`, 'deployment.apps/web configured')
    assert.match(
      k.given(web(3)).fails`apply --server-side -f - --field-manager=other`,
      /Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using apps\/v1: \.spec\.replicas/,
    )
    k.given(web(3))`apply --server-side -f - --field-manager=other --force-conflicts`
    withFiles({ 'edit.sh': '#!/bin/sh\nsed -i s/nginx:1/nginx:2/ "$1"\n' }, (folder) => {
      assert.equal(
        k.env({ EDITOR: `${folder}/edit.sh` })`edit deployment web`,
        'deployment.apps/web edited',
      )
    })
    assert.equal(k`set image deployment/web main=nginx:3`, 'deployment.apps/web image updated')
    k`rollout status deployment/web --timeout=30s`
    assert.match(k`rollout history deployment/web`, /\n3 +<none>/)
    assert.equal(k`rollout undo deployment/web`, 'deployment.apps/web rolled back')
    assert.equal(k`scale deployment/web --replicas=1`, 'deployment.apps/web scaled')
    assert.equal(k`label deployment web a=b`, 'deployment.apps/web labeled')
    k`autoscale deployment web --max=4`
    assert.match(k`get hpa web`, /Deployment\/web +<unknown>\/80%|cpu: <unknown>\/80%/)
  })

  test('it speaks with containers over SPDY', () => {
    k`run box --image=busybox`
    k`wait pod/box --for=condition=Ready --timeout=20s`
    assert.equal(k`exec box -- date`, '')
    assert.match(k.fails`exec box -c nosuch -- date`, /container nosuch is not valid for pod box/)
    assert.match(k`logs box`, /started \(simulated\)/)
    assert.match(k`describe pod box`, /Status: +Running[^]*Events:/)
  })

  test('it drains, waits, watches and deletes', () => {
    assert.match(k.runs`get pods -w --request-timeout=1s`.stdout, /box +1\/1 +Running/)
    assert.match(
      k`drain node-1 --force --ignore-daemonsets --timeout=30s`,
      /pod\/box evicted[^]*node\/node-1 (?:evicted|drained)|node\/node-1 evicted/,
    )
    k`uncordon node-1`
    k`taint node node-1 a=b:NoSchedule`
    k`taint node node-1 a-`
    k`delete deployment web --cascade=foreground`
    assert.equal(k`get deployments,rs -o name`, '')
    k`delete namespace shop`
  })
})

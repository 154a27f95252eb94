/** The real kubectl and kinds: what there is, what it means, kinds made by users, raw pages, templates and a proxy. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { freePort } from '../support/free-port.ts'
import { startCluster, type TestCluster } from '../support/navarch.ts'
import { talk, withFiles, type Talk } from '../support/talk.ts'

const FOO = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: foos.company.com }
spec:
  group: company.com
  scope: Namespaced
  names: { plural: foos, singular: foo, kind: Foo, shortNames: [fo], categories: [all] }
  versions:
    - name: v1
      served: true
      storage: true
      additionalPrinterColumns:
        - { name: Some, type: string, jsonPath: .someField }
        - { name: Age, type: date, jsonPath: .metadata.creationTimestamp }
      subresources: { status: {}, scale: { specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas } }
      schema:
        openAPIV3Schema:
          type: object
          description: A Foo is a thing of the company.
          properties:
            someField: { type: string, description: What it is. }
            nested: { type: object, properties: { a: { type: string }, b: { type: string } } }
            spec: { type: object, required: [mode], properties: { replicas: { type: integer, default: 1 }, mode: { type: string, enum: [a, b] } } }
            status: { type: object, properties: { replicas: { type: integer } } }
`
const foo = (name: string, field: string, spec = 'mode: a'): string =>
  `{apiVersion: company.com/v1, kind: Foo, metadata: {name: ${name}}, someField: ${field}, nested: {a: x, b: z}, spec: {${spec}}}`

describe('kubectl and kinds', () => {
  let cluster: TestCluster
  let k: Talk

  before(async () => {
    cluster = await startCluster(['--runtime=simulated'])
    k = talk(cluster, { namespace: 'shop' })
    k`create namespace shop`
  })
  after(() => cluster?.stop())

  test('the versions and resources are listed by group, verb and category', () => {
    assert.deepEqual(k`api-versions`.split('\n').slice(0, 6), [
      'admissionregistration.k8s.io/v1',
      'apiextensions.k8s.io/v1',
      'apiregistration.k8s.io/v1',
      'apps/v1',
      'authentication.k8s.io/v1',
      'authorization.k8s.io/v1',
    ])
    assert.deepEqual(k`api-resources --api-group=apps -o name --verbs=list`.split('\n'), [
      'controllerrevisions.apps',
      'daemonsets.apps',
      'deployments.apps',
      'replicasets.apps',
      'statefulsets.apps',
    ])
    assert.match(
      k`api-resources`,
      /^NAME +SHORTNAMES +APIVERSION +NAMESPACED +KIND\nbindings +v1 +true +Binding$/m,
    )
    assert.match(k`api-resources --categories=all -o name`, /^pods\n[^]*jobs\.batch$/)
    assert.match(
      k`api-resources -o wide --namespaced=false`,
      /^nodes +no +v1 +false +Node +create,delete,deletecollection,get,list,patch,update,watch/m,
    )
    assert.match(k`version`, /Server Version: v1\.36/)
  })

  test('fields are explained, from all versions of the descriptions', () => {
    assert.match(k`explain pods`, /^KIND: +Pod\nVERSION: +v1\n[^]*FIELDS:\n +apiVersion\t<string>/)
    assert.match(
      k`explain deployment.spec.strategy`,
      /FIELD: strategy <DeploymentStrategy>[^]*rollingUpdate\t<RollingUpdateDeployment>[^]*enum: Recreate, RollingUpdate/,
    )
    assert.match(
      k`explain pods.spec.containers --recursive`,
      /livenessProbe\t<Probe>\n +exec\t<ExecAction>/,
    )
    assert.match(
      k`explain hpa --api-version=autoscaling/v1`,
      /GROUP: +autoscaling\nKIND: +HorizontalPodAutoscaler\nVERSION: +v1/,
    )
    assert.match(
      k`explain customresourcedefinition.spec.versions.schema`,
      /openAPIV3Schema\t<JSONSchemaProps>/,
    )
    assert.match(k`explain pods --output=plaintext-openapiv2`, /^KIND: +Pod/)
    assert.match(k.fails`explain deployment.spec.nosuch`, /error: field "nosuch" does not exist/)
  })

  test('a kind of the company is like any other', () => {
    k.given(FOO)`create -f -`
    k`wait crd/foos.company.com --for=condition=established --timeout=20s`
    assert.equal(
      k.given(foo('test', 'field1'))`create -f - --dry-run=server`,
      'foo.company.com/test created (server dry run)',
    )
    assert.equal(k.given(foo('test', 'field1'))`create -f -`, 'foo.company.com/test created')
    assert.match(k`get fo`, /^NAME +SOME +AGE\ntest +field1 +\d+s$/)
    assert.match(k`get all`, /foo\.company\.com\/test/)
    assert.equal(k`get foo/test -o ${'jsonpath={.spec.replicas} {.metadata.generation}'}`, '1 1')
    assert.match(
      k`explain foo`,
      /A Foo is a thing of the company\.[^]*someField\t<string>\n +What it is\./,
    )
    assert.match(
      k`explain foo.spec --recursive`,
      /mode\t<string> -required-\n +enum: a, b\n +replicas\t<integer>/,
    )
    k`patch foo/test --type=merge -p ${'{"nested":{"a":null}}'}`
    assert.equal(k`get foo test -o jsonpath={.nested}`, '{"b":"z"}')
    assert.match(
      k.fails`patch foo/test -p ${'{"nested":{"a":"y"}}'}`,
      /application\/strategic-merge-patch\+json is not supported by company\.com\/v1, Kind=Foo: the body of the request was in an unknown format - accepted media types include: application\/json-patch\+json, application\/merge-patch\+json, application\/apply-patch\+yaml/,
    )
    k`patch foo/test --type=json -p ${'[{"op":"add","path":"/nested/a","value":"y"}]'}`
    assert.equal(k`scale foo/test --replicas=3`, 'foo.company.com/test scaled')
    assert.match(k`get foo test --subresource=scale`, /DESIRED +AVAILABLE +AGE\ntest +3 +0 /)
    k`label foo test a=b`
    k`annotate foo test a=b`
    assert.match(
      k`describe foo test`,
      /Some Field: +field1\nSpec:\n +Mode: +a\n +Replicas: +3\nEvents: +<none>/,
    )
    assert.equal(k`get foo test -o go-template=${'{{.someField}}-{{.spec.mode}}'}`, 'field1-a')
  })

  test('its objects are applied, and judged by their schema', () => {
    const of = (...about: Parameters<typeof foo>): Talk => k.given(foo(...about))
    of('made', 'one')`apply -f -`
    assert.equal(of('made', 'two')`apply -f -`, 'foo.company.com/made configured')
    assert.equal(of('made', 'two')`apply -f -`, 'foo.company.com/made unchanged')
    of('made', 'three')`apply --server-side -f -`
    assert.match(
      of('made', 'four').fails`apply --server-side --field-manager=x -f -`,
      /conflict with "kubectl": \.someField/,
    )
    assert.match(
      of('made', 'two', 'mode: z').fails`apply -f -`,
      /^The Foo "made" is invalid: spec.mode: Unsupported value: "z": supported values: "a", "b"$/m,
    )
    assert.match(of('new', 'x', 'replicas: 1').fails`create -f -`, /spec\.mode: Required value/)
    assert.match(
      of('new', 'x', 'mode: a, replicas: many').fails`create -f - --validate=false`,
      /spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string"/,
    )
    assert.match(
      of('new', 'x', 'mode: a, nope: 1').fails`create -f -`,
      /strict decoding error: unknown field "spec.nope"/,
    )
    assert.equal(
      of('new', 'x', 'mode: a, nope: 1').runs`create -f - --validate=warn`.stderr,
      'Warning: unknown field "spec.nope"\n',
    )
    assert.equal(k`get foo new -o jsonpath={.spec}`, '{"mode":"a","replicas":1}')
    withFiles(
      { 'edit.sh': '#!/bin/sh\nsed -i "s/someField: x/someField: edited/" "$1"\n' },
      (folder) => {
        assert.equal(
          k.env({ EDITOR: `${folder}/edit.sh` })`edit foo new`,
          'foo.company.com/new edited',
        )
      },
    )
    assert.match(k.runs`get foos -w --request-timeout=1s`.stdout, /^new +edited /m)
    assert.match(k`delete foos --all`, /"made" deleted[^]*"new" deleted[^]*"test" deleted/)
    k`delete crd foos.company.com`
    assert.match(
      k.fails`get foos`,
      /the server could not find the requested resource|doesn't have a resource type/,
    )
  })

  test('pages without objects are read as they are', () => {
    assert.equal(k`get --raw /livez/ping`, 'ok')
    assert.match(k`get --raw /readyz?verbose`, /\[\+\]ping ok[^]*readyz check passed/)
    assert.match(k`get --raw /version`, /"minor":"36"/)
    assert.match(k`get --raw /openapi/v3`, /"apis\/apps\/v1"/)
    assert.match(k`get --raw /.well-known/openid-configuration`, /"issuer"/)
    const components = k.runs`get componentstatuses`.stdout
    for (const name of ['controller-manager', 'scheduler', 'etcd-0'])
      assert.match(components, new RegExp(`^${name} +Healthy`, 'm'))
    assert.match(k`get --raw /metrics`, /^apiserver_request_total/m)
  })

  test('what a command would make is printed by a template, and nothing made', () => {
    const name = (line: string): string =>
      cluster.kubectl(
        `-n shop ${line} --dry-run=client --output=go-template --template={{.metadata.name}}:`,
      ).stdout
    for (const line of [
      'create deployment d --image=x',
      'create configmap d',
      'create serviceaccount d',
      'create role d --verb=get --resource=pods',
      'create clusterrole d --verb=get --resource=pods',
      'create rolebinding d --clusterrole=view --user=u',
      'create quota d --hard=pods=1',
      'create service clusterip d --tcp=80',
      'create job d --image=x',
      'create ingress d --rule=a/b=c:80',
      'create priorityclass d --value=1',
      'run d --image=x',
    ])
      assert.equal(name(line), 'd:', line)
    assert.equal(
      k`get deployments,configmaps -o jsonpath={.items[*].metadata.name}`,
      'kube-root-ca.crt',
    )
  })

  test('a proxy serves the API and files under names of its own', async () => {
    const port = await freePort()
    const proxy = cluster.kubectlSpawn([
      'proxy',
      `--port=${port}`,
      '--api-prefix=/custom',
      `--www=${cluster.dataDir}`,
    ])
    try {
      await once(proxy.stdout, 'data')
      const code = async (path: string): Promise<number> =>
        (await fetch(`http://127.0.0.1:${port}${path}`)).status
      assert.equal(await code('/custom/api/v1/namespaces'), 200)
      assert.equal(await code('/api'), 404)
      assert.equal(await code('/custom/api/v1/namespaces/nowhere'), 404)
      assert.equal(await code('/static/navarch.json').catch(() => 404), 404)
    } finally {
      proxy.kill()
      await once(proxy, 'close')
    }
  })

  test('a cluster is dumped into files', () => {
    withFiles({}, (folder) => {
      k`cluster-info dump --output-directory=${folder} --namespaces=shop,kube-system`
      assert.deepEqual(readdirSync(folder).toSorted(), ['kube-system', 'nodes.json', 'shop'])
      assert.ok(readdirSync(join(folder, 'shop')).includes('events.json'))
    })
    assert.match(
      k`cluster-info`,
      /Kubernetes control plane.* is running at .*https:\/\/127\.0\.0\.1:/,
    )
  })
})

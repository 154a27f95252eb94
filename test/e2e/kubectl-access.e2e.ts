/** The real kubectl and who may do what: roles, reviews, certificates, tokens, quotas, limits and priorities. */
import assert from 'node:assert/strict'
import { get } from 'node:https'
import { after, before, describe, test } from 'node:test'
import { createRequest, newKey } from '#apiserver'
import { realEnv } from '#base'
import { startCluster, type TestCluster } from '../support/navarch.ts'
import { talk, type Talk } from '../support/talk.ts'

const roles = (verbs: string): string => `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: testing }
rules: [{ apiGroups: [""], resources: [pods], verbs: [${verbs}] }]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: testing, namespace: shop }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: testing }
subjects: [{ apiGroup: rbac.authorization.k8s.io, kind: Group, name: testers }]
`

describe('kubectl and who may do what', () => {
  let cluster: TestCluster
  let k: Talk

  before(async () => {
    cluster = await startCluster(['--runtime=simulated'])
    k = talk(cluster, { namespace: 'shop' })
    k`create namespace shop`
  })
  after(() => cluster?.stop())

  test('roles and bindings are made, shown and changed', () => {
    assert.equal(
      k`create role reader --verb=get,list --resource=pods,pods/log,deployments.apps/scale --resource-name=web`,
      'role.rbac.authorization.k8s.io/reader created',
    )
    assert.match(k`describe role reader`, /deployments\.apps\/scale +\[\] +\[web\] +\[get list\]/)
    k`create clusterrole health --verb=get --non-resource-url=/healthz/*`
    k`create clusterrole sum --aggregation-rule=team=a`
    k`create clusterrole part --verb=get --resource=secrets`
    k`label clusterrole part team=a`
    k`wait clusterrole/sum --for=jsonpath={.rules[0].resources[0]}=secrets --timeout=20s`
    assert.equal(
      k.fails`create role x --verb=get --resource=nosuch`,
      `the server doesn't have a resource type "nosuch"`,
    )
    k`create rolebinding readers --role=reader --user=ann --group=team --serviceaccount=shop:default`
    k`create clusterrolebinding healthy --clusterrole=health --user=ann`
    k`set subject rolebinding readers --user=bob`
    assert.equal(
      k`get rolebinding readers -o ${'jsonpath={range .subjects[*]}{.kind}:{.name} {end}'}`,
      'User:ann Group:team ServiceAccount:default User:bob',
    )
    assert.match(
      k`get rolebindings -o wide`,
      /^NAME +ROLE +AGE +USERS +GROUPS +SERVICEACCOUNTS\nreaders +Role\/reader +\d+s +ann, bob +team +shop\/default$/,
    )
    assert.match(
      k.given(
        '{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: readers}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: other}}',
      ).fails`replace -f -`,
      /The RoleBinding "readers" is invalid: roleRef: Invalid value: .*: cannot change roleRef$/,
    )
  })

  test('one may ask what one may, and who one is', () => {
    assert.equal(k`auth can-i get pods`, 'yes')
    assert.equal(k`auth can-i * *`, 'yes')
    assert.equal(k.fails`auth can-i get pods --as=stranger`, 'no')
    assert.equal(k.runs`auth can-i get pods/web --as=ann`.stdout, 'yes\n')
    assert.equal(k.fails`auth can-i get pods/other --as=ann`, 'no')
    assert.equal(k`auth can-i get deployments.apps/web --subresource=scale --as=ann`, 'yes')
    assert.equal(k`auth can-i get /healthz/ping --as=ann`, 'yes')
    assert.equal(k.fails`auth can-i get /logs --as=ann`, 'no')
    assert.match(
      k.runs`auth can-i get nosuch`.stderr,
      /Warning: the server doesn't have a resource type 'nosuch'/,
    )
    const list = k`auth can-i --list`.split('\n').map((line) => line.replaceAll(/ +/g, ' '))
    assert.deepEqual(list.slice(0, 3), [
      'Resources Non-Resource URLs Resource Names Verbs',
      '*.* [] [] [*]',
      ' [*] [] [*]',
    ])
    assert.equal(list.filter((line) => line.includes('[*] [] [*]')).length, 1)
    assert.match(
      k`auth whoami`,
      /Username +kubernetes-admin\nGroups +\[system:masters system:authenticated\]/,
    )
    assert.equal(
      k`auth whoami --as=ann --as-group=g --as-uid=7 -o jsonpath={.status.userInfo}`,
      '{"groups":["g","system:authenticated"],"uid":"7","username":"ann"}',
    )
  })

  test('names and groups are whole, whatever letters and commas they have', () => {
    assert.equal(
      k`auth whoami --as=jörg --as-group=b --as-group=,,,a -o jsonpath={.status.userInfo}`,
      '{"groups":["b",",,,a","system:authenticated"],"username":"jörg"}',
    )
    assert.match(k.fails`get pods --as-group=b`, /without impersonating a user/)
  })

  test('who may not is told so, and nobody gives what he does not have', () => {
    assert.equal(
      k.fails`get pods --as=eve`,
      'Error from server (Forbidden): pods is forbidden: User "eve" cannot list resource "pods" in API group "" in the namespace "shop"',
    )
    assert.match(
      k.fails`get nodes --as=eve`,
      /User "eve" cannot list resource "nodes" in API group "" at the cluster scope/,
    )
    assert.match(
      k.fails`create configmap x --as=eve`,
      /configmaps is forbidden: User "eve" cannot create resource/,
    )
    assert.match(
      k.fails`get --raw /logs --as=eve`,
      /forbidden: User "eve" cannot get path "\/logs"/,
    )
    k`create rolebinding eve --clusterrole=admin --user=eve`
    assert.equal(k.runs`get pods --as=eve`.stderr, 'No resources found in shop namespace.\n')
    assert.match(
      k.fails`create role all --verb=* --resource=* --as=eve`,
      /is forbidden: user "eve" \(groups=\["system:authenticated"\]\) is attempting to grant RBAC permissions not currently held:\n\{APIGroups:\[""\], Resources:\["\*"\], Verbs:\["\*"\]\}/,
    )
    assert.match(
      k.fails`create rolebinding more --clusterrole=cluster-admin --user=eve --as=eve`,
      /\{APIGroups:\["\*"\], Resources:\["\*"\], Verbs:\["\*"\]\}\n\{NonResourceURLs:\["\*"\], Verbs:\["\*"\]\}/,
    )
  })

  test('reconcile adds what is missing, and takes the rest when asked', () => {
    assert.match(
      k.given(roles('create, delete')).runs`auth reconcile -f -`.stderr,
      /reconciliation required create\n\tmissing rules added:/,
    )
    assert.doesNotMatch(k.given(roles('create')).runs`auth reconcile -f -`.stderr, /required/)
    assert.match(
      k.given(roles('create'))
        .runs`auth reconcile --remove-extra-permissions --remove-extra-subjects -f -`.stderr,
      /reconciliation required update\n\textra rules removed:\n\t\t\{Verbs:\[delete\]/,
    )
    assert.equal(k`get clusterrole testing -o jsonpath={.rules[0].verbs}`, '["create"]')
  })

  test('a certificate is asked for, approved and issued, or denied', async () => {
    const subject = { commonName: 'ann', organizations: ['team'] }
    const request = await createRequest(subject, newKey(realEnv().random))
    const csr = (name: string): string => `
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: { name: ${name} }
spec:
  request: ${Buffer.from(request).toString('base64')}
  signerName: kubernetes.io/kube-apiserver-client
  usages: [client auth]
  expirationSeconds: 3600
`
    k.given(csr('good') + '---' + csr('bad'))`create -f -`
    assert.match(
      k`get csr good`,
      /REQUESTEDDURATION +CONDITION\ngood +\d+s +kubernetes.io\/kube-apiserver-client +kubernetes-admin +60m +Pending$/,
    )
    assert.match(k`describe csr good`, /Common Name: +ann[^]*Organization: +team/)
    assert.equal(
      k`certificate approve good`,
      'certificatesigningrequest.certificates.k8s.io/good approved',
    )
    assert.equal(
      k`get csr good -o ${'jsonpath={.status.conditions[0].type} {.status.conditions[0].reason} {.status.conditions[0].message}'}`,
      'Approved KubectlApprove This CSR was approved by kubectl certificate approve.',
    )
    k`wait csr/good --for=jsonpath={.status.certificate} --timeout=20s`
    assert.match(k`get csr good`, /Approved,Issued$/)
    assert.match(
      k.fails`certificate deny good`,
      /certificate signing request "good" is already Approved/,
    )
    assert.equal(
      k`certificate deny bad`,
      'certificatesigningrequest.certificates.k8s.io/bad denied',
    )
    assert.match(k`get csr bad`, /Denied$/)
  })

  test('a service account has tokens with an end, for a pod or for anybody', () => {
    k`create serviceaccount robot`
    const token = k`create token robot --duration=10m`
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as {
      exp: number
      iat: number
      sub: string
    }
    assert.equal(claims.exp - claims.iat, 600)
    assert.equal(claims.sub, 'system:serviceaccount:shop:robot')
    const { code, stdout } = cluster.kubectl([
      ...'auth whoami --kubeconfig=/dev/null --insecure-skip-tls-verify'.split(' '),
      '-ojsonpath={.status.userInfo.username}',
      `--token=${token}`,
      `--server=${k`config view --minify -o jsonpath={.clusters[0].cluster.server}`}`,
    ])
    assert.deepEqual([code, stdout], [0, 'system:serviceaccount:shop:robot'])
    assert.match(
      k.fails`create token robot --duration=1m`,
      /spec.expirationSeconds: Invalid value: 60: may not specify a duration less than 10 minutes/,
    )
    assert.match(k.fails`create token nobody`, /serviceaccounts "nobody" not found/)
    assert.match(
      k.fails`create token robot --bound-object-kind=Pod --bound-object-name=no`,
      /pods "no" not found/,
    )
  })

  test('a quota counts, refuses, and keeps to its scope', () => {
    k`create namespace small`
    const small = talk(cluster, { namespace: 'small' })
    assert.equal(
      small`create quota q --hard=pods=1,configmaps=3,requests.cpu=1`,
      'resourcequota/q created',
    )
    small`wait quota/q --for=jsonpath={.status.hard.pods}=1 --timeout=20s`
    assert.equal(
      small.fails`run a --image=x`,
      'Error from server (Forbidden): pods "a" is forbidden: failed quota: q: must specify requests.cpu for: a',
    )
    assert.match(
      small.fails`create quota b --hard=cpu=1,pods=2 --scopes=BestEffort`,
      /spec.scopes: Invalid value: \["BestEffort"\]: unsupported scope applied to resource/,
    )
    const pod = (name: string): string =>
      `{apiVersion: v1, kind: Pod, metadata: {name: ${name}}, spec: {containers: [{name: c, image: x, resources: {requests: {cpu: 100m}}}]}}`
    small.given(pod('a'))`create -f -`
    assert.match(
      small.given(pod('b')).fails`create -f -`,
      /exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1/,
    )
    assert.match(small`describe quota q`, /^pods +1 +1$/m)
    assert.match(
      small`get quota`,
      /^NAME +REQUEST +LIMIT +AGE\nq +configmaps: 1\/3, pods: 1\/1, requests.cpu: 100m\/1 /,
    )
    assert.match(small`describe namespace small`, /Resource Quotas\n +Name: +q/)
  })

  test('limits fill in what is absent, and refuse what is too much', () => {
    k.given(
      '{apiVersion: v1, kind: LimitRange, metadata: {name: l}, spec: {limits: [{type: Container, max: {cpu: 1}, default: {cpu: 200m}}]}}',
    )`create -f -`
    k`run limited --image=x`
    assert.equal(
      k`get pod limited -o jsonpath={.spec.containers[0].resources}`,
      '{"limits":{"cpu":"200m"},"requests":{"cpu":"200m"}}',
    )
    assert.match(
      k.fails`run large --image=x --overrides=${'{"spec":{"containers":[{"name":"large","image":"x","resources":{"limits":{"cpu":"2"}}}]}}'}`,
      /maximum cpu usage per Container is 1, but limit is 2/,
    )
    k`delete limitrange l`
  })

  test('a kubelet at its own port is read by whom the cluster lets, and by nobody else', async () => {
    k`create serviceaccount scraper`
    k`create clusterrole scrapes --verb=get --resource=nodes/metrics`
    k`create clusterrolebinding scrapes --clusterrole=scrapes --serviceaccount=shop:scraper`
    const token = k`create token scraper`
    const [address = '', port = ''] =
      k`get nodes -o ${'jsonpath={.items[0].status.addresses[0].address} {.items[0].status.daemonEndpoints.kubeletEndpoint.Port}'}`.split(
        ' ',
      )
    const authority = Buffer.from(
      k`config view --raw -o ${'jsonpath={.clusters[0].cluster.certificate-authority-data}'}`,
      'base64',
    ).toString('utf8')
    const ask = (path: string, headers: Readonly<Record<string, string>>) =>
      new Promise<readonly [status: number | undefined, body: string]>((resolve, reject) => {
        // The kubelet's certificate is of the cluster, and for the node's address.
        const to = { host: address, port: Number(port), path, headers, ca: authority, agent: false }
        get(to, (response) => {
          let body = ''
          response.setEncoding('utf8').on('data', (text: string) => (body += text))
          response.on('end', () => resolve([response.statusCode, body]))
        }).on('error', reject)
      })
    const bearer = { authorization: `Bearer ${token}` }
    const [status, body] = await ask('/metrics/resource', bearer)
    assert.equal(status, 200)
    assert.match(body, /^node_cpu_usage_seconds_total /m)
    assert.deepEqual(await ask('/pods', bearer), [
      403,
      'Forbidden (user=system:serviceaccount:shop:scraper, verb=get, resource=nodes, subresource(s)=[pods proxy])\n',
    ])
    assert.deepEqual(await ask('/metrics', {}), [401, 'Unauthorized'])
    assert.deepEqual(await ask('/metrics', { authorization: 'Bearer nope' }), [401, 'Unauthorized'])
  })

  test('priorities are classes, one of them for all', () => {
    k`create priorityclass high --value=1000 --description=important`
    k`create priorityclass usual --value=10 --global-default --preemption-policy=Never`
    assert.match(
      k.fails`create priorityclass usual2 --value=10 --global-default`,
      /PriorityClass usual is already marked as default\. Only one default can exist/,
    )
    k`run ordinary --image=x`
    assert.equal(
      k`get pod ordinary -o ${'jsonpath={.spec.priorityClassName} {.spec.priority} {.spec.preemptionPolicy}'}`,
      'usual 10 Never',
    )
    assert.match(
      k`get priorityclasses high`,
      /VALUE +GLOBAL-DEFAULT +AGE +PREEMPTIONPOLICY\nhigh +1000 +false +\d+s +PreemptLowerPriority$/,
    )
    k`create pdb p --selector=app=x --max-unavailable=50%`
    assert.match(
      k`get pdb`,
      /MIN AVAILABLE +MAX UNAVAILABLE +ALLOWED DISRUPTIONS +AGE\np +N\/A +50% +0 /,
    )
  })
})

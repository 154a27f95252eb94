/** The real kubectl and what runs: run, expose, set, scale, rollouts of each kind, jobs, nodes and events. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { startCluster, type TestCluster } from '../support/navarch.ts'
import { talk, type Talk } from '../support/talk.ts'

const SETS = `
apiVersion: apps/v1
kind: DaemonSet
metadata: { name: bind }
spec:
  selector: { matchLabels: { service: bind } }
  template:
    metadata: { labels: { service: bind } }
    spec: { terminationGracePeriodSeconds: 0, containers: [{ name: pause, image: "pause:1" }] }
---
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: db }
spec:
  serviceName: db
  selector: { matchLabels: { app: db } }
  template:
    metadata: { labels: { app: db } }
    spec: { terminationGracePeriodSeconds: 0, containers: [{ name: main, image: "db:1" }] }
`

describe('kubectl and what runs', () => {
  let cluster: TestCluster
  let k: Talk

  before(async () => {
    cluster = await startCluster(['--runtime=simulated'])
    k = talk(cluster, { namespace: 'shop' })
    k`create namespace shop`
  })
  after(() => cluster?.stop())

  const image = (what: string): string =>
    k`get ${what} -o jsonpath={.spec.template.spec.containers[0].image}`

  test('a pod is run, exposed, and its Service exposed again', () => {
    assert.equal(
      k`run web --image=nginx --port=80 --expose`,
      'service/web created\npod/web created',
    )
    assert.match(
      k`get pod web --show-managed-fields -o jsonpath={.metadata.managedFields[0].manager}`,
      /kubectl-run/,
    )
    assert.equal(
      k`expose pod web --port=1000 --target-port=80 --type=NodePort --name=more --overrides=${'{"metadata":{"annotations":{"zone":"work"}}}'}`,
      'service/more exposed',
    )
    assert.match(k`get service more`, /NodePort +10\.\S+ +<none> +1000:3\d{4}\/TCP/)
    assert.equal(k`expose service web --port=443 --name=again`, 'service/again exposed')
    assert.equal(
      k`get service again -o jsonpath={.spec.ports}`,
      '[{"port":443,"protocol":"TCP","targetPort":443}]',
    )
    assert.equal(k.fails`expose nodes node-1`, 'error: cannot expose a Node')
    assert.match(
      k.fails`expose pod web --port=80 --name=${'a'.repeat(64)}`,
      /metadata.name: Invalid value: "a{64}": must be no more than 63 characters/,
    )
    assert.match(
      k.fails`run ${'we_b'} --image=x`,
      /\* metadata.name: Invalid value: "we_b": a lowercase RFC 1123 subdomain[^]*\* spec.containers\[0\].name: Invalid value: "we_b": a lowercase RFC 1123 label/,
    )
    assert.equal(
      k.fails`run web --image=x`,
      'Error from server (AlreadyExists): pods "web" already exists',
    )
    assert.match(k`describe service web`, /^Selector: +run=web$/m)
  })

  test('each kind of Service is made', () => {
    k`create service clusterip a --tcp=5678:8080`
    k`create service clusterip headless --clusterip=None`
    k`create service nodeport b --tcp=80 --node-port=30100`
    k`create service loadbalancer c --tcp=80`
    k`create service externalname d --external-name=bar.example.com`
    const table = k`get services --no-headers`.replaceAll(/ +/g, ' ')
    assert.match(table, /^a ClusterIP 10\.\S+ <none> 5678\/TCP/m)
    assert.match(table, /^b NodePort 10\.\S+ <none> 80:30100\/TCP/m)
    assert.match(table, /^c LoadBalancer 10\.\S+ <pending> 80:\d+\/TCP/m)
    assert.match(table, /^d ExternalName <none> bar\.example\.com <none>/m)
    assert.match(table, /^headless ClusterIP None <none> <none>/m)
    assert.match(
      k.fails`create service nodeport e --tcp=80 --node-port=30100`,
      /spec.ports\[0\].nodePort: Invalid value: 30100: provided port is already allocated/,
    )
    k`set selector service/a role=x`
    assert.equal(k`get service a -o jsonpath={.spec.selector}`, '{"role":"x"}')
  })

  test('a deployment is set, scaled and looked at', () => {
    assert.equal(
      k`create deployment d --image=nginx:1 --replicas=2 --port=80`,
      'deployment.apps/d created',
    )
    assert.equal(
      k`rollout status deployment/d --timeout=20s`.split('\n').at(-1),
      'deployment "d" successfully rolled out',
    )
    assert.equal(k`get deployment d -o jsonpath={.metadata.generation}`, '1')
    assert.equal(k`set image deployment/d nginx=nginx:2`, 'deployment.apps/d image updated')
    assert.equal(
      k.fails`set image deployment/d foo=nginx:2`,
      'error: unable to find container named "foo"',
    )
    assert.equal(image('deployment/d'), 'nginx:2')
    k`create configmap settings --from-literal=colour=red`
    k`set env deployment/d A=B`
    k`set env deployment/d --from=configmap/settings`
    assert.match(
      k`set env deployment/d --list`,
      /A=B\n# COLOUR from configmap settings, key colour$/,
    )
    k`set env deployment/d A-`
    k`set resources deployment/d --limits=cpu=200m,memory=64Mi --requests=cpu=100m`
    assert.match(
      k.fails`set resources deployment/d --limits=cpu=100m --requests=cpu=400m`,
      /resources.requests: Invalid value: "400m": must be less than or equal to cpu limit of 100m/,
    )
    k`create serviceaccount runner`
    assert.equal(
      k`set serviceaccount deployment/d runner`,
      'deployment.apps/d serviceaccount updated',
    )
    assert.equal(
      k`scale deployment/d --replicas=3 --current-replicas=2`,
      'deployment.apps/d scaled',
    )
    assert.equal(
      k.fails`scale deployment/d --replicas=3 --current-replicas=5`,
      'error: Expected replicas to be 5, was 3',
    )
    assert.match(
      k`get deployment d -o wide`,
      /CONTAINERS +IMAGES +SELECTOR\nd .* nginx +nginx:2 +app=d$/,
    )
    assert.equal(
      k`autoscale deployment/d --min=2 --max=4 --cpu=70%`,
      'horizontalpodautoscaler.autoscaling/d autoscaled',
    )
    assert.match(
      k`get hpa d`,
      /^NAME +REFERENCE +TARGETS +MINPODS +MAXPODS +REPLICAS +AGE\nd +Deployment\/d +cpu: <unknown>\/70% +2 +4 /,
    )
    k`delete hpa d`
    k`autoscale deployment/d --max=3`
    assert.equal(
      k`get horizontalpodautoscalers.v1.autoscaling d -o ${'jsonpath={.spec.minReplicas} {.spec.targetCPUUtilizationPercentage}'}`,
      '1 80',
    )
    k`delete hpa d`
    assert.match(
      k`top nodes`,
      /^NAME +CPU\(cores\) +CPU\(%\) +MEMORY\(bytes\) +MEMORY\(%\) *\nnode-1 /,
    )
  })

  test('a deployment rolls out, back, is paused and restarted', () => {
    k`create deployment r --image=nginx:1`
    k`set image deployment/r nginx=nginx:2`
    k`annotate deployment/r kubernetes.io/change-cause=second`
    k`rollout status deployment/r --timeout=20s`
    assert.match(k`rollout history deployment/r`, /REVISION +CHANGE-CAUSE\n1 +<none>\n2 +second/)
    assert.match(
      k`rollout history deployment/r --revision=1`,
      /with revision #1[^]*Image:\tnginx:1/,
    )
    assert.equal(
      k`rollout undo deployment/r --dry-run=server`,
      'deployment.apps/r rolled back (server dry run)',
    )
    assert.equal(k`rollout undo deployment/r`, 'deployment.apps/r rolled back')
    assert.equal(image('deployment/r'), 'nginx:1')
    k`rollout status deployment/r --timeout=20s`
    assert.equal(
      k.fails`rollout undo deployment/r --to-revision=100`,
      'error: unable to find specified revision 100 in history',
    )
    assert.equal(
      k`rollout undo deployment/r --to-revision=3`,
      'deployment.apps/r skipped rollback (current template already matches revision 3)',
    )
    assert.equal(k`rollout pause deployment/r`, 'deployment.apps/r paused')
    assert.equal(
      k.fails`rollout pause deployment/r`,
      'error: deployments.apps "r" is already paused',
    )
    assert.match(k.fails`rollout restart deployment/r`, /can't restart paused deployment/)
    assert.equal(k`rollout resume deployment/r`, 'deployment.apps/r resumed')
    assert.equal(k`rollout restart deployment/r`, 'deployment.apps/r restarted')
    k`rollout status deployment/r --timeout=20s`
    k`delete deployment r`
  })

  test('daemon sets and stateful sets roll out and back, and orphans stay', () => {
    k.given(SETS)`apply -f - --record`
    for (const what of ['daemonset/bind', 'statefulset/db']) {
      k`rollout status ${what} --timeout=20s`
      k`set image ${what} *=new:2`
      k`rollout status ${what} --timeout=20s`
      assert.match(k`rollout history ${what}`, /\n1 .*--record=true\n2 .*--record=true/)
      assert.match(k`rollout undo ${what}`, /rolled back$/)
      k`rollout status ${what} --timeout=20s`
      assert.match(image(what), /:1$/)
      assert.match(
        k.fails`rollout undo ${what} --to-revision=1000000`,
        /unable to find specified revision 1000000 in history/,
      )
      assert.match(k`rollout restart ${what}`, /restarted$/)
    }
    assert.match(
      k`get controllerrevisions`,
      /bind-\w+ +daemonset.apps\/bind +\d[^]*db-\w+ +statefulset.apps\/db +\d/,
    )
    assert.match(
      k`get ds,sts`,
      /DESIRED +CURRENT +READY +UP-TO-DATE +AVAILABLE +NODE SELECTOR +AGE[^]*READY +AGE\nstatefulset.apps\/db/,
    )
    k`scale statefulset/db --replicas=2`
    k`rollout status statefulset/db --timeout=20s`
    k`delete statefulset db --cascade=orphan`
    assert.equal(k`get pods -l app=db -o name`, 'pod/db-0\npod/db-1')
    k`delete pods -l app=db --now`
    k`delete daemonset bind`
  })

  test('jobs come from an image, a command, and a cron job', () => {
    assert.equal(
      k`create cronjob nightly --image=x --schedule=${'0 3 * * *'} -- echo hi`,
      'cronjob.batch/nightly created',
    )
    assert.equal(k`create job now --from=cronjob/nightly`, 'job.batch/now created')
    assert.equal(
      k`get job now -o ${'jsonpath={.metadata.ownerReferences[0].kind} {.metadata.annotations.cronjob\\.kubernetes\\.io/instantiate}'}`,
      'CronJob manual',
    )
    assert.match(
      k`get cronjobs`,
      /SCHEDULE +TIMEZONE +SUSPEND +ACTIVE +LAST SCHEDULE +AGE\nnightly +0 3 \* \* \* +<none> +False +/,
    )
    assert.match(k`get jobs`, /^NAME +STATUS +COMPLETIONS +DURATION +AGE\nnow +Running +0\/1/)
    assert.match(
      k.fails`create cronjob bad --image=x --schedule=${'0 33 * * *'}`,
      /spec.schedule: Invalid value: "0 33 \* \* \*"/,
    )
    k`delete cronjob nightly`
    k`wait job/now --for=delete --timeout=20s`
  })

  test('a node is tainted, cordoned, drained within its budgets, and used again', () => {
    assert.equal(k`taint node node-1 a=b:PreferNoSchedule`, 'node/node-1 tainted')
    assert.match(
      k.fails`taint node node-1 a=c:PreferNoSchedule`,
      /already has a\(\s*\)? ?taint|already has/,
    )
    assert.equal(k`taint node node-1 a-`, 'node/node-1 untainted')
    k`create poddisruptionbudget most --selector=app=d --min-available=100%`
    k`wait pdb/most --for=jsonpath={.status.expectedPods}=3 --timeout=20s`
    assert.match(
      k.fails`drain node-1 --timeout=2s`,
      /cannot delete .*Pods that declare no controller \(use --force to override\): shop\/web/,
    )
    const blocked = k.fails`drain node-1 --force --timeout=2s`
    assert.match(blocked, /Cannot evict pod as it would violate the pod's disruption budget/)
    k`create poddisruptionbudget other --selector=app=d --max-unavailable=1`
    assert.match(
      k.fails`drain node-1 --force --timeout=2s`,
      /": This pod has more than one PodDisruptionBudget, which the eviction subresource does not support\./,
    )
    k`delete pdb --all`
    assert.match(
      k`drain node-1 --force --timeout=30s`,
      /pod\/d-\S+ evicted[^]*node\/node-1 drained$/,
    )
    assert.match(k`get nodes`, /Ready,SchedulingDisabled/)
    assert.equal(k`uncordon node-1`, 'node/node-1 uncordoned')
    k`rollout status deployment/d --timeout=30s`
    assert.match(k`describe node node-1`, /Unschedulable: +false[^]*Non-terminated Pods:/)
  })

  test('events are listed by kind, object and time', () => {
    assert.match(
      k`get events --field-selector=reason=ScalingReplicaSet`,
      /^LAST SEEN +TYPE +REASON +OBJECT +MESSAGE\n[^]* Normal +ScalingReplicaSet +deployment\/d +Scaled up replica set d-\w+ from 0 to 2$/m,
    )
    assert.match(k`events --for=deployment/d --types=Normal`, /Deployment\/d/)
    assert.match(
      k`get events --sort-by=.lastTimestamp -o wide`,
      /SUBOBJECT +SOURCE +MESSAGE +FIRST SEEN +COUNT +NAME/,
    )
    assert.match(
      k`describe deployment d`,
      /NewReplicaSet: +d-\w+ \(3\/3 replicas created\)\nEvents:/,
    )
  })

  test('containers are spoken with, looked at and debugged', () => {
    k`run box --image=busybox`
    k`wait pod/box --for=condition=Ready --timeout=20s`
    assert.match(k`logs box`, /started \(simulated\)/)
    assert.match(k`logs deployment/d --prefix`, /^\[pod\/d-\S+\/nginx\] |started/)
    assert.equal(k.fails`logs box -c nosuch`, 'error: container nosuch is not valid for pod box')
    assert.equal(k`exec box -- date`, '')
    assert.match(k.fails`exec box -c nosuch -- date`, /container nosuch is not valid for pod box/)
    k`debug box --image=busybox --attach=false -c helper --profile=general`
    k`wait pod/box --for=jsonpath={.status.ephemeralContainerStatuses[0].state.running} --timeout=20s`
    k`debug box --image=busybox --attach=false --copy-to=copy --share-processes --profile=general`
    k`wait pod/copy --for=condition=Ready --timeout=20s`
    assert.match(
      k`debug node/node-1 --image=busybox --attach=false --profile=general`,
      /Creating debugging pod node-debugger-node-1-\w+ with container debugger on node node-1/,
    )
  })
})

/** The main path with the real kubectl and real containers: what a user tries first. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { canRunContainers, eventually, startCluster, type TestCluster } from '../support/navarch.ts'

const DEMO = 'navarch.local/demo'
const web = (
  options: { replicas?: number; image?: string; version?: string; extra?: string } = {},
): string => `
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, labels: { app: web } }
spec:
  replicas: ${options.replicas ?? 3}
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      containers:
        - name: web
          image: ${options.image ?? `${DEMO}:v1`}
          ports: [{ containerPort: 8080 }]
          env:
            - { name: VERSION, value: "${options.version ?? 'one'}" }
            - { name: GREETING, valueFrom: { configMapKeyRef: { name: words, key: greeting } } }
            - { name: PASSWORD, valueFrom: { secretKeyRef: { name: keys, key: password } } }
          volumeMounts: [{ name: words, mountPath: /words }]
          readinessProbe: { httpGet: { path: /, port: 8080 }, periodSeconds: 1 }
${options.extra ?? ''}
      volumes: [{ name: words, configMap: { name: words } }]
---
apiVersion: v1
kind: Service
metadata: { name: web }
spec: { selector: { app: web }, ports: [{ port: 80, targetPort: 8080 }] }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: words }
data: { greeting: hello }
---
apiVersion: v1
kind: Secret
metadata: { name: keys }
stringData: { password: s3cret }
`

describe(
  'the main path',
  { skip: canRunContainers ? false : 'needs Linux, root and containerd' },
  () => {
    let cluster: TestCluster
    let kubectl: TestCluster['kubectl']

    before(async () => {
      cluster = await startCluster()
      kubectl = cluster.kubectl
      cluster.navarch(['image', 'build', '--demo', `--tag=${DEMO}:v1`])
      cluster.navarch(['image', 'build', '--demo', `--tag=${DEMO}:v2`])
      kubectl('apply -f -', { input: web() })
      kubectl('rollout status deployment/web --timeout=60s')
    })
    after(() => cluster?.stop())

    const address = (): string => kubectl('get service web -o jsonpath={.spec.clusterIP}').stdout
    const podNames = (): string[] =>
      kubectl('get pods -l app=web -o jsonpath={.items[*].metadata.name}')
        .stdout.split(' ')
        .filter(Boolean)
        .toSorted()
    const curl = (url: string): string => {
      const ran = spawnSync('curl', ['-sS', '--max-time', '3', url], { encoding: 'utf8' })
      if (ran.status !== 0) throw new Error(`curl ${url}: ${ran.stderr}`)
      return ran.stdout
    }
    const running = async (count: number): Promise<void> => {
      await eventually(`${count} ready replicas and no other pod`, () => {
        const list = JSON.parse(kubectl('get pods -l app=web -o json').stdout) as {
          items: {
            metadata: { deletionTimestamp?: string }
            status: { conditions?: { type: string; status: string }[] }
          }[]
        }
        const ready = list.items.filter((pod) =>
          pod.status.conditions?.some((c) => c.type === 'Ready' && c.status === 'True'),
        )
        return list.items.length === count && ready.length === count
      })
    }

    test('the node is Ready, with what it truly has', () => {
      const node = JSON.parse(kubectl('get node node-1 -o json').stdout) as {
        status: { capacity: Record<string, string>; nodeInfo: Record<string, string> }
      }
      assert.match(node.status.capacity['cpu'] ?? '', /^\d+$/)
      assert.match(node.status.nodeInfo['containerRuntimeVersion'] ?? '', /^containerd:\/\//)
      assert.match(kubectl('get nodes').stdout, /node-1\s+Ready/)
      assert.match(kubectl('describe node node-1').stdout, /Allocatable:/)
    })

    test('get, describe and logs show the pods', () => {
      assert.match(kubectl('get deployment web').stdout, /web\s+3\/3\s+3\s+3/)
      assert.equal(podNames().length, 3)
      assert.match(kubectl('get pods -o wide').stdout, /Running\s+0\s+\S+\s+10\.244\./)
      const described = kubectl(['describe', 'pod', podNames()[0] ?? '']).stdout
      for (const word of ['Scheduled', 'Created', 'Started', 'Successfully assigned'])
        assert.match(described, new RegExp(word))
      kubectl(['logs', podNames()[0] ?? ''])
    })

    test('exec runs in the container, with its environment and its files', () => {
      const pod = podNames()[0] ?? ''
      assert.equal(
        kubectl(['exec', pod, '--', 'sh', '-c', 'echo $GREETING $PASSWORD; cat /words/greeting'])
          .stdout,
        'hello s3cret\nhello',
      )
      const failed = kubectl(['exec', pod, '--', 'sh', '-c', 'exit 7'], { mayFail: true })
      assert.equal(failed.code, 7)
      assert.match(failed.stderr, /command terminated with exit code 7/)
      assert.equal(
        kubectl(['exec', '-i', pod, '--', 'cat'], { input: 'through stdin' }).stdout,
        'through stdin',
      )
    })

    test('cp brings a file in and out again', () => {
      const pod = podNames()[0] ?? ''
      const file = join(cluster.dataDir, 'sent.txt')
      writeFileSync(file, 'a file\n'.repeat(10_000))
      kubectl(['cp', file, `${pod}:/tmp/sent.txt`])
      assert.equal(
        kubectl(['exec', pod, '--', 'cat', '/tmp/sent.txt']).stdout,
        'a file\n'.repeat(10_000),
      )
      kubectl(['cp', `${pod}:/tmp/sent.txt`, `${file}.back`])
    })

    test('port-forward reaches the container', async () => {
      const forward = cluster.kubectlSpawn(['port-forward', 'service/web', ':80'])
      try {
        const port = await new Promise<string>((resolve, reject) => {
          let text = ''
          forward.stdout.on('data', (chunk: Buffer) => {
            text += chunk.toString()
            const match = /127\.0\.0\.1:(\d+)/.exec(text)
            if (match?.[1] !== undefined) resolve(match[1])
          })
          forward.on('exit', () => reject(new Error(`port-forward ended: ${text}`)))
        })
        for (let i = 0; i < 3; i++) assert.match(curl(`http://127.0.0.1:${port}/`), /web-/)
      } finally {
        forward.kill()
      }
    })

    test('every replica answers through the Service, from the host and from a pod by its name', async () => {
      await running(3)
      const seen = new Set<string>()
      for (let i = 0; i < 60 && seen.size < 3; i++)
        seen.add(/web-[a-z0-9]+-[a-z0-9]+/.exec(curl(`http://${address()}/`))?.[0] ?? 'none')
      assert.deepEqual([...seen].toSorted(), podNames())
      const inside = kubectl([
        'exec',
        podNames()[0] ?? '',
        '--',
        'sh',
        '-c',
        'for i in $(seq 30); do timeout 5 wget -q -O - http://web.default.svc.cluster.local/; done',
      ])
      assert.ok(new Set(inside.stdout.match(/web-[a-z0-9]+-[a-z0-9]+/g)).size === 3, inside.stdout)
      assert.match(
        kubectl([
          'exec',
          podNames()[0] ?? '',
          '--',
          'sh',
          '-c',
          'timeout 5 wget -q -O - http://web/',
        ]).stdout,
        /web-/,
      )
    })

    test('a pod reaches the API at kubernetes.default', () => {
      const script = 'printf x | timeout 5 nc kubernetes.default 443 >/dev/null && echo reached'
      assert.match(
        kubectl(['exec', podNames()[0] ?? '', '--', 'sh', '-c', script]).stdout,
        /reached/,
      )
    })

    test('a deleted pod and a killed process are replaced', async () => {
      const [gone = ''] = podNames()
      kubectl(['delete', 'pod', gone])
      await running(3)
      assert.ok(!podNames().includes(gone))
      const [hurt = ''] = podNames()
      kubectl(['exec', hurt, '--', 'sh', '-c', 'kill -9 -1; kill -TERM 1'], { mayFail: true })
      await eventually(
        'a restart is counted',
        () =>
          Number(
            kubectl([
              'get',
              'pod',
              hurt,
              '-o',
              'jsonpath={.status.containerStatuses[0].restartCount}',
            ]).stdout,
          ) >= 1,
      )
      await running(3)
    })

    test('scaling goes up and down', async () => {
      for (const count of [10, 1, 3]) {
        kubectl(`scale deployment/web --replicas=${count}`)
        await running(count)
      }
    })

    test('a rolling update under constant requests loses none, and undo brings the old version back', async () => {
      const url = `http://${address()}/`
      const results: string[] = []
      let on = true
      const load = Promise.all(
        Array.from({ length: 4 }, async () => {
          while (on) {
            try {
              const answer = await fetch(url, {
                headers: { connection: 'close' },
                signal: AbortSignal.timeout(5000),
              })
              results.push(answer.ok ? 'ok' : `status ${answer.status}`)
              await answer.text()
            } catch (error) {
              results.push(String(error instanceof Error ? (error.cause ?? error) : error))
            }
            await sleep(2)
          }
        }),
      )
      kubectl('apply -f -', { input: web({ version: 'two', image: `${DEMO}:v2` }) })
      const rollout = cluster.kubectlSpawn(['rollout', 'status', 'deployment/web', '--timeout=90s'])
      const code = await new Promise<number | null>((resolve) => rollout.on('exit', resolve))
      await sleep(500)
      on = false
      await load
      assert.equal(code, 0)
      const lost = results.filter((result) => result !== 'ok')
      assert.deepEqual(lost, [], `${lost.length} of ${results.length} requests were lost`)
      assert.ok(results.length > 100, `only ${results.length} requests were made`)
      assert.match(kubectl('get deployment web -o jsonpath={..image}').stdout, /:v2/)
      assert.match(kubectl('rollout history deployment/web').stdout, /2/)
      kubectl('rollout undo deployment/web')
      kubectl('rollout status deployment/web --timeout=60s')
      assert.match(kubectl('get deployment web -o jsonpath={..image}').stdout, /:v1/)
      await running(3)
    })

    test('a pod that is not ready gets no requests', async () => {
      const [sick = ''] = podNames()
      const slices = (): string =>
        kubectl('get endpointslices -l kubernetes.io/service-name=web -o json').stdout
      kubectl('apply -f -', { input: gate('gate') })
      await eventually(
        'gate is ready',
        () =>
          kubectl('get pod gate -o jsonpath={.status.conditions[?(@.type=="Ready")].status}')
            .stdout === 'True',
      )
      kubectl(['exec', 'gate', '--', 'rm', '/tmp/ready'])
      await eventually(
        'gate is not ready',
        () =>
          kubectl('get pod gate -o jsonpath={.status.conditions[?(@.type=="Ready")].status}')
            .stdout === 'False',
      )
      await eventually('its endpoint is not ready', () => {
        const list = JSON.parse(slices().replace('web', 'web')) as unknown
        const gateSlices = JSON.parse(
          kubectl('get endpointslices -l kubernetes.io/service-name=gate -o json').stdout,
        ) as { items: { endpoints?: { conditions: { ready: boolean } }[] }[] }
        return list !== undefined && gateSlices.items[0]?.endpoints?.[0]?.conditions.ready === false
      })
      assert.ok(sick !== '')
    })

    test('a failing liveness probe restarts the container', async () => {
      kubectl('apply -f -', {
        input: `
apiVersion: v1
kind: Pod
metadata: { name: fragile }
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: main
      image: ${DEMO}:v1
      command: [sh, -c, "touch /tmp/alive; sleep 3; rm /tmp/alive; sleep 1000"]
      livenessProbe: { exec: { command: [cat, /tmp/alive] }, periodSeconds: 1, failureThreshold: 1 }
`,
      })
      await eventually(
        'it restarts',
        () =>
          Number(
            kubectl('get pod fragile -o jsonpath={.status.containerStatuses[0].restartCount}')
              .stdout,
          ) >= 1,
      )
      assert.match(
        kubectl('get events --field-selector involvedObject.name=fragile').stdout,
        /Liveness probe failed/,
      )
      kubectl('delete pod fragile --now')
    })

    test('an image that is nowhere shows ImagePullBackOff and its cause', async () => {
      kubectl('run missing --image=registry.invalid/no/such:image')
      await eventually('the state is shown', () =>
        /ImagePullBackOff|ErrImagePull/.test(kubectl('get pod missing').stdout),
      )
      assert.match(
        kubectl('describe pod missing').stdout,
        /Failed to pull image "registry.invalid\/no\/such:image"/,
      )
      kubectl('delete pod missing --now')
    })

    test('a wrong manifest is refused with the field and the near miss', () => {
      const ran = kubectl('apply -f -', {
        input: web().replace('replicas: 3', 'replcias: 3'),
        mayFail: true,
      })
      assert.notEqual(ran.code, 0)
      assert.match(ran.stderr, /unknown field "spec.replcias"/)
      const typed = kubectl('apply --validate=false -f -', {
        input: web().replace('containerPort: 8080', 'containerPort: 808000'),
        mayFail: true,
      })
      assert.match(
        typed.stderr,
        /spec\.template\.spec\.containers\[0\]\.ports\[0\]\.containerPort: Invalid value: 808000: must be between 1 and 65535/,
      )
    })

    test('an unschedulable pod says why', async () => {
      kubectl('apply -f -', {
        input: `
apiVersion: v1
kind: Pod
metadata: { name: giant }
spec: { containers: [{ name: main, image: "${DEMO}:v1", resources: { requests: { cpu: "1000" } } }] }
`,
      })
      await eventually('the reason is told', () =>
        /0\/1 nodes are available: 1 Insufficient cpu/.test(kubectl('describe pod giant').stdout),
      )
      kubectl('delete pod giant --now')
    })

    test('can-i tells what an identity may do', () => {
      assert.equal(kubectl('auth can-i create pods').stdout.trim(), 'yes')
      assert.equal(
        kubectl('auth can-i list secrets --as=nobody', { mayFail: true }).stdout.trim(),
        'no',
      )
      const refused = kubectl('get pods --as=nobody', { mayFail: true })
      assert.match(
        refused.stderr,
        /pods is forbidden: User "nobody" cannot list resource "pods" in API group "" in the namespace "default"/,
      )
    })

    test('deleting a namespace cleans all of it', async () => {
      kubectl('create namespace shop')
      kubectl('apply -n shop -f -', { input: web({ replicas: 2 }) })
      kubectl('rollout status -n shop deployment/web --timeout=60s')
      kubectl('delete namespace shop --timeout=90s')
      assert.match(
        kubectl('get namespace shop', { mayFail: true }).stderr,
        /namespaces "shop" not found/,
      )
      assert.equal(kubectl('get pods -n shop -o name').stdout, '')
    })

    test('stop and start: everything is there, and containers did not restart', async () => {
      const before = containers()
      cluster.navarch(['down'])
      cluster.up()
      await running(3)
      assert.equal(containers(), before)
      assert.match(curl(`http://${address()}/`), /web-/)
    })

    test('kill -9 under load loses nothing that was acknowledged', async () => {
      const made: string[] = []
      let on = true
      const writer = (async () => {
        for (let i = 0; on && i < 400; i++) {
          const ran = kubectl(['create', 'configmap', `kept-${i}`, `--from-literal=n=${i}`], {
            mayFail: true,
          })
          if (ran.code !== 0) return
          made.push(`kept-${i}`)
          await sleep(0)
          if (i === 12) cluster.kill9()
        }
      })()
      await writer
      on = false
      const before = containers
      cluster.up()
      const found = new Set(
        kubectl('get configmaps -o jsonpath={.items[*].metadata.name}').stdout.split(' '),
      )
      assert.ok(made.length > 10)
      assert.deepEqual(
        made.filter((name) => !found.has(name)),
        [],
      )
      await running(3)
      assert.ok(before() !== '')
    })

    /** Container ids and restart counts of the Deployment's pods, sorted. */
    const containers = (): string =>
      kubectl(
        'get pods -l app=web -o jsonpath={range.items[*]}{.status.containerStatuses[0].containerID}{.status.containerStatuses[0].restartCount};{end}',
        { mayFail: true },
      )
        .stdout.split(';')
        .toSorted()
        .join(';') ||
      kubectl([
        'get',
        'pods',
        '-l',
        'app=web',
        '-o',
        'jsonpath={range .items[*]}{.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount};{end}',
      ])
        .stdout.split(';')
        .toSorted()
        .join(';')
  },
)

const gate = (name: string): string => `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, labels: { app: ${name} } }
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: main
      image: ${DEMO}:v1
      command: [sh, -c, "touch /tmp/ready; sleep 1000"]
      readinessProbe: { exec: { command: [cat, /tmp/ready] }, periodSeconds: 1, failureThreshold: 1 }
---
apiVersion: v1
kind: Service
metadata: { name: ${name} }
spec: { selector: { app: ${name} }, ports: [{ port: 80 }] }
`

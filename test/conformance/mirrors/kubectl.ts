import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { kubectl, startKubectl, tryKubectl } from '../kubectl.ts'
import { mirror, type Fixture } from '../mirror.ts'
import {
  AGNHOST,
  BUSYBOX,
  deployment,
  pod,
  readyPods,
  replicationController,
  runningPod,
  service,
} from '../support.ts'

const PRIMARY = 'agnhost-primary'
const PRIMARY_LABELS = { app: 'agnhost', role: 'primary' }

const primary = (): string =>
  JSON.stringify(
    replicationController(PRIMARY, {
      labels: PRIMARY_LABELS,
      container: {
        name: PRIMARY,
        image: AGNHOST,
        ports: [{ name: 'agnhost-server', containerPort: 6379 }],
      },
    }),
  )

const startPrimary = async (fixture: Fixture): Promise<string> => {
  await kubectl(fixture, ['create', '-f', '-'], primary())
  const [found] = await readyPods(fixture, 'app=agnhost', 1)
  return String(found?.['metadata'].name)
}

mirror(
  '[sig-cli] Kubectl client Kubectl api-versions should check if v1 is in available api versions [Conformance]',
  async (fixture) => {
    assert.ok((await kubectl(fixture, ['api-versions'])).split('\n').includes('v1'))
  },
)

mirror(
  '[sig-cli] Kubectl client Kubectl cluster-info should check if Kubernetes control plane services is included in cluster-info [Conformance]',
  async (fixture) => {
    const output = await kubectl(fixture, ['cluster-info'])
    assert.match(output, /Kubernetes control plane/)
    assert.match(output, /is running at/)
  },
)

mirror(
  '[sig-cli] Kubectl client Kubectl version should check is all data is printed [Conformance]',
  async (fixture) => {
    const output = await kubectl(fixture, ['version'])
    for (const part of ['Client Version:', 'Server Version:']) assert.ok(output.includes(part))
    const { serverVersion } = JSON.parse(await kubectl(fixture, ['version', '-o', 'json'])) as {
      serverVersion: Record<string, string>
    }
    for (const [key, form] of [
      ['major', /^\d$/],
      ['minor', /^\d+\+?$/],
      ['gitVersion', /^v\d\.\d+\.[\w\-.+]+$/],
      ['gitCommit', /^[0-9a-f]+$/],
    ] as const)
      assert.match(serverVersion[key] ?? '', form)
    for (const key of ['gitTreeState', 'buildDate', 'goVersion', 'compiler', 'platform'])
      assert.ok(serverVersion[key], key)
  },
)

mirror(
  '[sig-cli] Kubectl client Kubectl diff should check if kubectl diff finds a difference for Deployments [Conformance]',
  async (fixture) => {
    const made = (image: string): string =>
      JSON.stringify(deployment('httpd-deployment', { container: { image } }))
    await kubectl(fixture, ['create', '-f', '-'], made(AGNHOST))
    const { code, stdout } = await tryKubectl(fixture, ['diff', '-f', '-'], made(BUSYBOX))
    assert.equal(code, 1)
    assert.ok(stdout.includes(AGNHOST) && stdout.includes(BUSYBOX))
    await kubectl(fixture, ['delete', '-f', '-'], made(AGNHOST))
  },
)

mirror(
  '[sig-cli] Kubectl client Kubectl run pod should create a pod from an image when restart is Never [Conformance]',
  async (fixture) => {
    const { api, ns } = fixture
    await kubectl(fixture, [
      'run',
      'e2e-test-httpd-pod',
      '--restart=Never',
      '--pod-running-timeout=2m0s',
      `--image=${AGNHOST}`,
    ])
    const made = await api.get(ns('pods/e2e-test-httpd-pod'))
    assert.equal(made['spec'].containers.length, 1)
    assert.equal(made['spec'].containers[0].image, AGNHOST)
    assert.equal(made['spec'].restartPolicy, 'Never')
    await kubectl(fixture, ['delete', 'pods', 'e2e-test-httpd-pod'])
  },
)

const runHttpd = (fixture: Fixture): Promise<string> =>
  kubectl(fixture, [
    'run',
    'e2e-test-httpd-pod',
    `--image=${AGNHOST}`,
    '--pod-running-timeout=2m0s',
    '--labels=run=e2e-test-httpd-pod',
  ])

const imageInPlace = (image: string): string =>
  JSON.stringify({ spec: { containers: [{ name: 'e2e-test-httpd-pod', image }] } })

mirror(
  '[sig-cli] Kubectl client Kubectl server-side dry-run should check if kubectl can dry-run update Pods [Conformance]',
  async (fixture) => {
    const { api, ns } = fixture
    await runHttpd(fixture)
    await runningPod(fixture, 'e2e-test-httpd-pod')
    await kubectl(fixture, [
      'patch',
      'pod',
      'e2e-test-httpd-pod',
      '-p',
      imageInPlace(BUSYBOX),
      '--dry-run=server',
    ])
    const after = await api.get(ns('pods/e2e-test-httpd-pod'))
    assert.equal(after['spec'].containers[0].image, AGNHOST)
    await kubectl(fixture, ['delete', 'pods', 'e2e-test-httpd-pod', '--now'])
  },
)

mirror(
  "[sig-cli] Kubectl client Kubectl replace should update a single-container pod's image [Conformance]",
  async (fixture) => {
    const { api, ns } = fixture
    await runHttpd(fixture)
    await readyPods(fixture, 'run=e2e-test-httpd-pod', 1)
    const json = await kubectl(fixture, ['get', 'pod', 'e2e-test-httpd-pod', '-o', 'json'])
    await kubectl(fixture, ['replace', '-f', '-'], json.replaceAll(AGNHOST, BUSYBOX))
    const after = await api.get(ns('pods/e2e-test-httpd-pod'))
    assert.equal(after['spec'].containers[0].image, BUSYBOX)
    await kubectl(fixture, ['delete', 'pods', 'e2e-test-httpd-pod', '--now'])
  },
)

mirror(
  '[sig-cli] Kubectl client Kubectl label should update the label on a resource [Conformance]',
  async (fixture) => {
    await kubectl(
      fixture,
      ['create', '-f', '-'],
      JSON.stringify(pod('pause', { metadata: { labels: { name: 'pause' } } })),
    )
    await runningPod(fixture, 'pause')
    await kubectl(fixture, ['label', 'pods', 'pause', 'testing-label=testing-label-value'])
    const column = ['get', 'pod', 'pause', '-L', 'testing-label']
    assert.match(await kubectl(fixture, column), /testing-label-value/)
    await kubectl(fixture, ['label', 'pods', 'pause', 'testing-label-'])
    assert.doesNotMatch(await kubectl(fixture, column), /testing-label-value/)
  },
)

mirror(
  '[sig-cli] Kubectl client Kubectl patch should add annotations for pods in rc [Conformance]',
  async (fixture) => {
    const name = await startPrimary(fixture)
    await kubectl(fixture, ['patch', 'pod', name, '-p', '{"metadata":{"annotations":{"x":"y"}}}'])
    const [found] = await readyPods(fixture, 'app=agnhost', 1)
    assert.equal(found?.['metadata'].annotations.x, 'y')
  },
)

/** Each of the words stands in the output, in this order. */
function inOrder(output: string, parts: readonly (readonly string[])[]): void {
  for (const [field, ...values] of parts) {
    const line = output.split('\n').find((each) => each.includes(String(field)))
    assert.ok(line, `${field} in:\n${output}`)
    for (const value of values) assert.ok(line.includes(value), `${value} in: ${line}`)
  }
}

mirror(
  '[sig-cli] Kubectl client Kubectl describe should check if kubectl describe prints relevant information for rc and pods [Conformance]',
  async (fixture) => {
    const { namespace, api } = fixture
    await kubectl(
      fixture,
      ['create', '-f', '-'],
      JSON.stringify(
        service(
          PRIMARY,
          { selector: PRIMARY_LABELS, ports: [{ port: 6379, targetPort: 'agnhost-server' }] },
          { labels: PRIMARY_LABELS },
        ),
      ),
    )
    const name = await startPrimary(fixture)
    inOrder(await kubectl(fixture, ['describe', 'pod', name]), [
      ['Name:', name],
      ['Namespace:', namespace],
      ['Node:'],
      ['Labels:', 'app=agnhost'],
      ['role=primary'],
      ['Annotations:'],
      ['Status:', 'Running'],
      ['IP:'],
      ['Controlled By:', `ReplicationController/${PRIMARY}`],
      ['Image:', AGNHOST],
      ['State:', 'Running'],
      ['QoS Class:', 'BestEffort'],
    ])
    inOrder(await kubectl(fixture, ['describe', 'rc', PRIMARY]), [
      ['Name:', PRIMARY],
      ['Namespace:', namespace],
      ['Selector:', 'app=agnhost,role=primary'],
      ['Labels:', 'app=agnhost'],
      ['role=primary'],
      ['Annotations:'],
      ['Replicas:', '1 current', '1 desired'],
      ['Pods Status:', '1 Running', '0 Waiting', '0 Succeeded', '0 Failed'],
      ['Pod Template:'],
      ['Image:', AGNHOST],
      ['Events:'],
    ])
    inOrder(await kubectl(fixture, ['describe', 'service', PRIMARY]), [
      ['Name:', PRIMARY],
      ['Namespace:', namespace],
      ['Labels:', 'app=agnhost'],
      ['role=primary'],
      ['Annotations:'],
      ['Selector:', 'app=agnhost', 'role=primary'],
      ['Type:', 'ClusterIP'],
      ['IP:'],
      ['Port:', '<unset>', '6379/TCP'],
      ['Endpoints:'],
      ['Session Affinity:', 'None'],
    ])
    const { items } = await api.get('/api/v1/nodes')
    const node = String(items[0].metadata.name)
    inOrder(await kubectl(fixture, ['describe', 'node', node]), [
      ['Name:', node],
      ['Labels:'],
      ['Annotations:'],
      ['CreationTimestamp:'],
      ['Conditions:'],
      ['Type', 'Status', 'LastHeartbeatTime', 'LastTransitionTime', 'Reason', 'Message'],
      ['Addresses:'],
      ['Capacity:'],
      ['Version:'],
      ['Kernel Version:'],
      ['OS Image:'],
      ['Container Runtime Version:'],
      ['Kubelet Version:'],
      ['Kube-Proxy Version:'],
      ['Pods:'],
    ])
    inOrder(await kubectl(fixture, ['describe', 'namespace', namespace]), [
      ['Name:', namespace],
      ['Labels:'],
      ['Annotations:'],
      ['Status:', 'Active'],
    ])
  },
)

const get = (options: { port: number; path: string } | { socketPath: string; path: string }) =>
  new Promise<string>((resolve, reject) => {
    request({ host: '127.0.0.1', ...options }, (response) => {
      let text = ''
      response.on('data', (chunk) => (text += String(chunk)))
      response.once('end', () => resolve(text))
    })
      .once('error', reject)
      .end()
  })

/** A kubectl proxy, once it says where it serves. */
async function proxied(
  fixture: Fixture,
  args: readonly string[],
  says: RegExp,
): Promise<RegExpExecArray> {
  const child = startKubectl(fixture, 'proxy', ...args)
  fixture.cleanUp(async () => child.kill())
  let output = ''
  child.stdout?.on('data', (chunk) => (output += String(chunk)))
  return fixture.until('the proxy serves', async () => says.exec(output) ?? undefined, 30_000)
}

mirror(
  '[sig-cli] Kubectl client Proxy server should support proxy with --port 0 [Conformance]',
  async (fixture) => {
    const [, port] = await proxied(
      fixture,
      ['-p', '0', '--disable-filter=true'],
      /Starting to serve on 127\.0\.0\.1:(\d+)/,
    )
    const versions = JSON.parse(await get({ port: Number(port), path: '/api/' })) as {
      versions: string[]
    }
    assert.ok(versions.versions.length > 0)
  },
)

mirror(
  '[sig-cli] Kubectl client Proxy server should support --unix-socket=/path [Conformance]',
  async (fixture) => {
    const folder = mkdtempSync(join(tmpdir(), 'mirror-'))
    fixture.cleanUp(async () => rmSync(folder, { recursive: true, force: true }))
    const socketPath = join(folder, 'test')
    await proxied(fixture, [`--unix-socket=${socketPath}`], /Starting to serve on/)
    const versions = JSON.parse(await get({ socketPath, path: '/api/' })) as { versions: string[] }
    assert.ok(versions.versions.includes('v1'))
  },
)

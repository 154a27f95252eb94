/**
 * The real kubectl talks to the real server. Only what kubelets do is made up: one is asked in this process, the other at
 * its port, with a certificate that nobody has signed whom the server knows.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { definitions, typeTable } from '#api'
import { realEnv, silentLogger } from '#base'
import { kubeletApi, type NodeApi } from '#client'
import { serveNode } from '#kubelet'
import { createMemoryStorage } from '#storage'
import { kubectlPath } from '../../../test/support/tools.ts'
import { accessControl, apiServerUser, ensureRbac } from '../auth/index.ts'
import { builtInAdmission } from '../admission/index.ts'
import { ensurePki, kubeconfigText } from '../certificates/index.ts'
import { createApiServer } from '../create-server.ts'
import { ensureBootstrap } from '../bootstrap.ts'
import { connectHandlers } from './index.ts'

const env = { ...realEnv(), log: silentLogger }

const kubelet: NodeApi = {
  logs: async () =>
    (async function* () {
      yield Buffer.from('one\ntwo\n')
    })(),
  async exec(_target, { command, tty }, { stdin, stdout, stderr, resize }) {
    const [name, argument] = command
    if (name === 'cat') {
      for await (const chunk of stdin ?? [])
        if (stdout && !stdout.write(chunk))
          await new Promise((resolve) => stdout.once('drain', resolve))
    } else if (name === 'size') {
      for await (const { width, height } of resize ?? []) {
        stdout?.write(`${width}x${height} ${String(tty)}\n`)
        break
      }
    } else {
      stdout?.write('out\n')
      stderr?.write('err\n')
    }
    return { exitCode: Number(argument ?? 0) }
  },
  attach: async (_target, _options, { stdout }) => void stdout?.write('attached\n'),
  portForward: (_target, port) =>
    new Promise((resolve, reject) => {
      const socket: Socket = connect(port, '127.0.0.1', () => resolve(socket))
      socket.once('error', reject)
    }),
  page: async () => undefined,
}

const folder = await mkdtemp(join(tmpdir(), 'navarch-streaming-'))
const pki = await ensurePki(env, join(folder, 'pki'))
const stranger = await ensurePki(env, join(folder, 'stranger'))
const port = await serveNode({
  host: '127.0.0.1',
  port: 0,
  nodeApi: kubelet,
  access: {
    authenticate: () => assert.fail('the API server shows a certificate'),
    authorize: () => assert.fail('the API server has judged already'),
  },
  env,
  tls: { ...stranger.server, authority: pki.authority.certificate },
})
const far = kubeletApi({ address: '127.0.0.1', port: port.port, tls: pki.kubeletClient })
const server = createApiServer({
  env,
  definitions,
  types: typeTable,
  storage: createMemoryStorage(env),
  extend(inside) {
    const access = accessControl(inside, {
      env,
      serviceAccountKeys: [pki.serviceAccountKey],
      clientAuthorities: [pki.authority.certificate],
    })
    return {
      ...access,
      admission: builtInAdmission(inside, {
        env,
        authorizer: access.authorizer,
        last: [access.escalationCheck],
      }),
      connect: connectHandlers({
        env,
        read: inside.read,
        nodeApi: (node) => (node === 'n2' ? far : kubelet),
      }),
    }
  },
})
await server.ready
const api = server.transport(apiServerUser)
await ensureBootstrap(api, { apiServer: { address: '10.0.0.1', port: 6443 } })
await ensureRbac(api)
const listening = await server.listen({
  host: '127.0.0.1',
  port: 0,
  tls: {
    certificate: pki.server.certificate,
    key: pki.server.key,
    clientAuthorities: [pki.authority.certificate],
  },
})
const kubeconfigFor = (
  user: string,
  credential: { certificate: string; key: string } | { token: string },
) =>
  kubeconfigText({
    server: `https://127.0.0.1:${listening.port}`,
    authority: pki.authority.certificate,
    name: 'test',
    user,
    credential,
  })
await writeFile(join(folder, 'admin'), kubeconfigFor('admin', pki.admin))
function podOn(nodeName: string): readonly [string, object] {
  const spec = { nodeName, containers: [{ name: 'c', image: 'i' }] }
  return ['namespaces/default/pods', { metadata: { name: `on-${nodeName}` }, spec }]
}
for (const [path, body] of [
  ['nodes', { metadata: { name: 'n1' } }],
  ['nodes', { metadata: { name: 'n2' } }],
  ['namespaces/default/serviceaccounts', { metadata: { name: 'default' } }],
  podOn('n1'),
  podOn('n2'),
] as const)
  await api.request({ method: 'POST', path: `/api/v1/${path}`, body })
const PODS = ['on-n1', 'on-n2']
for (const pod of PODS)
  await api.request({
    method: 'PATCH',
    path: `/api/v1/namespaces/default/pods/${pod}/status`,
    contentType: 'application/merge-patch+json',
    body: { status: { phase: 'Running' } },
  })
after(async () => {
  await server.close()
  await port.close()
  await rm(folder, { recursive: true })
})

interface Ran {
  readonly code: number | null
  readonly stdout: Buffer
  readonly stderr: string
}

function kubectl(
  args: readonly string[],
  {
    input,
    env: more = {},
    config = 'admin',
  }: { input?: Buffer; env?: Record<string, string>; config?: string } = {},
): Promise<Ran> {
  const child = spawn(kubectlPath(), ['--kubeconfig', join(folder, config), ...args], {
    env: { ...process.env, ...more },
  })
  const out: Buffer[] = []
  let stderr = ''
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  return new Promise((resolve) => {
    child.on('close', (code) => resolve({ code, stdout: Buffer.concat(out), stderr }))
  })
}

const TRANSPORTS = {
  WebSocket: {},
  SPDY: { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'false', KUBECTL_PORT_FORWARD_WEBSOCKETS: 'false' },
}
const ways = Object.entries(TRANSPORTS).flatMap(([name, settings]) =>
  PODS.map((pod) => [`${name} to a pod ${pod}`, settings, pod] as const),
)
for (const [name, settings, pod] of ways) {
  test(`exec over ${name}: output, exit code, and megabytes through standard input`, async () => {
    const plain = await kubectl(['exec', pod, '--', 'run', '3'], { env: settings })
    assert.deepEqual([plain.code, plain.stdout.toString()], [3, 'out\n'])
    assert.equal(plain.stderr, 'err\ncommand terminated with exit code 3\n')
    const input = Buffer.alloc(5_000_000, 'navarch ')
    const echoed = await kubectl(['exec', '-i', pod, '--', 'cat'], { env: settings, input })
    assert.equal(echoed.code, 0, echoed.stderr)
    assert.ok(echoed.stdout.equals(input))
  })

  test(`attach over ${name}`, async () => {
    const { stdout } = await kubectl(['attach', pod], { env: settings })
    assert.equal(stdout.toString(), 'attached\n')
  })

  test(`port-forward over ${name}: many connections at once, each complete`, async () => {
    const payload = Buffer.alloc(3_000_000, 'x7')
    const backend = createServer({ allowHalfOpen: true }, (socket) => {
      socket.once('data', () => socket.end(payload))
      socket.on('error', () => undefined)
    })
    await new Promise<void>((resolve) => backend.listen(0, '127.0.0.1', resolve))
    const { port } = backend.address() as AddressInfo
    const child = spawn(
      kubectlPath(),
      [
        '--kubeconfig',
        join(folder, 'admin'),
        'port-forward',
        `pod/${pod}`,
        `:${port}`,
        '--address',
        '127.0.0.1',
      ],
      { env: { ...process.env, ...settings } },
    )
    const local = await new Promise<number>((resolve, reject) => {
      child.on('close', () => reject(new Error('kubectl ended')))
      child.stdout.on('data', (chunk: Buffer) => {
        const found = /127\.0\.0\.1:(\d+) ->/.exec(chunk.toString())?.[1]
        if (found !== undefined) resolve(Number(found))
      })
    })
    const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')
    const fetched = await Promise.all(
      Array.from({ length: 6 }, async () => {
        const socket = connect(local, '127.0.0.1')
        socket.write('go')
        const chunks: Buffer[] = []
        for await (const chunk of socket) chunks.push(chunk as Buffer)
        return digest(Buffer.concat(chunks))
      }),
    )
    assert.deepEqual(
      fetched,
      Array.from({ length: 6 }, () => digest(payload)),
    )
    child.removeAllListeners('close')
    child.kill()
    backend.close()
  })
}

test('logs, and who may read them', async () => {
  assert.equal((await kubectl(['logs', 'on-n2'])).stdout.toString(), 'one\ntwo\n')
  const token = (await kubectl(['create', 'token', 'default'])).stdout.toString().trim()
  await writeFile(join(folder, 'sa'), kubeconfigFor('sa', { token }))
  const denied = await kubectl(['logs', 'on-n2'], { config: 'sa' })
  assert.match(
    denied.stderr,
    /User "system:serviceaccount:default:default" cannot get resource "pods" in API group "" in the namespace "default"/,
  )
  const bound = await kubectl([
    'create',
    'rolebinding',
    'v',
    '--clusterrole=view',
    '--serviceaccount=default:default',
  ])
  assert.equal(bound.code, 0, bound.stderr)
  assert.equal((await kubectl(['logs', 'on-n2'], { config: 'sa' })).stdout.toString(), 'one\ntwo\n')
  const exec = await kubectl(['exec', 'on-n1', '--', 'run'], { config: 'sa' })
  assert.match(exec.stderr, /cannot create resource "pods\/exec"|cannot get resource "pods\/exec"/)
  assert.equal(
    (await kubectl(['auth', 'can-i', 'list', 'pods'], { config: 'sa' })).stdout.toString(),
    'yes\n',
  )
  assert.equal(
    (await kubectl(['auth', 'can-i', 'delete', 'pods'], { config: 'sa' })).stdout.toString(),
    'no\n',
  )
})

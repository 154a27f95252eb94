import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import { ensurePki } from '#apiserver'
import { realEnv, silentLogger, virtualEnv } from '#base'
import { createClient, kubeletApi, type NodeApi } from '#client'
import { listenBesideServer, listenOnLoopback, tellHealth } from './kubelet-listener.ts'

const env = { ...realEnv(), log: silentLogger }
const client = createClient({
  request: () => assert.fail('nobody has to be asked'),
  watch: () => assert.fail('nothing is watched'),
})

async function world(t: TestContext, nodeIp: string) {
  const pki = await ensurePki({ ...env, fs: virtualEnv().fs }, '/pki')
  const listen = async (nodeName: string) => {
    const listening = await listenBesideServer({ pki: () => pki, nodeIp, nodeName, client, env })
    t.after(() => listening?.close())
    return listening
  }
  const ask = (nodeName: string, port: number) =>
    kubeletApi({
      address: nodeIp,
      port,
      tls: {
        ...pki.kubeletClient,
        trust: { authority: pki.authority.certificate, name: nodeName },
      },
    })
  return { listen, ask }
}

test('nodes of one address have ports of their own, and answer once their kubelets run', async (t) => {
  const { listen, ask } = await world(t, '127.0.0.1')
  const one = await listen('n1')
  const other = await listen('n2')
  assert.ok(one && other)
  assert.notEqual(one.port, other.port)
  const remote = ask('n1', one.port)
  assert.equal((await remote.page('/healthz', ''))?.status, 503)
  const page: NodeApi['page'] = async () => ({
    status: 200,
    contentType: 'text/plain',
    body: Buffer.from('ok'),
  })
  one.answerWith({ page } as NodeApi)
  const answer = await remote.page('/healthz', '')
  assert.equal(Buffer.from(answer?.body ?? []).toString(), 'ok')
  await one.renewFrom()
  assert.equal((await remote.page('/healthz', ''))?.status, 200)
  await assert.rejects(ask('n1', other.port).page('/healthz', ''), /failed to verify certificate/)
})

test('a node whose address is none of this machine’s is asked in its process alone', async (t) => {
  const { listen } = await world(t, '203.0.113.9')
  assert.equal(await listen('n1'), undefined)
})

test('a node whose address is nowhere is reached by the API server all the same', async (t) => {
  const pki = await ensurePki({ ...env, fs: virtualEnv().fs }, '/pki')
  const listening = await listenOnLoopback({
    certificates: { current: () => pki, onChange: () => undefined },
    nodeName: 'n2',
    client,
    env,
  })
  assert.ok(listening)
  t.after(() => listening.close())
  listening.answerWith({
    page: async (path: string) => ({
      status: 200,
      contentType: 'text/plain',
      body: Buffer.from(path),
    }),
  } as unknown as NodeApi)
  const socket = await listening.connect(new AbortController().signal)
  socket.end('GET /healthz HTTP/1.1\r\nhost: n2\r\nconnection: close\r\n\r\n')
  const chunks = await Array.fromAsync(socket as AsyncIterable<Buffer>)
  assert.match(Buffer.concat(chunks).toString(), /^HTTP\/1.1 200 OK\r\n[^]*\/healthz$/)
})

test('a port for health that is taken is no reason not to start', async (t) => {
  const nodeApi = { page: async () => undefined } as unknown as NodeApi
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.after(() => other.close())
  const { port } = other.address() as AddressInfo
  const end = await tellHealth(env, nodeApi, port)
  await end()
})

import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { type ServerHttp2Stream, createServer as createHttp2 } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import fc from 'fast-check'
import { realEnv } from '#base'
import { type ProbeOutcome, initialState, record } from './decide.ts'
import { probeGrpc } from './grpc.ts'
import { probeHttp } from './http.ts'
import { portOf } from './run.ts'

const ok: ProbeOutcome = { ok: true }
const bad: ProbeOutcome = { ok: false, message: 'no' }

test('a result changes only after its threshold of answers in a row', () => {
  const probe = { failureThreshold: 3, successThreshold: 2 }
  const outcomes = fc.array(fc.constantFrom(ok, bad))
  fc.assert(
    fc.property(outcomes, (list) => {
      let state = initialState('readiness')
      for (const [index, outcome] of list.entries()) {
        const before = state.result
        state = record(state, outcome, probe)
        if (state.result === before) continue
        const needed = outcome.ok ? 2 : 3
        assert.ok(list.slice(index + 1 - needed, index + 1).every((each) => each.ok === outcome.ok))
      }
    }),
  )
})

test('a container is alive until it fails, and neither ready nor started until it succeeds', () => {
  assert.equal(initialState('liveness').result, 'success')
  assert.equal(record(initialState('readiness'), bad, {}).result, 'failure')
  assert.equal(record(initialState('startup'), bad, {}).result, 'unknown')
  assert.equal(record(initialState('startup'), ok, {}).result, 'success')
})

test('ports go by number or by the name that the container gives them', () => {
  const container = { name: 'app', ports: [{ name: 'http', containerPort: 8080 }] }
  assert.equal(portOf('http', container), 8080)
  assert.equal(portOf(9090, container), 9090)
  assert.throws(() => portOf('ftp', container), /couldn't find port: ftp/)
})

async function withServer<T>(use: (port: number) => Promise<T>): Promise<T> {
  const server = createServer((request, response) => {
    const [, path = '', rest = ''] = /^\/(\w+)\/?(.*)$/.exec(request.url ?? '') ?? []
    if (path === 'status') response.writeHead(Number(rest)).end('body')
    else if (path === 'local') response.writeHead(302, { location: '/status/500' }).end()
    else if (path === 'away') {
      response.writeHead(302, { location: 'http://example.com/' }).end('elsewhere')
    } else if (path === 'agent') {
      response.writeHead(request.headers['user-agent'] === rest ? 200 : 400).end()
    } else if (path !== 'hang') response.end('ok')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    return await use((server.address() as AddressInfo).port)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

test('HTTP probes judge by the status and follow redirects on the same host only', () =>
  withServer(async (port) => {
    const probe = (path: string, headers: { name: string; value: string }[] = []) =>
      probeHttp(
        { scheme: 'http', host: '127.0.0.1', port, path, headers },
        realEnv({ level: 'error' }),
        AbortSignal.timeout(5000),
      )
    assert.deepEqual(await probe('/'), ok)
    assert.deepEqual(await probe('/status/399'), ok)
    assert.deepEqual(await probe('/status/404'), {
      ok: false,
      message: 'HTTP probe failed with statuscode: 404',
    })
    assert.deepEqual(await probe('/local'), {
      ok: false,
      message: 'HTTP probe failed with statuscode: 500',
    })
    const away = await probe('/away')
    assert.ok(away.ok && away.warning?.includes('elsewhere'))
    assert.deepEqual(await probe('/agent/mine', [{ name: 'User-Agent', value: 'mine' }]), ok)
  }))

test('an HTTP probe that gets no answer ends with its deadline', () =>
  withServer(async (port) => {
    const target = { scheme: 'http', host: '127.0.0.1', port, path: '/hang', headers: [] } as const
    const env = realEnv({ level: 'error' })
    await assert.rejects(probeHttp(target, env, AbortSignal.timeout(50)), /deadline exceeded/)
  }))

test('gRPC probes read the answer of the health service', async () => {
  const server = createHttp2()
  server.on('stream', (stream: ServerHttp2Stream) => {
    const chunks: Buffer[] = []
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('end', () => {
      const serving = !Buffer.concat(chunks).includes('sick')
      stream.respond(
        { ':status': 200, 'content-type': 'application/grpc' },
        { waitForTrailers: true },
      )
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
      stream.end(Buffer.from([0, 0, 0, 0, 2, 0x08, serving ? 1 : 2]))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const env = realEnv({ level: 'error' })
  const probe = (service: string) =>
    probeGrpc({ host: '127.0.0.1', port, service }, env, AbortSignal.timeout(5000))
  assert.deepEqual(await probe(''), ok)
  assert.deepEqual(await probe('sick'), {
    ok: false,
    message: 'service unhealthy (responded with "NOT_SERVING")',
  })
  server.close()
})

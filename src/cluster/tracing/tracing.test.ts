import assert from 'node:assert/strict'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import * as grpc from '@grpc/grpc-js'
import { pods, serviceAccounts } from '#api'
import { realEnv, silentLogger, virtualEnv, type Env } from '#base'
import { createCluster } from '../library/create-cluster.ts'
import { openTracing, parseTracingConfiguration } from './index.ts'
import { Revisions } from './revisions.ts'

interface CollectedSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly attributes: readonly { readonly key: string; readonly value: object }[]
}

/** A collector that speaks OTLP over HTTP, as JSON. */
async function collector() {
  const spans: CollectedSpan[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      assert.equal(request.url, '/v1/traces')
      const body = JSON.parse(Buffer.concat(chunks).toString()) as {
        resourceSpans: { scopeSpans: { spans: CollectedSpan[] }[] }[]
      }
      for (const { scopeSpans } of body.resourceSpans)
        for (const scope of scopeSpans) spans.push(...scope.spans)
      response.setHeader('content-type', 'application/json')
      response.end('{}')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.closeAllConnections()
      server.close(() => resolve())
    })
  return { endpoint: `http://127.0.0.1:${port}`, spans, close }
}

const HERE = { version: '0', host: 'here' }
const deployment = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web' },
  spec: {
    replicas: 1,
    selector: { matchLabels: { app: 'web' } },
    template: {
      metadata: { labels: { app: 'web' } },
      spec: { containers: [{ name: 'main', image: 'web:1' }] },
    },
  },
}

test('one trace leads from a request through admission and store to the controllers, the scheduler and the kubelet', async () => {
  const { endpoint, spans, close } = await collector()
  const env: Env = { ...realEnv(), log: silentLogger, fs: virtualEnv().fs }
  // Only what somebody asks to be traced.
  const opened = await openTracing(env, { endpoint, samplesPerMillion: 0 }, HERE)
  const cluster = await createCluster({ env: { ...env, tracing: opened.tracing } })
  await cluster.ready
  // Pods are refused until their account is there, and then made by another reconciliation.
  const account = { namespace: 'default', name: 'default' }
  while ((await cluster.client.getOptional(serviceAccounts, account)) === undefined)
    await env.clock.sleep(5)
  const trace = '0af7651916cd43dd8448eb211c80319c'
  await cluster.client.transport.request({
    method: 'POST',
    path: '/apis/apps/v1/namespaces/default/deployments',
    body: deployment,
    traceparent: `00-${trace}-b7ad6b7169203331-01`,
  })
  const running = new AbortController()
  const changes = await cluster.client.watch(pods, {
    sendInitialEvents: true,
    signal: running.signal,
  })
  for await (const events of changes)
    if (events.some(({ object }) => 'status' in object && object.status?.phase === 'Running')) break
  running.abort()
  await cluster.stop()
  await opened.close()
  await close()

  assert.ok(spans.every(({ traceId }) => traceId === trace))
  const byId = new Map(spans.map((span) => [span.spanId, span]))
  const pathOf = (span: CollectedSpan | undefined): readonly string[] =>
    span === undefined ? [] : [...pathOf(byId.get(span.parentSpanId ?? '')), span.name]
  const paths = new Set(spans.map((span) => pathOf(span).join(' > ')))
  const deployed = 'create deployments > reconcile deployments > create replicasets'
  const made = `${deployed} > reconcile replicasets > create pods`
  for (const path of [
    'create deployments',
    'create deployments > authorization',
    'create deployments > mutating admission',
    'create deployments > validating admission',
    'create deployments > store',
    `${deployed} > store`,
    `${made} > store`,
    `${made} > schedule pod`,
    `${made} > create pods/binding > store`,
    `${made} > create pods/binding > sync pod > create sandbox`,
  ])
    assert.ok(paths.has(path), `${path} is not among\n${[...paths].toSorted().join('\n')}`)
  assert.ok([...paths].some((path) => path.endsWith('> patch pods/status')))
})

test('traces that begin here are collected as often as is said, and those of others when they say so', async () => {
  const { endpoint, spans, close } = await collector()
  const env = { log: silentLogger, clock: realEnv().clock }
  const none = await openTracing(env, { endpoint, samplesPerMillion: 0 }, HERE)
  const all = await openTracing(env, { endpoint, samplesPerMillion: 1_000_000 }, HERE)
  const remote = (flags: string) => `00-${'a'.repeat(32)}-${'b'.repeat(16)}-${flags}`
  const start = (name: string, { tracing } = none, parent?: string) =>
    tracing.start(name, { kind: 'server', parent })
  assert.equal(start('no'), undefined)
  assert.equal(start('unwanted', all, remote('00')), undefined)
  start('wanted', none, remote('01'))?.end()
  start('strange', all, 'nonsense')?.end()
  const parent = start('own', all)
  const child = parent?.child('part', { size: 3 })
  child?.end(new Error('it broke'))
  parent?.end()
  await none.close()
  await all.close()
  await close()
  assert.deepEqual(spans.map(({ name }) => name).toSorted(), ['own', 'part', 'strange', 'wanted'])
  const part = spans.find(({ name }) => name === 'part') as unknown as {
    readonly status: { readonly message: string }
    readonly parentSpanId: string
  }
  assert.equal(part.status.message, 'it broke')
  assert.equal(part.parentSpanId, spans.find(({ name }) => name === 'own')?.spanId)
})

test('an address without a scheme is a collector that speaks gRPC, as with kube-apiserver', async () => {
  const got: Buffer[] = []
  const server = new grpc.Server()
  const identity = (bytes: Buffer): Buffer => bytes
  server.addService(
    {
      Export: {
        path: '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
        requestStream: false,
        responseStream: false,
        requestSerialize: identity,
        requestDeserialize: identity,
        responseSerialize: identity,
        responseDeserialize: identity,
      },
    },
    {
      Export: (
        call: grpc.ServerUnaryCall<Buffer, Buffer>,
        done: grpc.sendUnaryData<Buffer>,
      ): void => {
        got.push(call.request)
        done(null, Buffer.alloc(0))
      },
    },
  )
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  )
  const opened = await openTracing(
    { log: silentLogger, clock: realEnv().clock },
    { endpoint: `127.0.0.1:${port}`, samplesPerMillion: 1_000_000 },
    HERE,
  )
  opened.tracing.start('over gRPC', { kind: 'server' })?.end()
  await opened.close()
  server.forceShutdown()
  assert.ok(Buffer.concat(got).includes('over gRPC'))
})

test('a collector that does not answer holds nothing up for long', async () => {
  const { clock, advance } = virtualEnv()
  const asked = Promise.withResolvers<ServerResponse>()
  const server = createServer((_request, response) => asked.resolve(response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const options = { endpoint: `http://127.0.0.1:${port}`, samplesPerMillion: 1_000_000 }
  const opened = await openTracing({ log: silentLogger, clock }, options, HERE)
  opened.tracing.start('lost', { kind: 'server' })?.end()
  const closed = opened.close()
  const response = await asked.promise
  await advance(1000)
  await closed
  response.writeHead(400).end()
  server.close()
})

test('a configuration is read, and mistakes in it are told', () => {
  const text = (more: string): string =>
    `apiVersion: apiserver.config.k8s.io/v1beta1\nkind: TracingConfiguration\n${more}`
  assert.deepEqual(parseTracingConfiguration(text('samplingRatePerMillion: 100')), {
    endpoint: 'localhost:4317',
    samplesPerMillion: 100,
  })
  assert.deepEqual(parseTracingConfiguration(text('endpoint: collector:4317')), {
    endpoint: 'collector:4317',
    samplesPerMillion: 0,
  })
  assert.throws(() => parseTracingConfiguration(text('color: red')), /unknown field "color"/)
  assert.throws(
    () => parseTracingConfiguration(text('samplingRatePerMillion: 2000000')),
    /less than or equal to 1000000/,
  )
  assert.throws(() => parseTracingConfiguration(text('endpoint: "a b"')), /must be host:port/)
  assert.throws(() => parseTracingConfiguration('kind: Config'), /kind must be/)
})

test('of revisions only the newest are remembered', () => {
  const revisions = new Revisions()
  for (let i = 1; i <= 20_000; i++) revisions.wrote(i, `span ${i}`)
  assert.equal(revisions.writerOf(1), undefined)
  assert.equal(revisions.writerOf(20_000), 'span 20000')
})

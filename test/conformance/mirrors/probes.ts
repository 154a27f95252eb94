/** [sig-node] Probes over HTTP, TCP and gRPC: who is restarted, who is ready, and when. */
import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { agnhost, createPod, podNow, podOf, running, statusOf } from '../containers.ts'
import { mirror, type Fixture } from '../mirror.ts'
import { isReady } from '../support.ts'

const probing = (text: string): string =>
  `[sig-node] Probing container ${text} [Conformance] [NodeConformance]`

const CONTAINER = 'agnhost-container'
const http = (path: string, port: number): Json => ({ httpGet: { path, port } })

const started = async (
  fixture: Fixture,
  args: readonly string[],
  probes: Json,
): Promise<string> => {
  const pod = podOf(fixture, agnhost(args, probes), { spec: { restartPolicy: 'Always' } })
  const { metadata } = (await createPod(fixture, pod)) as { metadata: Json }
  return String(metadata['name'])
}

const restarts = async (fixture: Fixture, name: string): Promise<number> =>
  Number(statusOf(await podNow(fixture, name), CONTAINER)?.['restartCount'] ?? 0)

for (const [text, args, probe] of [
  ['a /healthz http liveness probe', ['liveness'], http('/healthz', 8080)],
  [
    'a GRPC liveness probe',
    ['grpc-health-checking', '--delay-unhealthy-sec=10'],
    { grpc: { port: 5000 } },
  ],
] as const)
  mirror(probing(`should be restarted with ${text}`), async (fixture) => {
    const livenessProbe = { ...probe, initialDelaySeconds: 15, failureThreshold: 1 }
    const name = await started(fixture, args, { livenessProbe })
    await running(fixture, name)
    await fixture.until('a restart', async () => (await restarts(fixture, name)) > 0, 240_000)
  })

for (const [text, args, probe] of [
  ['a /healthz http liveness probe', ['test-webserver'], http('/', 80)],
  ['a tcp:8080 liveness probe', ['netexec'], { tcpSocket: { port: 8080 } }],
  ['a GRPC liveness probe', ['grpc-health-checking'], { grpc: { port: 5000 } }],
] as const)
  mirror(probing(`should *not* be restarted with ${text}`), async (fixture) => {
    const stock = fixture.profile === 'stock'
    const livenessProbe = {
      ...probe,
      // Node takes longer to start than a compiled server.
      initialDelaySeconds: stock ? 15 : 10,
      periodSeconds: stock ? 10 : 1,
      timeoutSeconds: 5,
      failureThreshold: 1,
    }
    const name = await started(fixture, args, { livenessProbe })
    await running(fixture, name)
    const forMs = stock ? 240_000 : 25_000
    const end = performance.now() + forMs
    await fixture.until(
      'the time is over',
      async () => {
        assert.equal(await restarts(fixture, name), 0)
        return performance.now() > end
      },
      forMs + 30_000,
    )
  })

mirror(probing('should have monotonically increasing restart count'), async (fixture) => {
  const name = await started(fixture, ['liveness'], {
    livenessProbe: { ...http('/healthz', 8080), initialDelaySeconds: 5, failureThreshold: 1 },
  })
  await running(fixture, name)
  let last = 0
  await fixture.until(
    'five restarts',
    async () => {
      const count = await restarts(fixture, name)
      assert.ok(count >= last, `restart count fell from ${last} to ${count}`)
      last = count
      return count >= 5
    },
    300_000,
  )
})

mirror(
  probing('with readiness probe should not be ready before initial delay and never restart'),
  async (fixture) => {
    const delaySeconds = 30
    const name = await started(fixture, ['test-webserver'], {
      readinessProbe: { ...http('/', 80), initialDelaySeconds: delaySeconds },
    })
    const pod = await fixture.until(
      'it is ready',
      async () => {
        const now = await podNow(fixture, name)
        return isReady(now) && now
      },
      120_000,
    )
    const since = Date.parse(statusOf(pod, CONTAINER)?.['state'].running.startedAt)
    const ready = pod['status'].conditions.find((c: Json) => c['type'] === 'Ready')
    const waited = (Date.parse(ready.lastTransitionTime) - since) / 1000
    assert.ok(waited >= delaySeconds, `ready after ${waited} s`)
    assert.equal(await restarts(fixture, name), 0)
  },
)

mirror(
  probing('with readiness probe that fails should never be ready and never restart'),
  async (fixture) => {
    const name = await started(fixture, ['test-webserver'], {
      readinessProbe: { ...http('/absent', 80), periodSeconds: 1 },
    })
    await running(fixture, name, false)
    const forMs = fixture.profile === 'stock' ? 60_000 : 20_000
    const end = performance.now() + forMs
    await fixture.until(
      'the time is over',
      async () => {
        const now = await podNow(fixture, name)
        assert.ok(!isReady(now))
        assert.equal(statusOf(now, CONTAINER)?.['restartCount'], 0)
        return performance.now() > end
      },
      forMs + 30_000,
    )
  },
)

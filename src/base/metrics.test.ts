import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMetrics } from './metrics.ts'

test('what was counted is on the page, in the format that Prometheus reads', async () => {
  const metrics = createMetrics()
  const requests = metrics.counter({ name: 'requests_total', help: 'Requests.', labels: ['verb'] })
  requests.with('GET').add()
  requests.with('GET').add(2)
  requests.with('a "b"\n').add()
  const took = metrics.histogram({ name: 'took_seconds', help: 'Time.', buckets: [0.1, 1] })
  for (const seconds of [0.05, 0.1, 0.5, 7]) took.with().observe(seconds)
  const end = metrics.gauge({ name: 'depth', help: 'Depth.', labels: ['name'] }, () => [[['q'], 3]])
  const text = await metrics.text()
  for (const line of [
    '# TYPE requests_total counter',
    'requests_total{verb="GET"} 3',
    'requests_total{verb="a \\"b\\"\\n"} 1',
    '# TYPE took_seconds histogram',
    'took_seconds_bucket{le="0.1"} 2',
    'took_seconds_bucket{le="1"} 3',
    'took_seconds_bucket{le="+Inf"} 4',
    'took_seconds_sum 7.65',
    'took_seconds_count 4',
    'depth{name="q"} 3',
  ])
    assert.ok(text.split('\n').includes(line), `${line}\n${text}`)
  end()
  assert.ok(!(await metrics.text()).includes('depth{'))
})

test('labels without end are counted together after a while', async () => {
  const metrics = createMetrics()
  const seen = metrics.counter({ name: 'seen_total', help: 'Seen.', labels: ['who'] })
  for (let i = 0; i < 20_000; i++) seen.with(`user-${i}`).add()
  const text = await metrics.text()
  assert.ok(text.split('\n').length < 9000)
  assert.match(text, /seen_total\{who="other"\} 11808/)
})

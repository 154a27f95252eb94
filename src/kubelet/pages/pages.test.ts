import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualEnv } from '#base'
import type { Runtime } from '../runtime.ts'
import { simulatedRuntime } from '../simulated/index.ts'
import { startTestNode } from '../testing/node.ts'
import { pod } from '../testing/pods.ts'
import { logPage, machineLogs } from './log-folder.ts'
import { pageOf } from './samples.ts'

async function world(more: Partial<Runtime> = {}) {
  const env = virtualEnv()
  const runtime = Object.assign(simulatedRuntime(env), more)
  const node = await startTestNode(env, runtime, { logRoot: '/logs' })
  await env.advance(500)
  await node.kubelet.ready
  const page = async (path: string, query = '') => {
    const found = await node.kubelet.nodeApi.page(path, query)
    return { ...found, text: Buffer.from(found?.body ?? []).toString() }
  }
  return { env, node, page }
}

test('labels are written as the format wants them, and families without samples are not', () => {
  const family = { name: 'a_total', type: 'counter' as const, help: 'As.' }
  assert.equal(
    pageOf([
      { ...family, samples: [{ labels: { pod: 'a"b\\\n' }, value: 1.5, timeMs: 12 }] },
      { ...family, name: 'b_total', samples: [] },
    ]),
    '# HELP a_total As.\n# TYPE a_total counter\na_total{pod="a\\"b\\\\\\n"} 1.5 12\n',
  )
})

test('what metrics-server reads has each container with its time', async () => {
  const { env, node, page } = await world()
  node.create(pod({ metadata: { name: 'web' } }))
  await env.advance(3000)
  const { text } = await page('/metrics/resource')
  const labels = '\\{container="[^"]+",namespace="shop",pod="web"\\}'
  for (const sample of [
    `container_cpu_usage_seconds_total${labels} [\\d.]+ \\d{13}`,
    `container_memory_working_set_bytes${labels} \\d+ \\d{13}`,
    `container_start_time_seconds${labels} [\\d.]+`,
    'pod_cpu_usage_seconds_total\\{namespace="shop",pod="web"\\} [\\d.]+ \\d{13}',
    'node_cpu_usage_seconds_total 0 \\d{13}',
    'resource_scrape_error 0',
  ])
    assert.match(text, new RegExp(`^${sample}$`, 'm'))
  await node.stop()
})

test('a runtime that does not answer is told of, and the node’s own numbers stay', async () => {
  const { node, page } = await world({
    listContainerStats: async () => {
      throw new Error('containerd is gone')
    },
  })
  const { text } = await page('/metrics/resource')
  assert.match(text, /^resource_scrape_error 1$/m)
  assert.match(text, /^node_memory_working_set_bytes 0 /m)
  await node.stop()
})

test('a container that has ended is not counted, though the runtime tells of its disk', async () => {
  const { env, node, page } = await world({
    listContainerStats: async () =>
      ids.map((id) => ({ id, name: 'app', labels: { 'io.kubernetes.pod.uid': uid } })),
  })
  const annotations = { 'simulation.navarch.dev/run-seconds': '1' }
  const web = node.create(pod({ metadata: { name: 'web', annotations }, restartPolicy: 'Never' }))
  const uid = web.metadata.uid ?? ''
  await env.advance(500)
  const id = node.get('web')?.status?.containerStatuses?.[0]?.containerID ?? ''
  const ids = [id.replace(/^.*:\/\//, '')]
  assert.match((await page('/metrics/resource')).text, /container="app"/)
  await env.advance(5000)
  assert.doesNotMatch((await page('/metrics/resource')).text, /container="app"/)
  await node.stop()
})

test('the summary says when the node, the pod and the container began', async () => {
  const { env, node, page } = await world()
  const began = new Date(env.clock.now().getTime() - 500)
  await env.advance(60_000)
  node.create(pod({ metadata: { name: 'web' } }))
  await env.advance(60_000)
  const seconds = (date: Date) => `${date.toISOString().slice(0, 19)}Z`
  const read = async () => JSON.parse((await page('/stats/summary')).text)
  const first = await read()
  assert.equal(first.node.startTime, seconds(began))
  const [web] = first.pods
  assert.equal(web.startTime, node.get('web')?.status?.startTime)
  assert.equal(
    web.containers[0].startTime,
    node.get('web')?.status?.containerStatuses?.[0]?.state?.running?.startedAt,
  )
  assert.equal(web.containers[0].cpu.usageNanoCores, undefined)
  await env.advance(2000)
  // The simulated container uses a hundredth of a core.
  assert.equal((await read()).pods[0].containers[0].cpu.usageNanoCores, 10_000_000)
  await node.stop()
})

test('running pods are told as the runtime knows them', async () => {
  const { env, node, page } = await world()
  const web = node.create(pod({ metadata: { name: 'web' } }))
  await env.advance(1000)
  const { items } = JSON.parse((await page('/runningpods/')).text)
  assert.equal(items.length, 1)
  assert.deepEqual(items[0].metadata, { name: 'web', namespace: 'shop', uid: web.metadata.uid })
  assert.deepEqual(Object.keys(items[0].spec), ['containers'])
  await node.stop()
})

test('the settings are a KubeletConfiguration', async () => {
  const { node, page } = await world()
  const { kubeletconfig } = JSON.parse((await page('/configz')).text)
  assert.equal(kubeletconfig.authentication.anonymous.enabled, false)
  assert.equal(kubeletconfig.evictionHard['memory.available'], '100Mi')
  assert.equal(kubeletconfig.maxPods, 110)
  await node.stop()
})

test('log files of simulated pods can be listed and read', async () => {
  const { env, node, page } = await world()
  const web = node.create(pod({ metadata: { name: 'web' } }))
  await env.advance(1000)
  const top = await page('/logs/')
  assert.equal(top.contentType, 'text/html; charset=utf-8')
  assert.match(
    top.text,
    /^<!doctype html>\n<meta .*>\n<pre>\n<a href="pods\/">pods\/<\/a>\n<\/pre>\n$/,
  )
  const folder = `shop_web_${web.metadata.uid}`
  assert.match((await page('/logs/pods/')).text, new RegExp(`<a href="${folder}/">`))
  assert.equal((await page('/logs/pods')).headers?.['location'], 'pods/')
  assert.equal((await page('/logs/nope')).status, undefined)
  await node.stop()
})

test('a machine’s logs are shown, and nothing beside them', async () => {
  const { fs } = virtualEnv()
  await fs.makeFolder('/var/log/apt')
  await fs.makeFolder('/data/pods/shop_web_1')
  await fs.write('/var/log/sys log.1', 'hello\n')
  await fs.write('/var/log/apt/a.gz', new Uint8Array([0x1f, 0x8b, 8, 0]))
  await fs.write('/etc-passwd', 'secret')
  await fs.write('/data/pods/shop_web_1/0.log', 'line\n')
  await fs.symlink('/etc-passwd', '/var/log/out')
  await fs.symlink('../..', '/var/log/up')
  await fs.symlink('sys log.1', '/var/log/same')
  await fs.symlink('round', '/var/log/round')
  await fs.symlink('/data/pods/shop_web_1/0.log', '/var/log/web.log')
  const source = machineLogs({ fs }, { folder: '/var/log', podLogs: '/data/pods' })
  const read = async (path: string) => {
    const found = await logPage(source, path)
    return found && Buffer.from(found.body).toString()
  }
  assert.deepEqual(
    [...((await read('/logs/')) ?? '').matchAll(/href="([^"]+)"/g)].map((found) => found[1]),
    ['apt/', 'out', 'pods/', 'round', 'same', 'sys%20log.1', 'up', 'web.log'],
  )
  assert.equal(await read('/logs/sys log.1'), 'hello\n')
  assert.equal(await read('/logs/same'), 'hello\n')
  assert.equal(await read('/logs/web.log'), 'line\n')
  assert.equal(await read('/logs/pods/shop_web_1/0.log'), 'line\n')
  assert.equal((await logPage(source, '/logs/apt/a.gz'))?.contentType, 'application/x-gzip')
  assert.equal((await logPage(source, '/logs/sys log.1/'))?.headers?.['location'], '../sys%20log.1')
  for (const path of [
    '/logs/out',
    '/logs/round',
    '/logs/up/etc-passwd',
    '/logs/../etc-passwd',
    '/logs/pods/../../../etc-passwd',
  ])
    assert.equal(await read(path), undefined, path)
})

test('health is told in words and in numbers', async () => {
  const { node, page } = await world()
  assert.equal((await page('/healthz')).text, 'ok')
  assert.equal(
    (await page('/healthz', 'verbose')).text,
    '[+]ping ok\n[+]log ok\n[+]syncloop ok\nhealthz check passed\n',
  )
  const { text } = await page('/metrics/slis')
  assert.match(text, /^kubernetes_healthcheck\{name="ping",type="healthz"\} 1$/m)
  assert.match(
    text,
    /^kubernetes_healthchecks_total\{name="syncloop",status="success",type="healthz"\} 2$/m,
  )
  await node.stop()
})

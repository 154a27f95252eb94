import assert from 'node:assert/strict'
import { test } from 'node:test'
import { realEnv, seededRandom, virtualEnv } from './index.ts'

test('virtual time moves only when told, and timers run in order', async () => {
  const env = virtualEnv()
  const seen: string[] = []
  env.clock.schedule(20, () => seen.push('b'))
  env.clock.schedule(10, () => seen.push('a'))
  const cancel = env.clock.schedule(15, () => seen.push('never'))
  cancel()
  await env.advance(9)
  assert.deepEqual(seen, [])
  await env.advance(11)
  assert.deepEqual(seen, ['a', 'b'])
  assert.equal(env.clock.now().toISOString(), '2026-01-01T00:00:00.020Z')
})

test('a sleeper that starts another sleep within one advance is carried along', async () => {
  const env = virtualEnv()
  let done = -1
  void (async () => {
    for (let i = 0; i < 5; i++) await env.clock.sleep(1000)
    done = env.clock.monotonic()
  })()
  await env.advance(10_000)
  assert.equal(done, 5000)
})

test('a sleep ends with the reason of its signal', async () => {
  for (const env of [virtualEnv(), realEnv()]) {
    const stop = new AbortController()
    const sleeping = env.clock.sleep(60_000, stop.signal)
    stop.abort(new Error('enough'))
    await assert.rejects(sleeping, /enough/)
  }
})

test('one seed gives one sequence', () => {
  const draw = (seed: number): unknown => {
    const random = seededRandom(seed)
    return [random.next(), random.uuid(), [...random.bytes(4)]]
  }
  assert.deepEqual(draw(7), draw(7))
  assert.notDeepEqual(draw(7), draw(8))
})

test('the virtual disk keeps folders, links and renames', async () => {
  const { fs } = virtualEnv()
  await fs.makeFolder('/data/a')
  await fs.write('/data/a/file', 'one')
  await fs.symlink('a', '/data/now')
  assert.equal(await fs.readText('/data/a/file'), 'one')
  await fs.rename('/data/a', '/data/b')
  assert.deepEqual(await fs.list('/data'), ['b', 'now'])
  assert.equal((await fs.stat('/data/now'))?.kind, 'symlink')
  await assert.rejects(fs.readText('/data/a/file'), { code: 'ENOENT' })
})

test('a real command gives its output and its exit code', async () => {
  const { process } = realEnv()
  const result = await process.run(['sh', '-c', 'cat; echo oops >&2; exit 3'], { input: 'hello' })
  assert.deepEqual([result.code, result.stdout, result.stderr], [3, 'hello', 'oops\n'])
  await assert.rejects(process.run(['/no/such/program']), { code: 'ENOENT' })
})

test('a program tells of itself what dashboards of processes ask for', async () => {
  const text = await realEnv({ sink: () => undefined }).metrics.text()
  for (const name of [
    'process_cpu_seconds_total',
    'process_resident_memory_bytes',
    'process_start_time_seconds',
    ...(process.platform === 'linux'
      ? ['process_open_fds', 'process_max_fds', 'process_virtual_memory_bytes']
      : []),
  ])
    assert.match(text, new RegExp(`^${name} [1-9\\d.e+]+$`, 'm'))
})

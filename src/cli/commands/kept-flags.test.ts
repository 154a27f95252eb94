import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualEnv } from '#base'
import { parseArguments } from '../arguments.ts'
import { keepFlags, withKeptFlags } from './kept-flags.ts'
import { options } from './up.ts'

const parse = (...words: string[]) => parseArguments(words, options)

test('a cluster starts as it was started before, unless it is told otherwise', async () => {
  const env = virtualEnv()
  await env.fs.makeFolder('/data')
  const first = parse('--runtime=simulated', '--port=7443', '--log-level=debug')
  assert.deepEqual(await withKeptFlags(env, '/data', first), first)
  await keepFlags(env, '/data', first)
  const again = await withKeptFlags(env, '/data', parse('--port=8443'))
  assert.deepEqual(Object.fromEntries(again.values), {
    port: ['8443'],
    runtime: ['simulated'],
  })
  await keepFlags(env, '/data', again)
  assert.deepEqual((await withKeptFlags(env, '/data', parse())).values.get('port'), ['8443'])
})

test('a file that somebody spoiled is no reason not to start', async () => {
  const env = virtualEnv()
  await env.fs.makeFolder('/data')
  for (const text of ['{', '[1]', 'null', '{"port": 1}']) {
    await env.fs.write('/data/flags.json', text)
    assert.equal((await withKeptFlags(env, '/data', parse())).values.size, 0)
  }
})

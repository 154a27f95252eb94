import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualEnv } from '#base'
import { openDataFolder } from './data-folder.ts'

test('a new folder is marked, and can be opened again', async () => {
  const env = virtualEnv()
  await openDataFolder(env, '/data')
  const first = await env.fs.readText('/data/version.json')
  await openDataFolder(env, '/data')
  assert.equal(await env.fs.readText('/data/version.json'), first)
})

test('a folder with other things in it is left alone', async () => {
  const env = virtualEnv()
  await env.fs.makeFolder('/home/me')
  await env.fs.write('/home/me/thesis.tex', 'x')
  await assert.rejects(
    openDataFolder(env, '/home/me'),
    /not empty and not a cluster's folder: it holds thesis.tex/,
  )
  assert.deepEqual(await env.fs.list('/home/me'), ['thesis.tex'])
})

test('a folder of a newer version, or with a damaged mark, is refused with what to do', async () => {
  const env = virtualEnv()
  await env.fs.makeFolder('/data')
  await env.fs.write('/data/version.json', '{"layout":99,"version":"9.0.0","created":""}')
  await assert.rejects(openDataFolder(env, '/data'), /written by Navarch 9\.0\.0, which is newer/)
  await env.fs.write('/data/version.json', '{"layo')
  await assert.rejects(openDataFolder(env, '/data'), /version\.json is damaged/)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLogger, virtualEnv } from '#base'
import { podLogPlaces } from './pod-logs.ts'

/** A machine whose folders below these cannot be written. */
function machine(...refused: readonly string[]) {
  const { fs } = virtualEnv()
  const check = (path: string): void => {
    if (refused.some((folder) => path === folder || path.startsWith(`${folder}/`)))
      throw new Error(`EACCES: permission denied, ${path}`)
  }
  return {
    log: silentLogger,
    fs: {
      ...fs,
      makeFolder: async (path: string) => (check(path), fs.makeFolder(path)),
      write: async (path: string, data: string | Uint8Array) => (check(path), fs.write(path, data)),
    },
  }
}
const dataDir = '/data'

test('logs lie where collectors look, and where they lay before is remembered', async () => {
  const env = machine()
  const places = { root: '/var/log/pods', links: '/var/log/containers', former: '/data/pods' }
  assert.deepEqual(await podLogPlaces(env, { dataDir }), places)
  assert.deepEqual(await env.fs.list('/var/log/pods'), [])
  assert.deepEqual(await podLogPlaces(env, { dataDir, podLogsDir: '/logs' }), {
    ...places,
    root: '/logs',
  })
  assert.equal(
    await env.fs.readText('/data/kubelet/pod-logs.made'),
    '/var/log/pods\n/var/log/containers\n/logs\n',
  )
})

test('where nothing can be written they stay in the data folder, unless a folder was asked for', async () => {
  const env = machine('/var/log')
  assert.deepEqual(await podLogPlaces(env, { dataDir }), { root: '/data/pods' })
  assert.deepEqual(await podLogPlaces(env, { dataDir, podLogsDir: '/logs' }), {
    root: '/logs',
    former: '/data/pods',
  })
  await assert.rejects(podLogPlaces(env, { dataDir, podLogsDir: '/var/log/mine' }), {
    name: 'ClusterError',
    message: /^The logs of pods cannot be written to \/var\/log\/mine: EACCES/,
  })
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualEnv } from '#base'
import { pod } from '../testing/pods.ts'
import { DiskMeter, measureDisks } from './pod-disk.ts'

const web = pod({
  volumes: [
    { name: 'cache', emptyDir: {} },
    { name: 'memory', emptyDir: { medium: 'Memory' } },
    { name: 'data', persistentVolumeClaim: { claimName: 'data' } },
    { name: 'host', hostPath: { path: '/' } },
    { name: 'unused', emptyDir: {} },
  ],
})

function world() {
  const env = virtualEnv()
  const counted: string[] = []
  const process = {
    ...env.process,
    run: async (command: readonly string[]) => {
      const folders = command.slice(command.indexOf('--') + 1)
      counted.push(...folders)
      const unit = command.includes('--inodes') ? 3 : 4096
      return {
        code: 0,
        signal: undefined,
        stdout: folders.map((folder) => `${unit}\t${folder}\n`).join(''),
        stderr: '',
      }
    },
  }
  const at = (hostPath: string) => ({ hostPath, readOnly: false })
  const agent = {
    uid: 'uid-1',
    spec: web,
    logDirectory: '/logs/web',
    files: {
      mounted: new Map([
        ['cache', at('/v/cache')],
        ['memory', at('/v/memory')],
        ['data', at('/disks/data')],
        ['host', at('/')],
      ]),
    },
  }
  return { env: { ...env, process, advance: env.advance }, agent, counted }
}

test('files are counted in what is on the node’s disk, and a claim is as full as its disk', async () => {
  const { env, agent, counted } = world()
  const found = (await measureDisks(env, [agent])).get('uid-1')
  assert.deepEqual(
    found?.volumes.map(({ name, bytes, inodes, ephemeral, claim }) => [
      name,
      bytes,
      inodes,
      ephemeral,
      claim?.name,
    ]),
    [
      ['cache', 4096, 3, true, undefined],
      ['memory', 4096, 3, false, undefined],
      ['data', 2 ** 39, 2 ** 25, false, 'data'],
    ],
  )
  assert.deepEqual(found?.logs.get('app'), { bytes: 4096, inodes: 3 })
  assert.deepEqual([...new Set(counted)], ['/logs/web/app', '/v/cache', '/v/memory'])
})

test('who asks again within a minute gets the same answer', async () => {
  const { env, agent, counted } = world()
  const meter = new DiskMeter(env)
  await meter.measure([agent])
  const once = counted.length
  await meter.measure([agent])
  assert.equal(counted.length, once)
  await env.advance(61_000)
  await meter.measure([agent])
  assert.equal(counted.length, 2 * once)
})

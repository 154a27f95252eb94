import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLogger, virtualEnv } from '#base'
import type { LogFiles } from './runtime.ts'
import { CONTAINER_LINKS, linkName, makeLogFolder, PodLogs, removePodLogs } from './pod-logs.ts'

const FOLDER = 'shop_web-0_u1'

async function world() {
  const env = { ...virtualEnv(), log: silentLogger }
  const { fs } = env
  const logFiles = {
    list: (folder: string) => fs.list(folder).catch(() => []),
    remove: (path: string) => fs.remove(path),
    makeFolder: (path: string) => fs.makeFolder(path),
  } as unknown as LogFiles
  const logs = (logRoot: string, formerLogRoot?: string) =>
    new PodLogs({
      env,
      runtime: { simulated: false, logFiles },
      config: { rootDir: '/data/kubelet', logRoot, formerLogRoot, logLinks: CONTAINER_LINKS },
    })
  await fs.makeFolder(CONTAINER_LINKS)
  const has = async (path: string) => (await fs.stat(path)) !== undefined
  /** A container that has written. */
  const container = async (root: string, id: string, attempt = 0) => {
    const logPath = `${root}/${FOLDER}/nginx/${attempt}.log`
    await fs.makeFolder(`${root}/${FOLDER}/nginx`)
    await fs.write(logPath, 'a line')
    return { name: 'nginx', id, logPath }
  }
  return { env, fs, logs, has, container }
}

test('collectors find a container’s log by a name that says whose it is', async () => {
  const { fs, logs, container } = await world()
  const pods = logs('/var/log/pods')
  await pods.begin(FOLDER)
  await pods.link(FOLDER, await container('/var/log/pods', 'abc'))
  assert.deepEqual(await fs.list(CONTAINER_LINKS), ['web-0_shop_nginx-abc.log'])
  const path = `${CONTAINER_LINKS}/web-0_shop_nginx-abc.log`
  assert.equal(await fs.readLink(path), '/var/log/pods/shop_web-0_u1/nginx/0.log')
})

test('a link’s name is as long as a file’s may be, and ends as one', () => {
  const name = linkName(`shop_${'p'.repeat(253)}_u`, { name: 'c'.repeat(63), id: 'f'.repeat(64) })
  assert.equal(name.length, 255)
  assert.ok(name.endsWith('.log'))
})

test('a container that is removed takes its log, what was rotated of it and its link along', async () => {
  const { fs, logs, has, container } = await world()
  const pods = logs('/var/log/pods')
  await pods.begin(FOLDER)
  const old = await container('/var/log/pods', 'old', 1)
  const other = await container('/var/log/pods', 'new', 10)
  await fs.write(`${old.logPath}.20260102-030405`, 'rotated')
  for (const each of [old, other]) await pods.link(FOLDER, each)
  await pods.drop(FOLDER, old)
  assert.deepEqual(await fs.list(`/var/log/pods/${FOLDER}/nginx`), ['10.log'])
  assert.deepEqual(await fs.list(CONTAINER_LINKS), ['web-0_shop_nginx-new.log'])
  assert.ok(await has(other.logPath))
})

test('a pod’s end takes its folders away, where they are now and where they were, and no others', async () => {
  const { fs, logs, has, container } = await world()
  await fs.makeFolder('/var/log/pods/shop_web-0_u2')
  await fs.symlink(
    '/var/log/pods/shop_web-0_u2/nginx/0.log',
    `${CONTAINER_LINKS}/web-0_shop_nginx-b.log`,
  )
  await logs('/elsewhere').begin(FOLDER)
  const pods = logs('/var/log/pods', '/data/pods')
  await container('/data/pods', 'first')
  await pods.begin(FOLDER)
  await pods.link(FOLDER, await container('/var/log/pods', 'second', 1))
  await pods.end(FOLDER)
  for (const root of ['/elsewhere', '/data/pods', '/var/log/pods'])
    assert.equal(await has(`${root}/${FOLDER}`), false, root)
  assert.ok(await has('/var/log/pods/shop_web-0_u2'))
  assert.deepEqual(await fs.list(CONTAINER_LINKS), ['web-0_shop_nginx-b.log'])
  assert.deepEqual(await fs.list('/data/kubelet/pod-logs'), [])
})

test('logs of pods that nobody knows any more go at the next start', async () => {
  const { logs, has } = await world()
  for (const folder of [FOLDER, 'shop_web-1_u3']) await logs('/var/log/pods').begin(folder)
  await logs('/var/log/pods').sweep((uid) => uid === 'u3')
  assert.equal(await has(`/var/log/pods/${FOLDER}`), false)
  assert.ok(await has('/var/log/pods/shop_web-1_u3'))
})

test('a node that is removed takes its logs along, and folders only when it made them', async () => {
  const { env, fs, logs, has, container } = await world()
  const ran: (readonly string[])[] = []
  const host = {
    fs,
    process: {
      ...env.process,
      run: async (command: readonly string[]) => {
        ran.push(command)
        return { code: 0, stdout: '', stderr: '', signal: undefined, timedOut: false }
      },
    },
  }
  await makeLogFolder(env, '/data/kubelet', '/var/log/pods')
  await makeLogFolder(env, '/data/kubelet', CONTAINER_LINKS)
  const pods = logs('/var/log/pods')
  await pods.begin(FOLDER)
  await pods.link(FOLDER, await container('/var/log/pods', 'abc'))
  // Somebody has written nonsense into our records.
  await fs.write('/data/kubelet/pod-logs/a_b_c', '/etc\n../etc\n/var/log/pods\n')
  await fs.makeFolder('/etc')
  await removePodLogs(host, '/data/kubelet')
  assert.equal(await has(`/var/log/pods/${FOLDER}`), false)
  assert.deepEqual(await fs.list(CONTAINER_LINKS), [])
  assert.ok((await has('/etc')) && (await has('/var/log/pods')))
  assert.deepEqual(ran, [['rmdir', '/var/log/pods']])
})

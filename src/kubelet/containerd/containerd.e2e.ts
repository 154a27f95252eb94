/** A real containerd, started, adopted, restarted and removed. Needs root and the Debian packages of `checkHost`. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { realEnv } from '#base'
import { type Containerd, destroyContainerd, startContainerd } from './containerd.ts'
import { checkHost, findTool } from './host.ts'
import {
  BUSYBOX_IMAGE,
  busyboxImage,
  DEMO_IMAGE,
  demoImage,
  PAUSE_IMAGE,
  readBusybox,
} from './images.ts'

const env = realEnv({ level: 'error' })
const folder = `/tmp/nvt-containerd-${env.process.pid}`
const options = {
  env,
  dataDir: `${folder}/data`,
  runDir: `${folder}/run`,
  cniConfDir: `${folder}/cni`,
}
const problems = (await checkHost(env)).filter(({ severity }) => severity === 'error')
const skip = problems.length > 0 ? problems.map(({ message }) => message).join('; ') : false

let containerd: Containerd
const ctr = async (...args: readonly string[]): Promise<string> => {
  const { code, stdout, stderr } = await env.process.run([
    'ctr',
    '--address',
    containerd.socket,
    '--namespace',
    'k8s.io',
    ...args,
  ])
  assert.equal(code, 0, stderr)
  return stdout
}

before(async () => {
  if (!skip) containerd = await startContainerd(options)
})
after(async () => {
  if (skip) return
  await containerd.stop()
  await destroyContainerd(options)
  await env.fs.remove(folder)
})

test('it starts with the pause image and nothing else', { skip }, async () => {
  assert.equal(containerd.adopted, false)
  assert.match(containerd.version, /^\d+\.\d+/)
  assert.deepEqual(
    (await containerd.images.list()).map(({ name }) => name),
    [PAUSE_IMAGE],
  )
})

test('images are put once, listed with their size, and removed', { skip }, async () => {
  const busybox = await readBusybox(env, (await findTool(env, 'busybox')) ?? '')
  assert.ok(busybox)
  const image = busyboxImage(busybox, containerd.architecture)
  await containerd.images.put(image)
  await containerd.images.put(image)
  await containerd.images.put(demoImage(busybox, containerd.architecture))
  const stored = await containerd.images.list()
  assert.deepEqual(stored.map(({ name }) => name).toSorted(), [
    BUSYBOX_IMAGE,
    DEMO_IMAGE,
    PAUSE_IMAGE,
  ])
  assert.equal(stored.find(({ name }) => name === BUSYBOX_IMAGE)?.digest, image.digest)
  assert.ok(stored.every(({ sizeBytes }) => sizeBytes > 0))

  const archive = `${folder}/busybox.tar`
  await env.fs.write(archive, image.archive)
  await containerd.images.remove(BUSYBOX_IMAGE)
  await assert.rejects(containerd.images.remove(BUSYBOX_IMAGE), /there is no such image/)
  assert.deepEqual(await containerd.images.load(archive), [BUSYBOX_IMAGE])
})

test('containers outlive a released, a killed and a restarted containerd', { skip }, async () => {
  const runtime = (await findTool(env, ...containerd.runtimes)) ?? ''
  const root = `${folder}/run/containerd/state/oci`
  await ctr(
    'run',
    '--detach',
    '--runc-binary',
    runtime,
    '--runc-root',
    root,
    BUSYBOX_IMAGE,
    'sleeper',
    'sleep',
    '300',
  )
  const pidOf = async (): Promise<string> =>
    /sleeper\s+(\d+)\s+RUNNING/.exec(await ctr('tasks', 'list'))?.[1] ?? 'gone'
  const pid = await pidOf()
  assert.match(pid, /^\d+$/)

  containerd.release()
  const first = containerd.pid()
  containerd = await startContainerd(options)
  assert.equal(containerd.adopted, true)
  assert.equal(containerd.pid(), first)

  await env.process.run(['sh', '-c', `kill -KILL ${first}`])
  const deadline = env.clock.monotonic() + 10_000
  while (containerd.pid() === first && env.clock.monotonic() < deadline) await env.clock.sleep(10)
  assert.notEqual(containerd.pid(), first, 'the supervisor starts another')
  while ((await env.process.run(['ctr', '--address', containerd.socket, 'version'])).code !== 0)
    assert.ok(env.clock.monotonic() < deadline)
  assert.equal(await pidOf(), pid)

  containerd.release()
  const second = containerd.pid()
  const registryMirrors = { 'docker.io': ['http://127.0.0.1:5000'] }
  containerd = await startContainerd({ ...options, registryMirrors })
  assert.equal(containerd.pid(), second, 'mirrors are read at each pull')
  assert.match(
    await env.fs.readText(`${folder}/data/certs.d/docker.io/hosts.toml`),
    /127.0.0.1:5000/,
  )
  containerd.release()
  containerd = await startContainerd({ ...options, cniConfDir: `${folder}/cni-2` })
  assert.notEqual(containerd.pid(), second, 'another configuration needs another process')
  assert.equal(await pidOf(), pid)
})

test('destroying leaves no process, no mount and no file', { skip }, async () => {
  const { socket } = containerd
  await containerd.destroy()
  const { stdout } = await env.process.run([
    'sh',
    '-c',
    `ps ax -o args | grep -F ${socket} | grep -vc grep`,
  ])
  assert.equal(stdout.trim(), '0')
  assert.doesNotMatch(await env.fs.readText('/proc/self/mountinfo'), new RegExp(folder))
  assert.equal(await env.fs.stat(`${folder}/data/containerd`), undefined)
  containerd = await startContainerd(options)
})

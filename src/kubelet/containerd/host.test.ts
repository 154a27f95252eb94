import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualEnv } from '#base'
import {
  cgroupLayout,
  checkHost,
  chooseRuntimes,
  chooseSnapshotter,
  findTool,
  mayLowerOomScore,
  parseMounts,
} from './host.ts'

const CGROUPS = `#subsys_name	hierarchy	num_cgroups	enabled
cpu	3	1	1
memory	4	14	1
pids	8	1	1
hugetlb	0	1	1
debug	0	1	0
`
const v1Mount = (name: string): string =>
  `30 25 0:26 / /sys/fs/cgroup/${name} rw,relatime - cgroup cgroup rw,${name}`
const V1 = [
  '25 1 0:20 / /sys/fs/cgroup rw - tmpfs tmpfs rw',
  ...['cpu', 'memory', 'pids'].map(v1Mount),
  '31 25 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw',
].join('\n')

test('a hybrid host is v1, and tells which controllers are mounted nowhere', () => {
  assert.deepEqual(cgroupLayout({ mountinfo: V1, cgroups: CGROUPS, v2controllers: '' }), {
    kind: 'v1',
    controllers: ['cpu', 'memory', 'pids'],
    unmounted: ['hugetlb'],
  })
})

test('one v2 hierarchy names its controllers', () => {
  const mountinfo = '25 1 0:20 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw'
  assert.deepEqual(cgroupLayout({ mountinfo, cgroups: '', v2controllers: 'cpu memory pids\n' }), {
    kind: 'v2',
    controllers: ['cpu', 'memory', 'pids'],
  })
})

test('crun is preferred where it works', () => {
  const both = { crun: '/usr/bin/crun', runc: '/usr/sbin/runc' }
  const names = (options: Parameters<typeof chooseRuntimes>[0]): string[] =>
    chooseRuntimes(options).map(({ name }) => name)
  assert.deepEqual(names({ layout: { kind: 'v2', controllers: [] }, ...both }), ['crun', 'runc'])
  const v1 = { kind: 'v1', controllers: ['cpu'], unmounted: [] as string[] } as const
  assert.deepEqual(names({ layout: v1, ...both }), ['crun', 'runc'])
  assert.deepEqual(names({ layout: { ...v1, unmounted: ['hugetlb'] }, ...both }), ['runc'])
  assert.deepEqual(names({ layout: v1, crun: undefined, runc: undefined }), [])
})

test('a data folder on an overlay gets the native snapshotter', () => {
  const mountinfo = [
    '1 0 8:1 / / rw - overlay overlay rw',
    '2 1 8:2 / /var/lib/na\\040varch rw - ext4 /dev/sda rw',
  ].join('\n')
  assert.equal(chooseSnapshotter(mountinfo, '/srv/navarch'), 'native')
  assert.equal(chooseSnapshotter(mountinfo, '/var/lib/na varch/data'), 'overlayfs')
  assert.equal(chooseSnapshotter(mountinfo, '/var/lib/na varchive'), 'native')
  assert.equal(parseMounts(mountinfo)[1]?.path, '/var/lib/na varch')
})

test('only CAP_SYS_RESOURCE may lower an oom score', () => {
  assert.equal(mayLowerOomScore('CapInh:\t0\nCapEff:\t000001ffffffffff\n'), true)
  assert.equal(mayLowerOomScore('CapEff:\t000001fffeffffff\n'), false)
  assert.equal(mayLowerOomScore(''), false)
})

test('a host without /proc is told to use Linux', async () => {
  assert.deepEqual(
    (await checkHost(virtualEnv())).map(({ id }) => id),
    ['linux'],
  )
})

test('a bare Linux host hears of every missing part, with the package that has it', async () => {
  const env = virtualEnv()
  await env.fs.makeFolder('/proc/self')
  await env.fs.write('/proc/self/status', 'Uid:\t1000\t1000\t1000\t1000\n')
  const problems = await checkHost(env)
  const ids = problems.map(({ id }) => id)
  for (const id of ['root', 'cni', 'cgroups', 'tool/containerd', 'tool/nft', 'tool/crun'])
    assert.ok(ids.includes(id), id)
  assert.ok(problems.every(({ fix }) => fix !== ''))
  assert.deepEqual(
    problems.filter(({ severity }) => severity === 'warning').map(({ id }) => id),
    ['tool/conntrack'],
  )
})

test('tools are found in folders that a plain user has not on the PATH', async () => {
  const env = virtualEnv()
  await env.fs.makeFolder('/usr/sbin')
  await env.fs.makeFolder('/usr/bin')
  await env.fs.write('/usr/bin/nft', 'nothing that can be run')
  await env.fs.write('/usr/sbin/nft', '', { mode: 0o755 })
  assert.equal(await findTool(env, 'nft'), '/usr/sbin/nft')
  assert.equal(await findTool(env, 'crun', 'nft'), '/usr/sbin/nft')
  assert.equal(await findTool(env, 'runc'), undefined)
})

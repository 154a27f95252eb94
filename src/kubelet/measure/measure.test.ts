import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualEnv } from '#base'
import { readCgroup, useV1, useV2 } from './cgroups.ts'
import { parseDu } from './disk.ts'
import { defaultInterface, parseInterfaces } from './network.ts'

const filesOf = (files: Readonly<Record<string, string>>) => (name: string) => files[name] ?? ''

test('version 1: what is used, throttled and limited', () => {
  const use = useV1(
    filesOf({
      'cpuacct/cpuacct.usage': '2500000000',
      'cpuacct/cpuacct.stat': 'user 150\nsystem 50',
      'cpu/cpu.stat': 'nr_periods 10\nnr_throttled 3\nthrottled_time 1500000000',
      'cpu/cpu.shares': '102',
      'cpu/cpu.cfs_quota_us': '10000',
      'cpu/cpu.cfs_period_us': '100000',
      'memory/memory.usage_in_bytes': '1000',
      'memory/memory.stat':
        'cache 1\nrss 2\ninactive_file 9\ntotal_cache 300\ntotal_rss 600\ntotal_inactive_file 250\ntotal_pgfault 7',
      'memory/memory.limit_in_bytes': '9223372036854771712',
      'memory/memory.oom_control': 'oom_kill_disable 0\nunder_oom 0\noom_kill 2',
      'memory/memory.failcnt': '5',
      'memory/cgroup.procs': '11\n12',
      'pids/pids.current': '9',
    }),
  )
  assert.equal(use.cpuSeconds, 2.5)
  assert.equal(use.userSeconds, 1.5)
  assert.deepEqual(use.throttling, { periods: 10, throttledPeriods: 3, throttledSeconds: 1.5 })
  assert.equal(use.memory.workingSetBytes, 750)
  assert.equal(use.memory.rssBytes, 600)
  assert.deepEqual(use.limits, { cpuShares: 102, cpuQuota: 10_000, cpuPeriod: 100_000 })
  assert.deepEqual([use.processes, use.threads, use.oomKills], [[11, 12], 9, 2])
})

test('version 2: the same in its own words', () => {
  const use = useV2(
    filesOf({
      'cpu/cpu.stat': 'usage_usec 2500000\nuser_usec 1500000\nsystem_usec 1000000',
      'cpu/cpu.weight': '1',
      'cpu/cpu.max': 'max 100000',
      'memory/memory.current': '1000',
      'memory/memory.stat': 'anon 600\nfile 300\ninactive_file 250\npgfault 7\npgmajfault 1',
      'memory/memory.events': 'low 0\nmax 4\noom 1\noom_kill 1',
      'memory/memory.max': '4096',
      'cpu/cpu.pressure':
        'some avg10=1.50 avg60=0.50 avg300=0.10 total=2500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=500000',
    }),
  )
  assert.equal(use.cpuSeconds, 2.5)
  assert.equal(use.throttling, undefined)
  assert.equal(use.memory.workingSetBytes, 750)
  assert.equal(use.memory.failures, 4)
  assert.deepEqual(use.limits, { cpuShares: 2, cpuPeriod: 100_000, memoryBytes: 4096 })
  assert.equal(use.oomKills, 1)
  assert.deepEqual(use.stalls, {
    cpu: {
      some: { seconds: 2.5, avg10: 1.5, avg60: 0.5, avg300: 0.1 },
      full: { seconds: 0.5, avg10: 0, avg60: 0, avg300: 0 },
    },
  })
})

test('a group that is not there says nothing', async () => {
  const env = virtualEnv()
  const machine = { cgroups: 'v2' as const, cgroupRoots: { cpu: '/cg', memory: '/cg' } }
  assert.equal(await readCgroup(env, machine, '/kubepods/pod1'), undefined)
  await env.fs.makeFolder('/cg/kubepods/pod1')
  await env.fs.write('/cg/kubepods/pod1/memory.stat', 'anon 1\nfile 2\n')
  assert.equal((await readCgroup(env, machine, '/kubepods/pod1'))?.memory.usageBytes, 3)
})

test('interfaces and their traffic; which one leads out', () => {
  const text = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
  eth0:    5000      50    1    2    0     0          0         0     7000      70    3    4    0     0       0          0
`
  assert.deepEqual(parseInterfaces(text), [
    {
      name: 'eth0',
      received: { bytes: 5000, packets: 50, errors: 1, dropped: 2 },
      sent: { bytes: 7000, packets: 70, errors: 3, dropped: 4 },
    },
  ])
  const routes = 'Iface\tDestination\tGateway\neth1\t0000A8C0\t00000000\neth0\t00000000\t010200C0\n'
  assert.equal(defaultInterface(routes), 'eth0')
})

test('what du prints, also of folders with spaces in their names', () => {
  assert.deepEqual(
    [...parseDu('4096\t/a b\n12\t/c\n')],
    [
      ['/a b', 4096],
      ['/c', 12],
    ],
  )
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Env, RunResult } from '#base'
import { virtualEnv } from '#base'
import { bridgeScript, cniConfig, masqueradeRules, setUpPodNetwork } from './cni.ts'
import { addressIn, cidrContains, formatIPv4, mustParseCidr, parseCidr, parseIPv4 } from './ip.ts'

test('addresses are read as they are written, and nothing else is one', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 32 - 1 }), (value) => {
      assert.equal(parseIPv4(formatIPv4(value)), value)
    }),
  )
  for (const text of [
    '',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.256',
    '01.2.3.4',
    '1.2.3.-4',
    '::1',
    '1.2.3.4/8',
  ])
    assert.equal(parseIPv4(text), undefined, text)
})

test('a range holds exactly the addresses with its first bits', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 2 ** 32 - 1 }),
      fc.integer({ min: 0, max: 2 ** 32 - 1 }),
      fc.integer({ min: 0, max: 32 }),
      (base, other, prefix) => {
        const cidr = mustParseCidr(`${formatIPv4(base)}/${prefix}`)
        const same = prefix === 0 || base >>> (32 - prefix) === other >>> (32 - prefix)
        assert.equal(cidrContains(cidr, formatIPv4(other)), same)
      },
    ),
  )
  assert.equal(parseCidr('10.244.3.7/24')?.text, '10.244.3.0/24')
  assert.equal(addressIn(mustParseCidr('10.244.3.0/24'), 1), '10.244.3.1')
  for (const text of ['10.0.0.0', '10.0.0.0/33', '10.0.0.0/', '10.0.0/8', '10.0.0.0/8/8'])
    assert.equal(parseCidr(text), undefined, text)
})

test('pods are plugged in by the bridge plugin alone, without its masquerading', () => {
  const config = cniConfig({
    bridge: 'nav-0',
    podCidr: '10.244.0.0/24',
    gateway: '10.244.0.1',
    leaseDir: '/run/leases',
  })
  assert.deepEqual(config, {
    cniVersion: '1.0.0',
    name: 'nav-0',
    plugins: [
      {
        type: 'bridge',
        bridge: 'nav-0',
        isDefaultGateway: true,
        ipMasq: false,
        hairpinMode: true,
        ipam: {
          type: 'host-local',
          ranges: [[{ subnet: '10.244.0.0/24', gateway: '10.244.0.1' }]],
          dataDir: '/run/leases',
        },
      },
    ],
  })
})

test('the bridge has an address of its own that never changes', () => {
  const script = bridgeScript({
    bridge: 'nav-0',
    gateway: '10.244.0.1',
    prefix: 24,
    serviceCidr: '10.96.0.0/16',
    mtu: 1400,
  })
  assert.match(script, /address 0a:58:0a:f4:00:01 mtu 1400 up/)
  assert.match(script, /ip route replace 10\.96\.0\.0\/16 dev nav-0 src 10\.244\.0\.1/)
})

test('only what leaves the cluster is masqueraded', () => {
  assert.match(
    masqueradeRules('t', '10.244.1.0/24', '10.244.0.0/16'),
    /ip saddr 10\.244\.1\.0\/24 ip daddr != \{ 10\.244\.0\.0\/16, 224\.0\.0\.0\/4 \} masquerade/,
  )
})

/** A host whose commands all succeed, unless one is named. */
async function host(failing?: string): Promise<{ env: Env; ran: string[] }> {
  const base = virtualEnv()
  const ran: string[] = []
  for (const folder of ['net/ipv4/conf/nvt0', 'net/bridge', 'net/netfilter'])
    await base.fs.makeFolder(`/proc/sys/${folder}`)
  for (const file of [
    'net/ipv4/ip_forward',
    'net/bridge/bridge-nf-call-iptables',
    'net/ipv4/conf/nvt0/route_localnet',
    'net/netfilter/nf_conntrack_max',
  ])
    await base.fs.write(`/proc/sys/${file}`, '0\n')
  const run = async (command: readonly string[]): Promise<RunResult> => {
    ran.push(command.join(' '))
    const failed = failing !== undefined && command[0] === failing
    return {
      code: failed ? 1 : 0,
      signal: undefined,
      stdout: '',
      stderr: failed ? 'Operation not permitted' : '',
    }
  }
  return { env: { ...base, process: { ...base.process, run } }, ran }
}
const options = {
  podCidr: '10.244.0.0/24',
  serviceCidr: '10.96.0.0/16',
  cniConfDir: '/d/cni',
  leaseDir: '/r/leases',
  bridge: 'nvt0',
}

test('the configuration appears last, when the node can carry a pod, and goes with the network', async () => {
  const { env } = await host()
  const network = await setUpPodNetwork({ env, ...options })
  assert.equal(network.gateway, '10.244.0.1')
  assert.equal(await env.fs.readText('/proc/sys/net/ipv4/ip_forward'), '1')
  assert.ok(Number(await env.fs.readText('/proc/sys/net/netfilter/nf_conntrack_max')) >= 131_072)
  const config = JSON.parse(await env.fs.readText('/d/cni/10-navarch.conflist')) as { name: string }
  assert.equal(config.name, 'nvt0')
  await network.tearDown()
  assert.equal(await env.fs.stat('/d/cni/10-navarch.conflist'), undefined)
  assert.equal(await env.fs.stat('/r/leases'), undefined)
})

test('a failure says what could not be done, and leaves no configuration', async () => {
  const { env } = await host('nft')
  await assert.rejects(
    setUpPodNetwork({ env, ...options }),
    /Cannot masquerade pods: Operation not permitted/,
  )
  assert.equal(await env.fs.stat('/d/cni/10-navarch.conflist'), undefined)
  await assert.rejects(
    setUpPodNetwork({ env, ...options, bridge: 'a bridge with spaces' }),
    /is no name for a bridge/,
  )
  await assert.rejects(
    setUpPodNetwork({ env, ...options, podCidr: '10.244.0.0' }),
    /is not an IPv4 range/,
  )
})

test('a kernel without a parameter is told by its name', async () => {
  const { env } = await host()
  await env.fs.remove('/proc/sys/net/bridge/bridge-nf-call-iptables')
  await assert.rejects(
    setUpPodNetwork({ env, ...options }),
    /Cannot set kernel parameter net\.bridge\.bridge-nf-call-iptables to 1.*br_netfilter/,
  )
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { chooseNodeSubnet } from './node-network.ts'

test('nodes get the first range that nobody on the machine uses', () => {
  const routes = [
    'default via 192.168.0.1 dev eth0',
    '172.30.0.0/16 dev br-1 proto kernel scope link src 172.30.0.1',
    'local 127.0.0.1 dev lo table local',
  ].join('\n')
  assert.equal(chooseNodeSubnet('', []), '172.30.0.0/24')
  assert.equal(chooseNodeSubnet(routes, []), undefined)
  assert.equal(chooseNodeSubnet('172.30.0.0/24 dev navn-1 scope link\n', []), '172.30.1.0/24')
  assert.equal(chooseNodeSubnet('local 172.30.0.1 dev lo table local', []), '172.30.1.0/24')
  assert.equal(chooseNodeSubnet('', ['172.30.0.0/23']), '172.30.2.0/24')
})

test('a range of nodes never holds a network of the machine', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(255), { maxLength: 300 }), (thirds) => {
      const taken = new Set(thirds)
      const routes = thirds.map((third) => `172.30.${third}.0/25 dev eth1 scope link`).join('\n')
      const chosen = /^172\.30\.(\d+)\.0\/24$/.exec(chooseNodeSubnet(routes, []) ?? '')?.[1]
      if (taken.size === 256) return chosen === undefined
      return chosen !== undefined && !taken.has(Number(chosen))
    }),
  )
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { firstFree, occupied } from './occupied.ts'

const routes = [
  'default via 192.168.0.1 dev eth0',
  '10.0.0.0/8 dev tun0 scope link',
  '10.244.3.0/24 via 192.168.0.7 dev eth0 proto 43',
  '10.244.0.0/24 dev nav-0 proto kernel scope link src 10.244.0.1',
  '10.96.0.0/12 dev nav-0 scope link src 10.244.0.1',
  'local 10.244.0.1 dev nav-0 table local proto kernel scope host src 10.244.0.1',
].join('\n')
const ours = (device: string): boolean => device === 'nav-1'

test("another cluster's pods and Services are found by their device", () => {
  assert.deepEqual(occupied(routes, ['10.244.0.0/16', '10.96.0.0/12'], ours), {
    range: '10.244.0.0/16',
    device: 'nav-0',
    route: '10.244.0.0/24',
  })
  assert.equal(occupied(routes, ['10.96.0.0/12'], ours)?.device, 'nav-0')
})

test("our own devices, wider networks and what is behind others are in nobody's way", () => {
  assert.equal(
    occupied(routes, ['10.244.0.0/16', '10.96.0.0/12'], (device) => device === 'nav-0'),
    undefined,
  )
  assert.equal(occupied(routes, ['10.245.0.0/16', '10.112.0.0/12'], ours), undefined)
  assert.equal(occupied('', ['10.244.0.0/16'], ours), undefined)
})

test('a single address counts', () => {
  assert.equal(
    occupied('local 10.97.0.9 dev lo table local', ['10.96.0.0/12'], ours)?.route,
    '10.97.0.9/32',
  )
})

test('a free range is one in which nothing lies', () => {
  const candidates = ['10.244.0.0/16', '10.245.0.0/16']
  assert.equal(firstFree(routes, candidates, ours), '10.245.0.0/16')
  assert.equal(firstFree(routes, candidates.slice(0, 1), ours), undefined)
})

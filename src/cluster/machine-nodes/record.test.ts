import assert from 'node:assert/strict'
import { test } from 'node:test'
import { grown, without } from './record.ts'

const none = { subnet: '172.30.0.0/24', nodes: [] }

test('neighbours count on from the first, each with an address of its own', () => {
  assert.deepEqual(grown(none, 'node-1', 3).nodes, [
    { name: 'node-2', address: '172.30.0.2' },
    { name: 'node-3', address: '172.30.0.3' },
  ])
  assert.deepEqual(
    grown(none, 'box', 2).nodes.map(({ name }) => name),
    ['box-2'],
  )
  assert.deepEqual(grown(none, 'node-1', 1), none)
})

test('a gap that a removed node left is filled again', () => {
  const three = grown(none, 'node-1', 3)
  const gap = without(three, 'node-2')
  assert.deepEqual(gap.nodes, [{ name: 'node-3', address: '172.30.0.3' }])
  assert.deepEqual(
    grown(gap, 'node-1', 3).nodes.map(({ name }) => name),
    ['node-3', 'node-2'],
  )
})

test('fewer nodes than there are is refused, with the way to take one away', () => {
  assert.throws(
    () => grown(grown(none, 'node-1', 3), 'node-1', 2),
    (error: Error & { advice?: readonly string[] }) =>
      /has 3 nodes on this machine, and --nodes 2/.test(error.message) &&
      error.advice?.[0] === 'Take one away: navarch node remove node-3',
  )
})

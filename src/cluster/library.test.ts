import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodes } from '#api'
import { createCluster } from './library.ts'

test('a cluster in a process is Ready with as many nodes as are asked for, each with pods of its own', async () => {
  const cluster = await createCluster({ nodes: 3 })
  try {
    await cluster.ready
    const { items } = await cluster.client.list(nodes)
    assert.deepEqual(
      items.map(({ metadata, spec }) => [metadata.name, spec.podCIDR]),
      [
        ['node-1', '10.244.0.0/24'],
        ['node-2', '10.244.1.0/24'],
        ['node-3', '10.244.2.0/24'],
      ],
    )
  } finally {
    await cluster.stop()
  }
})

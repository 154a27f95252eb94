import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Client } from '#client'
import { untainted } from './untainted.ts'

const node = (...keys: readonly string[]) => ({
  type: 'MODIFIED',
  object: {
    metadata: { name: 'node-1' },
    spec: { taints: keys.map((key) => ({ key, effect: 'NoSchedule' })) },
  },
})

test('a bookmark between two states of a node says nothing of it', async () => {
  const seen: string[] = []
  async function* events() {
    for (const event of [
      node('node.kubernetes.io/not-ready'),
      { type: 'BOOKMARK', object: { metadata: { resourceVersion: '7' } } },
      node(),
    ]) {
      seen.push(event.type)
      yield [event]
    }
  }
  const client = { watch: async () => events() } as unknown as Pick<Client, 'watch'>
  await untainted(client, new Set(['node-1']), new AbortController().signal)
  assert.deepEqual(seen, ['MODIFIED', 'BOOKMARK', 'MODIFIED'])
})

test('no nodes are ready at once', async () => {
  const client = { watch: () => assert.fail('asked') } as unknown as Pick<Client, 'watch'>
  await untainted(client, new Set(), new AbortController().signal)
})

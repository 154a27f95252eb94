import assert from 'node:assert/strict'
import { test } from 'node:test'
import { configMaps, type ConfigMap } from '#api'
import { virtualEnv } from '#base'
import { createClient, createInformers } from '#client'
import { memoryTransport } from '#client/testing'
import { defineController, nothing } from './index.ts'

const map = (name: string, labels: Record<string, string> = {}) => ({
  metadata: { namespace: 'shop', name, labels },
})

test('a controller looks only at what concerns it, and once more at what did', async () => {
  const env = virtualEnv()
  const client = createClient(memoryTransport({ clock: env.clock }))
  const stop = new AbortController()
  const informers = createInformers(client, env, stop.signal)
  const looked: string[] = []
  const seen = (): string[] => looked.splice(0).toSorted()
  await client.create(configMaps, map('early'))
  await client.create(configMaps, map('early-mine', { mine: 'yes' }))
  defineController({
    name: 'choosy',
    for: configMaps,
    concerns: ({ metadata }: ConfigMap) => metadata.labels?.['mine'] === 'yes',
    observe: (_, key) => void looked.push(key),
    decide: () => nothing,
  }).start({ client, informers, env, signal: stop.signal })
  await env.advance(100)
  assert.deepEqual(seen(), ['shop/early-mine'])

  await client.create(configMaps, map('late'))
  const late = await client.create(configMaps, map('late-mine', { mine: 'yes' }))
  await env.advance(100)
  assert.deepEqual(seen(), ['shop/late-mine'])

  await client.update(configMaps, { ...late, metadata: { ...late.metadata, labels: {} } })
  await env.advance(100)
  assert.deepEqual(seen(), ['shop/late-mine'])
  await client.delete(configMaps, { namespace: 'shop', name: 'late-mine' })
  await client.delete(configMaps, { namespace: 'shop', name: 'early-mine' })
  await env.advance(100)
  assert.deepEqual(seen(), ['shop/early-mine'])
  stop.abort()
})

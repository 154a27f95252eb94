import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualEnv } from '#base'
import type { Client } from '#client'
import { StatusError } from '#machinery'
import { StatusWriter } from './status-writer.ts'
import { pod } from './testing/pods.ts'

/** An API that refuses each patch with this. */
async function tries(error: Error): Promise<number> {
  const env = virtualEnv()
  let asked = 0
  const client = {
    patch: async () => {
      asked++
      throw error
    },
  } as unknown as Client
  const stop = new AbortController()
  const writer = new StatusWriter(client, env, stop.signal)
  writer.set(pod(), { phase: 'Running' })
  await env.advance(60_000)
  stop.abort()
  await env.advance(60_000)
  return asked
}

test('the status of a pod whose name another has got is written no more', async () => {
  const taken = 'Pod "web" is invalid: metadata.uid: Invalid value: "uid-1": field is immutable'
  assert.equal(await tries(new StatusError('Invalid', taken)), 1)
  assert.equal(await tries(new StatusError('NotFound', 'pods "web" not found')), 1)
})

test('a status that could not be written for another reason is tried again', async () => {
  assert.ok((await tries(new StatusError('InternalError', 'the store is away'))) > 3)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Pod, PodStatus } from '#api'
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

test('what others wrote is put right though a write of ours came after it, whose event came before its answer', async () => {
  const env = virtualEnv()
  const base = pod()
  let version = 1
  let status: PodStatus = {}
  const stored = (): Pod => ({
    ...base,
    metadata: { ...base.metadata, resourceVersion: String(version) },
    status,
  })
  const merged = (patch: PodStatus): PodStatus => ({
    ...status,
    ...patch,
    conditions: [
      ...(status.conditions ?? []).filter(
        ({ type }) => !(patch.conditions ?? []).some((each) => each.type === type),
      ),
      ...(patch.conditions ?? []),
    ],
  })
  const client = {
    patch: async (...[, , , patch]: readonly unknown[]) => {
      await env.clock.sleep(5)
      status = merged((patch as { readonly status: PodStatus }).status)
      version++
      writer.seen(stored())
      await env.clock.sleep(5)
      return stored()
    },
  } as unknown as Client
  const stop = new AbortController()
  const writer = new StatusWriter(client, env, stop.signal)
  const ready = (): PodStatus => ({
    phase: 'Running',
    conditions: [{ type: 'Ready', status: 'True' }],
  })
  writer.set(base, ready())
  await env.advance(10)

  status = merged({ conditions: [{ type: 'Ready', status: 'False' }] })
  version++
  writer.seen(stored())
  await env.advance(1000)
  writer.set(base, { ...ready(), message: 'something else' })
  await env.advance(5000)
  assert.equal(status.conditions?.[0]?.status, 'False')
  await env.advance(6000)
  assert.equal(status.conditions?.[0]?.status, 'True')
  assert.equal(status.message, 'something else')
  stop.abort()
})

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

/** What the API answers to the second patch, and what its watch shows before that answer comes. */
async function raced(answer: Pod, shown: Pod): Promise<readonly unknown[]> {
  const env = virtualEnv()
  const patches: unknown[] = []
  let writer: StatusWriter | undefined
  const client = {
    patch: async (_resource: unknown, _key: unknown, _how: unknown, body: { status: unknown }) => {
      patches.push(body.status)
      if (patches.length === 1) return { ...pod(), status: ready('True'), metadata: version('2') }
      if (patches.length > 2) return at('9', 'True')
      await env.clock.sleep(10)
      writer?.seen(shown)
      return answer
    },
  } as unknown as Client
  writer = new StatusWriter(client, env, new AbortController().signal)
  writer.set(pod(), ready('True'))
  await env.advance(100)
  writer.set(pod(), { ...ready('True'), podIP: '10.244.0.9' })
  await env.advance(60_000)
  return patches.slice(2)
}

const version = (resourceVersion: string): Pod['metadata'] => ({
  ...pod().metadata,
  resourceVersion,
})
const ready = (status: 'True' | 'False'): PodStatus => ({
  phase: 'Running',
  conditions: [{ type: 'Ready', status }],
})
const at = (resourceVersion: string, status: 'True' | 'False'): Pod => ({
  ...pod(),
  metadata: version(resourceVersion),
  status: { ...ready(status), podIP: '10.244.0.9' },
})

test('what others write while a status is being written is put right too', async () => {
  const again = [{ conditions: [{ type: 'Ready', status: 'True' }] }]
  // Just before ours, so that ours was written beside it.
  assert.deepEqual(await raced(at('4', 'False'), at('4', 'False')), again)
  // Just after ours, and shown before our answer is here.
  assert.deepEqual(await raced(at('3', 'True'), at('4', 'False')), again)
  // Before ours, and made good by it.
  assert.deepEqual(await raced(at('4', 'True'), at('3', 'False')), [])
})

test('a status that is set at the very moment at which the write before it ends is written too', async () => {
  for (let turns = 0; turns < 12; turns++) {
    const env = virtualEnv()
    const written: (string | undefined)[] = []
    const base = pod()
    let late: Promise<void> | undefined
    const client = {
      patch: async (...[, , , patch]: readonly unknown[]) => {
        await Promise.resolve()
        written.push((patch as { readonly status: PodStatus }).status.phase)
        late ??= (async () => {
          for (let turn = 0; turn < turns; turn++) await Promise.resolve()
          writer.set(base, { phase: 'Failed' })
        })()
        return base
      },
    } as unknown as Client
    const stop = new AbortController()
    const writer = new StatusWriter(client, env, stop.signal)
    writer.set(base, { phase: 'Running' })
    await env.settle()
    await late
    await writer.flushed(base.metadata.uid ?? '')
    assert.deepEqual(written, ['Running', 'Failed'], `after ${turns} turns`)
    stop.abort()
  }
})

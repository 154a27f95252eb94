import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WebSocket } from 'ws'
import { type Pod } from '#api'
import { logOptions } from '#client'
import { whyNoLog } from './log.ts'
import { containerOf } from './target.ts'
import { followersThatLeft, get, port, pod, talk } from './streaming.testing.ts'

test('logs come plain, and as raw messages over a WebSocket', async () => {
  const { body } = await get('/pods/web/log')
  assert.equal(body, 'hello from c\n')
  const { protocol, messages } = await talk('/pods/web/log', ['binary.k8s.io'])
  assert.equal(protocol, 'binary.k8s.io')
  assert.equal(Buffer.concat([...messages]).toString(), 'hello from c\n')
})

test('a log that is followed ends when the client leaves', async () => {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/pods/web/log?follow=true`, ['binary.k8s.io'])
  const first = await new Promise<Buffer>((resolve) => socket.once('message', resolve))
  assert.equal(first.toString(), 'hello from c\n')
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  socket.close()
  await closed
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(followersThatLeft, 1)
})

test('the container that is meant is found, or asked for by name', () => {
  const two = { containers: [{ name: 'a' }, { name: 'b' }] }
  assert.equal(containerOf(pod({ containers: [{ name: 'a' }] }), ''), 'a')
  assert.equal(containerOf(pod(two), 'b'), 'b')
  assert.equal(
    containerOf(pod(two, { annotations: { 'kubectl.kubernetes.io/default-container': 'b' } }), ''),
    'b',
  )
  const message = (spec: object, name = ''): string => {
    try {
      return containerOf(pod(spec), name)
    } catch (error) {
      return (error as Error).message
    }
  }
  assert.equal(
    message({ ...two, initContainers: [{ name: 'i' }] }),
    'a container name must be specified for pod web, choose one of: [a b] or one of the init containers: [i]',
  )
  assert.equal(message(two, 'x'), 'container x is not valid for pod web')
})

test('a log that cannot be read is explained by the status', () => {
  const explain = (status: object, previous = false): string | undefined =>
    whyNoLog(
      { ...pod({}), status: { containerStatuses: [{ name: 'c', ...status }] } } as unknown as Pod,
      { container: 'c', previous },
    )?.message
  assert.equal(
    explain({ state: { waiting: { reason: 'ContainerCreating' } } }),
    'container "c" in pod "web" is waiting to start: ContainerCreating',
  )
  assert.equal(
    explain({ state: { running: {} } }, true),
    'previous terminated container "c" in pod "web" not found',
  )
  assert.equal(explain({ state: { running: {} } }), undefined)
})

test('log options are read and checked', () => {
  const parse = (query: string) => logOptions(new URLSearchParams(query), 'web', (name) => name)
  assert.deepEqual(parse('container=c&follow=true&tailLines=0&timestamps=1'), {
    container: 'c',
    follow: true,
    timestamps: true,
    tailLines: 0,
  })
  assert.throws(
    () => parse('tailLines=-1'),
    /tailLines: Invalid value: -1: must be greater than or equal to 0/,
  )
  assert.throws(() => parse('limitBytes=0'), /limitBytes: Invalid value: 0: must be greater than 0/)
  assert.throws(() => parse('sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z'), /at most one of/)
  assert.throws(() => parse('tailLines=x'), /invalid syntax/)
})

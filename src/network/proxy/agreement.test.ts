import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EndpointSlice, Node } from '#api'
import { virtualEnv } from '#base'
import type { Change, Follow } from '../follow.ts'
import { AGREEMENT_LIMIT_MS, keepAgreement, PROXY_ANNOTATION } from './agreement.ts'

const meta = { uid: '', resourceVersion: '1', creationTimestamp: '' }
const node = (name: string, revision?: string, ready = true): Node => ({
  metadata: {
    ...meta,
    name,
    ...(revision === undefined ? {} : { annotations: { [PROXY_ANNOTATION]: revision } }),
  },
  spec: {},
  status: { conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
})
const slice = (resourceVersion: string, terminating: boolean): EndpointSlice => ({
  metadata: { ...meta, name: 'web-1', namespace: 'shop', resourceVersion },
  addressType: 'IPv4',
  endpoints: [{ addresses: ['10.244.0.5'], conditions: { ready: !terminating, terminating } }],
})

function setUp() {
  const env = virtualEnv()
  const tell: {
    node?: (change: Change<Node>) => void
    slice?: (change: Change<EndpointSlice>) => void
  } = {}
  const nodes: Follow<Node> = async (onChange) => {
    tell.node = onChange
  }
  const endpointSlices: Follow<EndpointSlice> = async (onChange) => {
    tell.slice = onChange
  }
  const published: string[] = []
  let settle = (): void => undefined
  let kernel = Promise.resolve()
  const agreement = keepAgreement(
    {
      env,
      nodeName: 'node-1',
      nodes,
      endpointSlices,
      settled: () => kernel,
      publish: async (revision) => void published.push(revision),
    },
    new AbortController().signal,
  )
  const turns = async (): Promise<void> => {
    for (let i = 0; i < 10; i++) await Promise.resolve()
  }
  return {
    env,
    published,
    turns,
    hold: () => {
      kernel = new Promise((resolve) => {
        settle = resolve
      })
    },
    settle: () => settle(),
    set: (object: Node) => tell.node?.({ type: 'set', object }),
    gone: (object: Node) => tell.node?.({ type: 'gone', object }),
    slice: (object: EndpointSlice) => tell.slice?.({ type: 'set', object }),
    wait: () => {
      const waited = { done: false }
      const ended = agreement
        .reached({ ips: ['10.244.0.5'] }, new AbortController().signal)
        .then(() => {
          waited.done = true
        })
      return Object.assign(waited, { ended })
    },
  }
}

test('a cluster of one node says nothing and waits for nobody', async () => {
  const t = setUp()
  t.set(node('node-1'))
  t.slice(slice('7', true))
  await t.turns()
  assert.deepEqual(t.published, [])
  await t.wait().ended
})

test('a node says how far it is when it has company, and then only while pods are stopping', async () => {
  const t = setUp()
  t.slice(slice('7', false))
  t.set(node('node-2'))
  await t.turns()
  t.slice(slice('8', false))
  await t.turns()
  assert.deepEqual(t.published, ['7'])
  t.slice(slice('9', true))
  await t.turns()
  assert.deepEqual(t.published, ['7', '9'])
})

test('it says so only after its kernel has followed', async () => {
  const t = setUp()
  t.set(node('node-2'))
  await t.turns()
  t.hold()
  t.slice(slice('9', true))
  await t.turns()
  assert.deepEqual(t.published, ['0'])
  t.settle()
  await t.turns()
  assert.deepEqual(t.published, ['0', '9'])
})

test('a pod that is stopping waits until every Ready node with a proxy has followed', async () => {
  const t = setUp()
  t.set(node('node-2', '5'))
  t.set(node('node-3', '5'))
  t.set(node('simulated'))
  t.set(node('cut-off', '5', false))
  t.slice(slice('9', true))
  const waited = t.wait()
  t.set(node('node-2', '9'))
  await t.turns()
  assert.equal(waited.done, false)
  t.set(node('node-3', '12'))
  await waited.ended
})

test('a pod that is not in a Service, or not stopping, waits for nobody', async () => {
  const t = setUp()
  t.set(node('node-2', '5'))
  await t.wait().ended
  t.slice(slice('9', false))
  await t.wait().ended
})

test('a node that goes, or says nothing in time, is not waited for any longer', async () => {
  const t = setUp()
  t.set(node('node-2', '5'))
  t.set(node('node-3', '5'))
  t.slice(slice('9', true))
  const waited = t.wait()
  t.gone(node('node-2', '5'))
  await t.env.advance(AGREEMENT_LIMIT_MS - 1)
  assert.equal(waited.done, false)
  await t.env.advance(1)
  await waited.ended
})

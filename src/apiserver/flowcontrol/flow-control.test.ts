import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { FlowSchema, PriorityLevelConfiguration } from '#api'
import { virtualEnv } from '#base'
import type { Exchange, Reply, RequestInfo } from '../exchange.ts'
import { exchangeFor, send, testServer } from '../server.testing.ts'
import { flowSchemas, mendings, priorityLevels } from './defaults.ts'
import { dealHand, FairQueues } from './fair-queues.ts'
import { createFlowControl, type FlowControl } from './flow-control.ts'
import { ensureFlowControl } from './defaults.ts'
import { danglingCondition, keepFlowStatus } from './follow.ts'
import { inOrder, matches } from './match.ts'
import { flowControlPages } from './pages.ts'
import { limitOf, shareSeats } from './seats.ts'
import { widthOf, withPriorityAndFairness } from './filter.ts'
import { ADMIN } from '../server.testing.ts'

const get: RequestInfo = {
  isResource: true,
  verb: 'get',
  group: '',
  version: 'v1',
  namespace: 'shop',
  resource: 'pods',
  subresource: '',
  name: 'web',
  rest: '',
  path: '/api/v1/namespaces/shop/pods/web',
}
const named = <T extends { readonly name: string; readonly spec: unknown }>(
  wanted: readonly T[],
): never[] =>
  wanted.map(
    ({ name, spec }) => ({ metadata: { name, uid: `uid-of-${name}` }, spec }) as unknown as never,
  )
const schemas: readonly FlowSchema[] = inOrder(named(flowSchemas))
const levels: readonly PriorityLevelConfiguration[] = named(priorityLevels)

const schemaFor = (name: string, groups: readonly string[], info: Partial<RequestInfo> = {}) =>
  schemas.find((each) => matches(each, { name, groups }, { ...get, ...info }))?.metadata.name

test('each request meets the schema that a stock cluster would give it', () => {
  const all = 'system:authenticated'
  assert.equal(schemaFor('root', ['system:masters', all]), 'exempt')
  assert.equal(schemaFor('jane', [all]), 'global-default')
  assert.equal(
    schemaFor('system:serviceaccount:shop:web', ['system:serviceaccounts', all]),
    'service-accounts',
  )
  assert.equal(
    schemaFor('system:serviceaccount:kube-system:job-controller', ['system:serviceaccounts', all]),
    'kube-system-service-accounts',
  )
  const node = ['system:nodes', all]
  assert.equal(schemaFor('system:node:a', node), 'system-nodes')
  const lease = { group: 'coordination.k8s.io', resource: 'leases', verb: 'update' }
  assert.equal(schemaFor('system:node:a', node, lease), 'system-node-high')
  assert.equal(
    schemaFor('system:node:a', node, { resource: 'nodes', subresource: 'status', namespace: '' }),
    'system-node-high',
  )
  assert.equal(schemaFor('system:kube-scheduler', [all], lease), 'system-leader-election')
  assert.equal(schemaFor('system:kube-scheduler', [all]), 'kube-scheduler')
  assert.equal(
    schemaFor('nobody', ['system:unauthenticated'], { isResource: false, path: '/healthz' }),
    'probes',
  )
  assert.equal(schemaFor('nobody', ['strangers']), undefined)
})

test('a hand has different queues, the same ones for the same flow', () => {
  fc.assert(
    fc.property(fc.string(), fc.integer({ min: 1, max: 128 }), (flow, queues) => {
      const settings = { queues, handSize: Math.min(8, queues), lengthLimit: 50 }
      const hand = dealHand(flow, settings)
      assert.equal(new Set(hand).size, settings.handSize)
      assert.ok(hand.every((index) => index >= 0 && index < queues))
      assert.deepEqual(dealHand(flow, settings), hand)
    }),
  )
})

test('a flow with many requests does not keep one with few from its turn', () => {
  const queues = new FairQueues<string>({ queues: 128, handSize: 6, lengthLimit: 50 })
  for (let i = 0; i < 40; i++) assert.ok(queues.add('greedy', 1, `greedy-${i}`))
  assert.equal(queues.take()?.item, 'greedy-0')
  assert.ok(queues.add('modest', 1, 'modest-0'))
  const served = Array.from({ length: 7 }, () => queues.take()?.item)
  assert.ok(served.includes('modest-0'), served.join())
})

test('what is added is taken once, in order within a flow, and nothing beyond the length', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 200 }), (flows) => {
      const queues = new FairQueues<readonly [number, number]>({
        queues: 1,
        handSize: 1,
        lengthLimit: 50,
      })
      const accepted = flows.filter((flow, i) => queues.add(String(flow), 1, [flow, i])).length
      assert.equal(accepted, Math.min(50, flows.length))
      assert.equal(queues.length, accepted)
      const taken = Array.from({ length: accepted }, () => queues.take()!.item[1])
      assert.deepEqual(
        taken,
        taken.toSorted((a, b) => a - b),
      )
      assert.equal(queues.take(), undefined)
    }),
  )
})

test('seats are shared by the shares, and every level has one', () => {
  const shares = new Map(shareSeats(levels, 600).map((share) => [share.name, share]))
  assert.equal(shares.get('workload-low')?.nominal, 245)
  assert.equal(shares.get('workload-low')?.lendable, 221)
  assert.equal(shares.get('catch-all')?.nominal, 13)
  assert.equal(shares.get('exempt')?.nominal, 0)
  assert.ok(shareSeats(levels, 1).every(({ name, nominal }) => name === 'exempt' || nominal === 1))
})

test('a level borrows what others lend and do not use, and no more', () => {
  const lender = { name: 'a', nominal: 10, lendable: 5, borrowable: Infinity, inUse: 0 }
  const borrower = { name: 'b', nominal: 10, lendable: 0, borrowable: Infinity, inUse: 12 }
  assert.equal(limitOf(borrower, [lender, borrower]), 15)
  assert.equal(limitOf(borrower, [{ ...lender, inUse: 8 }, borrower]), 12)
  assert.equal(limitOf({ ...borrower, borrowable: 1 }, [lender, borrower]), 11)
  const other = { ...borrower, name: 'c', inUse: 14 }
  assert.equal(limitOf(borrower, [lender, borrower, other]), 11)
})

const level = (name: string, limitResponse: object, shares = 1): PriorityLevelConfiguration =>
  ({
    metadata: { name, uid: name },
    spec: { type: 'Limited', limited: { nominalConcurrencyShares: shares, limitResponse } },
  }) as unknown as PriorityLevelConfiguration
const schema = (to: string): FlowSchema =>
  ({
    metadata: { name: `to-${to}`, uid: `to-${to}` },
    spec: {
      priorityLevelConfiguration: { name: to },
      matchingPrecedence: 100,
      distinguisherMethod: { type: 'ByUser' },
      rules: [
        {
          subjects: [{ kind: 'Group', group: { name: '*' } }],
          resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'], namespaces: ['*'] }],
        },
      ],
    },
  }) as unknown as FlowSchema

const jane = { name: 'jane', groups: [] }
const enter = async (control: FlowControl, user = jane, signal = new AbortController().signal) =>
  control.enter(user, get, 1, { signal })
const stateOf = (control: FlowControl, name: string) =>
  [...control.levels()].find((each) => each.name === name)

const QUEUE = { type: 'Queue', queuing: { queues: 1, handSize: 1, queueLengthLimit: 2 } }
const catchAll = level('catch-all', { type: 'Reject' }, 0)

test('what finds no seat waits, and is refused when the queue is full', async () => {
  const control = createFlowControl(virtualEnv(), { seats: 1 })
  control.configure([schema('few')], [level('few', QUEUE), catchAll])
  const first = await enter(control)
  const second = enter(control)
  const third = enter(control)
  await assert.rejects(enter(control), { message: 'Too many requests, please try again later.' })
  assert.equal(stateOf(control, 'few')?.waiting, 2)
  first.release()
  first.release()
  const running = await second
  assert.equal(stateOf(control, 'few')?.seatsInUse, 1)
  running.release()
  ;(await third).release()
  const { nominalSeats, seatsInUse, waiting, dispatched } = stateOf(control, 'few')!
  assert.deepEqual([nominalSeats, seatsInUse, waiting, dispatched], [1, 0, 0, 3])
  assert.equal(stateOf(control, 'few')?.rejected.get('queue-full'), 1)
})

test('a long answer keeps its seat until it is sent, or the client has gone', async () => {
  const control = createFlowControl(virtualEnv(), { seats: 1 })
  control.configure([schema('few')], [level('few', QUEUE), catchAll])
  const counts = { readOnly: 0, mutating: 0 }
  const filter = withPriorityAndFairness(
    control,
    { inFlight: counts, inQueue: { readOnly: 0, mutating: 0 } },
    () => 100_000,
  )
  const answer = (body: Reply['body']) => async (): Promise<void> => {
    const client = new AbortController()
    const exchange = exchangeFor('GET /api/v1/pods', undefined, {}, client.signal)
    exchange.user = jane
    exchange.info = { ...get, verb: 'list', name: '' }
    const reply = await filter(async () => ({ status: 200, headers: {}, body }))(exchange)
    const isSent = reply.body instanceof Uint8Array
    assert.equal(stateOf(control, 'few')?.seatsInUse, isSent ? 0 : 1)
    assert.equal(counts.readOnly, isSent ? 0 : 1)
    client.abort()
    assert.equal(stateOf(control, 'few')?.seatsInUse, 0)
    assert.equal(counts.readOnly, 0)
  }
  await answer(new Uint8Array())()
  await answer(
    (async function* () {
      yield new Uint8Array()
    })(),
  )()
})

test('who waits where is counted under the names of stock clusters, and shown on the debugging pages', async () => {
  const env = virtualEnv()
  const control = createFlowControl(env, { seats: 1 })
  control.configure([schema('few')], [level('few', QUEUE), catchAll])
  const first = await enter(control)
  const second = enter(control)
  const third = enter(control)
  await assert.rejects(enter(control))
  const exchange = { query: new URLSearchParams('includeRequestDetails=1') } as Exchange
  const shown = async (page: string): Promise<readonly string[]> => {
    const path = `/debug/api_priority_and_fairness/${page}`
    const { body } = await flowControlPages(control)[path]!(exchange)
    return Buffer.from(body as Uint8Array)
      .toString()
      .split('\n')
      .map((line) => line.replaceAll(/\s+/g, ' '))
  }
  assert.ok(
    (await shown('dump_priority_levels')).includes('few, 1, false, false, 2, 1, 1, 1, 0, 0'),
  )
  assert.ok((await shown('dump_queues')).includes('few, 0, 2, 0, 0, 0.00000000ss, 2, 2, 2'))
  const [, one = '', two = ''] = await shown('dump_requests')
  assert.match(
    one,
    /^few, to-few, 0, 0, jane, 2026\S+, 1, 0, 0s, 2026\S+, jane, get, \/api\/v1\S+ shop, web,/,
  )
  assert.match(two, /^few, to-few, 0, 1, jane,/)
  let text = await env.metrics.text()
  const of = 'priority_level="few",flow_schema="to-few"'
  for (const line of [
    `apiserver_flowcontrol_current_inqueue_requests{${of}} 2`,
    `apiserver_flowcontrol_current_executing_requests{${of}} 1`,
    `apiserver_flowcontrol_rejected_requests_total{${of},reason="queue-full"} 1`,
    `apiserver_flowcontrol_nominal_limit_seats{priority_level="few"} 1`,
  ])
    assert.ok(text.includes(`${line}\n`), `${line}\n${text}`)
  await env.advance(300)
  first.release()
  ;(await second).release()
  ;(await third).release()
  text = await env.metrics.text()
  for (const line of [
    `apiserver_flowcontrol_current_inqueue_requests{${of}} 0`,
    `apiserver_flowcontrol_current_executing_seats{${of}} 0`,
    `apiserver_flowcontrol_dispatched_requests_total{${of}} 3`,
    `apiserver_flowcontrol_request_wait_duration_seconds_bucket{le="0.2",${of},execute="true"} 1`,
    `apiserver_flowcontrol_request_wait_duration_seconds_bucket{le="0.5",${of},execute="true"} 3`,
    `apiserver_flowcontrol_request_execution_seconds_count{${of},type="regular"} 3`,
  ])
    assert.ok(text.includes(`${line}\n`), `${line}\n${text}`)
  assert.equal([...control.waiting('few')].length, 0)
})

test('a wait ends when the client has gone or it has taken too long', async () => {
  const env = virtualEnv()
  const control = createFlowControl(env, { seats: 1 })
  control.configure([schema('few')], [level('few', QUEUE), catchAll])
  const first = await enter(control)
  const client = new AbortController()
  const gone = assert.rejects(enter(control, jane, client.signal))
  const late = assert.rejects(enter(control))
  client.abort()
  await gone
  assert.equal(stateOf(control, 'few')?.waiting, 1)
  await env.advance(15_000)
  await late
  assert.equal(stateOf(control, 'few')?.waiting, 0)
  first.release()
  assert.equal(stateOf(control, 'few')?.seatsInUse, 0)
})

test('a level that rejects has no queue', async () => {
  const control = createFlowControl(virtualEnv(), { seats: 1 })
  control.configure([schema('strict')], [level('strict', { type: 'Reject' }), catchAll])
  const first = await enter(control)
  await assert.rejects(enter(control))
  first.release()
  ;(await enter(control)).release()
})

test('a change of levels keeps what runs and lets in what waited at a level that is gone', async () => {
  const control = createFlowControl(virtualEnv(), { seats: 1 })
  control.configure([schema('few')], [level('few', QUEUE), catchAll])
  const first = await enter(control)
  const second = enter(control)
  control.configure([], [catchAll])
  first.release()
  ;(await second).release()
})

test('a request belongs to catch-all when nothing else knows it', async () => {
  const control = createFlowControl(virtualEnv(), { seats: 10 })
  const { flow } = await enter(control)
  assert.deepEqual(flow, { schemaUid: '', levelUid: '' })
})

test('a long list takes more seats than one object', () => {
  const list: RequestInfo = { ...get, verb: 'list', name: '' }
  const of = (info: RequestInfo, query = '') =>
    widthOf(info, { query: new URLSearchParams(query) }, () => 950)
  assert.equal(of(get), 1)
  assert.equal(of(list), 10)
  assert.equal(of(list, 'limit=250'), 3)
})

test('defaults are created, mended while they are ours, and left alone once they are a user’s', () => {
  const wanted = priorityLevels
  assert.equal(mendings(wanted, []).length, wanted.length)
  const changed = (name: string, annotation: string) => ({
    metadata: { name, annotations: { 'apf.kubernetes.io/autoupdate-spec': annotation } },
    spec: { type: 'Limited', limited: { nominalConcurrencyShares: 1 } },
  })
  const kept = wanted
    .filter(({ name }) => name !== 'system' && name !== 'catch-all' && name !== 'node-high')
    .map(({ name, spec }) => ({ metadata: { name }, spec }))
  const to = mendings(wanted, [
    ...kept,
    changed('system', 'true'),
    changed('node-high', 'false'),
    changed('catch-all', 'false'),
  ])
  assert.deepEqual(Object.fromEntries(to.map(({ name, create }) => [name, create])), {
    'catch-all': false,
    system: false,
  })
})

test('a served request names its schema and level, and a dangling schema says so', async () => {
  const user = { name: 'jane', groups: ['system:authenticated'] }
  const { server, api, env } = await testServer({
    extensions: { authenticator: { authenticate: async () => ({ user }) } },
  })
  await ensureFlowControl(api)
  await ensureFlowControl(api)
  const stop = new AbortController()
  const kept = keepFlowStatus({
    read: server.inside.read,
    transport: server.transport(ADMIN),
    env,
    signal: stop.signal,
  })
  await env.settle()
  const base = '/apis/flowcontrol.apiserver.k8s.io/v1'
  const found = (await send(server, `GET ${base}/flowschemas/global-default`))
    .json as unknown as FlowSchema
  const { headers } = await send(server, 'GET /api/v1/namespaces')
  assert.equal(headers['x-kubernetes-pf-flowschema-uid'], found.metadata.uid)
  const condition = found.status?.conditions?.[0]
  assert.deepEqual(
    [condition?.type, condition?.status, condition?.reason],
    ['Dangling', 'False', 'Found'],
  )
  await send(server, `DELETE ${base}/prioritylevelconfigurations/global-default`)
  await env.settle()
  const dangling = (await send(server, `GET ${base}/flowschemas/global-default`))
    .json as unknown as FlowSchema
  assert.equal(dangling.status?.conditions?.[0]?.status, 'True')
  const next = await send(server, 'GET /api/v1/namespaces')
  assert.notEqual(next.headers['x-kubernetes-pf-flowschema-uid'], found.metadata.uid)
  stop.abort()
  await kept
})

test('health is told however much there is to do, and who is turned away is told when to come again', async () => {
  const user = { name: 'jane', groups: ['system:authenticated'] }
  const hold = Promise.withResolvers<void>()
  const { server, api, env } = await testServer({
    maxInFlight: { reading: 1, writing: 1 },
    extensions: {
      authenticator: { authenticate: async () => ({ user }) },
      admission: [
        {
          name: 'Slow',
          handles: (request) => request.user.name === 'jane',
          mutate: () => hold.promise,
        },
      ],
    },
  })
  await ensureFlowControl(api)
  await env.settle()
  const made = Array.from({ length: 8000 }, (_, i) =>
    send(server, 'POST /api/v1/namespaces', { metadata: { name: `n${i}` } }),
  )
  await env.settle()
  for (const page of ['healthz', 'livez', 'readyz'])
    assert.deepEqual([page, (await send(server, `GET /${page}`)).text], [page, 'ok'])
  hold.resolve()
  await env.settle()
  await env.advance(60_000)
  const answers = await Promise.all(made)
  const refused = answers.filter(({ status }) => status === 429)
  assert.ok(refused.length > 0)
  for (const { headers, text } of refused) {
    assert.equal(headers['retry-after'], '1')
    assert.equal(headers['content-type'], 'text/plain; charset=utf-8')
    assert.equal(text, 'Too many requests, please try again later.\n')
  }
})

test('a condition that is right is not written again', () => {
  const now = new Date('2026-01-01T00:00:00Z')
  const one = schema('few')
  const condition = danglingCondition(one, new Set(['few']), now)
  assert.equal(condition?.lastTransitionTime, '2026-01-01T00:00:00Z')
  const written = { ...one, status: { conditions: [condition!] } }
  assert.equal(danglingCondition(written, new Set(['few']), now), undefined)
  assert.equal(danglingCondition(written, new Set(), now)?.status, 'True')
})

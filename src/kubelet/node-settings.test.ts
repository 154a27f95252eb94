import assert from 'node:assert/strict'
import { test } from 'node:test'
import { amount } from './eviction/signals.ts'
import {
  checkSoft,
  parseGracePeriods,
  parseNodeLabels,
  parseTaints,
  parseThresholds,
} from './node-settings.ts'

const most = Number.POSITIVE_INFINITY

test('thresholds are parts or amounts; what is not named has none', () => {
  assert.deepEqual(parseThresholds('memory.available<1.5Gi,nodefs.available<7.5%'), {
    'memory.available': amount(1.5 * 2 ** 30),
    'nodefs.available': { part: 0.075, most },
  })
  assert.deepEqual(parseThresholds('nodefs.available<0%,pid.available<10%'), {
    'pid.available': { part: 0.1, most },
  })
  assert.deepEqual(parseThresholds(''), {})
})

test('what is no threshold is refused with what is wrong', () => {
  for (const [text, words] of [
    ['memory.available', /"memory.available" is not of the form SIGNAL<VALUE/],
    ['memory.free<1Gi', /no signal "memory.free", but memory.available, nodefs/],
    ['memory.available<101%', /from 0% to 100%, not 101%/],
    ['memory.available<-1Mi', /positive quantity like 100Mi, not "-1Mi"/],
    ['memory.available<much', /not "much"/],
    ['memory.available<1Gi,memory.available<2Gi', /two thresholds for memory.available/],
  ] as const)
    assert.throws(() => parseThresholds(text), words)
})

test('each soft threshold has a grace period', () => {
  const soft = parseThresholds('memory.available<500Mi')
  const after = parseGracePeriods('memory.available=1m30s')
  assert.deepEqual(after, { 'memory.available': 90_000 })
  checkSoft(soft, after)
  assert.throws(() => checkSoft(soft, {}), /no grace period for the soft threshold of memory/)
  assert.throws(() => parseGracePeriods('memory.available=soon'), /a duration like 1m30s/)
  assert.throws(() => parseGracePeriods('memory.available=0s'), /a duration like 1m30s/)
})

test('nodes may give themselves labels of their own, and some of Kubernetes', () => {
  const text = 'disk=ssd,topology.kubernetes.io/zone=a,x.node.kubernetes.io/role=db,example.org/e='
  assert.deepEqual(parseNodeLabels(text), {
    disk: 'ssd',
    'topology.kubernetes.io/zone': 'a',
    'x.node.kubernetes.io/role': 'db',
    'example.org/e': '',
  })
  assert.throws(
    () => parseNodeLabels('node-role.kubernetes.io/worker='),
    /may not give themselves node-role.kubernetes.io\/worker/,
  )
  assert.throws(() => parseNodeLabels('disk'), /"disk" is not of the form KEY=VALUE/)
  assert.throws(() => parseNodeLabels('disk=a b'), /"a b" cannot be a label's value/)
  assert.throws(() => parseNodeLabels('-disk=a'), /"-disk" cannot be a label's key/)
})

test('taints have keys and effects, and values when they want', () => {
  assert.deepEqual(parseTaints('dedicated=db:NoSchedule,example.org/fresh:NoExecute'), [
    { key: 'dedicated', value: 'db', effect: 'NoSchedule' },
    { key: 'example.org/fresh', effect: 'NoExecute' },
  ])
  assert.throws(() => parseTaints('dedicated=db:Never'), /an effect of NoSchedule, Prefer/)
  assert.throws(() => parseTaints('dedicated'), /form KEY=VALUE:EFFECT/)
  assert.throws(() => parseTaints('a:NoExecute,a=1:NoExecute'), /two taints a:NoExecute/)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Pod } from '#api'
import { type PodOptions, pod } from '../testing/pods.ts'
import { binary, brokenLimit, shortageWords } from './messages.ts'
import { type PodUse, isCritical, ranked } from './rank.ts'
import {
  amount,
  DEFAULT_THRESHOLDS,
  TRANSITION_MS,
  pressuresSeen,
  shortages,
  softShortages,
  type Since,
} from './signals.ts'

const MI = 2 ** 20
const made = (name: string, options: PodOptions = {}): Pod =>
  pod({ ...options, metadata: { ...options.metadata, name, uid: name } })
const requesting = (memory: string, disk = '0'): NonNullable<PodOptions['containers']> => [
  { name: 'app', resources: { requests: { memory, 'ephemeral-storage': disk } } },
]
const using = (memoryBytes: number, more: Partial<PodUse> = {}): PodUse => ({
  memoryBytes,
  containers: new Map([['app', { memoryBytes, diskBytes: 0 }]]),
  volumes: new Map(),
  ...more,
})
const names = (pods: readonly Pod[]) => pods.map(({ metadata }) => metadata.name)

test('a node is short of what is below its threshold, memory first', () => {
  const found = shortages(
    {
      'nodefs.available': { available: 9, capacity: 100 },
      'imagefs.available': { available: 15, capacity: 100 },
      'nodefs.inodesFree': { available: 5, capacity: 100 },
      'memory.available': { available: 100 * MI - 1, capacity: 1000 * MI },
    },
    DEFAULT_THRESHOLDS,
  )
  assert.deepEqual(
    found.map(({ signal, threshold }) => [signal, threshold]),
    [
      ['memory.available', 100 * MI],
      ['nodefs.available', 10],
    ],
  )
})

test('a large disk that is full of other things is not short while there is room for pods', () => {
  const disk = (gib: number) => ({ available: gib * 1024 * MI, capacity: 500 * 1024 * MI })
  const found = (gib: number) =>
    shortages({ 'nodefs.available': disk(gib), 'imagefs.available': disk(gib) }, DEFAULT_THRESHOLDS)
  assert.deepEqual(found(3), [])
  assert.deepEqual(
    found(1.5).map(({ signal, threshold }) => [signal, threshold]),
    [['imagefs.available', 2048 * MI]],
  )
})

test('a soft threshold counts once the node has been below it for long enough without a break', () => {
  const soft = {
    thresholds: { 'memory.available': amount(500 * MI) },
    afterMs: { 'memory.available': 90_000 },
    maxGraceSeconds: 20,
  }
  const look = (before: Since, availableMi: number, nowMs: number) => {
    const available = availableMi * MI
    const observed = { 'memory.available': { available, capacity: 1000 * MI } }
    return softShortages(before, shortages(observed, soft.thresholds), soft, nowMs)
  }
  const first = look(new Map(), 400, 1000)
  assert.deepEqual(first.lasting, [])
  const last = look(first.since, 450, 91_000)
  assert.deepEqual(
    last.lasting.map(({ signal, graceSeconds }) => [signal, graceSeconds]),
    [['memory.available', 20]],
  )
  const better = look(first.since, 600, 50_000)
  assert.equal(better.since.size, 0)
  assert.deepEqual(look(better.since, 400, 91_000).lasting, [])
})

test('where a threshold was taken away, nothing is short', () => {
  const nothing = { available: 0, capacity: 100 }
  assert.deepEqual(shortages({ 'nodefs.available': nothing }, {}), [])
  const [processes] = shortages({ 'pid.available': nothing }, {})
  assert.equal(processes?.evicts, false)
})

test('what was seen once is told for five minutes', () => {
  const short = shortages(
    { 'memory.available': { available: 0, capacity: 1000 * MI } },
    DEFAULT_THRESHOLDS,
  )
  const seen = pressuresSeen(new Map(), short, 1000)
  assert.deepEqual([...seen.keys()], ['MemoryPressure'])
  assert.equal(pressuresSeen(seen, [], 1000 + TRANSITION_MS - 1).size, 1)
  assert.equal(pressuresSeen(seen, [], 1000 + TRANSITION_MS).size, 0)
})

test('who uses more than it asked for goes first, then the less important, then the greediest', () => {
  const pods = [
    made('modest', { containers: requesting('200Mi'), priority: -10 }),
    made('greedy-important', { containers: requesting('10Mi'), priority: 5 }),
    made('greedy-little', { containers: requesting('10Mi') }),
    made('greedy-much', { containers: requesting('50Mi') }),
    made('unknown', { priority: 9 }),
  ]
  const uses = new Map([
    ['modest', using(100 * MI)],
    ['greedy-important', using(500 * MI)],
    ['greedy-little', using(20 * MI)],
    ['greedy-much', using(90 * MI)],
  ])
  assert.deepEqual(names(ranked(pods, uses, 'memory')), [
    'greedy-much',
    'greedy-little',
    'greedy-important',
    'unknown',
    'modest',
  ])
})

test('ranking loses nobody, and whoever keeps to its requests outlives who does not', () => {
  const row = fc.record({
    priority: fc.integer({ min: -5, max: 5 }),
    asked: fc.nat(100),
    used: fc.nat(200),
  })
  fc.assert(
    fc.property(fc.array(row, { maxLength: 12 }), (rows) => {
      const pods = rows.map(({ priority, asked }, i) =>
        made(`p${i}`, { priority, containers: requesting(String(asked)) }),
      )
      const uses = new Map(rows.map(({ used }, i) => [`p${i}`, using(used)]))
      const order = names(ranked(pods, uses, 'memory'))
      assert.deepEqual(order.toSorted(), names(pods).toSorted())
      const exceeds = order.map((name) => {
        const { used = 0, asked = 0 } = rows[Number(name.slice(1))] ?? {}
        return used > asked
      })
      assert.ok(exceeds.lastIndexOf(true) < (exceeds.indexOf(false) + 1 || Infinity))
    }),
  )
})

test('a message says what ran out and who used more than it asked for', () => {
  const web = made('web', { containers: requesting('50Mi') })
  const [shortage] = shortages(
    { 'memory.available': { available: 40 * MI, capacity: 1000 * MI } },
    DEFAULT_THRESHOLDS,
  )
  assert.ok(shortage)
  const { message, annotations } = shortageWords(web, shortage, using(80 * MI))
  assert.equal(
    message,
    'The node was low on resource: memory. Threshold quantity: 100Mi, available: 40Mi. Container app was using 80Mi, request is 50Mi, has larger consumption of memory. ',
  )
  assert.deepEqual(annotations, {
    offending_containers: 'app',
    offending_containers_usage: '80Mi',
    starved_resource: 'memory',
  })
  const none = made('none')
  assert.match(
    shortageWords(none, shortage, using(80 * MI)).message,
    /Container app was using 80Mi, request is 0, has/,
  )
})

test('amounts are written as quantities are', () => {
  assert.deepEqual([0, 1, 1024, 1536, 5 * 2 ** 30].map(binary), ['0', '1', '1Ki', '1536', '5Gi'])
})

test('limits on disks: of a volume, of the pod, of a container', () => {
  const use = (volume: number, container: number, pods = 0): PodUse => ({
    diskBytes: pods,
    containers: new Map([['app', { memoryBytes: 0, diskBytes: container }]]),
    volumes: new Map([['cache', volume]]),
  })
  const limited = made('web', {
    containers: [
      { name: 'app', resources: { limits: { 'ephemeral-storage': '2Mi' } } },
      { name: 'side' },
    ],
    volumes: [{ name: 'cache', emptyDir: { sizeLimit: '1Mi' } }],
  })
  assert.equal(brokenLimit(limited, use(MI, 2 * MI)), undefined)
  assert.equal(
    brokenLimit(limited, use(MI + 1, 0)),
    'Usage of EmptyDir volume "cache" exceeds the limit "1Mi". ',
  )
  assert.equal(
    brokenLimit(limited, use(0, 2 * MI + 1)),
    'Container app exceeded its local ephemeral storage limit "2Mi". ',
  )
  const alone = made('web', {
    containers: [{ name: 'app', resources: { limits: { 'ephemeral-storage': '2Mi' } } }],
  })
  assert.equal(
    brokenLimit(alone, use(0, 0, 3 * MI)),
    'Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. ',
  )
})

test('what keeps the cluster alive is critical', () => {
  assert.equal(isCritical(made('web', { priority: 1_000_000_000 })), false)
  assert.equal(isCritical(made('dns', { priority: 2_000_000_000 })), true)
  const annotations = { 'kubernetes.io/config.mirror': 'abc' }
  assert.equal(isCritical(made('static', { metadata: { annotations } })), true)
})
